"""The access that a run has to a server over HTTP: its login as it is kept, renewed when it ends; a run asks nobody to log in."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import json
import os
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from foundry.agent.folder import AgentFolder
from foundry.agent.mcp_logins import Login, keep_login, login_of
from foundry.agent.mcp_servers import McpServer
from foundry.agent.standing import logins_file
from foundry.session.mcp.streams import Lost, bounded
from foundry.settings import VERSION
from foundry.text import visible

RENEW_SECONDS = 30.0
_LONGEST_CHALLENGE = 2_000
_OVER = (400, 401, 403)  # what a refresh token that does not count any more is answered with
Learn = Callable[[Mapping[str, str]], None]


class NeedsLogin(Lost):
    """The server wants a login that only a person can give."""


class Access:
    """One server's tokens in one run; `needs` says how to log in, once that is what is missing; `learn` hears every secret."""

    def __init__(self, server: McpServer, agent: AgentFolder, values: Mapping[str, str], learn: Learn) -> None:
        self.needs = ""
        self._server = server
        self._agent = agent
        self._values = values
        self._learn = learn
        self._login = self._learnt(login_of(agent, server))
        self._renewing = asyncio.Lock()

    def auth(self) -> Any:
        """Return the httpx.Auth that gives every request to the server its token, and to no other."""
        import httpx

        access, origin = self, _origin(self._server.url)

        class Bearer(httpx.Auth):
            async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
                if _origin(str(request.url)) != origin:
                    yield request
                    return
                token = await access.token()
                for _ in range(2):
                    if token:
                        request.headers["Authorization"] = f"Bearer {token}"
                    response = yield request
                    if response.status_code != 401 or not (token := await access.token(instead_of=token)):
                        break
                access.looked_at(response)

        return Bearer()

    async def token(self, instead_of: str = "") -> str:
        """Return a token that counts, "" where there is none; one `instead_of` another is a renewed one. Raises Lost."""
        async with self._renewing:
            self._login = self._learnt(await _in_thread(lambda: login_of(self._agent, self._server)))
            if self._counts(instead_of) or not self._can_renew():
                return "" if self._login.access_token == instead_of or self._login.expired else self._login.access_token
            async with _one_at_a_time(self._agent):
                self._login = self._learnt(login_of(self._agent, self._server))  # another run may have renewed it
                if not self._counts(instead_of):
                    await self._renew()
            return self._login.access_token

    def looked_at(self, response: Any) -> None:
        """Notice what the server says of the token. Raises NeedsLogin where a person has to log in."""
        said = response.headers.get("www-authenticate", "")[:_LONGEST_CHALLENGE]
        if response.status_code == 401 or (response.status_code == 403 and "insufficient_scope" in said):
            self._end(said or "Bearer")
            raise NeedsLogin(self.needs)
        if self._login.challenge and response.status_code < 300:
            self._login = self._kept(replace(self._login, challenge=""))

    # renewing ------------------------------------------------------------------------------------------------------------

    def _counts(self, instead_of: str) -> bool:
        login = self._login
        return bool(login.access_token) and login.access_token != instead_of and not login.expired

    def _can_renew(self) -> bool:
        return bool(self._login.refresh_token) or self._server.oauth.get("grant") == "client_credentials"

    async def _renew(self) -> None:
        if self._server.oauth.get("grant") == "client_credentials":
            from foundry.session.mcp.login import obtained

            self._login = self._kept(await obtained(self._server, self._values, self._login, None))
        else:
            await self._refresh()

    async def _refresh(self) -> None:
        login = self._login
        data = {"grant_type": "refresh_token", "refresh_token": login.refresh_token, "client_id": login.client_id}
        if login.resource:
            data["resource"] = login.resource
        headers = {}
        if login.client_auth == "client_secret_basic" and login.client_secret:
            pair = f"{quote(login.client_id, safe='')}:{quote(login.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        elif login.client_auth == "client_secret_post" and login.client_secret:
            data["client_secret"] = login.client_secret
        host = urlsplit(login.token_endpoint).netloc
        status, body = await _posted(login.token_endpoint, data, headers, self._server.url)
        if status in _OVER:
            self._end(login.challenge or "Bearer", access_token="", refresh_token="")
            raise NeedsLogin(self.needs)
        if status != 200:
            raise Lost(f"its login could not be renewed: {host} answered {status}")
        new = tokens_in(body, host)
        self._login = self._kept(replace(new, refresh_token=new.refresh_token or login.refresh_token), only_tokens=True)

    def _kept(self, login: Login, *, only_tokens: bool = False) -> Login:
        def change(old: Login) -> Login:
            if not only_tokens:
                return login
            return replace(
                old, access_token=login.access_token, refresh_token=login.refresh_token, expires=login.expires, challenge=""
            )

        self._learnt(login)
        return keep_login(self._agent, self._server, change)

    def _end(self, challenge: str, **tokens: Any) -> None:
        name = self._server.name
        if self._server.oauth.get("grant") == "client_credentials":
            self.needs = f'The MCP server "{name}" does not take what its client id and secret give; look at "oauth" of its entry'
            return
        self._login = keep_login(self._agent, self._server, lambda old: replace(old, challenge=challenge, **tokens))
        self.needs = f'The MCP server "{name}" is left out, it needs a login: foundry mcp login {self._agent.name} {name}'

    def _learnt(self, login: Login) -> Login:
        self._learn(login.secrets(self._server.name))
        return login


