"""The channels of a domain: which texts it writes, and how strictly a grammar holds in each.

`channels:` in a plan schema names them. `hard` masks every token that leaves the grammar, `soft`
makes such tokens dearer by a penalty, `off` leaves the text alone. The channel `plan` is always
hard, whatever a schema says elsewhere, and cannot be declared.
"""

from __future__ import annotations

from pathlib import Path

from bb_core.files import read_text
from bb_domains.domain import GRAMMAR_FILE, Domain, schema_path
from bb_domains.errors import DomainError, ProfileError, UnknownStart
from bb_domains.marks import read_marked
from bb_domains.profile.lowering import Lowered, lower
from bb_domains.profile.peg_lowering import PEG_SUFFIX, read_peg
from bb_domains.profile.source import Source, read_grammar
from bb_domains.schema import PLAN_CHANNEL, Channel, PlanSchema


def channel_names(domain: Domain) -> list[str]:
    """The channels of a domain: `plan`, and those that its schema declares."""
    return list(dict.fromkeys([PLAN_CHANNEL, *domain.schema.channels]))


def channel(domain: Domain, name: str) -> Channel:
    """The declaration of a channel; `plan` is a hard one that needs none.

    Raises:
        DomainError: the domain declares no such channel.
    """
    if name == PLAN_CHANNEL:
        return Channel(mode="hard")
    if name not in domain.schema.channels:
        known = ", ".join(channel_names(domain))
        raise DomainError(f"no channel {name!r}", where=domain.name, fix=f"channels are {known}")
    return domain.schema.channels[name]


def channel_grammar(domain: Domain, name: str) -> Lowered:
    """The grammar of a channel's texts, read from the domain's folder.

    Raises:
        BBError: the channel names no grammar, or one that is not there, has another start rule, or
            cannot serve mask and parser; with the place in the plan schema or in the grammar.
    """
    declared = channel(domain, name)
    if not declared.grammar:
        where = channel_place(domain, name)
        raise ProfileError("has no grammar of its own", where=where, fix="name a file")
    if domain.root is None:
        where = channel_place(domain, name)
        raise ProfileError("belongs to no folder", where=where, fix="load the domain from one")
    path = domain.root / declared.grammar
    if not path.is_file():
        where = channel_place(domain, name, "grammar")
        raise ProfileError(f"there is no file {path}", where=where, fix="write it, or name another")
    try:
        return lower(read_any(path, declared.start))
    except UnknownStart as error:
        where = channel_place(domain, name, "start")
        raise UnknownStart(f"{path} {error.what}", where=where, fix=error.fix) from None


def channel_files(schema: PlanSchema, overlay: Path | None, folder: Path) -> dict[str, str]:
    """The grammars that channels name and what these import, as they lie beside an overlay.

    Args:
        schema: declares the channels.
        overlay: the file that may have declared them; None for none.
        folder: of the domain; a grammar that is only there is left as it is.

    Returns:
        Texts by path within the folder.

    Raises:
        BBError: a grammar is in neither place, or cannot be read.
    """
    found: dict[str, str] = {}
    for name, declared in schema.channels.items():
        if overlay is None or not declared.grammar:
            continue
        path, place = overlay.parent / declared.grammar, ("channels", name, "grammar")
        if declared.grammar == GRAMMAR_FILE:
            what, where = "is where the grammar of plans goes", read_marked(overlay).where(place)
            raise ProfileError(f"{path} {what}", where=where, fix="name another file")
        if path.is_file():
            files = (path, *read_any(path, declared.start).imported)
            found |= {str(file.relative_to(overlay.parent)): read_text(file) for file in files}
        elif not (folder / declared.grammar).is_file():
            where = read_marked(overlay).where(place)
            raise ProfileError(f"there is no file {path}", where=where, fix="write it there")
    return found


def read_any(path: Path, start: str) -> Source:
    """Read a grammar file, Lark or PEG.

    Raises:
        BBError: it cannot be read, or is refused.
    """
    return read_peg(path, start) if path.suffix == PEG_SUFFIX else read_grammar(path, start)


def channel_place(domain: Domain, name: str, key: str = "") -> str:
    """Where a channel is declared: file, line and column, if the domain has a schema file."""
    path = ("channels", name, key) if key else ("channels", name)
    file = None if domain.root is None else schema_path(domain.root)
    if file is None or not file.exists():
        return f"{domain.name}: {'.'.join(path)}"
    return read_marked(file).where(path)
