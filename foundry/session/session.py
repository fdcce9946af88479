"""A conversation: `turn` takes what the user said and yields events, and leaves a valid history whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from foundry.errors import FoundryError, ProviderError
from foundry.messages import (
    Answered,
    Event,
    Failed,
    HistoryTrimmed,
    Message,
    Notice,
    Stop,
    TextDelta,
    ToolSpec,
    TurnEnded,
    Usage,
    UserSaid,
)
from foundry.models.model import Model
from foundry.models.retry import ask
from foundry.session.approvals import Approvals
from foundry.session.calls import CANCELLED, OUT_OF_TIME, CallRound, Tools, within
from foundry.session.limits import Limits, OutOfTime, Spent, Tally
from foundry.session.window import Window, turns

INTERRUPTED = "[interrupted]"
_NO_ANSWER = "[no answer]"
_CUT = "what the model wrote was cut off at its length limit"
_LAST_WORD = Message("user", "[No more tool calls are possible now. Answer with what you have.]")


@dataclass(slots=True)
class _Turn:
    """What one turn has come to so far."""

    start: int
    tally: Tally
    deadline: float | None = None
    partial: str = ""
    answer: str = ""
    usage: Usage = field(default_factory=Usage)
    rounds: int = 0
    round: CallRound | None = None
    trimmed_for_provider: bool = False


class Session:
    """One agent's conversation, held in memory; `clean` takes secrets out of whatever goes to the model.

    `spent` is what the whole run has used up.
    """

    def __init__(
        self,
        model: Model,
        tools: Tools,
        approvals: Approvals,
        *,
        system: str = "",
        limits: Limits | None = None,
        clean: Callable[[str], str] = lambda text: text,
    ) -> None:
        self.model = model
        self.tools = tools
        self.approvals = approvals
        self.limits = limits or Limits()
        self.history: list[Message] = []
        self.usage = Usage()
        self.spent = Spent()
        self.failure: FoundryError | None = None  # why the last turn failed
        self.window = Window(model.info.window)
        self._clean = clean
        self._system: list[Message] = []
        self.instruct(system)

    def instruct(self, system: str) -> None:
        """Tell the model this before every conversation, from the next request on."""
        self._system = [Message("system", self._clean(system))] if system else []

    def clear(self) -> None:
        """Forget the conversation, not what it has used."""
        self.history.clear()

    async def turn(self, text: str) -> AsyncGenerator[Event, None]:
        """Yield what happens from what the user said to TurnEnded.

        Cancelling the task that reads this, or leaving the loop over it, stops the turn; a cancellation is answered with the
        turn's last events and goes no further, so the reader stays alive.
        """
        began = asyncio.get_running_loop().time()
        turn = _Turn(len(self.history), Tally(self.limits, self.spent))
        self.history.append(Message("user", self._clean(text)))
        stop: Stop = "interrupted"
        self.failure = None
        try:
            yield UserSaid(text)
            turn.deadline = began + seconds if (seconds := turn.tally.seconds()) else None
            async with aclosing(self._rounds(turn)) as events:
                async for event in events:
                    yield event
            stop = "limit" if turn.tally.over else "denied" if turn.tally.denied else "done"
        except asyncio.CancelledError:
            _stay_alive()
        except OutOfTime:
            stop = "limit"
            turn.tally.over = turn.tally.over or "its time is up"
        except FoundryError as error:
            stop, self.failure = "failed", error
        finally:
            self.spent.seconds += asyncio.get_running_loop().time() - began
            self._settle(turn, stop)
            self.usage += turn.usage
        if stop == "limit" and turn.tally.over:
            yield Notice(f"The turn ends here: {turn.tally.over}.")
        if failure := self.failure:
            yield Failed(failure.code, failure.message, failure.hint)
        yield TurnEnded(stop, turn.answer, turn.usage, turn.rounds)

    async def _rounds(self, turn: _Turn) -> AsyncGenerator[Event, None]:
        """Ask and use tools in turns until the model answers without a call, or has to."""
        done = False
        while True:
            turn.tally.another_round()
            last = done or bool(turn.tally.over)
            answered: Answered | None = None
            async for event in self._ask(turn, () if last else self.tools.specs(), last):
                if isinstance(event, Answered):
                    answered = event
                yield event
            assert answered
            calls = answered.message.calls
            if not calls or last:
                if not turn.answer:
                    yield Notice("The model's answer was empty.")
                if answered.truncated:
                    turn.tally.over = turn.tally.over or _CUT
                return
            turn.round = CallRound(calls, self.tools, self.approvals, turn.tally, turn.deadline)
            async with aclosing(turn.round.run(truncated=answered.truncated)) as events:
                async for event in events:
                    yield event
            done = turn.round.final and self.model.info.tier == "small"
            self._close_round(turn, CANCELLED)

    async def _ask(self, turn: _Turn, tools: Sequence[ToolSpec], last: bool) -> AsyncGenerator[Event, None]:
        """Ask the model once; a context too long for the provider is met by dropping the oldest turns, once a turn."""
        while True:
            if dropped := self._trim(turn, tools):
                yield HistoryTrimmed(dropped)
            turn.rounds += 1
            try:
                async with aclosing(self._answer(turn, tools, last)) as events:
                    async for event in events:
                        yield event
                return
            except ProviderError as error:
                if error.fault != "context" or turn.trimmed_for_provider or turn.partial or not turn.start:
                    raise
                turn.trimmed_for_provider = True
                yield HistoryTrimmed(self._drop(turn, self._oldest(turn)))

    async def _answer(self, turn: _Turn, tools: Sequence[ToolSpec], last: bool) -> AsyncGenerator[Event, None]:
        request = self._request(turn, tools, last)
        sent = self.window.weigh(request, tools)
        async with aclosing(ask(self.model, request, tools, self.limits.retries)) as pieces:
            while True:
                try:
                    piece = await within(turn.deadline, anext(pieces))
                except StopAsyncIteration:
                    break
                if isinstance(piece, TextDelta):
                    turn.partial += piece.text
                elif isinstance(piece, Answered):
                    piece = self._kept(turn, piece, last)
                    self.window.learn(sent, piece.usage)
                yield piece

    def _request(self, turn: _Turn, tools: Sequence[ToolSpec], last: bool) -> list[Message]:
        before = [*self._system, *self.history[: turn.start]]
        now = self.window.shortened(self.history[turn.start :], self.window.weigh(before, tools))
        return [*before, *now, *([_LAST_WORD] if last and len(now) > 1 else [])]

    def _kept(self, turn: _Turn, answered: Answered, last: bool) -> Answered:
        """Put the model's message into the history and return it as it stands there."""
        said = answered.message
        calls = tuple(replace(call, arguments=self._clean(call.arguments)) for call in said.calls)
        message = replace(said, content=self._clean(said.content), calls=() if last else calls)
        turn.usage += answered.usage
        turn.tally.used(answered.usage)
        turn.partial = ""
        if not message.calls:
            turn.answer = message.content
            if not message.content.strip():
                message = replace(message, content=_NO_ANSWER)  # servers refuse an assistant's message that holds nothing
        self.history.append(message)
        return replace(answered, message=message)

    # the history ---------------------------------------------------------------------------------------------------------

    def _settle(self, turn: _Turn, stop: Stop) -> None:
        """Make the history valid: calls answered, what was said kept and marked, an unanswered message of a failed turn gone."""
        if turn.partial:
            turn.partial = turn.answer = self._clean(turn.partial)
        elif stop == "limit" and not turn.answer:  # then what was said beside the last calls is all there is
            said = (one.content for one in reversed(self.history[turn.start :]) if one.role == "assistant")
            turn.answer = next(filter(str.strip, said), "")
        self._close_round(turn, OUT_OF_TIME if stop == "limit" else CANCELLED)
        if self.history[-1].role == "assistant" and not turn.partial:
            return
        if stop == "failed" and not turn.partial and len(self.history) == turn.start + 1:
            self.history.pop()
            return
        self.history.append(Message("assistant", f"{turn.partial}\n{INTERRUPTED}".lstrip()))

    def _close_round(self, turn: _Turn, missing: str) -> None:
        if turn.round:
            self.history += turn.round.messages(missing)
            turn.round = None

    def _trim(self, turn: _Turn, tools: Sequence[ToolSpec]) -> int:
        fixed = self.window.weigh(self._system, tools)
        return self._drop(turn, self.window.surplus(self.history, fixed, turn.start))

    def _oldest(self, turn: _Turn) -> int:
        """Return how many messages the older half of the earlier turns has, at least one turn."""
        starts = [place for place, one in enumerate(self.history[: turn.start]) if one.role == "user"]
        return [*starts, turn.start][(len(starts) + 1) // 2]

    def _drop(self, turn: _Turn, messages: int) -> int:
        dropped = turns(self.history[:messages])
        del self.history[:messages]
        turn.start -= messages
        return dropped


def _stay_alive() -> None:
    """Take back the cancellation that was just answered, so that timeouts around this task still work."""
    if task := asyncio.current_task():
        task.uncancel()
