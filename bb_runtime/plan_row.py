"""One row under the plan mask: which step it writes, and under which grammar.

Most steps are written under their tool's own grammar, which no plan state changes; what the state
decides are the heads of steps (`plan_nodes`), what may follow them, and which keys are spent. Where
the budget is tight, or a tool has no head, the step grammar of the state takes over (`grammar`).
Both come to the same language; the first spares a grammar for each state.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import numpy as np

from bb_core.plan import Step
from bb_domains.calls import PLAN_CLOSE, PLAN_OPEN
from bb_domains.heads import NEVER, STEP_NEXT, Head
from bb_domains.numerals import value_text
from bb_domains.states import PlanState
from bb_runtime.errors import MaskError
from bb_runtime.plan_nodes import Node
from bb_runtime.spent_keys import spent_beginnings

if TYPE_CHECKING:
    from llguidance import LLMatcher

    from bb_runtime.plan_mask import PlanLanguage

_NEXT = STEP_NEXT.encode()
_STEP_ENDS = (b"}}" + _NEXT, b"}}" + PLAN_CLOSE.encode())
_FIRST = PLAN_OPEN + '{"id":"'


class PlanRow:
    """One row under the plan mask; see `rows.RowState`."""

    def __init__(self, language: PlanLanguage, state: PlanState) -> None:
        self._language = language
        self._state = state
        self._used = 0
        self._is_complete = False
        self.finished = False
        self._begin(b"")

    def _left_bytes(self) -> int:
        return self._language.max_new_tokens - self._used - 1

    def _begin(self, emitted: bytes) -> None:
        """Take up the next step, of which `emitted` has been written."""
        language, state = self._language, self._state
        self._text = b""
        self._waiting: list[int] = []
        self._head: Head | None = None
        self._node: Node | None = None
        self._spent: tuple[bytes, ...] = ()
        self._matcher: LLMatcher | None = None
        begun = language.begun(state)
        if begun is not None and self._left_bytes() >= begun.room:
            written = emitted.removeprefix(_NEXT)
            place = begun.root.after(written) if written else begun.root
            assert isinstance(place, Node)
            self._text, self._node = written, place
            self._spent = _spent(language, state, begun.root)
            if written:
                self._waiting = language.ll_tokenizer.tokenize_bytes(written)
            return
        self._text = emitted
        self._matcher = language.matcher(state, self._left_bytes(), emitted)

    def fork(self) -> PlanRow:
        """An independent copy."""
        twin = PlanRow.__new__(PlanRow)
        twin.__dict__.update(self.__dict__)
        twin._waiting = list(self._waiting)
        if self._matcher is not None:
            twin._matcher = self._matcher.deep_copy()
        return twin

    def consume(self, token: int) -> bool:
        """Take one token; the end of sequence finishes the row if the plan is complete."""
        language = self._language
        if token in language.eos_ids:
            self.finished = self._is_complete
            return self.finished
        if self._is_complete:
            return False
        node = self._node
        if node is not None and self._head is None:
            return self._spell(node, token)
        matcher = self._matcher
        assert matcher is not None
        if not matcher.consume_token(token):
            return False
        self._used += 1
        text = self._text = self._text + language.token_bytes[token]
        if self._spent and text.startswith(self._spent):
            return False
        if self._head is None:
            if matcher.is_accepting():
                self._close_grammar()
        elif text.endswith(_STEP_ENDS):
            self._close_values(self._head)
        return True

    def _spell(self, node: Node, token: int) -> bool:
        """Take a token of a head."""
        text = self._language.plain_bytes[token]
        found = node.after(text) if text else None
        if found is None:
            return False
        self._used += 1
        self._text += text
        if isinstance(found, Node):
            self._node = found
            self._waiting.append(token)
            return True
        if found.is_whole:
            self._close(found, "")
            return True
        if self._spent and self._text.startswith(self._spent):
            return False
        self._head = found
        self._matcher = self._language.rest_matcher(found)
        return bool(self._matcher.consume_tokens([*self._waiting, token]))

    def _close(self, head: Head, key: str) -> None:
        """Apply the step just written, and take up the next."""
        self._state = self._language.domain.machine.after(self._state, head.lane, key)
        if self._text.endswith(_NEXT):
            self._begin(_NEXT)
        else:
            self._is_complete = True

    def _close_values(self, head: Head) -> None:
        """The same after a step with values, unless its end is only that of one of them."""
        machine = self._language.domain.machine
        text = '{"id":"' + self._text.decode("ascii").removeprefix(_FIRST)
        try:
            step, end = _DECODER.raw_decode(text)
        except ValueError:
            return
        if text[end:] not in (STEP_NEXT, PLAN_CLOSE):
            return
        binds = machine.schema.tools[step["tool"]].binds
        key = value_text(step["args"][binds.key]) if binds and binds.key else ""
        self._close(head, key)

    def _close_grammar(self) -> None:
        """The same after a step under the state's own grammar."""
        text = self._text.decode("ascii").removeprefix(PLAN_OPEN)
        text = text.removeprefix(",")
        if text == PLAN_CLOSE:  # the empty plan
            self._is_complete = True
            return
        value, end = _DECODER.raw_decode(text)
        step = Step(value["id"], value["tool"], value["args"])
        self._state = self._language.domain.machine.apply(self._state, step)
        rest = text[end:]
        if rest == PLAN_CLOSE:
            self._is_complete = True
            return
        self._begin(rest.encode("ascii"))

    def fill(self, words: np.ndarray) -> None:
        """Write the mask of the next token."""
        if self._is_complete:
            words[:] = self._language.eos_words
            return
        node, matcher = self._node, self._matcher
        if matcher is None:
            assert node is not None
            words[:] = node.words(self._language)
        else:
            matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
            if matcher.is_error():
                raise MaskError(
                    f"llguidance gave up: {matcher.get_error().strip()}",
                    where="plan mask",
                    fix="simplify the arguments of the domain's tools",
                )
        for spent in self._spent:
            if spent.startswith(self._text):
                rest = spent[len(self._text) :]
                for token in self._language.texts.starting(rest):
                    words[token >> 5] &= ~np.int32(_BITS[token & 31])

    def forced(self) -> list[int]:
        """Tokens that must follow, as the tokenizer writes them; mostly none."""
        if self._is_complete:
            return []
        if self._matcher is not None:
            texts = self._language.token_bytes
            ahead = self._matcher.compute_ff_tokens()
            return list(itertools.takewhile(lambda token: NEVER not in texts[token], ahead))
        assert self._node is not None
        return list(self._node.forced(self._language))


_DECODER = json.JSONDecoder()
_BITS = np.left_shift(np.int32(1), np.arange(32, dtype=np.int32))


def _spent(language: PlanLanguage, state: PlanState, root: Node) -> tuple[bytes, ...]:
    """Beginnings of the step after which only a key that is bound already could follow."""
    if not state.handles:
        return ()
    machine = language.domain.machine
    found: list[bytes] = []
    for _, head in root.rests:
        if head.key is None:
            continue
        binds = machine.schema.tools[machine.lanes[head.lane].tool].binds
        assert binds is not None
        taken = frozenset(h.key for h in state.handles if h.object == binds.object)
        if taken:
            found += [head.text + spent for spent in spent_beginnings(head.key, taken)]
    return tuple(found)
