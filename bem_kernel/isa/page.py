"""The instruction set as tables for people; `docs/isa.md` holds what `bem isa` prints.

Source: BEM core spec 4.
"""

from __future__ import annotations

from bem_kernel.isa.assembler import written
from bem_kernel.isa.core import TRAPS
from bem_kernel.isa.encoding import used_fields
from bem_kernel.isa.instructions import FORMS, Form

_ORDER = ("rd", "ra", "rb", "shift", "count", "space", "bit", "imm", "text")


def instruction_page() -> str:
    """Instructions and traps as two Markdown tables."""
    lines = [
        "| written | meaning | opcode, fields | traps |",
        "|---|---|---|---|",
        *(_instruction_row(form) for form in FORMS),
        "",
        "| trap | meaning |",
        "|---|---|",
        *(f"| {kind.name} | {meaning} |" for kind, meaning in TRAPS.items()),
    ]
    return "\n".join(lines) + "\n"


def _instruction_row(form: Form) -> str:
    used = used_fields(form.opcode)
    fields = [name for name in _ORDER if name in used]
    encoding = ", ".join([f"{form.opcode:#04x}", *fields])
    meaning = form.meaning.replace("|", "\\|")
    return f"| `{written(form)}` | {meaning} | {encoding} | {', '.join(form.traps)} |"
