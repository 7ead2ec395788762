"""A domain as a whole: its schema, its grammar, its machine; found by name or folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from bb_core.canonical import fingerprint
from bb_core.files import directory_atomic, read_text, write_atomic
from bb_domains.compiler import PlanMachine
from bb_domains.errors import DomainError
from bb_domains.grammar import plan_grammar
from bb_domains.schema import PlanSchema, load_schema, schema_data, schema_yaml

GROUP = "bb.domains"
SCHEMA_FILE = "plan_schema.yaml"
GRAMMAR_FILE = "grammar.lark"
ARGUMENTS_FILE = "arguments.schema.json"


@dataclass(frozen=True)
class Domain:
    """A compiled domain.

    Attributes:
        name: its name.
        root: the folder it comes from; None if it was made in memory.
        schema: what it declares.
        grammar: the static grammar of its plans.
        machine: its logic.
        package: dotted name of its installed package; empty if it is none.
    """

    name: str
    root: Path | None
    schema: PlanSchema
    grammar: str
    machine: PlanMachine
    package: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the schema and the grammar; certificates are bound to it."""
        return fingerprint({"schema": schema_data(self.schema), "grammar": self.grammar})


def make_domain(schema: PlanSchema, root: Path | None = None, package: str = "") -> Domain:
    """Compile a plan schema.

    Raises:
        DomainError: an expression or an argument schema means nothing.
    """
    grammar, machine = plan_grammar(schema), PlanMachine(schema)
    return Domain(schema.domain, root, schema, grammar, machine, package)


def load_domain(name_or_dir: str | Path) -> Domain:
    """Load a domain by the name of an installed one, or from its folder.

    An installed domain is an entry point of the group `bb.domains` that names a package (`kit`
    says what it offers). A folder holds `plan_schema.yaml` and, if it was written
    by `bb domain import-openapi`, the `grammar.lark` that belongs to it.

    Raises:
        BBError: there is no such domain, or its files are broken; names file, place and fix.
    """
    root = Path(name_or_dir)
    if root.is_dir():
        return _from_folder(root)
    installed = installed_domains()
    if str(name_or_dir) in installed:
        return _from_entry_point(installed[str(name_or_dir)])
    known = ", ".join(installed) or "none"
    raise DomainError(
        f"no domain {str(name_or_dir)!r}",
        where="domain",
        fix=f"name a folder with {SCHEMA_FILE}, or an installed domain ({known})",
    )


def save_domain(domain: Domain, root: Path, more: Mapping[str, str] | None = None) -> None:
    """Write a domain's folder, `more` files of it by name included; what else it holds stays.

    A new folder appears as a whole. In an existing one the grammar goes first and the schema last,
    so that a crash in between leaves a grammar that `load_domain` refuses by name.

    Raises:
        BBError: the place cannot be written.
    """
    schema, old = domain.schema, schema_path(root)
    arguments = {name: tool.plan_args() for name, tool in schema.tools.items()}
    text = schema_yaml(schema)
    if old.exists() and load_schema(old) == schema:
        text = read_text(old)  # keep the author's comments
    files = {
        **(more or {}),
        ARGUMENTS_FILE: json.dumps(arguments, indent=2) + "\n",
        GRAMMAR_FILE: domain.grammar,
        SCHEMA_FILE: text,
    }
    if root.exists():
        for name, content in files.items():
            write_atomic(root / name, content)
        return
    with directory_atomic(root) as building:
        for name, content in files.items():
            write_atomic(building / name, content)


def schema_path(root: str | Path) -> Path:
    """Where a domain's folder keeps its plan schema."""
    return Path(root) / SCHEMA_FILE


def installed_domains() -> dict[str, EntryPoint]:
    """Return the entry points of installed domains by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def _from_folder(root: Path) -> Domain:
    domain = make_domain(load_schema(schema_path(root)), root)
    written = root / GRAMMAR_FILE
    if written.exists() and read_text(written) != domain.grammar:
        raise DomainError(
            f"does not belong to {SCHEMA_FILE} beside it",
            where=str(written),
            fix="write it anew with bb domain check --write, or delete it",
        )
    return domain


def _from_entry_point(point: EntryPoint) -> Domain:
    where = f"domain {point.name}"
    try:
        module = point.load()
        schema = module.plan_schema()
    except (ImportError, AttributeError) as error:
        raise DomainError(
            f"cannot be loaded: {error}",
            where=where,
            fix=f"{point.value} must be a module with plan_schema()",
        ) from error
    if not isinstance(schema, PlanSchema):
        raise DomainError("plan_schema() returned something else", where=where, fix="mend it")
    root = Path(module.__file__).parent if module.__file__ else None
    return make_domain(schema, root, module.__name__)
