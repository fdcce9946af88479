"""`foundry mcp login`: a person is shown who authorizes and for what, their browser is opened there, its answer waited for."""

from __future__ import annotations

import asyncio
import signal
import threading
import webbrowser
from contextlib import suppress

from foundry.agent.mcp_servers import Pin, entry_hash, pin
from foundry.console import Console, Facts, spelled
from foundry.errors import FoundryError, NotReadyError, UsageError
from foundry.plugins.strict import in_thread
from foundry.session.mcp.asking import entry_blocks
from foundry.session.mcp.login import Page, log_in
from foundry.session.mcp.loopback import LoginFailed
from foundry.session.mcp.servers import Entry, Servers
from foundry.session.opening import Opening
from foundry.session.terminal import Asker, signals


def login(opening: Opening, name: str, servers: Servers) -> int:
    """Log a person in at the server and keep what their browser brings back; return the exit code. Raises FoundryError."""
    entry, agent, console = servers.entries[name], opening.folder, opening.console
    if not entry.server.logs_in or entry.server.oauth.get("grant") == "client_credentials":
        raise UsageError(f'"{name}" needs no login: its entry says who asks', f"foundry mcp trust {agent.name} {name}")
    if entry.missing:
        raise NotReadyError(
            f"{', '.join(entry.missing)} has no value, which {name} needs", f"foundry env {agent.name} set {entry.missing[0]}"
        )
    if not console.can_ask():
        raise UsageError("a login needs somebody who logs in, and nobody is there", "Run it on a terminal.")
    asyncio.run(_logged_in(opening, servers, entry))
    console.note(f"Logged in at {name}. Its tools: foundry mcp trust {agent.name} {name}")
    return 0


async def _logged_in(opening: Opening, servers: Servers, entry: Entry) -> None:
    console, server, asks = opening.console, entry.server, Asker(opening.console)
    task = asyncio.current_task()
    assert task

    def interrupted(_: int) -> None:
        if asks.open:
            asks.no()
        else:
            task.cancel()

    async def show(page: Page) -> bool:
        console.status("")
        answers = {"y": "open the browser", "n": "do not log in"}
        title = f"log in at {spelled(page.host)}"
        if await asks.choose(title, [_facts(page, entry)], answers, "Log in there?") != "y":
            return False
        _open(page.url, console)
        return True

    with signals(interrupted, signal.SIGINT):
        try:
            if entry.standing != "accepted":
                answers = {"y": "connect", "n": "leave it out"}
                title = f"MCP server {server.name}"
                if await asks.choose(title, entry_blocks(servers, entry), answers, "Trust it?") != "y":
                    raise LoginFailed("you said no")
                code = entry_hash(server, servers.agent)
                await in_thread(lambda: pin(servers.agent, server.name, lambda old: Pin(code, old.tools)))
            console.status(f"asking {server.host} how to log in …")
            kept = await log_in(servers.agent, server, servers.values, show)
            assert opening.redactor
            opening.redactor.learn(kept.secrets(server.name))
        except LoginFailed as error:
            told = opening.clean(str(error))
            raise FoundryError(
                f"not logged in at {server.name}: {told}",
                f"foundry mcp login {servers.agent.name} {server.name}",
                code="no_login",
            ) from None
        except asyncio.CancelledError:
            raise FoundryError(f"not logged in at {server.name}: you ended it", code="no_login") from None
        finally:
            console.status("")


def _facts(page: Page, entry: Entry) -> Facts:
    pairs = [
        ("for the server", entry.server.url),
        ("page", page.host),
        ("authorized by", page.issuer or f"{page.host}, which says nothing of itself"),
        ("tokens from", page.token_host),
        ("this client is", page.client),
        ("allows", " ".join(page.scopes) or "what the page says; the server names no scopes"),
    ]
    return Facts([(name, spelled(value)) for name, value in pairs])


def _open(url: str, console: Console) -> None:
    console.note("If no browser opens, open this on this machine (5 minutes):")
    console.note(url)

    def opened() -> None:
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(url)

    # One in the terminal would be waited for, and nobody waits for it at the end.
    threading.Thread(target=opened, name="browser", daemon=True).start()
    console.status("waiting for the browser … Ctrl+C ends it")
