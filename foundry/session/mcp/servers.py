"""All the MCP servers of one session, in a thread and a loop of their own: started, accepted, their tools joined."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from foundry.agent.definition import AgentDefinition
from foundry.agent.folder import AgentFolder
from foundry.agent.mcp_logins import login_of
from foundry.agent.mcp_servers import McpServer, Pin, entry_hash, pin, pin_of, usable
from foundry.plugins.api import ToolError
from foundry.plugins.built_ins import BUILT_INS
from foundry.plugins.loader import RESERVED
from foundry.plugins.strict import BoundTool
from foundry.session.mcp.access import Learn
from foundry.session.mcp.connection import Connection, Patience
from foundry.session.mcp.tools import ServerTool, bound

if TYPE_CHECKING:
    from foundry.session.toolbox import Toolbox

Value = TypeVar("Value")
Standing = Literal["new", "changed", "accepted"]
_CLOSING = 6.0


@dataclass(slots=True)
class Entry:
    """One server of the session: what was accepted of it, its connection once it was started, whether that is settled."""

    server: McpServer
    standing: Standing
    accepted: Mapping[str, str]
    known: Mapping[str, str] = field(default_factory=dict)  # hashes of earlier: what of it is changed and not new
    missing: tuple[str, ...] = ()
    connection: Connection | None = None
    settled: threading.Event = field(default_factory=threading.Event)
    refused: set[str] = field(default_factory=set)  # what the person said no to in this session
    told: set[str] = field(default_factory=set)

    def offered(self) -> list[ServerTool]:
        """Return its tools that were accepted as they are."""
        if self.standing != "accepted" or not self.connection:
            return []
        return [one for one in self.connection.offered.tools if self.accepted.get(one.name) == one.code]

    def unseen(self) -> list[ServerTool]:
        """Return its tools that are new or changed, and that the person has not yet said no to."""
        if self.standing != "accepted" or not self.connection:
            return []
        mine = {one.name for one in self.offered()} | {
            one.name for one in self.connection.offered.tools if one.code in self.refused
        }
        return [one for one in self.connection.offered.tools if one.name not in mine]


class Servers:
    """The servers that an agent names; `values` are the variables it was given, `learn` hears the secrets of its logins.

    `start` starts those that were accepted and returns at once; their tools join the toolbox of `attach` as they are there.
    `patience` is how long each is waited for.
    """

    def __init__(
        self,
        agent: AgentFolder,
        definition: AgentDefinition,
        values: Mapping[str, str],
        learn: Learn = lambda _: None,
        patience: Patience | None = None,
    ) -> None:
        servers, self._problems = usable(definition, {*BUILT_INS, *RESERVED})
        self.agent = agent
        self.values = values
        self._learn = learn
        self._patience = patience or Patience()
        self._toolbox: Toolbox | None = None
        self._bound: dict[tuple[str, str, str], BoundTool] = {}
        self._changing = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.entries = {name: self._entry(one) for name, one in servers.items()}

    def start(self) -> None:
        """Start what was accepted, in the background."""
        for entry in self.entries.values():
            if entry.standing == "accepted" and not entry.missing:
                self._start(entry)

    def attach(self, toolbox: Toolbox) -> None:
        """Offer the servers' tools in this toolbox from here on."""
        with self._changing:
            self._toolbox = toolbox
            self._join()

    def wait(self, seconds: float) -> None:
        """Return when each server that was started is there or has failed, or when this long has passed."""
        import time

        end = time.monotonic() + seconds
        for entry in self.entries.values():
            if entry.connection:
                entry.settled.wait(max(end - time.monotonic(), 0))

    def waiting(self) -> list[Entry]:
        """Return the servers that a person has to look at: never accepted, changed, or with tools that are."""
        return [one for one in self.entries.values() if not one.missing and (self._unseen_entry(one) or one.unseen())]

    def accept_entry(self, entry: Entry) -> None:
        """Accept how a server is started or reached, as it was shown, and start it. Raises OSError, FoundryError."""
        accepted = pin(self.agent, entry.server.name, lambda old: Pin(entry_hash(entry.server, self.agent), old.tools))
        with self._changing:
            entry.standing, entry.accepted = "accepted", accepted.tools
        self._start(entry)

    def accept_tools(self, entry: Entry, tools: list[ServerTool]) -> None:
        """Accept these tools of a server as they were shown, and offer them. Raises OSError, FoundryError."""
        there = {one.name for one in entry.connection.offered.tools} if entry.connection else set()
        new = {one.name: one.code for one in tools}

        def change(old: Pin) -> Pin:
            return replace(old, tools={**{name: code for name, code in old.tools.items() if name in there}, **new})

        accepted = pin(self.agent, entry.server.name, change)
        with self._changing:
            entry.accepted = accepted.tools
            self._join()

    def refuse(self, entry: Entry, tools: list[ServerTool]) -> None:
        """Remember for this session that the person said no: to these tools, or to a server where there are none."""
        entry.refused.update(one.code for one in tools)
        if not tools:
            entry.refused.add("")

    def news(self, *, asks: bool) -> list[str]:
        """Return what is to be said now and was not yet: what is left out, and why; `asks` where a person will be asked."""
        said = [*self._problems]
        self._problems = []
        for name, entry in self.entries.items():
            for line in self._told(name, entry, asks):
                if line not in entry.told:
                    entry.told.add(line)
                    said.append(line)
        return said

    def state(self, entry: Entry) -> str:
        """Return in a few words how a server stands."""
        if entry.standing != "accepted":
            return f"{entry.standing}, not started"
        if entry.missing:
            return f"needs {', '.join(entry.missing)}"
        if not entry.connection or entry.connection.state == "starting":
            return "starting"
        if entry.connection.state != "ready":
            return entry.connection.problem or "ended"
        unseen = len(entry.unseen())
        return f"{len(entry.offered())} tools" + (f", {unseen} not accepted yet" if unseen else "")

    def unsettled(self) -> list[Entry]:
        """Return the servers of which something is not accepted, or that cannot be reached."""
        return [one for one in self.entries.values() if not self._is_whole(one)]

    def _is_whole(self, entry: Entry) -> bool:
        there = entry.connection
        return bool(there and there.state == "ready" and len(entry.offered()) == len(there.offered.tools))

    def close(self) -> None:
        """End every server and the thread; may be called twice."""
        loop, self._loop = self._loop, None
        if not loop or not self._thread:
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._end_all(), loop).result(_CLOSING)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(2)

    # the loop ------------------------------------------------------------------------------------------------------------

    def _entry(self, server: McpServer) -> Entry:
        known = pin_of(self.agent, server.name)
        self._learn(login_of(self.agent, server).secrets(server.name))
        same = known.entry == entry_hash(server, self.agent)
        standing: Standing = "accepted" if same else "changed" if known.entry else "new"
        return Entry(server, standing, known.tools if same else {}, known.tools, server.missing(self.values))

    def _unseen_entry(self, entry: Entry) -> bool:
        return entry.standing != "accepted" and "" not in entry.refused

    def _start(self, entry: Entry) -> None:
        entry.settled.clear()
        loop = self._running()

        async def begin() -> None:
            listed = partial(self._listed, entry)
            entry.connection = Connection(entry.server, self.agent, self.values, self._patience, listed, self._learn)
            entry.connection.start()

        asyncio.run_coroutine_threadsafe(begin(), loop).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the servers' thread, started when it is first needed."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="mcp", daemon=True)
            self._thread.start()
        return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    async def _end_all(self) -> None:
        there = [one.connection for one in self.entries.values() if one.connection]
        await asyncio.gather(*(one.close() for one in there), return_exceptions=True)

    def _listed(self, entry: Entry, connection: Connection) -> None:
        with self._changing:
            if entry.connection is connection:
                self._join()
        if connection.state != "starting":
            entry.settled.set()

    def _join(self) -> None:
        """Offer what is accepted; a tool that is what it was stays the same object, so that a call of it goes on."""
        if self._toolbox is None:
            return
        tools = [(one, tool) for one in self.entries.values() for tool in one.offered()]
        keys = [(one.server.name, tool.id, tool.code) for one, tool in tools]
        self._bound = {
            key: self._bound.get(key) or bound(one.server, tool, partial(self._send, one))
            for key, (one, tool) in zip(keys, tools, strict=True)
        }
        self._toolbox.join(list(self._bound.values()))

    async def _send(self, entry: Entry, tool: ServerTool, arguments: dict[str, Any]) -> str:
        limit = self._toolbox.context.limit if self._toolbox else 20_000
        return await self._over_there(self._called(entry, tool, arguments, limit))

    async def _called(self, entry: Entry, tool: ServerTool, arguments: dict[str, Any], limit: int) -> str:
        assert entry.connection
        await entry.connection.ready()
        if not any(one.code == tool.code and one.name == tool.name for one in entry.offered()):
            raise ToolError(
                f'The MCP server "{entry.server.name}" has changed {tool.id}; it is left out until the user accepts it.'
            )
        return await entry.connection.call(tool, arguments, limit)

    async def _over_there(self, work: Coroutine[Any, Any, Value]) -> Value:
        if self._loop is None:
            work.close()
            raise ToolError("The session's MCP servers have ended.")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    # what is said --------------------------------------------------------------------------------------------------------

    def _told(self, name: str, entry: Entry, asks: bool) -> list[str]:
        if entry.missing:
            how = f"foundry env {self.agent.name} set {entry.missing[0]}"
            return [f'The MCP server "{name}" is left out: {", ".join(entry.missing)} has no value. Try: {how}']
        if entry.standing != "accepted":
            what = "was not shown to you yet" if entry.standing == "new" else "is not started the way you accepted"
            return [self._how(name, f'The MCP server "{name}" {what}', asks)]
        if not entry.connection or entry.connection.state == "starting":
            return []
        said = [entry.connection.problem] if entry.connection.problem else []
        said += [f'Of the MCP server "{name}" is left out: {one}' for one in entry.connection.offered.problems]
        if unseen := entry.unseen():
            changed = [one.id for one in unseen if one.name in entry.known or one.name in entry.accepted]
            named = ", ".join((changed or [one.id for one in unseen])[:5])
            what = "changed since you accepted them" if changed else "not shown to you yet"
            said.append(self._how(name, f'Tools of the MCP server "{name}" are {what}: {named}', asks))
        return said

    def _how(self, name: str, what: str, asks: bool) -> str:
        if asks:
            return f"{what}. You are asked before your next message is sent."
        return f"{what}. Until you decide it is left out: foundry mcp trust {self.agent.name} {name}"
