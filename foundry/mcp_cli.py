"""The command line's faces of the verbs about MCP; foundry_cli loads them."""

from __future__ import annotations

import os

import click

from foundry import words
from foundry.agent.folder import Home
from foundry.console import Console
from foundry.errors import UsageError
from foundry.faces import agent, cli, face, folder_option


@cli.group()
def mcp() -> None:
    """Other programs' tools for an agent, and agents as tools for other programs (Model Context Protocol)."""


@mcp.command("list")
@agent
@face
def list_(console: Console, home: Home, name: str) -> None:
    """List an agent's MCP servers: new, changed or accepted, and their accepted tools; starts nothing."""
    from foundry.plugins.foundry_core.mcp_servers import list_servers

    console.result(list_servers(home, name, dict(os.environ)))


@mcp.command()
@agent
@click.argument("server", default="", metavar="[SERVER]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask: start every server and accept every tool as it is.")
@click.option("--revoke", is_flag=True, help="Accept it no longer.")
@face
def trust(console: Console, home: Home, name: str, server: str, yes: bool, revoke: bool) -> int | None:
    """Look at an agent's MCP servers: how each is started, then what its tools say; what you accept counts until it changes."""
    from foundry.plugins.foundry_core import mcp_servers

    if revoke:
        console.result(mcp_servers.forget_servers(home, name, server))
        return None
    if not yes and not console.can_ask():
        command = f"foundry mcp trust {name}{f' {server}' if server else ''} --yes"
        raise UsageError(
            "trusting an MCP server needs a yes, and nobody is there to ask", f"See {name}'s config, then: {command}"
        )
    return mcp_servers.trust_servers(
        home,
        name,
        server,
        yes=yes,
        as_json=console.as_json,
        settings=words.settings_of(console, home),
        progress=console,
        confirm=words.showing(console, f"Trust {name} as it is?"),
    )


@mcp.command()
@agent
@click.argument("server")
@face
def login(console: Console, home: Home, name: str, server: str) -> int:
    """Log in at an MCP server that asks for it: shows who authorizes and for what, then opens your browser there."""
    from foundry.plugins.foundry_core import mcp_servers

    if not console.can_ask():
        raise UsageError("a login needs somebody who logs in, and nobody is there", "Run it on a terminal.")
    return mcp_servers.log_in(
        home,
        name,
        server,
        settings=words.settings_of(console, home),
        progress=console,
        confirm=words.showing(console, f"Trust {name} as it is?"),
    )


@mcp.command()
@agent
@click.argument("server")
@face
def logout(console: Console, home: Home, name: str, server: str) -> None:
    """Forget the login at an MCP server: its tokens are deleted here."""
    from foundry.plugins.foundry_core.mcp_servers import log_out

    console.result(log_out(home, name, server))


@mcp.command()
@click.argument("names", nargs=-1, shell_complete=words.agent_names)
@click.option(
    "--mode", type=click.Choice(["plan", "run", "auto"]), default="run", help="What may be done unasked (default: run)."
)
@folder_option("--folder", "What file tools may touch (default: its workspace/).")
@face
def serve(console: Console, home: Home, names: tuple[str, ...], mode: str, folder: str | None) -> int:
    """Serve agents and their tools over standard input and output to editors and other agents; without NAMES all that are ready.

    Nobody is there to approve: a call that needs a question is denied with its reason, unless a rule of the agent allows it.
    """
    from foundry.plugins.foundry_core.mcp_servers import serve_agents

    settings = words.settings_of(console, home)
    return serve_agents(home, names, mode=mode, folder=folder or "", settings=settings, progress=console)