# what is asked, and where ------------------------------------------------------------------------------------------------


def may_ask(url: str, server: str) -> bool:
    """Return whether a server's login may lead to `url`: https, and this machine only for a server on this machine."""
    try:
        asked, own = urlsplit(url), urlsplit(server)
        _, user = asked.port, asked.username or asked.password
    except ValueError:
        return False
    here = _is_here(asked.hostname or "")
    if user or not asked.hostname or (here and not _is_here(own.hostname or "")):
        return False
    return asked.scheme == "https" or (asked.scheme == "http" and here)


def tokens_in(body: bytes, host: str) -> Login:
    """Return the tokens in a token endpoint's answer. Raises Lost, which says nothing of what stands there."""
    try:
        data = json.loads(body)
        token, kind = data["access_token"], str(data.get("token_type", "Bearer"))
        ends = float(data.get("expires_in") or 0)
        refresh, scope = data.get("refresh_token") or "", data.get("scope") or ""
        fits = all(isinstance(one, str) and one.isascii() and one.isprintable() for one in (token, refresh, scope))
        if not fits or not token or kind.lower() != "bearer" or not 0 <= ends < 1e10:
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Lost(f"{host} gave no usable token") from None
    return Login(access_token=token, refresh_token=refresh, expires=time.time() + ends if ends else 0.0, scope=scope)


def said_code(body: bytes) -> str:
    """Return the error code in an answer of an authorization server, "" for none: all of it that is shown."""
    try:
        code = json.loads(body)["error"]
        return visible(code[:100]) if isinstance(code, str) else ""
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


async def _posted(url: str, data: Mapping[str, str], headers: Mapping[str, str], server: str) -> tuple[int, bytes]:
    """Return status and body of a form sent to a token endpoint; no redirect is followed. Raises Lost."""
    import httpx

    host = urlsplit(url).netloc
    if not may_ask(url, server):
        raise Lost(f"its token endpoint {host} is not asked: it must be https")
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"agent-foundry/{VERSION}", **headers}
    try:
        async with (
            asyncio.timeout(RENEW_SECONDS),
            httpx.AsyncClient(timeout=RENEW_SECONDS, event_hooks={"response": [bounded]}) as client,
        ):
            response = await client.post(url, data=dict(data), headers=sent)
            return response.status_code, response.content
    except (httpx.HTTPError, TimeoutError) as error:
        raise Lost(f"its login could not be renewed: {host}: {type(error).__name__}") from None


@asynccontextmanager
async def _one_at_a_time(agent: AgentFolder) -> AsyncGenerator[None, None]:
    """Let one process at a time renew the agent's logins: a refresh token counts once. Raises Lost."""
    place = logins_file(agent).with_suffix(".renewing")
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(int(2 * RENEW_SECONDS / 0.05)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.05)
        else:
            raise Lost("its login is being renewed by another process, which does not end")
        yield
    finally:
        os.close(lock)


async def _in_thread(work: Callable[[], Login]) -> Login:
    return await asyncio.get_running_loop().run_in_executor(None, work)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
