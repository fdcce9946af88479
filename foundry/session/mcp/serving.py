"""An agent as an MCP server: its tools behind the same gate, with nobody to ask, and one tool that asks the agent itself."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from foundry.messages import Event, Notice, ToolCall, ToolRequested, ToolReturned, ToolSpec, TurnEnded
from foundry.plugins.strict import BoundTool, in_thread
from foundry.session.calls import CallRound
from foundry.session.limits import Spent, Tally
from foundry.session.mcp.asking import WAIT_SECONDS
from foundry.session.mcp.wires import own_streams
from foundry.session.opening import Opening, Ready, get_ready
from foundry.session.terminal import signals
from foundry.settings import VERSION

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.lowlevel import Server

_ENDS = {
    "limit": "It ended at a limit of rounds, calls or time.",
    "denied": "A call that the answer needed was denied.",
    "interrupted": "It was interrupted.",
}


def serve(opening: Opening) -> int:
    """Serve the agent on standard input and output until the input ends; return 0, or what a signal makes of it."""
    return asyncio.run(_serve(opening))


async def _serve(opening: Opening) -> int:
    ready = get_ready(opening, None)
    task = asyncio.current_task()
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        if task and len(caught) == 1:
            task.cancel()

    with signals(stop, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        try:
            for notice in ready.notices:
                opening.console.warn(notice)
            served = Served(opening, ready)
            server = served.server()
            async with own_streams() as (read, write):
                await server.run(read, write, server.create_initialization_options())
        except asyncio.CancelledError:
            if not caught:
                raise
        finally:
            await ready.session.model.close()
    return 128 + caught[0] if caught else 0


class Served:
    """One agent's tools, and the agent itself as one, as the methods of a server."""

    def __init__(self, opening: Opening, ready: Ready) -> None:
        self._opening = opening
        self._ready = ready
        self._name = opening.folder.name
        self._one_at_a_time = asyncio.Lock()  # one conversation at once, and one set of calls: what a tool says is told apart
        self._calls = 0

    def server(self) -> Server:
        """Return the server object, ready to be run on any transport."""
        from mcp import types
        from mcp.server.lowlevel import Server

        about = self._ready.definition.description or "an agent of Agent Foundry"
        instructions = (
            f"{self._name}: {about}\n{self._name}-ask gives the agent a whole task and returns its answer. The other tools are "
            "the agent's own, one call each. Nobody is there to approve: a call that a person would be asked about is denied."
        )
        server: Server = Server("agent-foundry", version=VERSION, instructions=instructions)

        async def listed(_: types.ListToolsRequest) -> types.ServerResult:
            return types.ServerResult(types.ListToolsResult(tools=await self.tools()))

        async def called(request: types.CallToolRequest) -> types.ServerResult:
            context = server.request_context
            token = context.meta.progressToken if context.meta else None
            told = _Progress(context.session, token, context.request_id)
            return types.ServerResult(await self.call(request.params.name, request.params.arguments or {}, told))

        server.request_handlers[types.ListToolsRequest] = listed
        server.request_handlers[types.CallToolRequest] = called
        return server

    async def tools(self) -> list[types.Tool]:
        """Return the tools there are, those of the agent's own MCP servers when they are there."""
        from mcp import types

        if self._opening.servers:
            await in_thread(partial(self._opening.servers.wait, WAIT_SECONDS))
            for line in self._opening.servers.news(asks=False):
                self._opening.console.warn(self._opening.clean(line))
        prompt = {"type": "string", "description": "What the agent is asked to do"}
        schema = {"type": "object", "properties": {"prompt": prompt}, "required": ["prompt"], "additionalProperties": False}
        about = self._ready.definition.description or "an agent"
        said = f"Ask {self._name} ({about}) to do something, and get its answer. It uses its own tools; each call begins anew."
        asked = types.Tool(name=f"{self._name}-ask", description=said, inputSchema=schema)
        return [asked, *(self._tool(one) for one in self._ready.toolbox.tools)]

    async def call(self, name: str, arguments: Mapping[str, Any], told: _Progress) -> types.CallToolResult:
        """Return what a call gives; one that is denied or goes wrong is a result that says so. Raises McpError for no tool."""
        from mcp import McpError, types

        tool = self._found(name)
        if name != f"{self._name}-ask" and tool is None:
            raise McpError(types.ErrorData(code=types.INVALID_PARAMS, message=f"There is no tool {name!r}."))
        # A task of its own: whoever cancels this request cancels what is done for it, in the order that the session wants.
        work = asyncio.ensure_future(self._called(tool, arguments, told) if tool else self._asked(arguments, told))
        try:
            text, ok = await asyncio.shield(work)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait((work,), timeout=5)
            raise
        clean = self._opening.clean(text)
        return types.CallToolResult(content=[types.TextContent(type="text", text=clean)], isError=not ok)

    # doing ---------------------------------------------------------------------------------------------------------------

    async def _called(self, tool: BoundTool, arguments: Mapping[str, Any], told: _Progress) -> tuple[str, bool]:
        """Call one tool as a round of the session does, through the gate."""
        self._calls += 1
        call = ToolCall(f"mcp{self._calls}", tool.spec.id, json.dumps(arguments))
        async with self._one_at_a_time:
            session = self._ready.session
            tally = Tally(session.limits, Spent())
            deadline = asyncio.get_running_loop().time() + seconds if (seconds := tally.seconds()) else None
            doing = CallRound([call], session.tools, session.approvals, tally, deadline)
            returned: ToolReturned | None = None
            async with aclosing(doing.run(truncated=False)) as events:
                async for event in events:
                    returned = event if isinstance(event, ToolReturned) else returned
                    await told.tell(event)
        assert returned
        return returned.result.content, returned.result.ok

    async def _asked(self, arguments: Mapping[str, Any], told: _Progress) -> tuple[str, bool]:
        """Let the agent do a whole turn; each is a conversation of its own."""
        prompt = arguments.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip() or len(arguments) > 1:
            return "Wrong arguments. It takes a prompt, a text, and nothing else.", False
        end: TurnEnded | None = None
        async with self._one_at_a_time:
            session = self._ready.session
            session.clear()
            turn: AsyncGenerator[Event, None] = session.turn(prompt)
            async with aclosing(turn) as events:
                async for event in events:
                    end = event if isinstance(event, TurnEnded) else end
                    await told.tell(event)
            failure = session.failure
            session.clear()
        assert end
        if failure:
            return f"{failure.message}. {failure.for_agent(self._name).hint}".strip(), False
        why = _ENDS.get(end.stop, "")
        return "\n".join(part for part in (end.answer, why) if part) or "(nothing)", end.stop == "done"

    def _found(self, name: str) -> BoundTool | None:
        return next((one for one in self._ready.toolbox.tools if self._served_name(one.spec) == name), None)

    def _served_name(self, spec: ToolSpec) -> str:
        return f"{self._name}-{spec.id.replace('.', '-', 1)}"

    def _tool(self, tool: BoundTool) -> types.Tool:
        from mcp import types

        trusted = tool.origin == "built-in" or tool.accepted
        reads = trusted and tool.effects <= {"reads"}
        hints = types.ToolAnnotations(readOnlyHint=reads, openWorldHint=not trusted or "network" in tool.effects)
        return types.Tool(
            name=self._served_name(tool.spec),
            description=tool.spec.description,
            inputSchema=dict(tool.spec.schema),
            annotations=hints,
        )


class _Progress:
    """Tells who called what happens meanwhile, where they asked for that."""

    def __init__(self, session: Any, token: str | int | None, request: Any) -> None:
        self._session = session
        self._token = token
        self._request = str(request)
        self._steps = 0

    async def tell(self, event: Event) -> None:
        said = event.text if isinstance(event, Notice) else event.call.name if isinstance(event, ToolRequested) else ""
        if self._token is not None and said:
            self._steps += 1
            await self._session.send_progress_notification(
                self._token, self._steps, message=said, related_request_id=self._request
            )
