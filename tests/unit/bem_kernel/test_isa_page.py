"""docs/isa.md: its tables are the code's, its programs run as it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bem_kernel.cli import main as cli
from bem_kernel.isa.core import TRAPS, Stop
from bem_kernel.isa.instructions import FORM, FORMS, Opcode, Space
from bem_kernel.isa.page import instruction_page
from bem_kernel.isa.program import MAX_DATA_WORDS
from bem_kernel.memory.segments import PROGRAM_RIGHTS, Rights, Segment

PAGE = (Path(__file__).parents[3] / "docs" / "isa.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bem\n(.*?)```.*?```console\n(.*?)```", PAGE, re.DOTALL)


def test_the_tables_are_those_of_the_code() -> None:
    instructions, traps = instruction_page().split("\n\n")
    assert instructions in PAGE, "put what `bem isa` prints into docs/isa.md"
    assert traps.strip() in PAGE, "put what `bem isa` prints into docs/isa.md"


def test_the_table_of_spaces() -> None:
    for segment in Segment:
        assert Space[segment.name] == segment
        allowed = PROGRAM_RIGHTS[segment]
        rights = "read, write" if allowed & Rights.WRITE else "read"
        assert re.search(rf"\| {segment.name} \| {segment} \| .* \| {rights} \|", PAGE)
    assert MAX_DATA_WORDS == 1 << 20


def test_every_opcode_has_one_form_and_every_trap_a_meaning() -> None:
    assert len(FORMS) == len(FORM) == len(Opcode)
    assert set(TRAPS) == {stop for stop in Stop if stop >= Stop.RAISED}
    used = {name for form in FORMS for name in form.traps}
    assert used == {stop.name for stop in TRAPS}


@pytest.mark.parametrize(("program", "console"), BLOCKS)
def test_the_programs_run_as_shown(
    program: str,
    console: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = console.strip().split("\n")
    assert len(shown) % 2 == 0
    for command, output in zip(shown[::2], shown[1::2], strict=True):
        args = shlex.split(command.removeprefix("$ "))
        Path(args[2]).write_text(program)
        monkeypatch.setattr("sys.argv", args)
        with pytest.raises(SystemExit):
            cli.main()
        assert capsys.readouterr().out.strip() == output


def test_there_are_programs() -> None:
    assert len(BLOCKS) == 2
