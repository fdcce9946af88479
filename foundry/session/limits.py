"""Where a turn and a run come to their end: rounds, calls, tokens and time, counted before each use; the same call again."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from foundry.messages import ToolCall, Usage
from foundry.plugins.api import ToolError
from foundry.plugins.schema import parse_arguments


class OutOfTime(Exception):
    """The turn's time, or what the run may cost, is up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a turn may use: requests with tools, calls, tokens, seconds, retries a request; and a whole run. 0 is no limit.

    `repeats` is how often the same call may give the same result before the next one asks.
    """

    rounds: int = 12
    calls: int = 60
    repeats: int = 3
    timeout: float = 0.0
    retries: int = 3
    tokens: int = 0
    run_rounds: int = 0
    run_calls: int = 0
    run_tokens: int = 0
    run_timeout: float = 0.0


@dataclass(slots=True)
class Spent:
    """What a run has used up; its time is that of its turns, not of the person's thinking between them."""

    rounds: int = 0
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """What one turn has used up, and why it must come to an end, if it must."""

    limits: Limits
    run: Spent
    rounds: int = 0
    calls: int = 0
    tokens: int = 0
    over: str = ""
    denied: bool = False
    _seen: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _refused: set[tuple[str, str]] = field(default_factory=set)

    def another_call(self) -> str:
        """Count a call; return which limit forbids it, "" for none."""
        why = self.spent() or _over(self.calls, self.limits.calls, "calls in a turn", "max_calls")
        why = why or _over(self.run.calls, self.limits.run_calls, "calls in a run", "run_max_calls")
        self.calls += 1
        self.run.calls += not why
        self.over = self.over or why
        return why

    def another_round(self) -> None:
        """Count a request to the model. Raises OutOfTime where the turn or the run may make none any more."""
        why = self.spent() or _over(self.run.rounds, self.limits.run_rounds, "requests in a run", "run_max_rounds")
        if why:
            self.over = why
            raise OutOfTime
        self.rounds += 1
        self.run.rounds += 1
        if self.rounds > self.limits.rounds:
            self.over = self.over or _limit(self.limits.rounds, "requests in a turn", "max_rounds")

    def used(self, usage: Usage) -> None:
        """Count what an answer has cost."""
        self.tokens += usage.input + usage.output
        self.run.tokens += usage.input + usage.output

    def spent(self) -> str:
        """Return which limit of tokens is reached, "" for none."""
        limits = self.limits
        why = _over(self.tokens, limits.tokens, "tokens in a turn", "max_tokens")
        return why or _over(self.run.tokens, limits.run_tokens, "tokens in a run", "run_max_tokens")

    def seconds(self) -> float:
        """Return how long the turn may take, 0 for as long as it wants. Raises OutOfTime when the run's time is up."""
        own, run = self.limits.timeout, self.limits.run_timeout
        if not run:
            return own
        left = run - self.run.seconds
        if left <= 0:
            self.over = _limit(run, "seconds in a run", "run_timeout")
            raise OutOfTime
        return min(own, left) if own else left

    def repeated(self, call: ToolCall) -> int:
        """Return how often this very call has given one and the same result in this turn, 0 while that is not too often."""
        key = (call.name, _canonical(call.arguments))
        most = max((count for (*seen, _), count in self._seen.items() if tuple(seen) == key), default=0)
        return most if most >= self.limits.repeats else 0

    def refused(self, call: ToolCall) -> None:
        """Note that a call was not run because it is repeated; a model that insists after that has to come to an end."""
        key = (call.name, _canonical(call.arguments))
        if key in self._refused:
            self.over = self.over or "the model makes the same call over and over"
        self._refused.add(key)

    def told(self, call: ToolCall, content: str) -> str:
        """Return `content` as the model should read it: with a word where it goes round in circles."""
        key = (call.name, _canonical(call.arguments), content)
        self._seen[key] += 1
        if self._seen[key] < self.limits.repeats:
            return content
        return f"{content}\n[This same call has now given this same result {self._seen[key]} times. Answer with what you have.]"


def _over(used: int, most: float, what: str, setting: str) -> str:
    return _limit(most, what, setting) if most and used >= most else ""


def _limit(most: float, what: str, setting: str) -> str:
    return f"the limit of {most:,g} {what} is reached (setting {setting})"


def _canonical(arguments: str) -> str:
    try:
        return json.dumps(parse_arguments(arguments), sort_keys=True)
    except ToolError:
        return arguments
