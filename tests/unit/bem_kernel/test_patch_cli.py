"""`bem patch`, in process: from proposing to undoing, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bb_core.canonical import canonical_json
from bem_kernel.circuits.circuit import Circuit, Gate, Op
from bem_kernel.circuits.record import circuit_record
from bem_kernel.cli import main as cli
from bem_kernel.experts.expert import Condition, Expert
from bem_kernel.experts.table import ExpertTable
from bem_kernel.isa.instructions import Opcode
from bem_kernel.ledger.chain import read_entries
from bem_kernel.memory.configuration import MachineConfig
from bem_kernel.memory.image import load_image, save_image
from bem_kernel.memory.memory import Memory
from bem_kernel.patches.invariant import read_invariants
from bem_kernel.patches.program import read_program
from bem_kernel.patches.store import log_path
from bem_kernel.patches.structure import structure_hash

LONG = Circuit(2, (Gate(Op.OR, 0, 1), Gate(Op.AND, 0, 1), Gate(Op.ANDN, 2, 3)), (4,))
SHORT = Circuit(2, (Gate(Op.XOR, 0, 1),), (2,))
WRONG = Circuit(2, (Gate(Op.OR, 0, 1),), (2,))


def bem(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bem", "patch", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture
def image(tmp_path: Path) -> Path:
    sizes = {"shared_words": 4096, "expert_words": 4096, "max_experts": 8}
    memory = Memory(MachineConfig(n_bits=8, n_shared_bits=64, lanes=1, **sizes))
    table = ExpertTable(memory)
    table.add(Expert("sum", (0, 1), LONG, (2,)))
    for value, circuit in enumerate((LONG, WRONG)):
        gated = Condition(4, bool(value))
        table.add(Expert(f"case {value}", (0, 1), circuit, (3,), condition=gated))
    table.visits[:3] = (1, 3, 2)
    save_image(memory, tmp_path / "machine.image")
    for name, circuit in (("short", SHORT), ("wrong", WRONG)):
        (tmp_path / name).write_bytes(canonical_json(circuit_record(circuit)))
    return tmp_path / "machine.image"


def table_of(image: Path) -> ExpertTable:
    return ExpertTable(load_image(image))


def propose(
    capsys: pytest.CaptureFixture[str], image: Path, kind: str, *options: object
) -> tuple[int, str, str]:
    out = image.parent / f"{kind}.json"
    return bem(capsys, "propose", kind, image, "--reason", "a test", "--out", out, *options)


def test_propose_verify_apply_log_undo(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, folder = structure_hash(table_of(image)), image.parent
    patch, evidence = folder / "replace.json", folder / "evidence.json"
    code, out, _ = propose(
        capsys, image, "replace", "--expert", "sum", "--circuit", folder / "short"
    )
    assert code == 0 and out.startswith("replace 0x") and f": {start[:16]} -> " in out
    code, out, _ = bem(capsys, "verify", image, patch, "--out", evidence)
    assert (code, out) == (0, "proved; 3 obligations\n")
    assert structure_hash(table_of(image)) == start  # nothing is changed yet
    code, out, _ = bem(capsys, "apply", image, patch, "--evidence", evidence)
    assert code == 0 and out.startswith("entry 1: replace 0x")
    table = table_of(image)
    assert table.expert(table.find("sum")).circuit == SHORT
    code, out, _ = bem(capsys, "log", image)
    assert code == 0 and out.startswith("entry 1: replace") and out.endswith(": a test\n")
    record = json.loads(bem(capsys, "log", image, "--json")[1])
    assert record["patch"] == json.loads(patch.read_text())
    code, _, error = bem(capsys, "apply", image, patch, "--evidence", evidence)
    assert code == 1 and "the patch is for a machine of base" in error
    code, out, _ = bem(capsys, "undo", image)
    assert code == 0 and out.endswith(f"structure {start[:16]}\n")
    assert structure_hash(table_of(image)) == start
    assert bem(capsys, "log", image) == (0, "", "")
    code, _, error = bem(capsys, "undo", image)
    assert code == 1 and "undo: no patch is in force; apply one first" in error


def test_a_wrong_patch(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, start = image.parent, image.read_bytes()
    wrong, good = folder / "replace.json", folder / "good.json"
    options = ("--expert", "sum", "--circuit")
    propose(capsys, image, "replace", *options, folder / "short")
    wrong.rename(good)
    bem(capsys, "verify", image, good, "--out", folder / "evidence")
    propose(capsys, image, "replace", *options, folder / "wrong")
    code, out, _ = bem(capsys, "verify", image, wrong)
    assert code == 1
    assert out == (
        "not so: 'sum' and 'sum' write the same where both apply\n" + out.split("\n", 1)[1]
    )
    assert "s[0]=1 s[1]=1" in out
    found = json.loads(bem(capsys, "verify", image, wrong, "--json")[1])
    assert found["proved"] is False and found["counterexample"]["s[1]"] == 1
    code, _, error = bem(capsys, "apply", image, wrong)
    assert code == 1 and "not so: 'sum' and 'sum' write the same" in error
    code, _, error = bem(capsys, "apply", image, wrong, "--evidence", folder / "evidence")
    assert code == 1 and "the evidence is for another patch" in error
    evidence = json.loads((folder / "evidence").read_text())
    for change, message in (
        ({"proofs": ["1 x 0", "0", "0"]}, "proofs.0: line 1, column 3: 'x' is no literal"),
        ({"before": "0" * 64}, "the evidence is for another base"),
        ({"proofs": ["0"]}, "1 proofs for 3 obligations"),
        ({"proofs": ["0", "0", 1]}, "proofs.2: Input should be a valid string"),
    ):
        (folder / "evidence").write_text(json.dumps(evidence | change))
        code, _, error = bem(capsys, "apply", image, good, "--evidence", folder / "evidence")
        assert code == 1 and message in error
    assert image.read_bytes() == start
    kinds = [entry["kind"] for entry in read_entries(log_path(image))]
    assert kinds == ["patch.base", *["patch.reject"] * 3]


def test_all_kinds(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = image.parent / "door.bem"
    program.write_text(".bits closed open\n.expert open: open = !closed\n  EXPERT open\n")
    start = structure_hash(table_of(image))
    for kind, options in (
        ("remap", ()),
        ("split", ("--expert", "sum", "--bit", 5, "--keep-octaves", 2)),
        ("merge", ("--expert", "case 0", "--expert", "case 1")),
        ("add", ("--program", program, "--expert", "open")),
        ("invariant", ("--holds", "!s7  |  s6")),
        ("retire", ("--expert", f"{table_of(image).find('sum'):#x}")),
        ("replace", ("--expert", "case 0", "--care", "s0 & !s4")),
    ):
        code, _, error = propose(capsys, image, kind, *options)
        if kind == "replace":  # it is as simple as can be already
            assert code == 1 and "replace patch: changes nothing" in error
            continue
        assert code == 0, error
        code, _, error = bem(capsys, "apply", image, image.parent / f"{kind}.json")
        assert code == 0, error
    table = table_of(image)
    names = [table.expert(word).name for word in table]
    assert sorted(names) == ["case 0", "open", "sum/5=0", "sum/5=1"]
    assert [each.name for each in read_invariants(table.memory)] == ["!s7 | s6"]
    for _ in range(6):
        assert bem(capsys, "undo", image)[0] == 0
    assert structure_hash(table_of(image)) == start


@pytest.mark.parametrize(
    ("kind", "options", "code", "message"),
    [
        ("split", ("--expert", "sum"), 2, "--bit: no bit to split on"),
        ("merge", ("--expert", "sum"), 2, "--expert: 1 experts; merge takes 2"),
        ("merge", ("--expert", "sum", "--expert", "case 0"), 1, "no two cases of one expert"),
        ("retire", (), 2, "--expert: 0 experts; retire takes 1 or more"),
        ("retire", ("--expert", "none"), 1, "no expert is named 'none'"),
        ("retire", ("--expert", "0x12"), 1, "0x12 has no slot"),
        ("retire", ("--expert", "0xgg"), 2, "'0xgg' is no identifier"),
        ("add", ("--expert", "x"), 2, "--program: no program"),
        ("invariant", (), 2, "--holds: no invariant; write one, such as"),
        ("invariant", ("--holds", "!s9"), 1, "invariant !s9: reads state bit 9, the machine has 8"),
        ("replace", ("--expert", "sum", "--care", "door"), 2, "--care: 'door' is no bit"),
    ],
)
def test_what_is_refused(
    image: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    found, out, error = propose(capsys, image, kind, *options)
    assert (found, out) == (code, "") and message in error
    assert not (image.parent / f"{kind}.json").exists()


def test_the_program_of_a_machine(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Install, print, change, propose, verify, apply, undo."""
    text, claims, patch = tmp_path / "p.asm", tmp_path / "claims", tmp_path / "p.json"
    text.write_text('.bits a bad\n.cfg main\nTRAP_IF bad, "bad"\nMUL r1, r2, 4\n')
    claims.write_text("allow RAISED\nat exit: !bad")
    code, out, _ = bem(capsys, "install", image, text, "--annotations", claims)
    assert code == 0 and out == f"installed; structure {structure_hash(table_of(image))[:16]}\n"
    code, out, _ = bem(capsys, "code", image)
    assert code == 0 and "  MUL r1, r2, 4\n" in out
    text.write_text(out.replace("MUL r1, r2, 4", "SHL r1, r2, 2"))
    region = ("region", image, text, "--out", patch, "--reason", "shorter")
    code, out, _ = bem(capsys, *region)
    assert code == 0 and out.startswith("instruction 1, now 1: ")
    code, out, _ = bem(capsys, "verify", image, patch)
    assert (code, out) == (0, "proved; 3 obligations\n")
    code, out, _ = bem(capsys, "apply", image, patch)
    assert code == 0 and "region instruction 1; structure" in out
    assert read_program(load_image(image)).program.code[1].opcode is Opcode.SHL_I
    code, _, err = bem(capsys, "install", image, text)
    assert code == 1 and "the machine has a log of patches; propose a patch with bem pat" in err
    unsafe = text.read_text().replace('TRAP_IF bad, "bad"', "SHL r1, r1, 1")
    text.write_text(unsafe)
    bem(capsys, *region, "--free")
    code, out, _ = bem(capsys, "verify", image, patch)
    assert (code, out) == (1, "not so: entry -> exit holds along [0, 1]\ns[1]=1\n")
    assert bem(capsys, "undo", image)[0] == 0
    assert read_program(load_image(image)).program.code[1].opcode is Opcode.MUL_I
