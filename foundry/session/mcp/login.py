"""A login at a server as the MCP specification has it: who authorizes is found, a person asked, the browser's code exchanged.

The SDK's provider finds the authorization server, registers this client and checks that they belong together; here stand the
bounds: where it may ask, what a person sees first, and that nothing of a token gets into an error or a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from foundry.agent.folder import AgentFolder
from foundry.agent.mcp_logins import Login, keep_login, login_of
from foundry.agent.mcp_servers import McpServer
from foundry.session.mcp.access import RENEW_SECONDS
from foundry.session.mcp.loopback import LoginFailed, Loopback
from foundry.session.mcp.streams import Lost, bounded
from foundry.settings import VERSION
from foundry.text import visible

LOGIN_SECONDS, ASK_SECONDS = 300.0, 30.0
_TOLD = 400


@dataclass(frozen=True, slots=True)
class Page:
    """The page to log in on: its address, its host, the hosts that the answer and the client's registration go to, scopes."""

    url: str
    host: str
    issuer: str
    token_host: str
    client: str
    scopes: tuple[str, ...]


Show = Callable[[Page], Awaitable[bool]]


async def log_in(
    agent: AgentFolder, server: McpServer, values: Mapping[str, str], show: Show, seconds: float = LOGIN_SECONDS
) -> Login:
    """Log in at the server and keep the login, in place of an earlier one. Raises LoginFailed, OSError."""
    login = await obtained(server, values, login_of(agent, server), show, seconds)
    return keep_login(agent, server, lambda _: login)


async def obtained(
    server: McpServer, values: Mapping[str, str], before: Login, show: Show | None, seconds: float = LOGIN_SECONDS
) -> Login:
    """Return a new login at the server; `show` opens the page for a person or says no, and is None for client credentials.

    `values` are the variables of its entry, `before` the login that it had, `seconds` what a person has for it.
    Raises LoginFailed.
    """
    from foundry.session.mcp.provider import Provider

    _quiet()
    seen = Seen()
    try:
        async with asyncio.timeout(seconds if show else RENEW_SECONDS), Loopback() as back:
            provider = Provider(Asking(server, server.resolved(server.oauth, values), before, show, back, seen))
            await _said_hello(server, server.resolved(server.headers, values), provider, seen)
    except TimeoutError:
        told = f"nobody logged in within {seconds / 60:g} minutes"
        raise LoginFailed(
            told if show else f"{seen.asked or server.host} gave no token within {RENEW_SECONDS:g} seconds"
        ) from None
    except Exception as error:
        raise _told(error, seen) from None
    if not seen.login:
        raise LoginFailed("it asks for no login")
    return seen.login


@dataclass
class Seen:
    """How far a login came: the host asked last, what it answered when that was an error, the login."""

    asked: str = ""
    answered: str = ""
    login: Login | None = None


@dataclass(frozen=True)
class Asking:
    """What a login is done with; `oauth` is the server's entry for it with its references put in."""

    server: McpServer
    oauth: Mapping[str, str]
    before: Login
    show: Show | None
    back: Loopback
    seen: Seen


def _told(error: Exception, seen: Seen) -> LoginFailed:
    """Return what went wrong; not in the SDK's words for an answer that it cannot read, which hold that answer, tokens too."""
    from mcp.client.auth import OAuthFlowError, OAuthRegistrationError, OAuthTokenError

    if isinstance(error, Lost):
        return LoginFailed(str(error))
    if isinstance(error, OAuthFlowError) and not isinstance(error, OAuthRegistrationError | OAuthTokenError):
        return LoginFailed(visible(" ".join(str(error).split())[:_TOLD]))
    return LoginFailed(visible(seen.answered or f"{seen.asked or 'the server'}: {type(error).__name__}"))


def _quiet() -> None:
    """Keep the SDK's words about a login, which hold answers with tokens, out of every log."""
    logging.getLogger("mcp.client.auth").setLevel(logging.CRITICAL + 1)


async def _said_hello(server: McpServer, headers: Mapping[str, str], provider: Any, seen: Seen) -> None:
    """Say hello to the server as a run would, which is what it asks for a login at. Raises LoginFailed when that is no use."""
    import httpx
    from mcp import types
    from mcp.shared._httpx_utils import stream_within_origin

    version = types.LATEST_PROTOCOL_VERSION
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "agent-foundry", "version": VERSION}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    sent = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": version, **headers}
    plain = {"Accept-Encoding": "identity", "User-Agent": f"agent-foundry/{VERSION}"}
    hooks = {"response": [bounded]}
    async with httpx.AsyncClient(headers=plain, timeout=ASK_SECONDS, event_hooks=hooks, auth=provider) as client:
        async with stream_within_origin(client, "POST", server.url, json=message, headers=sent) as response:
            status, session = response.status_code, response.headers.get("mcp-session-id")
        if status in (401, 403):
            raise LoginFailed("it does not take the token that it was just given")
        if session and seen.login:
            bearer = {"Authorization": f"Bearer {seen.login.access_token}", "Mcp-Session-Id": session}
            with contextlib.suppress(httpx.HTTPError):
                await client.delete(server.url, headers={**sent, **bearer}, auth=httpx.Auth())
