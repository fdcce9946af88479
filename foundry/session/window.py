"""What fits into a model's window: an estimate of tokens, whole oldest turns dropped, long results of this turn cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from foundry.messages import Message, ToolSpec, Usage

_BYTES_PER_TOKEN = 3.5
_PER_MESSAGE = 6
_LARGEST_RESULT = 60_000
_SMALLEST_RESULT = 1_000
LEFT_OUT = "[left out: the model's window is full]"


def result_limit(window: int) -> int:
    """Return how many characters one tool's result may have: a quarter of the window at three characters a token."""
    return max(_SMALLEST_RESULT, min(window // 4 * 3, _LARGEST_RESULT))


def estimate(text: str) -> int:
    """Return about how many tokens `text` is, rather too many than too few; bytes, so that no script comes out cheap."""
    return int(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN) + 1


def weight(message: Message) -> int:
    """Return the estimated tokens of one message, its calls included."""
    return _PER_MESSAGE + estimate(message.content) + sum(estimate(call.name + call.arguments) + 8 for call in message.calls)


class Window:
    """A model's window of `size` tokens, of which a part is kept free for the answer."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.budget = size - min(size // 4, 8_192)
        self._factor = 1.0

    def learn(self, sent: int, usage: Usage) -> None:
        """Correct the estimate by what the provider counted for a request estimated at `sent`."""
        if usage.input and not usage.estimated and sent > 200:
            self._factor = min(max(usage.input / sent, 0.5), 2.0)

    def weigh(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        """Return the uncorrected estimate of a request."""
        schemas = sum(estimate(tool.id + tool.description + json.dumps(dict(tool.schema))) + 10 for tool in tools)
        return schemas + sum(weight(one) for one in messages)

    def overflows(self, tokens: int) -> bool:
        """Return whether a request estimated at `tokens` leaves too little room for an answer."""
        return tokens * self._factor > self.budget

    def surplus(self, history: Sequence[Message], fixed: int, current: int) -> int:
        """Return how many oldest messages must go: whole turns, never the one that starts at index `current`.

        When something must go, a quarter of the window is freed at once: each cut makes a local model read all of it again.
        """
        weights = [weight(one) for one in history]
        total = fixed + sum(weights)
        if not self.overflows(total):
            return 0
        starts = [place for place, one in enumerate(history) if one.role == "user" and place <= current]
        for start in starts:
            if (total - sum(weights[:start])) * self._factor <= self.budget * 3 / 4:
                return start
        return starts[-1] if starts else 0

    def shortened(self, turn: Sequence[Message], fixed: int) -> list[Message]:
        """Return one turn's messages with its oldest tool results left out until it fits; the last round's stay."""
        kept = list(turn)
        last_round = max((place for place, one in enumerate(kept) if one.calls), default=0)
        for place, one in enumerate(kept[:last_round]):
            if not self.overflows(fixed + sum(weight(each) for each in kept)):
                break
            if one.role == "tool":
                kept[place] = replace(one, content=LEFT_OUT)
        return kept


def turns(history: Sequence[Message]) -> int:
    """Return how many turns a stretch of history holds."""
    return sum(1 for one in history if one.role == "user")
