"""Our client as a command: `python -m tests.mcp.conformance.client URL` accepts the server at URL and calls each of its tools.

Where the server wants a login, one is made as `foundry mcp login` makes it, with a browser that follows where it is led; the
suite's context, in a variable, gives what a person would have put into the server's entry.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from foundry.agent.definition import parse_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.mcp_logins import need_of
from foundry.agent.secrets import Redactor
from foundry.plugins.api import ToolContext, ToolError
from foundry.session.mcp.login import Page, log_in
from foundry.session.mcp.loopback import LoginFailed
from foundry.session.mcp.servers import Servers
from foundry.session.toolbox import Toolbox
from tests.mcp.conftest import accept

_SAMPLES = {"number": 5, "integer": 5, "string": "hello", "boolean": True, "array": [], "object": {}}
_LOGINS = 3  # what a person has the patience for
_METADATA = "https://conformance-test.local/client-metadata.json"  # the address that the suite knows


def main(url: str) -> int:
    given = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    values = {"SUITE_SECRET": str(given.get("client_secret", "")), "SUITE_KEY": str(given.get("private_key_pem", ""))}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        agent = AgentFolder(Path(folder) / "home" / "agents" / "conformance")
        agent.workspace.mkdir(parents=True)
        entry = {"url": url, **_oauth(given, url)}
        for _ in range(_LOGINS):
            servers = Servers(agent, parse_definition({"name": "conformance", "mcp_servers": {"suite": entry}}), values)
            try:
                code = _used(agent, servers)
                server = servers.entries["suite"].server
            finally:
                servers.close()
            if need_of(agent, server) != "needed":
                return code
            try:
                asyncio.run(log_in(agent, server, values, _browser))
            except LoginFailed as error:
                print(error, file=sys.stderr)
                return 1
        return 1


def _oauth(given: dict[str, Any], url: str) -> dict[str, Any]:
    """Return what the scenario's context says of the client, as the entry of a server has it."""
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    if scenario == "auth/basic-cimd":
        return {"oauth": {"client_metadata_url": _METADATA}}
    oauth = {"client_id": given["client_id"]} if "client_id" in given else {}
    if "client_secret" in given:
        oauth["client_secret"] = "${SUITE_SECRET}"
    if "private_key_pem" in given:
        oauth |= {"private_key": "${SUITE_KEY}", "algorithm": str(given["signing_algorithm"])}
    if "client-credentials" in scenario:  # whose issuer a person knows, and here the server has to say
        found = httpx.get(url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")).json()
        oauth |= {"grant": "client_credentials", "issuer": found["authorization_servers"][0]}
    return {"oauth": oauth} if oauth else {}


async def _browser(page: Page) -> bool:
    print(f"logging in at {page.host} for {page.scopes}", file=sys.stderr)
    async with httpx.AsyncClient(follow_redirects=True) as client:
        await client.get(page.url)
    return True


def _used(agent: AgentFolder, servers: Servers) -> int:
    toolbox = Toolbox([], Redactor({}), ToolContext(agent.workspace))
    servers.start()
    servers.attach(toolbox)
    servers.wait(20)
    for entry in servers.waiting():
        accept(servers, entry)
    print(*servers.news(asks=False), sep="\n", file=sys.stderr)
    asyncio.run(_call_all(toolbox))
    connection = servers.entries["suite"].connection
    return 0 if toolbox.tools or not connection or connection.state == "ready" else 1


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
