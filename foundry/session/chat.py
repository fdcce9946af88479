"""The chat on a terminal: the prompt first, everything heavy loaded behind it, turns shown as they happen."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundry.errors import FoundryError
from foundry.report import Ended
from foundry.session.background import background_told
from foundry.session.clean import CleanEvents
from foundry.session.commands import EDIT_COMMANDS, Said, answer, help_text, understand
from foundry.session.face import Face
from foundry.session.opening import Opening, Ready, get_ready
from foundry.session.prompt_line import prompt_line, take_typed
from foundry.session.switching import suggestions, switched
from foundry.session.terminal import Asker, quiet_keys, signals, suspend

if TYPE_CHECKING:
    from foundry.session.edit.live import Editing

_SWITCH_INTERVAL = 0.0005  # the thread that loads lets go of the interpreter this often, so that no key waits for it


def chat(opening: Opening) -> int:
    """Talk until the person leaves and return the exit code. Raises FoundryError when there is nothing to talk to."""
    return asyncio.run(Chat(opening).run())


class Chat:
    """One conversation on the terminal."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._console = opening.console
        self._asks = Asker(self._console)
        self._line = prompt_line(self._models)
        self._ready: asyncio.Future[Ready]
        self._names: Sequence[str] | None = None
        self._editing: Editing | None = None
        self._ended = 0
        self._goes_on = False  # after a restart, with what was said before

    async def run(self) -> int:
        """Show the header and the prompt, load behind them, and take turns; SIGTERM and SIGHUP end it in good order."""
        self._ready = asyncio.get_running_loop().create_future()
        task = asyncio.current_task()

        def end(number: int) -> None:
            self._ended = number
            if task:
                task.cancel()

        with signals(end, signal.SIGTERM, signal.SIGHUP), signals(lambda _: self._aside(suspend), signal.SIGTSTP):
            try:
                with (
                    quiet_keys(),
                    background_told(lambda line: self._aside(lambda: self._console.warn(line)), self._opening.clean),
                ):
                    take_typed(self._line)
                    self._header()
                    threading.Thread(target=self._load, args=(asyncio.get_running_loop(),), name="load", daemon=True).start()
                    await self._talk()
                await self._close()
            except asyncio.CancelledError:
                if self._ended:
                    raise Ended(self._ended) from None
                raise
        return 0

    def _aside(self, do: Callable[[], object]) -> None:
        """Do what takes the screen now; a prompt that stands makes way and stands anew below it."""
        from prompt_toolkit.application import run_in_terminal

        if self._line.app.is_running:
            self._line.app.context.copy().run(run_in_terminal, do)
        else:
            do()

    def _header(self) -> None:
        opening, handoff = self._opening, self._opening.handoff
        if handoff is None:
            return
        self._introduce(opening.folder.name, handoff.model, handoff.why, handoff.folder)

    # loading -------------------------------------------------------------------------------------------------------------

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        """Load everything a turn needs, in a thread, and hand it or the error to the loop."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL)
        outcome: Any
        try:
            outcome = get_ready(self._opening, self._asks)
            if self._opening.handoff and self._opening.handoff.conversation >= 0:
                from foundry.session.restarting import go_on

                self._goes_on = go_on(self._opening, outcome)
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
                self._say_first(outcome, self._notices(outcome))
            return
        if self._line.app.is_running and not self._line.app.is_done:
            self._line.app.exit(exception=outcome, style="class:aborting")
        else:
            self._ready.set_exception(outcome)

    async def _above_prompt(self, ready: Ready) -> None:
        from prompt_toolkit.application import run_in_terminal

        notices = self._notices(ready)

        def say() -> None:
            self._say_first(ready, notices)
            if notices or self._goes_on:
                self._console.note("")

        if notices or self._goes_on or self._opening.handoff is None:
            await run_in_terminal(say)

    def _notices(self, ready: Ready) -> Sequence[str]:
        servers = self._opening.servers
        return (*ready.notices, *(map(ready.redactor.clean, servers.news(asks=True)) if servers else ()))

    def _say_first(self, ready: Ready, notices: Sequence[str]) -> None:
        if self._opening.handoff is None:
            one = ready.started
            self._introduce(one.agent, one.model, ready.choice.why, one.folder)
        if self._goes_on:
            self._console.note("The session has restarted; the conversation goes on.")
        for notice in notices:
            self._console.warn(notice)

    def _introduce(self, agent: str, model: str, why: str, folder: str) -> None:
        self._console.note(f"{agent} · {model} ({why})")
        home = str(Path.home())
        place = "~" + folder.removeprefix(home) if f"{folder}/".startswith(f"{home}/") else folder
        self._console.aside(f"{place} · mode {self._opening.options.mode} · /help\n")

    async def _loaded_session(self) -> Ready:
        if not self._ready.done():
            self._console.status("starting …")
        ready = await asyncio.shield(self._ready)
        self._console.status("")
        return ready

    # talking -------------------------------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        while not (self._editing and self._editing.restart):
            if self._ready.done():
                self._ready.result()
            try:
                typed = await self._line.prompt_async(handle_sigint=False, set_exception_handler=False)
            except EOFError:
                break
            try:
                said = understand(typed)
                if said.end:
                    break
                if not (said.command or said.text.strip()):
                    continue
                await self._answered(said)
            except FoundryError as error:
                if self._ready.done() and self._ready.exception():
                    raise
                self._console.error(error.for_agent(self._opening.folder.name))
            self._console.text("")
            if self._ended:
                raise Ended(self._ended)

    async def _close(self) -> None:
        """Leave nothing open, or begin anew; the terminal is as it was found, so that who comes next takes it over so."""
        if self._editing and self._editing.restart:
            self._begin_anew(self._ready.result(), self._editing)
        if self._editing:
            self._editing.close()
        if self._ready.done() and not self._ready.exception():
            await self._ready.result().session.model.close()

    async def _answered(self, said: Said) -> None:
        if said.command == "/help":
            self._console.block(help_text())
            return
        with quiet_keys():
            task = asyncio.ensure_future(self._done(said))
            with signals(lambda _: self._asks.no() if self._asks.open else task.cancel(), signal.SIGINT):
                await task

    async def _done(self, said: Said) -> None:
        """Do what was said, once everything is loaded."""
        try:
            ready = await self._loaded_session()
        except asyncio.CancelledError:
            self._console.step("interrupted")
            return
        if said.command == "/model" and said.argument:
            await self._switch(ready, said.argument)
        elif said.command in EDIT_COMMANDS:
            from foundry.session.edit.commands import do

            await do(said, self._edit(ready), self._console, self._asks)
        elif said.command == "/mcp":
            await self._look_at_servers(ready, listed=True)
        elif said.command:
            self._console.block(answer(said, ready))
        else:
            await self._look_at_servers(ready)
            if ready.session.approvals.mode == "edit":
                self._edit(ready).enter()
            await self._turn(ready, said.text)

    async def _look_at_servers(self, ready: Ready, *, listed: bool = False) -> None:
        """Ask about the MCP servers that wait for it, and say what is left out; with `listed`, how all of them stand."""
        servers = self._opening.servers
        if servers:
            from foundry.session.mcp import asking

            for line in await asking.settle(servers, self._asks, self._console):
                self._console.warn(ready.redactor.clean(line))
            if listed:
                self._console.block(asking.listed(servers))
        elif listed:
            self._console.block("It has no MCP servers.")

    def _edit(self, ready: Ready) -> Editing:
        """Return what changes this session's code, made when it is first wanted."""
        if self._editing is None:
            from foundry.session.edit.live import Editing
            from foundry.session.edit.screen import Screen

            self._editing = Editing(self._opening, ready, Screen(self._console, self._asks), self._asks.secret)
        return self._editing

    def _begin_anew(self, ready: Ready, editing: Editing) -> None:
        """Start this agent anew in place of this process, with the conversation; packages that changed count from then on."""
        from foundry.session.restarting import restart

        self._console.step(f"{editing.restart}: the session restarts with the same conversation")
        if editing.waiting:
            self._console.warn(f"What was not accepted is gone: {', '.join(editing.waiting)}")
        editing.close()
        self._opening.close()
        restart(self._opening, ready)

    async def _switch(self, ready: Ready, name: str) -> None:
        """Go on with another model; Ctrl+C keeps the one there is."""
        self._console.status(f"connecting to {name}")
        try:
            new = await asyncio.to_thread(switched, self._opening, self._asks, ready, name)
        except asyncio.CancelledError:
            self._console.step(f"interrupted; it stays with {ready.started.model}")
            return
        self._ready = asyncio.get_running_loop().create_future()
        self._ready.set_result(new)
        self._names = None
        if self._editing:
            self._editing.go_on_with(new)
        await ready.session.model.close()
        self._console.block(answer(Said(command="/model"), new))
        for notice in new.notices:
            self._console.warn(notice)

    def _models(self) -> Sequence[str]:
        """Return the models that /model could sensibly name; asked for in a thread of its own."""
        if not self._ready.done() or self._ready.exception():
            return ()
        if self._names is None:
            self._names = suggestions(self._opening, self._ready.result())
        return self._names

    async def _turn(self, ready: Ready, text: str) -> None:
        face = Face(self._console)
        clean = CleanEvents(ready.redactor, self._opening.folder.name)
        clock = asyncio.ensure_future(_ticking(face))
        try:
            async with aclosing(ready.session.turn(text)) as events:
                async for raw in events:
                    for event in clean(raw):
                        face.show(event)
        finally:
            clock.cancel()


async def _ticking(face: Face) -> None:
    while True:
        await asyncio.sleep(1)
        face.tick()
