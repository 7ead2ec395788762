"""Published vectors first, then the stored forms of our own that must never change by accident."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from bem_kernel.circuits.circuit import Op
from bem_kernel.identifiers.gray import gray
from bem_kernel.identifiers.ident import Identifier, encode
from bem_kernel.isa.assembler import assemble
from bem_kernel.isa.instructions import Opcode
from bem_kernel.isa.record import program_fingerprint, program_record
from bem_kernel.ledger.chain import Ledger
from bem_kernel.policy.exp2 import ONE_Q16, exp2_q16


def test_the_gray_code_of_the_patent() -> None:
    """F. Gray, US 2632058 (1953), the sequence of 0 to 15."""
    codes = "0000 0001 0011 0010 0110 0111 0101 0100 1100 1101 1111 1110 1010 1011 1001 1000"
    words = np.arange(16, dtype=np.uint32)
    assert [f"{code:04b}" for code in gray(words).tolist()] == codes.split()


def test_the_chain_is_sha256_over_the_head_and_the_canonical_entry(tmp_path: Path) -> None:
    """The formula of the core specification, 11.1, with FIPS 180-4 SHA-256."""
    first, second = b'{"a":1,"b":[true,null]}', b"{}"
    head = hashlib.sha256(bytes(32) + first).digest()
    last = hashlib.sha256(head + second).hexdigest()
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        ledger.append({"b": [True, None], "a": 1})
        ledger.append({})
        assert ledger.head == last
    assert path.read_bytes() == (
        b'{"entry":' + first + b',"hash":"' + head.hex().encode() + b'"}\n'
        b'{"entry":' + second + b',"hash":"' + last.encode() + b'"}\n'
    )


def test_powers_of_two_by_the_twelfth() -> None:
    """65536 * 2**(-k/12), the equal temperament, rounded."""
    steps = [round(k * ONE_Q16 / 12) for k in range(13)]
    expected = [65536, 61858, 58386, 55109, 52016, 49097, 46341, 43740, 41285, 38968, 36781, 34716]
    found = exp2_q16(np.array(steps, dtype=np.int64)).tolist()
    assert max(abs(a - b) for a, b in zip(found, [*expected, 32768], strict=True)) <= 1


def test_the_numbers_of_operations_are_part_of_the_stored_form() -> None:
    assert [op.name for op in Op] == ["AND", "OR", "XOR", "NOT", "ANDN", "CONST0", "CONST1"]
    assert [op.value for op in Op] == list(range(7))
    groups = {
        0x01: "HALT JMP JZ JNZ JZ_BIT JNZ_BIT CALL RET TRAP TRAP_IF TRAP_IF_BIT LOG EXPERT",
        0x10: "SET ADD SUB MUL SHL SHR SAR AND OR XOR LT NOT",
        0x21: "ADD_I SUB_I MUL_I SHL_I SHR_I SAR_I AND_I OR_I XOR_I LT_I",
        0x30: "LD ST ADR",
        0x40: "BEM_LOAD_STATE BEM_STORE_STATE BEM_ANN_QUERY BEM_EXPERT_BATCH BEM_UPDATE_STATS",
        0x45: "BEM_SAT_CHECK BEM_PROOF_CHECK BEM_HOARE_CHECK BEM_LOG_APPEND BEM_APPLY_PATCH",
    }
    expected = {
        name: first + i for first, names in groups.items() for i, name in enumerate(names.split())
    }
    assert {opcode.name: opcode.value for opcode in Opcode} == expected


def test_the_record_of_a_program() -> None:
    program = assemble(
        ".bits a b\n.expert e: b = !a\n.port p writes a\n.data d 7\n.cfg main\n"
        'EXPERT e\nTRAP_IF b "no"\nHOST p r3\nMUL r1 r2 r31 16\nADD r1 r1 -1\nHALT\n'
    )
    assert program_record(program, debug=False) == {
        "format": "bem-program-2",
        "bits": ["a", "b"],
        "experts": [
            {
                "name": "e",
                "reads": [0],
                "circuit": {
                    "format": "bem-circuit-1",
                    "n_inputs": 1,
                    "gates": [[3, 0, 0]],
                    "outputs": [1],
                },
                "writes": [1],
            }
        ],
        "ports": [{"name": "p", "writes": [0]}],
        "data": [{"name": "d", "words": ["0000000000000007"]}],
        "nodes": [{"name": "main", "start": 0, "end": 6}],
        "texts": ["no"],
        "code": [
            "0d00000000000000",  # opcode 0d, expert 0
            "0b00000100000000",  # opcode 0b, bit 1, text 0
            "3118000800000000",  # opcode 31, rd 3, space 8, word 0
            "1308be1000000000",  # opcode 13, rd 1, ra 2, rb 31, shift 16
            "21084000ffffffff",  # opcode 21, rd 1, ra 1, -1
            "0100000000000000",
        ],
    }
    assert program_fingerprint(program) == (
        "0c53129b9bbc109a1ddc86165be3873ff26b8c9d60e06631bb7fa156393bbdde"
    )


def test_identifiers() -> None:
    assert encode(Identifier(0, 0, 0)) == 0
    # Data bits at Hamming positions 26 (class), 21 (shard), 5 and 3 (local); 26 ^ 21 ^ 5 ^ 3 = 9.
    word = f"{encode(Identifier(1, 2, 3)):032b}"
    assert word == "000001" + "001001" + "000010" + "00000000000011"
