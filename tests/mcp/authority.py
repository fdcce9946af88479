"""A real server over HTTP that wants a login, with its authorization server, both the SDK's, on loopback; and a browser."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    RefreshToken,
    TokenError,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.server.fastmcp import FastMCP
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl

from foundry.session.mcp.login import Page


class Authority:
    """The authorization server's memory; `manner` is how it answers the browser, `lasts` how many seconds a token does."""

    def __init__(self) -> None:
        self.manner = "yes"
        self.lasts = 3600
        self.rotates = True
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.secrets: list[str] = []  # every token and client's secret that was ever given
        self.given_codes: list[str] = []  # which the browser sees too
        self.refreshed = 0
        self.asked: list[str] = []
        self.resource = ""

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        assert client_info.client_id
        self.clients[client_info.client_id] = client_info
        self.secrets += [client_info.client_secret] if client_info.client_secret else []

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        if self.manner == "no":
            return construct_redirect_uri(
                str(params.redirect_uri), error="access_denied", error_description="no\x1b[31m", state=params.state
            )
        code = AuthorizationCode(
            code=secrets.token_urlsafe(24),
            scopes=params.scopes or ["user"],
            expires_at=time.time() + 60,
            client_id=client.client_id or "",
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=True,
            resource=params.resource,
        )
        self.codes[code.code] = code
        self.given_codes.append(code.code)
        state = "another" if self.manner == "wrong state" else params.state
        issuer = {"iss": "https://elsewhere.example"} if self.manner == "wrong issuer" else {}
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=state, **issuer)

    async def load_authorization_code(self, client: OAuthClientInformationFull, authorization_code: str) -> Any:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client: OAuthClientInformationFull, authorization_code: Any) -> OAuthToken:
        del self.codes[authorization_code.code]
        return self._tokens(client.client_id or "", authorization_code.scopes)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        if refresh_token.token not in self.refresh:
            raise TokenError("invalid_grant")
        self.refreshed += 1
        if self.rotates:
            del self.refresh[refresh_token.token]
        tokens = self._tokens(client.client_id or "", scopes)
        return tokens if self.rotates else tokens.model_copy(update={"refresh_token": None})

    async def load_access_token(self, token: str) -> AccessToken | None:
        self.asked.append(token)
        return self.access.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None: ...

    def _tokens(self, client: str, scopes: list[str]) -> OAuthToken:
        token, refresh = (f"{kind}-{secrets.token_urlsafe(24)}" for kind in ("access", "refresh"))
        self.secrets += [token, refresh]
        ends = int(time.time() + self.lasts)
        self.access[token] = AccessToken(token=token, client_id=client, scopes=scopes, expires_at=ends, resource=self.resource)
        self.refresh[refresh] = RefreshToken(token=refresh, client_id=client, scopes=scopes)
        return OAuthToken(access_token=token, expires_in=self.lasts, scope=" ".join(scopes), refresh_token=refresh)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(authority: Authority) -> Iterator[str]:
    """Run the server and yield its address."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    settings = AuthSettings(
        issuer_url=AnyHttpUrl(base),
        resource_server_url=AnyHttpUrl(f"{base}/mcp"),
        client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=["user"], default_scopes=["user"]),
        required_scopes=["user"],
        validate_token_resource=True,
    )
    authority.resource = f"{base}/mcp"
    app = FastMCP("guarded", host="127.0.0.1", auth_server_provider=authority, auth=settings)

    @app.tool()
    def token_of_caller() -> str:
        """Give back what it must not."""
        return f"you sent {authority.asked[-1]}"

    with running(app.streamable_http_app(), port):
        yield f"{base}/mcp"


@contextmanager
def running(app: Any, port: int) -> Iterator[None]:
    """Run an ASGI application on loopback."""
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(200):
        if server.started:
            break
        time.sleep(0.05)
    try:
        yield
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)


class Browser:
    """A person with a browser, who says yes to the page and is led back by it."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.answers: list[httpx.Response] = []

    async def __call__(self, page: Page) -> bool:
        self.pages.append(page)
        async with httpx.AsyncClient(follow_redirects=True) as client:
            self.answers.append(await client.get(page.url))
        await asyncio.sleep(0)
        return True
