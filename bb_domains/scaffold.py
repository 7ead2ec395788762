"""A new domain: the package `template`, under another name, with its generated files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bb_core.errors import UsageError
from bb_core.files import directory_atomic, read_text
from bb_domains.domain import Domain, load_domain, make_domain, save_domain, schema_path
from bb_domains.golden import FOLDER, write_golden
from bb_domains.schema import load_schema

TEMPLATE = Path(__file__).parent / "template"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TEMPLATE_NAME = "doors"


def new_domain(name: str, out: Path) -> Domain:
    """Make the folder of a new domain that works as it is; all of it or nothing.

    Raises:
        UsageError: the name is none, or the folder is there already.
        BBError: it cannot be written.
    """
    if not _NAME.fullmatch(name):
        fix = "use small letters, digits and _, beginning with a letter"
        raise UsageError(f"{name!r} is no name of a domain", where="NAME", fix=fix)
    if out.exists():
        raise UsageError("is there already", where=str(out), fix="choose another folder")
    with directory_atomic(out) as building:
        leave = shutil.ignore_patterns("__pycache__", FOLDER)
        shutil.copytree(TEMPLATE, building, dirs_exist_ok=True, ignore=leave)
        for path, marker in ((schema_path(building), "domain: "), (building / "README.md", "# ")):
            text = read_text(path).replace(f"{marker}{_TEMPLATE_NAME}\n", f"{marker}{name}\n", 1)
            path.write_text(text, encoding="utf-8")
        domain = make_domain(load_schema(schema_path(building)), building)
        save_domain(domain, building)
        write_golden(domain, building / FOLDER)
        for compiled in building.rglob("__pycache__"):
            shutil.rmtree(compiled)
    return load_domain(out)
