"""Learning any language: by the template, and where that does not do, by exact identification.

The template with one flag finds all named tasks, automata of a few states, and counter automata of
two. Larger ones leave it too much to find out: what drives the counter, and that there is one. Then
the smallest counter automaton is looked for, beginning with the examples that the template has had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bem_kernel.learning.examples import Example
from bem_kernel.learning.identify_counter import Identification, identify_with
from bem_kernel.learning.induction import PROOF_WIDTH, Induction
from bem_kernel.learning.reference import CounterAutomaton, Reference
from bem_kernel.learning.search import Effort, Report, learn_with
from bem_kernel.learning.template import Learned

_TEMPLATE_SHARE = 3  # of the time: a third is the template's


@dataclass(frozen=True, eq=False)
class LanguageReport:
    """What both ways have come to.

    Attributes:
        template: the first.
        identified: the second; None: the first sufficed.
    """

    template: Report
    identified: Identification | None

    @property
    def found_by(self) -> Literal["template", "identification", "nothing"]:
        """Which way led to the program."""
        if self.identified is None:
            return "template"
        return "identification" if self.identified.automaton is not None else "nothing"

    @property
    def program(self) -> Learned | CounterAutomaton | None:
        """Explains all examples."""
        return self.template.program if self.identified is None else self.identified.automaton

    @property
    def proof(self) -> Induction | None:
        """That the program agrees with the reference."""
        return (self.identified or self.template).proof

    @property
    def examples(self) -> tuple[Example, ...]:
        """All labels that were asked for."""
        return (self.identified or self.template).examples

    @property
    def time_ms(self) -> int:
        """For everything."""
        return self.template.time_ms + (self.identified.time_ms if self.identified else 0)


def learn_language(
    reference: Reference, effort: Effort | None = None, width: int = PROOF_WIDTH, seed: int = 0
) -> LanguageReport:
    """Learn a language by asking for verdicts, and prove the result.

    Args:
        reference: gives the verdicts, and is what candidates are compared with.
        effort: how far to go.
        width: of the proof.
        seed: of the draws among words to ask.
    """
    whole = effort or Effort()
    if reference.alphabet.keyed:
        return LanguageReport(learn_with(reference, whole, width, seed), None)
    first = replace(
        whole, max_flags=min(1, whole.max_flags), time_ms=whole.time_ms // _TEMPLATE_SHARE
    )
    template = learn_with(reference, first, width, seed)
    if template.proof is not None:
        return LanguageReport(template, None)
    rest = replace(whole, time_ms=max(0, whole.time_ms - template.time_ms))
    return LanguageReport(template, identify_with(reference, template.examples, rest, width, seed))
