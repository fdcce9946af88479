"""One MCP server, alive: reached within bounds, its tools listed and listed anew, calls that end in time whatever it does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from foundry.agent.folder import AgentFolder
from foundry.agent.mcp_servers import McpServer
from foundry.plugins.api import ToolError
from foundry.session.mcp.access import Access, Learn
from foundry.session.mcp.streams import Lost, Said, command_streams, http_streams
from foundry.session.mcp.tools import MOST_TOOLS, Offered, ServerTool, flat_result, understood
from foundry.settings import VERSION
from foundry.text import visible

if TYPE_CHECKING:
    from mcp import ClientSession

_MOST_PAGES, _LARGEST_LIST = 50, 4 * 1024 * 1024
_LIST_REST = 1.0  # seconds between two looks at a list that is said to have changed
_GOODBYE = 2.0
_TOLD = 600
State = Literal["starting", "ready", "failed", "ended"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a server may take to be reached or listed, and to answer; and how many it rests between two starts."""

    connect: float = 30.0
    call: float = 120.0
    rest: float = 5.0


class Connection:
    """A connection to one server, which lives in the loop it was made in; `listed` hears of every change of what it offers."""

    def __init__(
        self,
        server: McpServer,
        agent: AgentFolder,
        values: Mapping[str, str],
        patience: Patience,
        listed: Callable[[Connection], None],
        learn: Learn = lambda _: None,
    ) -> None:
        self.server = server
        self.state: State = "ended"
        self.problem = ""
        self.offered = Offered()
        self._agent = agent
        self._values = values
        self._patience = patience
        self._listed = listed
        self._learn = learn
        self._access: Access | None = None
        self._said = Said()
        self._session: ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._changed = asyncio.Event()
        self._tried = 0.0
        self._stale = False

    def start(self) -> None:
        """Begin to reach it; `listed` hears how that ends."""
        self.state, self.problem, self._tried = "starting", "", time.monotonic()
        self._over, self._changed, self._said, self._stale = asyncio.Event(), asyncio.Event(), Said(), False
        self._task = asyncio.ensure_future(self._live())

    async def close(self) -> None:
        """End it, and what was started for it."""
        self._over.set()
        for _ in range(2):  # a server that does not let go of a goodbye is cancelled out of it too
            if self._task and not self._task.done():
                self._task.cancel()
                await asyncio.wait((self._task,), timeout=_GOODBYE)

    async def call(self, tool: ServerTool, arguments: Mapping[str, Any], limit: int) -> str:
        """Return what a tool of it gives, as text. Raises ToolError, naming it, for whatever comes instead."""
        session = await self.ready()
        request: asyncio.Future[Any] = asyncio.ensure_future(self._requested(session, tool.name, arguments))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((request, over), timeout=self._patience.call, return_when=asyncio.FIRST_COMPLETED)
            if request.done():
                return flat_result(request.result(), limit)
            if over.done():
                raise ToolError(await self._gone())
            raise ToolError(f'The MCP server "{self.server.name}" gave no answer within {self._patience.call:g} seconds.')
        except ToolError:
            raise
        except Exception as error:
            raise ToolError(await self._failed(error)) from None
        finally:
            over.cancel()
            request.cancel()

    # living --------------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        problem = ""
        try:
            async with asyncio.timeout(self._patience.connect) as reaching:
                async with self._talking() as session:
                    reaching.reschedule(asyncio.get_running_loop().time() + self._patience.connect)
                    self._session = session
                    self.offered = await self._list(session)
                    reaching.reschedule(None)
                    self.state = "ready"
                    self._listed(self)
                    await self._watch(session)
            problem = "ended"
        except TimeoutError:
            problem = f"gave no answer within {self._patience.connect:g} seconds"
        except asyncio.CancelledError:
            if not self._over.is_set():
                problem = "ended"
            raise
        except BaseException as error:
            problem = "ended before it answered" if _is_end(error) else f"cannot be used: {_reason(error)}"
            if not isinstance(error, Exception | BaseExceptionGroup):
                raise
        finally:
            self._session = None
            self.state = "failed" if problem else "ended"
            self.problem = self._login_needed() or (self._told(problem) if problem else "")
            self._over.set()
            self._listed(self)

    @asynccontextmanager
    async def _talking(self) -> AsyncGenerator[ClientSession, None]:
        from mcp import ClientSession, types

        info = types.Implementation(name="agent-foundry", version=VERSION)
        async with (
            self._streams() as (read, write),
            ClientSession(read, write, message_handler=self._heard, client_info=info) as session,
        ):
            await session.initialize()
            yield session

    def _streams(self) -> Any:
        server = self.server
        if server.url:
            self._access = Access(server, self._agent, self._values, self._learn) if server.logs_in else None
            auth = self._access and self._access.auth()
            return http_streams(server.url, server.resolved(server.headers, self._values), self._patience.connect, auth)
        folder = server.folder(self._agent)
        path = os.pathsep.join((str(self._agent.venv / "bin"), os.environ.get("PATH", os.defpath)))
        env = {"PATH": path, **server.resolved(server.env, self._values)}
        return command_streams(server.command, server.args, env, folder, self._said, self._over)

    async def _heard(self, message: Any) -> None:
        from mcp import types

        if isinstance(message, types.ServerNotification) and isinstance(message.root, types.ToolListChangedNotification):
            self._stale = True  # no call goes out before it is known what the tools are now
            self._changed.set()

    async def _watch(self, session: ClientSession) -> None:
        """Return when the server has gone; until then list its tools anew whenever it says that they changed."""
        while not self._over.is_set():
            changed, over = asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(self._over.wait())
            try:
                await asyncio.wait((changed, over), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                over.cancel()
            if self._over.is_set():
                return
            self._changed.clear()
            async with asyncio.timeout(self._patience.connect):
                self.offered = await self._list(session)
            self._stale = self._changed.is_set()
            self._listed(self)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), _LIST_REST)

    async def _list(self, session: ClientSession) -> Offered:
        from mcp import types

        capabilities = session.get_server_capabilities()
        if not capabilities or not capabilities.tools:
            return Offered((), ("it has no tools",))
        listed: list[Mapping[str, Any]] = []
        cursor: Any = None
        size = 0
        for _ in range(_MOST_PAGES):
            params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
            request = types.ClientRequest(types.ListToolsRequest(params=params))
            page = (await session.send_request(request, types.Result)).model_extra or {}
            tools = page.get("tools")
            if not isinstance(tools, list):
                raise Lost("its list of tools is none")
            listed += [one for one in tools if isinstance(one, Mapping)]
            size += len(json.dumps(tools[: MOST_TOOLS + 1]))
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or not cursor or len(listed) > MOST_TOOLS or size > _LARGEST_LIST:
                break
        return understood(self.server.name, listed)

    # calling -------------------------------------------------------------------------------------------------------------

    async def ready(self) -> ClientSession:
        """Return its session once it can be called; one that has ended is started anew, now and then. Raises ToolError."""
        if self._over.is_set() and self._task:  # it has gone, and is still being tidied up
            await asyncio.wait((self._task,))
        if self.state in ("failed", "ended"):
            if time.monotonic() - self._tried < self._patience.rest:
                raise ToolError(self.problem or self._told("has ended"))
            self.start()
        for _ in range(int(self._patience.connect * 20)):
            if self.state != "starting" and not self._stale:
                break
            await asyncio.sleep(0.05)
        if self._session is None or self.state != "ready" or self._stale:
            raise ToolError(self.problem or self._told("is not reached yet; call again later"))
        return self._session

    async def _requested(self, session: ClientSession, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the raw result of a call: the SDK would check it by schemas of the server's own, which may take for ever."""
        from mcp import types

        number = session._request_id
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=dict(arguments)))
        try:
            limit = timedelta(seconds=self._patience.call + 1)
            found = await session.send_request(types.ClientRequest(request), types.Result, request_read_timeout_seconds=limit)
            return found.model_extra or {}
        except asyncio.CancelledError:
            if not self._over.is_set():
                params = types.CancelledNotificationParams(requestId=number, reason="cancelled")
                note = types.ClientNotification(types.CancelledNotification(params=params))
                _and_forget(session.send_notification(note))
            raise

    def _login_needed(self) -> str:
        return self._access.needs if self._access else ""

    async def _failed(self, error: Exception) -> str:
        if _is_end(error):
            return await self._gone()
        return f'The MCP server "{self.server.name}" says: {_reason(error)}'

    async def _gone(self) -> str:
        if self._task:  # until then not all is read of what it said last
            await asyncio.wait((self._task,), timeout=_GOODBYE)
        return self._login_needed() or self._told("ended during the call")

    def _told(self, what: str) -> str:
        said = self._said.text()
        last = f" Its last lines: {visible(said[-_TOLD:])}" if said else ""
        return f'The MCP server "{self.server.name}" {what}.{last}'


_running: set[asyncio.Task[None]] = set()


def _and_forget(work: Coroutine[Any, Any, None]) -> None:
    """Do something that may fail and that nobody waits for, for two seconds at most."""

    async def bounded() -> None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(work, 2)

    task = asyncio.ensure_future(bounded())
    _running.add(task)
    task.add_done_callback(_running.discard)


def _is_end(error: BaseException) -> bool:
    """Return whether an error only says that the streams are closed."""
    first = _first(error)
    return "Connection closed" in str(first) or type(first).__name__ in ("ClosedResourceError", "BrokenResourceError")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _reason(error: BaseException) -> str:
    """Return in a line what went wrong, of a group its first error."""
    error = _first(error)
    text = " ".join(str(error).split())[:_TOLD]
    return visible(text) if text and isinstance(error, Lost) else visible(f"{type(error).__name__}: {text}".rstrip(": "))
