"""The channels of a domain: which texts it writes, and how strictly a grammar holds in each.

`channels:` in a plan schema names them. `hard` masks every token that leaves the grammar, `soft`
makes such tokens dearer by a penalty, `off` leaves the text alone. The channel `plan` is always
hard, whatever a schema says elsewhere, and cannot be declared.
"""

from __future__ import annotations

from bb_domains.domain import Domain
from bb_domains.errors import DomainError, ProfileError
from bb_domains.profile.lowering import Lowered, lower
from bb_domains.profile.peg_lowering import PEG_SUFFIX, read_peg
from bb_domains.profile.source import Source, read_grammar
from bb_domains.schema import PLAN_CHANNEL, Channel


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
        BBError: the channel names no grammar, or one that cannot serve mask and parser.
    """
    declared = channel(domain, name)
    where = f"{domain.name}: channels.{name}"
    if not declared.grammar:
        raise ProfileError("has no grammar of its own", where=where, fix="name a file")
    if domain.root is None:
        raise ProfileError("belongs to no folder", where=where, fix="load the domain from one")
    path = domain.root / declared.grammar
    if path.suffix == PEG_SUFFIX:
        return lower(read_peg(path, declared.start))
    source: Source = read_grammar(path, declared.start)
    return lower(source)
