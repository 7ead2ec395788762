"""A learned program as a skill: through the machine's door, then into a rail's library.

The machine takes the program as an expert, by a patch with a certificate; the skill names that
certificate. In the rail it reads token classes and steps at the program's own characters only, so
that any other text leaves its state alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bb_core.canonical import fingerprint
from bb_nn.library.library import Library
from bb_nn.library.skill import Place, Skill, placed, skill_of_machine
from bb_train.languages.learn import LearnedProgram
from bb_train.languages.symbols import LanguageError, Symbols
from bem_kernel.circuits.builder import CircuitBuilder
from bem_kernel.experts.expert import Expert
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import encode_words
from bem_kernel.patches.apply import apply
from bem_kernel.patches.certificate import certificate_record
from bem_kernel.patches.patch import Entry, Kind, Patch
from bem_kernel.patches.propose import drafted, free_near
from bem_kernel.patches.verify import Proved, verify

if TYPE_CHECKING:
    from bem_kernel.experts.table import ExpertTable
    from bem_kernel.ledger.chain import Ledger

_PROVENANCE = (("by", "training strings"),)
PERCEPTION = 1
"""Bits that the rail perceives; no learned program reads them."""


def skill_of(program: LearnedProgram, name: str, certificate: str = "") -> Skill:
    """The program as a skill: a character's bits and whether there is one, to verdict and trap."""
    machine = program.family.at(program.width)
    bare = skill_of_machine(name, machine, program.learned_bits)
    b = CircuitBuilder(bare.n_state + bare.n_in + 1)
    present = b.n_inputs - 1
    found = b.embed(bare.circuit, range(present))
    after = [b.mux(present, old, new) for old, new in enumerate(found[: bare.n_state])]
    said = [b.and_(present, slot) for slot in found[bare.n_state :]]
    circuit = b.build([*after, *said])
    return Skill(name, circuit, bare.n_state, bare.learned_bits, certificate)


def install_program(program: LearnedProgram, name: str, table: ExpertTable, log: Ledger) -> Skill:
    """Add the program to a machine as an expert, by a patch with a certificate.

    Args:
        program: from `learn_program`.
        name: of the expert and the skill.
        table: of the machine; the program takes its first bits.
        log: open; all of the machine's patches are in it.

    Raises:
        LanguageError: the patch cannot be proved.
        KernelError: the expert does not fit the machine, or the log cannot be written.
    """
    skill = skill_of(program, name)
    state, reads = skill.n_state, skill.n_state + skill.n_in
    writes = (*range(state), *range(reads, reads + skill.n_out))
    expert = Expert(name, tuple(range(reads)), skill.circuit, writes)
    first = int(encode_words(IdClass.EXPERT, np.zeros(1, np.int64), np.zeros(1, np.int64))[0])
    (identifier,) = free_near(table, first, 1)
    reason = f"{name}: {program.found_as}, explains {program.strings} strings"
    entry = Entry(identifier, expert)
    patch = drafted(table, Patch(Kind.ADD, "", "", reason, _PROVENANCE, added=(entry,)))
    verdict = verify(table, patch, log=log)
    if not isinstance(verdict, Proved):
        raise LanguageError(
            f"no proof that {verdict.claim}", where=f"patch for {name}", fix="free bits or experts"
        )
    apply(table, patch, verdict.certificate, log)
    return skill_of(program, name, fingerprint(certificate_record(verdict.certificate)))


def install_alone(program: LearnedProgram, name: str, folder: Path) -> Skill:
    """`install_program` into a machine of its own, whose log lies in a folder."""
    from bem_kernel.experts.table import ExpertTable
    from bem_kernel.ledger.chain import Ledger
    from bem_kernel.memory.configuration import MachineConfig
    from bem_kernel.memory.memory import Memory

    circuit = skill_of(program, name).circuit
    memory = Memory(MachineConfig(n_bits=circuit.n_inputs + circuit.n_outputs, lanes=64))
    with Ledger(folder / f"{name}.log") as log:
        return install_program(program, name, ExpertTable(memory), log)


def library_of(skill: Skill, symbols: Symbols, table: Sequence[bytes]) -> Library:
    """A library of one learned skill.

    Args:
        skill: from `install_program`.
        symbols: that the program reads.
        table: bytes of each token id of the rail's tokenizer.
    """
    classes = symbols.classes(character_ids(symbols.characters, table))
    n_in = len(classes) + PERCEPTION
    place = Place(range(skill.n_state), range(len(classes)), range(skill.n_out))
    return Library((placed(skill, place, skill.n_state, n_in, skill.n_out),), PERCEPTION, classes)


def character_ids(characters: str, table: Sequence[bytes]) -> list[int]:
    """The token of each character alone.

    Raises:
        LanguageError: the tokenizer has no such token.
    """
    found = {piece: i for i, piece in reversed(list(enumerate(table)))}
    for char in characters:
        if char.encode() not in found:
            raise LanguageError(
                f"no token is {char!r} alone", where="tokenizer",
                fix="use characters that have tokens of their own",
            )  # fmt: skip
    return [found[char.encode()] for char in characters]
