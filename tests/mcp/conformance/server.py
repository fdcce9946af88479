"""Our server on streamable HTTP: `python -m tests.mcp.conformance.server PORT`, an agent whose tools have the suite's names.

The object that answers is the one of `foundry mcp serve`; only the prefix with the agent's name is left off, which the suite
knows nothing of. What our server does not have (resources, prompts, pictures …) is not put on here for the suite.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from foundry.agent.folder import AgentFolder
from foundry.agent.options import RunOptions
from foundry.console import Console
from foundry.messages import ToolSpec
from foundry.plugins.api import ToolContext, ToolError, effects, kernel_function
from foundry.plugins.strict import bind
from foundry.session.mcp.serving import Served
from foundry.session.opening import Opening, get_ready


class Tools:
    """The suite's tools that give text."""

    def __init__(self, context: ToolContext) -> None:
        self._context = context

    @kernel_function
    @effects("reads")
    def test_simple_text(self) -> str:
        """Say something."""
        return "This is a simple text response for testing."

    @kernel_function
    @effects("reads")
    def test_error_handling(self) -> str:
        """Go wrong."""
        raise ToolError("This tool intentionally returns an error for testing")

    @kernel_function
    @effects("reads")
    def test_tool_with_progress(self) -> str:
        """Say how far it is."""
        for share in (0, 50, 100):
            self._context.emit(f"{share} of 100")
            time.sleep(0.05)
        return "done"


class Plain(Served):
    """Serves the tools under their own names."""

    def _served_name(self, spec: ToolSpec) -> str:
        return spec.id.partition(".")[2]


def app(folder: Path) -> Any:
    """Return the ASGI application."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings
    from starlette.applications import Starlette
    from starlette.routing import Mount

    agent = AgentFolder(folder / "home" / "agents" / "conformance")
    agent.workspace.mkdir(parents=True)
    agent.config.write_text('{"name": "conformance", "model": "openai:none"}')
    opening = Opening(agent, RunOptions(mcp="serve"), None, Console(out=sys.stderr))
    ready = get_ready(opening, None)
    ready.toolbox.replace(bind(Tools(ready.toolbox.context), "suite", "built-in", ready.toolbox.context))
    hosts = ["127.0.0.1:*", "localhost:*"]
    manager = StreamableHTTPSessionManager(
        Plain(opening, ready).server(),
        security_settings=TransportSecuritySettings(
            enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=[f"http://{one}" for one in hosts]
        ),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[None, None]:
        async with manager.run():
            yield

    return Starlette(routes=[Mount("/mcp", app=manager.handle_request)], lifespan=lifespan)


if __name__ == "__main__":
    import uvicorn

    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_STATE_HOME"] = place
        uvicorn.run(app(Path(place)), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
