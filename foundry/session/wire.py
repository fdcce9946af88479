"""One-shot: one request, from -p or a pipe, answered as text, as one JSON envelope or as a line for each event."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from foundry.console import Console
from foundry.errors import FoundryError, UsageError
from foundry.messages import (
    Event,
    Failed,
    Notice,
    Retrying,
    TextDelta,
    ToolDecided,
    ToolOutput,
    ToolRequested,
    ToolReturned,
    TurnEnded,
    to_json,
)
from foundry.plugins.strict import in_thread
from foundry.session.background import background_told
from foundry.session.calls import shown_arguments
from foundry.session.clean import CleanEvents
from foundry.session.opening import Opening, Ready, get_ready
from foundry.session.request import read_request
from foundry.session.terminal import Asker, signals
from foundry.session.window import estimate

if TYPE_CHECKING:
    from foundry.session.edit.live import Editing

Show = Callable[[Event], None]
_EXITS = {"done": 0, "limit": 6, "denied": 6, "interrupted": 130}
_ENDS = {
    "limit": ("The run ended at a limit of rounds, calls or time.", "Raise it with --max-rounds or --timeout."),
    "denied": (
        "A call that the answer needed was denied.",
        "Allow it on a terminal, by a rule in agent.config.json or with another --mode; or ask for something else.",
    ),
    "interrupted": ("The run was interrupted.", ""),
}


def one_shot(opening: Opening) -> int:
    """Answer one request and return the exit code. Raises FoundryError for what fails before the first event."""
    console, output = opening.console, opening.options.output
    try:
        text = read_request(opening.options.prompt, console)
        asks = Asker(console) if output == "text" and console.can_ask() else None
        ready = get_ready(opening, asks)
        _check_size(text, ready)
        editing = _edit_mode(opening, ready, asks)
    except FoundryError as error:
        if output != "events":
            raise
        console.line(to_json(Failed(error.code, opening.clean(error.message), error.for_agent(opening.folder.name).hint)))
        return error.exit_code
    face: Any = {"text": Text, "json": Envelope, "events": Lines}[output](console, ready)
    try:
        return asyncio.run(_play(ready, text, face, opening, asks))
    finally:
        if editing:
            editing.close()


def _edit_mode(opening: Opening, ready: Ready, asks: Asker | None) -> Editing | None:
    """Return the session in edit mode if that is asked for; with nobody to ask, what it proposes is declined."""
    if opening.options.mode != "edit":
        return None
    from foundry.session.edit.live import Editing
    from foundry.session.edit.screen import Screen

    editing = Editing(opening, ready, Screen(opening.console, asks) if asks else None, asks.secret if asks else None)
    editing.enter()
    return editing


async def _play(ready: Ready, text: str, face: Any, opening: Opening, asks: Asker | None) -> int:
    """Run the turn through the face; SIGINT, SIGTERM and SIGHUP stop it in good order."""
    task = asyncio.current_task()
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        if task and len(caught) == 1:
            task.cancel()

    clean = CleanEvents(ready.redactor, ready.started.agent)
    end: TurnEnded | None = None
    with (
        signals(stop, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        background_told(lambda line: face.show(Notice(line)), ready.redactor.clean),
    ):
        face.start()
        for notice in await _with_servers(opening, asks):
            face.show(Notice(ready.redactor.clean(notice)))
        async with aclosing(ready.session.turn(text)) as events:
            async for raw in events:
                for event in clean(raw):
                    face.show(event)
                    end = event if isinstance(event, TurnEnded) else end
        await ready.session.model.close()
    assert end
    failure = ready.session.failure
    code = 128 + caught[0] if caught else failure.exit_code if failure else _EXITS[end.stop]
    face.end(end, code)
    return code


async def _with_servers(opening: Opening, asks: Asker | None) -> list[str]:
    """Wait for the MCP servers, whose tools the answer may need, a bounded time; return what is to be said of them."""
    if not opening.servers:
        return []
    from foundry.session.mcp.asking import WAIT_SECONDS, settle

    await in_thread(partial(opening.servers.wait, WAIT_SECONDS))
    return await settle(opening.servers, asks, opening.console)


def _check_size(text: str, ready: Ready) -> None:
    tokens, room = estimate(text), ready.session.window.budget
    if tokens > room:
        message = f"the request is about {tokens:,} tokens long; {ready.started.model} has room for {room:,}"
        raise UsageError(message, "Give it less, or use a model with a larger window.", code="too_long")


class Text:
    """Only the answer on stdout: on a terminal as it arrives, elsewhere whole at the end; what happens beside it on stderr."""

    def __init__(self, console: Console, ready: Ready) -> None:
        self._console = console
        self._ready = ready
        self._live = console.out.isatty()
        self._told = console.err.isatty()
        self._open_line = False

    def start(self) -> None:
        one = self._ready.started
        if self._told:
            self._console.step(f"{one.agent} · {one.model} ({self._ready.choice.why}) · {one.folder}")
        for notice in self._ready.notices:
            self._console.warn(notice)

    def show(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            if self._live:
                self._console.text(event.text, end="")
                self._open_line = not event.text.endswith("\n")
        elif isinstance(event, Notice | Retrying | Failed):
            self._finish_line()
            self._say(event)
        elif isinstance(event, ToolRequested) and self._told:
            self._finish_line()
            self._console.step(event.call.name)
        elif isinstance(event, ToolOutput) and self._told:
            self._finish_line()
            self._console.aside("\n".join(f"  │ {line}" for line in event.text.split("\n")))

    def end(self, end: TurnEnded, code: int) -> None:
        self._finish_line()
        if not self._live and end.answer:
            self._console.text(end.answer.rstrip("\n"))
        if end.stop in _ENDS and code < 128:
            self._console.warn(" ".join(_ENDS[end.stop]))

    def _say(self, event: Notice | Retrying | Failed) -> None:
        if isinstance(event, Notice):
            self._console.warn(event.text)
        elif isinstance(event, Retrying):
            self._console.step(f"{event.reason}; again in {event.wait:.1f} s")
        else:
            self._console.error(FoundryError(event.message, event.hint, code=event.code))

    def _finish_line(self) -> None:
        if self._open_line:
            self._console.text("")
            self._open_line = False


class Envelope:
    """One JSON envelope at the end: {run, agent, model, answer, stop, tool_calls, usage}."""

    def __init__(self, console: Console, ready: Ready) -> None:
        self._console = console
        self._ready = ready
        self._failed: Failed | None = None
        self._calls: dict[str, dict[str, Any]] = {}

    def start(self) -> None:
        for notice in self._ready.notices:
            self._console.warn(notice)

    def show(self, event: Event) -> None:
        if isinstance(event, Failed):
            self._failed = event
        elif isinstance(event, ToolRequested):
            about = {"allowed": False, "by": "nobody", "ok": False, "seconds": 0.0}
            self._calls[event.call.id] = {"tool": event.call.name, "arguments": shown_arguments(event.call), **about}
        elif isinstance(event, ToolDecided):
            self._calls[event.call_id].update(allowed=event.decision.allowed, by=event.decision.by)
        elif isinstance(event, ToolReturned):
            self._calls[event.result.call_id].update(ok=event.result.ok, seconds=event.seconds)

    def end(self, end: TurnEnded, code: int) -> None:
        one = self._ready.started
        usage = {"input": end.usage.input, "output": end.usage.output, "estimated": end.usage.estimated}
        data = {"run": one.run, "agent": one.agent, "model": one.model, "answer": end.answer, "stop": end.stop}
        body = {**data, "tool_calls": list(self._calls.values()), "usage": usage}
        self._console.envelope({"ok": code == 0, "data": body, "error": self._error(end)})

    def _error(self, end: TurnEnded) -> dict[str, str] | None:
        if self._failed:
            return {"code": self._failed.code, "message": self._failed.message, "hint": self._failed.hint}
        if end.stop in _ENDS:
            message, hint = _ENDS[end.stop]
            return {"code": end.stop, "message": message, "hint": hint}
        return None


class Lines:
    """One JSON line an event, as they happen."""

    def __init__(self, console: Console, ready: Ready) -> None:
        self._console = console
        self._ready = ready

    def start(self) -> None:
        self.show(self._ready.started)
        for notice in self._ready.notices:
            self.show(Notice(notice))

    def show(self, event: Event) -> None:
        if not isinstance(event, ToolOutput):  # for eyes: the result says it all
            self._console.line(to_json(event))

    def end(self, end: TurnEnded, code: int) -> None:
        """Nothing is left to say."""
