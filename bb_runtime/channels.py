"""What a domain's channel does to a text: a mask, a price, or nothing.

A plan is masked by its own state, whatever channels a domain declares: the channel `plan` is never
looked up among them, and no row of a plan is a soft one.
"""

from __future__ import annotations

from collections.abc import Collection

from transformers import LogitsProcessor, PreTrainedTokenizerBase

from bb_domains.domain import Domain
from bb_domains.profile.channels import channel, channel_grammar
from bb_domains.profile.lowering import mask_grammar
from bb_domains.schema import PLAN_CHANNEL
from bb_runtime.constraints import keep_to_lark, keep_to_plans
from bb_runtime.job import Constraint
from bb_runtime.masks import GrammarMask
from bb_runtime.soft import SoftGrammar, soft_rows


def keep_to_channel(
    tokenizer: PreTrainedTokenizerBase,
    domain: Domain,
    name: str,
    max_new_tokens: int,
    end_ids: Collection[int] = (),
) -> Constraint | None:
    """What a channel's texts keep to, or have a price for leaving; None where it is `off`.

    Blanks are bounded in hard channels.

    Args:
        tokenizer: a fast tokenizer, the model's own.
        domain: whose channel.
        name: of the channel.
        max_new_tokens: the budget; plans end within it.
        end_ids: `Engine.end_ids`: what ends the model's texts, beside the tokenizer's own.

    Raises:
        BBError: there is no such channel, or its grammar is refused.
    """
    declared = channel(domain, name)
    if name == PLAN_CHANNEL:
        return keep_to_plans(tokenizer, domain, max_new_tokens)
    if declared.mode == "off":
        return None
    lowered = channel_grammar(domain, name)
    if declared.mode == "hard":
        return keep_to_lark(tokenizer, mask_grammar(lowered, bounded=True))
    return soft_rows(tokenizer, mask_grammar(lowered), declared.weight, end_ids)


def channel_processor(
    domain: Domain, name: str, tokenizer: PreTrainedTokenizerBase
) -> LogitsProcessor | None:
    """The same for `generate` of transformers.

    What this gives for the channel `plan` is the domain's static grammar; `plan_mask.PlanMask`
    masks by the plan's state as well.

    Raises:
        BBError: there is no such channel, or its grammar is refused.
    """
    declared = channel(domain, name)
    if name == PLAN_CHANNEL:
        return GrammarMask(tokenizer, lark=domain.grammar)
    if declared.mode == "off":
        return None
    lowered = channel_grammar(domain, name)
    if declared.mode == "hard":
        return GrammarMask(tokenizer, lark=mask_grammar(lowered, bounded=True))
    return SoftGrammar(tokenizer, mask_grammar(lowered), declared.weight)
