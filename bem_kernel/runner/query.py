"""From observations to identifiers, q = F_obs(obs): where the ANN unit starts to look.

Two rules. HASH scatters observations over the identifiers of a class, so that each has its own
neighbourhood of experts. NEAR folds the bits into the local index and keeps observations that
differ in few bits at a small distance, so that an expert placed at one also serves its like. Either
way the query is an identifier with a valid error-correcting code.

Source: BEM core spec 6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bem_kernel.errors import RunnerError
from bem_kernel.identifiers.classes import IdClass
from bem_kernel.identifiers.ident import LOCAL_BITS, SHARD_BITS, Identifier, encode

_MASK = (1 << 64) - 1
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
ANY_SHARD = -1


class Rule(IntEnum):
    """How an observation becomes the number of an identifier; the values are stored."""

    HASH = 0
    NEAR = 1


@dataclass(frozen=True)
class QueryRule:
    """F_obs.

    Attributes:
        rule: HASH or NEAR.
        shard: of every query, 0 to 63; -1 lets the observation choose the shard too.
        key: of the hash, 64 bits.

    Raises:
        RunnerError: a number is out of range.
    """

    rule: Rule = Rule.HASH
    shard: int = 0
    key: int = 0

    def __post_init__(self) -> None:
        if not ANY_SHARD <= self.shard < 1 << SHARD_BITS or not 0 <= self.key <= _MASK:
            raise RunnerError(
                f"shard {self.shard}, key {self.key}",
                where="query rule",
                fix="use a shard of -1 to 63 and a key of 64 bits",
            )


def query_for(rule: QueryRule, observation: int) -> int:
    """The identifier that an observation asks for, plainly; kernels compute the same.

    Args:
        rule: F_obs.
        observation: 64 bits.

    Returns:
        An identifier of class `expert`, whether or not an expert has it.
    """
    bits = LOCAL_BITS + (SHARD_BITS if rule.shard == ANY_SHARD else 0)
    if rule.rule is Rule.HASH:
        mixed = ((observation ^ rule.key) + 0x9E3779B97F4A7C15) & _MASK
        mixed = (mixed ^ mixed >> 30) * _MIX_1 & _MASK  # splitmix64 (Steele, Lea, Flood 2014)
        mixed = (mixed ^ mixed >> 27) * _MIX_2 & _MASK
        number = (mixed ^ mixed >> 31) >> 64 - bits
    else:
        folded, rest = 0, observation
        while rest:
            folded ^= rest & (1 << bits) - 1
            rest >>= bits
        number = folded
        for shift in (1, 2, 4, 8, 16):  # the number whose Gray code is `folded`
            number ^= number >> shift
    shard = number >> LOCAL_BITS if rule.shard == ANY_SHARD else rule.shard
    return encode(Identifier(IdClass.EXPERT, shard, number & (1 << LOCAL_BITS) - 1))
