"""The chat on a terminal: the prompt first, everything heavy loaded behind it, turns shown as they happen."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from contextlib import aclosing, suppress
from typing import Any

from foundry.console import Console, one_line
from foundry.errors import FoundryError
from foundry.markdown import MarkdownStream
from foundry.messages import (
    Answered,
    Event,
    Failed,
    HistoryTrimmed,
    Notice,
    PromptProgress,
    Retrying,
    TextDelta,
    ToolDecided,
    ToolReturned,
    TurnEnded,
)
from foundry.report import Ended
from foundry.session.clean import CleanEvents
from foundry.session.commands import Said, answer, help_text, understand
from foundry.session.opening import Opening, Ready, get_ready
from foundry.session.prompt_line import prompt_line
from foundry.session.terminal import YesOrNo, quiet_keys, signals

_SWITCH_INTERVAL = 0.0005  # the thread that loads lets go of the interpreter this often, so that no key waits for it


def chat(opening: Opening) -> int:
    """Talk until the person leaves and return the exit code. Raises FoundryError when there is nothing to talk to."""
    return asyncio.run(Chat(opening).run())


class Chat:
    """One conversation on the terminal."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._console = opening.console
        self._asks = YesOrNo(self._console)
        self._line = prompt_line()
        self._ready: asyncio.Future[Ready]
        self._ended = 0

    async def run(self) -> int:
        """Show the header and the prompt, load behind them, and take turns; SIGTERM and SIGHUP end it in good order."""
        self._ready = asyncio.get_running_loop().create_future()
        task = asyncio.current_task()

        def end(number: int) -> None:
            self._ended = number
            if task:
                task.cancel()

        with signals(end, signal.SIGTERM, signal.SIGHUP):
            self._header()
            threading.Thread(target=self._load, args=(asyncio.get_running_loop(),), name="load", daemon=True).start()
            try:
                return await self._talk()
            except asyncio.CancelledError:
                if self._ended:
                    raise Ended(self._ended) from None
                raise

    def _header(self) -> None:
        opening, handoff = self._opening, self._opening.handoff
        if handoff is None:
            return
        self._console.note(f"{opening.folder.name} · {handoff.model} ({handoff.why})")
        self._console.step(f"{handoff.folder} · mode {opening.options.mode} · /help")

    # loading -------------------------------------------------------------------------------------------------------------

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        """Load everything a turn needs, in a thread, and hand it or the error to the loop."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL)
        outcome: Any
        try:
            outcome = get_ready(self._opening, self._asks)
            outcome.toolbox.kernel.load()
            import rich.markdown  # noqa: F401
        except BaseException as error:
            outcome = error
        finally:
            sys.setswitchinterval(before)
        with suppress(RuntimeError):  # the loop is closed: the person has left already
            loop.call_soon_threadsafe(self._loaded, outcome)

    def _loaded(self, outcome: Any) -> None:
        if self._ready.done():
            return
        if not isinstance(outcome, BaseException):
            self._ready.set_result(outcome)
            if self._line.app.is_running:
                self._line.app.create_background_task(self._above_prompt(outcome))
            else:
                self._say_first(outcome)
            return
        if self._line.app.is_running and not self._line.app.is_done:
            self._line.app.exit(exception=outcome, style="class:aborting")
        else:
            self._ready.set_exception(outcome)

    async def _above_prompt(self, ready: Ready) -> None:
        from prompt_toolkit.application import run_in_terminal

        if ready.notices or self._opening.handoff is None:
            await run_in_terminal(lambda: self._say_first(ready))

    def _say_first(self, ready: Ready) -> None:
        if self._opening.handoff is None:
            one = ready.started
            self._console.note(f"{one.agent} · {one.model} ({ready.choice.why})")
            self._console.step(f"{one.folder} · mode {one.mode} · /help")
        for notice in ready.notices:
            self._console.warn(notice)

    async def _loaded_session(self) -> Ready:
        if not self._ready.done():
            self._console.status("starting …")
        ready = await self._ready
        self._console.status("")
        return ready

    # talking -------------------------------------------------------------------------------------------------------------

    async def _talk(self) -> int:
        while True:
            if self._ready.done():
                self._ready.result()
            try:
                typed = await self._line.prompt_async(handle_sigint=False)
            except EOFError:
                break
            try:
                said = understand(typed)
                if said.end:
                    break
                if said.command or said.text.strip():
                    await self._answered(said)
            except FoundryError as error:
                if self._ready.done() and self._ready.exception():
                    raise
                self._console.error(error)
            if self._ended:
                raise Ended(self._ended)
        if self._ready.done() and not self._ready.exception():
            await self._ready.result().session.model.close()
        return 0

    async def _answered(self, said: Said) -> None:
        if said.command == "/help":
            self._console.text(help_text())
            return
        with quiet_keys():
            ready = await self._loaded_session()
            if said.command:
                self._console.text(answer(said, ready))
                return
            task = asyncio.ensure_future(self._turn(ready, said.text))
            with signals(lambda _: self._asks.no() if self._asks.open else task.cancel(), signal.SIGINT):
                await task

    async def _turn(self, ready: Ready, text: str) -> None:
        face = Face(self._console)
        clean = CleanEvents(ready.redactor)
        self._console.status("…")
        async with aclosing(ready.session.turn(text)) as events:
            async for raw in events:
                for event in clean(raw):
                    face.show(event)


class Face:
    """Shows the events of one turn."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._markdown = MarkdownStream(console)
        self._running: dict[str, str] = {}

    def show(self, event: Event) -> None:
        """Show one event; what is no text ends the open block first."""
        if isinstance(event, TextDelta):
            self._markdown.feed(event.text)
            return
        if isinstance(event, Answered | Failed | TurnEnded):
            self._markdown.end()
        if isinstance(event, PromptProgress):
            self._console.status(f"reading {event.done:,} of {event.total:,} tokens")
        elif isinstance(event, ToolDecided | ToolReturned):
            self._tool(event)
        elif isinstance(event, TurnEnded):
            self._ended(event)
        else:
            self._beside(event)

    def _beside(self, event: Event) -> None:
        if isinstance(event, Retrying):
            self._console.step(f"{event.reason}; again in {event.wait:.1f} s")
        elif isinstance(event, HistoryTrimmed):
            self._console.step(f"the model's window is full: the oldest {event.turns} turns are forgotten")
        elif isinstance(event, Notice):
            self._console.warn(event.text)
        elif isinstance(event, Failed):
            self._console.error(FoundryError(event.message, event.hint, code=event.code))

    def _tool(self, event: ToolDecided | ToolReturned) -> None:
        if isinstance(event, ToolDecided):
            if event.decision.allowed:
                self._running[event.call_id] = event.name
        else:
            self._running.pop(event.result.call_id, None)
            size = f"{len(event.result.content):,} characters"
            ended = size if event.result.ok else one_line(event.result.content, 100)
            self._console.step(f"{event.result.name} → {ended}")
        if self._running:
            self._console.status(", ".join(self._running.values()) + " …")

    def _ended(self, event: TurnEnded) -> None:
        self._console.status("")
        if event.stop == "interrupted":
            self._console.step("interrupted")
        elif event.stop == "limit":
            self._console.warn("This answer ended at a limit of rounds, calls or time.")
