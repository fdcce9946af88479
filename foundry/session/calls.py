"""The calls of one answer: checked, decided one after another, run together, answered in the model's order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from foundry.messages import (
    Event,
    Message,
    Notice,
    ToolCall,
    ToolDecided,
    ToolOutput,
    ToolRequested,
    ToolResult,
    ToolReturned,
    ToolSpec,
)
from foundry.plugins.api import Changed, Plan, ToolError
from foundry.plugins.schema import parse_arguments
from foundry.plugins.strict import BoundTool
from foundry.session.approvals import Approvals, Granted
from foundry.session.limits import OutOfTime, Tally

Result = TypeVar("Result")
CANCELLED = "Cancelled by the user."
OUT_OF_TIME = "Cancelled: the time for this turn is up."
_MOST_ANEW = 3  # times that a call is planned and decided again because what it is about has changed
_CUT_CALL = "Not run: your message was cut at its length limit. Call again with shorter arguments."


class Tools(Protocol):
    """What a session needs of a toolbox.

    While calls run, `on_emit` hears what tools say and `on_show` lines of what they run, from any thread.
    """

    on_emit: Any
    on_show: Any

    def specs(self) -> Sequence[ToolSpec]: ...
    def find(self, name: str) -> BoundTool | None: ...
    async def invoke(self, tool: BoundTool, arguments: dict[str, Any], plan: Plan | None = None) -> str:
        """Return the result's text without secrets. Raises ToolError with what the model should know, Changed for the plan."""

    def stop(self) -> None:
        """End what still runs for calls that were cancelled."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A call that may run: where it stands in the answer, how often it gave the same already, and what was decided."""

    place: int
    tool: BoundTool
    granted: Granted
    repeated: int


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
        allowed: list[_Ready] = []
        for place, call in enumerate(self.calls):
            yield ToolRequested(call)
            found = self._checked(call, truncated)
            if isinstance(found, str):
                yield self._returned(place, found, ok=False)
                continue
            repeated = self._tally.repeated(call)
            if found[0].plan and any(one.granted.plan for one in allowed):
                async for event in self._run_together(allowed):  # the next plan begins where what was allowed has ended
                    yield event
                allowed = []
            try:
                granted = await within(self._deadline, self._approvals.decide(*found, repeated=repeated))
            except ToolError as error:
                yield self._returned(place, str(error), ok=False)
                continue
            yield ToolDecided(call.id, call.name, granted.decision)
            if granted.decision.allowed:
                allowed.append(_Ready(place, found[0], granted, repeated))
            else:
                yield self._denied(place, granted, repeated)
        async for event in self._run_together(allowed):
            yield event
        self._tally.denied = self._denials == len(self.calls)

    @property
    def final(self) -> bool:
        """Whether a call did a whole job, after which a small model is asked for its answer."""
        done = (result.name for result in self._results if result and result.ok)
        return any(tool.final for tool in map(self._tools.find, done) if tool)

    def messages(self, missing: str) -> list[Message]:
        """Return a tool message for each call, in the model's order; `missing` where there is no result."""
        return [
            Message("tool", result.content if result else missing, call_id=call.id, name=call.name)
            for call, result in zip(self.calls, self._results, strict=True)
        ]

    def _checked(self, call: ToolCall, truncated: bool) -> tuple[BoundTool, dict[str, Any]] | str:
        """Return the tool and its arguments, or what the model did wrong."""
        if why := self._tally.another_call():
            return f"Not run: {why}."
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

    async def _run_together(self, allowed: Sequence[_Ready]) -> AsyncGenerator[Event, None]:
        if not allowed:
            return
        loop = asyncio.get_running_loop()
        happened: asyncio.Queue[Event | tuple[int, str, bool, float]] = asyncio.Queue()
        self._tools.on_emit = lambda text: loop.call_soon_threadsafe(happened.put_nowait, Notice(text))
        self._tools.on_show = lambda text: loop.call_soon_threadsafe(happened.put_nowait, ToolOutput(text))
        tasks = [asyncio.ensure_future(self._one(happened, ready)) for ready in allowed]
        waited_for = len(tasks)
        try:
            while waited_for:
                event = await within(self._deadline, happened.get())
                if not isinstance(event, tuple):
                    yield event
                    continue
                waited_for -= 1
                yield self._returned(event[0], event[1], ok=event[2], seconds=event[3])
        finally:
            self._tools.on_emit = self._tools.on_show = None
            for task in tasks:
                task.cancel()
            if waited_for:
                self._tools.stop()

    async def _one(self, happened: asyncio.Queue[Any], ready: _Ready) -> None:
        """Run one tool and put its end into the queue, whatever that end is."""
        began = time.monotonic()
        content, ok = "The tool was stopped before it had a result.", False
        try:
            content, ok = await self._done(happened, ready), True
        except ToolError as error:
            content = str(error)
        finally:
            happened.put_nowait((ready.place, content, ok, time.monotonic() - began))

    async def _done(self, happened: asyncio.Queue[Any], ready: _Ready) -> str:
        """Return the result of what was allowed; where it is not so any more, it is planned, decided and tried anew."""
        granted, call = ready.granted, self.calls[ready.place]
        changed = granted.changed
        for _ in range(_MOST_ANEW):
            try:
                result = await self._tools.invoke(ready.tool, granted.arguments, granted.plan)
            except Changed:
                granted = await self._approvals.decide(ready.tool, granted.arguments, repeated=ready.repeated)
                changed = changed or granted.changed
                happened.put_nowait(ToolDecided(call.id, call.name, granted.decision))
                if not granted.decision.allowed:
                    self._denials += 1
                    raise ToolError(f"Denied. {granted.decision.reason}") from None
                continue
            return result if not changed else f"{_changed(granted.arguments)}\n{result}"
        raise ToolError("Not done: what it is about is changed by somebody else again and again. Look at it, then try again.")

    def _denied(self, place: int, granted: Granted, repeated: int) -> ToolReturned:
        if repeated:
            self._tally.refused(self.calls[place])
        if not (repeated and granted.decision.by == "nobody"):  # the loop guard's: a model that goes on without is not held up
            self._denials += 1
        return self._returned(place, f"Denied. {granted.decision.reason}", ok=False)

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


def _changed(arguments: Mapping[str, Any]) -> str:
    return f"[The user changed the arguments to {json.dumps(arguments, ensure_ascii=False)}]"


def shown_arguments(call: ToolCall) -> Mapping[str, Any] | str:
    """Return a call's arguments as data, or as the text the model wrote when that is no object."""
    try:
        return parse_arguments(call.arguments)
    except ToolError:
        return call.arguments
