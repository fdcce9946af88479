"""The calls of one answer: checked, decided one after another, run together, answered in the model's order."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from foundry.messages import Event, Message, Notice, ToolCall, ToolDecided, ToolRequested, ToolResult, ToolReturned, ToolSpec
from foundry.plugins.api import ToolError
from foundry.plugins.schema import parse_arguments
from foundry.plugins.strict import BoundTool
from foundry.session.approvals import Approvals

Result = TypeVar("Result")
CANCELLED = "Cancelled by the user."
OUT_OF_TIME = "Cancelled: the time for this turn is up."
_CUT_CALL = "Not run: your message was cut at its length limit. Call again with shorter arguments."


class OutOfTime(Exception):
    """The turn's time is up."""


class Tools(Protocol):
    """What a session needs of a toolbox; while calls run, `on_emit` hears what tools say, from any thread."""

    on_emit: Any

    def specs(self) -> Sequence[ToolSpec]: ...
    def find(self, name: str) -> BoundTool | None: ...
    async def invoke(self, tool: BoundTool, arguments: dict[str, Any]) -> str:
        """Return the result's text without secrets. Raises ToolError with what the model should know."""


@dataclass(slots=True)
class Tally:
    """What one turn has used up: calls asked for, the same call with the same result, whether it must come to an end."""

    most_calls: int
    most_repeats: int
    calls: int = 0
    over: bool = False
    denied: bool = False
    _seen: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def another(self) -> bool:
        """Count a call; false when it is one too many."""
        self.calls += 1
        if self.calls > self.most_calls:
            self.over = True
        return self.calls <= self.most_calls

    def told(self, call: ToolCall, content: str) -> str:
        """Return `content` as the model should read it: with a word where it goes round in circles."""
        key = (call.name, _canonical(call.arguments), content)
        self._seen[key] += 1
        if self._seen[key] < self.most_repeats:
            return content
        if self._seen[key] > self.most_repeats:
            self.over = True
        return f"{content}\n[This same call has now given this same result {self._seen[key]} times. Answer with what you have.]"


class CallRound:
    """One answer's calls; after `run` was left, by whatever way, `messages` answers each of them."""

    def __init__(
        self, calls: Sequence[ToolCall], tools: Tools, approvals: Approvals, tally: Tally, deadline: float | None
    ) -> None:
        self.calls = calls
        self._tools = tools
        self._approvals = approvals
        self._tally = tally
        self._deadline = deadline
        self._results: list[ToolResult | None] = [None] * len(calls)
        self._denials = 0

    async def run(self, *, truncated: bool) -> AsyncGenerator[Event, None]:
        """Yield what happens; a tool that is still running when this is left is cancelled. Raises OutOfTime."""
        allowed: list[tuple[int, BoundTool, dict[str, Any]]] = []
        for place, call in enumerate(self.calls):
            yield ToolRequested(call)
            found = self._checked(call, truncated)
            if isinstance(found, str):
                yield self._returned(place, found, ok=False)
                continue
            tool, arguments = found
            decision = await within(self._deadline, self._approvals.decide(call.name, tool, arguments))
            yield ToolDecided(call.id, call.name, decision)
            if decision.allowed:
                allowed.append((place, tool, arguments))
            else:
                self._denials += 1
                yield self._returned(place, f"Denied. {decision.reason}", ok=False)
        async for event in self._run_together(allowed):
            yield event
        self._tally.denied = self._denials == len(self.calls)

    def messages(self, missing: str) -> list[Message]:
        """Return a tool message for each call, in the model's order; `missing` where there is no result."""
        return [
            Message("tool", result.content if result else missing, call_id=call.id, name=call.name)
            for call, result in zip(self.calls, self._results, strict=True)
        ]

    def _checked(self, call: ToolCall, truncated: bool) -> tuple[BoundTool, dict[str, Any]] | str:
        """Return the tool and its arguments, or what the model did wrong."""
        if not self._tally.another():
            return f"Not run: the limit of {self._tally.most_calls} calls in a turn is reached."
        if truncated:
            return _CUT_CALL
        tool = self._tools.find(call.name)
        if tool is None:
            known = ", ".join(spec.id for spec in self._tools.specs())
            return f"There is no tool {call.name!r}. " + (f"The tools are: {known}." if known else "You have no tools.")
        try:
            return tool, tool.check(parse_arguments(call.arguments))
        except ToolError as error:
            return str(error)

    async def _run_together(self, allowed: Sequence[tuple[int, BoundTool, dict[str, Any]]]) -> AsyncGenerator[Event, None]:
        if not allowed:
            return
        loop = asyncio.get_running_loop()
        happened: asyncio.Queue[Notice | tuple[int, str, bool, float]] = asyncio.Queue()
        self._tools.on_emit = lambda text: loop.call_soon_threadsafe(happened.put_nowait, Notice(text))
        tasks = [asyncio.ensure_future(self._one(happened, place, tool, given)) for place, tool, given in allowed]
        waited_for = len(tasks)
        try:
            while waited_for:
                event = await within(self._deadline, happened.get())
                if isinstance(event, Notice):
                    yield event
                    continue
                waited_for -= 1
                yield self._returned(event[0], event[1], ok=event[2], seconds=event[3])
        finally:
            self._tools.on_emit = None
            for task in tasks:
                task.cancel()

    async def _one(self, happened: asyncio.Queue[Any], place: int, tool: BoundTool, arguments: dict[str, Any]) -> None:
        """Run one tool and put its end into the queue, whatever that end is."""
        began = time.monotonic()
        content, ok = "The tool was stopped before it had a result.", False
        try:
            content, ok = await self._tools.invoke(tool, arguments), True
        except ToolError as error:
            content = str(error)
        finally:
            happened.put_nowait((place, content, ok, time.monotonic() - began))

    def _returned(self, place: int, content: str, *, ok: bool, seconds: float = 0.0) -> ToolReturned:
        call = self.calls[place]
        result = ToolResult(call.id, call.name, self._tally.told(call, content), ok)
        self._results[place] = result
        return ToolReturned(result, round(seconds, 3))


async def within(deadline: float | None, awaitable: Awaitable[Result]) -> Result:
    """Return what is awaited. Raises OutOfTime at `deadline`, a time of the running loop; None is none."""
    if deadline is None:
        return await awaitable
    scope = asyncio.timeout_at(deadline)
    try:
        async with scope:
            return await awaitable
    except TimeoutError:
        if scope.expired():
            raise OutOfTime from None
        raise


def _canonical(arguments: str) -> str:
    try:
        return json.dumps(parse_arguments(arguments), sort_keys=True)
    except ToolError:
        return arguments


def shown_arguments(call: ToolCall) -> Mapping[str, Any] | str:
    """Return a call's arguments as data, or as the text the model wrote when that is no object."""
    try:
        return parse_arguments(call.arguments)
    except ToolError:
        return call.arguments
