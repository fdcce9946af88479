"""Our client as a command: `python -m tests.mcp.conformance.client URL` accepts the server at URL and calls each of its tools."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from foundry.agent.definition import parse_definition
from foundry.agent.folder import AgentFolder
from foundry.plugins.api import ToolContext, ToolError
from foundry.session.mcp.servers import Servers
from foundry.session.toolbox import Toolbox
from tests.mcp.conftest import accept

_SAMPLES = {"number": 5, "integer": 5, "string": "hello", "boolean": True, "array": [], "object": {}}


def main(url: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        agent = AgentFolder(Path(folder) / "home" / "agents" / "conformance")
        agent.workspace.mkdir(parents=True)
        definition = parse_definition({"name": "conformance", "mcp_servers": {"suite": {"url": url}}})
        servers = Servers(agent, definition, {})
        toolbox = Toolbox([], None, ToolContext(agent.workspace))  # type: ignore[arg-type]
        try:
            servers.attach(toolbox)
            for entry in servers.waiting():
                accept(servers, entry)
            print(*servers.news(asks=False), sep="\n", file=sys.stderr)
            asyncio.run(_call_all(toolbox))
            return 0 if toolbox.tools or not servers.entries["suite"].connection else _reached(servers)
        finally:
            servers.close()


def _reached(servers: Servers) -> int:
    connection = servers.entries["suite"].connection
    return 0 if connection and connection.state == "ready" else 1


async def _call_all(toolbox: Toolbox) -> None:
    for tool in toolbox.tools:
        arguments: dict[str, Any] = {
            name: said.get("default", _SAMPLES.get(str(said.get("type")), "hello"))
            for name, said in tool.spec.schema["properties"].items()
        }
        try:
            print(await tool.call(tool.check(arguments)))
        except ToolError as error:
            print(error, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[-1]))
