"""Logins at servers and authorization servers that lie, leak, lead elsewhere or do not end."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from foundry.agent.mcp_logins import Login, keep_login, login_of, need_of
from foundry.agent.mcp_servers import parse_servers
from foundry.session.mcp.login import log_in, obtained
from foundry.session.mcp.loopback import LoginFailed
from tests.mcp.authority import Browser, free_port, running
from tests.mcp.conftest import Worlds

SECRET = "s3cret-that-nobody-may-see"


class Liar:
    """Answers by path what it was told to; a tuple is status, body, headers."""

    def __init__(self) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.heard: list[tuple[str, str, str]] = []
        self.metadata: dict[str, Any] = {
            "issuer": self.base,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "registration_endpoint": f"{self.base}/register",
            "code_challenge_methods_supported": ["S256"],
        }
        self.resource: dict[str, Any] = {"resource": f"{self.base}/mcp", "authorization_servers": [self.base]}
        self.says: dict[str, tuple[int, Any, dict[str, str]]] = {
            "/mcp": (401, "", {"WWW-Authenticate": "Bearer"}),
            "/register": (201, {"client_id": "me", "redirect_uris": ["http://127.0.0.1/"]}, {}),
            "/token": (200, {"access_token": SECRET, "token_type": "Bearer"}, {}),
        }

    async def answer(self, request: Request) -> Response:
        path, body = request.url.path, (await request.body()).decode()
        self.heard.append((path, body, request.headers.get("authorization", "")))
        if path == "/authorize":
            back, state = request.query_params["redirect_uri"], request.query_params["state"]
            return Response(status_code=302, headers={"Location": f"{back}?code={SECRET}&state={state}"})
        if path.startswith("/.well-known/oauth-protected-resource"):
            return Response(json.dumps(self.resource), 200)
        if path.startswith("/.well-known/oauth-authorization-server"):
            return Response(json.dumps(self.metadata), 200)
        status, said, headers = self.says.get(path, (404, "", {}))
        return Response(said if isinstance(said, str | bytes) else json.dumps(said), status, headers)

    def asked(self, path: str) -> list[dict[str, list[str]]]:
        return [parse_qs(body) for where, body, _ in self.heard if where == path]


@pytest.fixture
def liar() -> Iterator[Liar]:
    one = Liar()
    app = Starlette(routes=[Route("/{path:path}", one.answer, methods=["GET", "POST", "DELETE"])])
    with running(app, one.port):
        yield one


def tried(liar: Liar, world: Worlds, values: dict[str, str] | None = None, **oauth: str) -> str:
    """Log in, and return what the person is told of why not."""
    one = world(s={"url": f"{liar.base}/mcp", **({"oauth": oauth} if oauth else {})})
    with pytest.raises(LoginFailed) as told:
        asyncio.run(log_in(one.agent, parse_servers(one.entries)["s"], values or {}, Browser()))
    assert login_of(one.agent, parse_servers(one.entries)["s"]).access_token == ""
    assert SECRET not in str(told.value)
    assert str(told.value).isprintable()
    return str(told.value)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"access_token": [SECRET]}, {}),
        (200, {"access_token": SECRET, "token_type": "mac"}, {}),
        (200, {"access_token": f"{SECRET}\r\nX-More: 1"}, {}),
        (200, {"access_token": SECRET, "expires_in": "soon"}, {}),
        (200, SECRET, {}),
        (400, {"error": "invalid_grant\x1b[31m", "error_description": SECRET}, {}),
        (500, SECRET, {}),
    ],
)
def test_an_unusable_token_is_told_without_it(liar: Liar, world: Worlds, answer: Any) -> None:
    liar.says["/token"] = answer
    told = tried(liar, world)
    assert f"127.0.0.1:{liar.port}" in told


@pytest.mark.parametrize(
    "answer", [(201, {"client_secret": SECRET, "redirect_uris": 3}, {}), (201, SECRET, {}), (403, SECRET, {})]
)
def test_an_unusable_registration_is_told_without_its_secret(liar: Liar, world: Worlds, answer: Any) -> None:
    liar.says["/register"] = answer
    assert f"127.0.0.1:{liar.port}" in tried(liar, world)
    assert liar.asked("/authorize") == []


def test_a_code_is_carried_to_no_other_host_by_a_redirect(liar: Liar, world: Worlds) -> None:
    other = Liar()
    app = Starlette(routes=[Route("/{path:path}", other.answer, methods=["GET", "POST"])])
    with running(app, other.port):
        liar.says["/token"] = (307, "", {"Location": f"{other.base}/token"})
        assert "answered 307" in tried(liar, world)
        assert other.heard == []


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("issuer", "https://elsewhere.example", "issuer mismatch"),
        ("code_challenge_methods_supported", ["plain"], "PKCE"),
        ("code_challenge_methods_supported", None, "PKCE"),
        ("registration_endpoint", "http://elsewhere.example/register", "needs https"),
        ("authorization_endpoint", "http://elsewhere.example/authorize", "is not opened"),
        ("token_endpoint", "http://elsewhere.example/token", "needs https"),
    ],
)
def test_metadata_that_do_not_belong_together_end_it(liar: Liar, world: Worlds, key: str, value: Any, told: str) -> None:
    liar.metadata[key] = value
    assert told in tried(liar, world)
    assert liar.asked("/token") == []


def test_a_server_that_names_another_resource_or_an_open_authority_is_refused(liar: Liar, world: Worlds) -> None:
    liar.resource["resource"] = "https://bank.example/mcp"
    assert "does not match" in tried(liar, world)
    liar.resource = {"resource": f"{liar.base}/mcp", "authorization_servers": ["http://elsewhere.example"]}
    assert "needs https" in tried(liar, world)


def test_an_answer_without_end_and_one_that_never_comes_are_ended(liar: Liar, world: Worlds) -> None:
    liar.says["/register"] = (201, b"x" * (20 << 20), {})
    assert "DecodingError" in tried(liar, world)
    one = world(s={"url": f"{liar.base}/mcp"})
    liar.says["/register"] = (201, {"client_id": "me", "redirect_uris": ["http://127.0.0.1/"]}, {})

    async def away(_: Any) -> bool:
        return True

    with pytest.raises(LoginFailed, match="nobody logged in within"):
        asyncio.run(log_in(one.agent, parse_servers(one.entries)["s"], {}, away, seconds=1.5))


def test_a_server_that_asks_for_nothing_and_one_that_takes_no_token(liar: Liar, world: Worlds) -> None:
    assert "does not take the token" in tried(liar, world)
    liar.says["/mcp"] = (200, {}, {})
    assert "asks for no login" in tried(liar, world)


def test_a_client_of_the_entry_is_used_and_its_secret_goes_to_its_issuer_alone(liar: Liar, world: Worlds) -> None:
    own = {"client_id": "me", "client_secret": "${SECRET}"}
    values = {"SECRET": SECRET}
    assert "not to the issuer" in tried(liar, world, values, **own, issuer="https://mine.example")
    credentials = {**own, "grant": "client_credentials", "issuer": "https://mine.example"}
    server = parse_servers({"s": {"url": f"{liar.base}/mcp", "oauth": credentials}})["s"]
    with pytest.raises(LoginFailed, match="not to the issuer"):
        asyncio.run(obtained(server, values, Login(), None))
    assert liar.asked("/token") == []
    liar.says["/mcp"] = (401, "", {"WWW-Authenticate": "Bearer"})
    tried(liar, world, values, **own)  # which ends where the server takes no token
    assert liar.asked("/register") == []
    (sent,) = [(header, body) for path, body, header in liar.heard if path == "/token"]
    assert base64.b64decode(sent[0].removeprefix("Basic ")) == f"me:{SECRET}".encode()
    assert "client_secret" not in sent[1]


def test_a_client_with_credentials_of_its_own_needs_nobody(liar: Liar, world: Worlds) -> None:
    oauth = {"client_id": "me", "client_secret": "${SECRET}", "grant": "client_credentials", "issuer": liar.base}
    server = parse_servers({"s": {"url": f"{liar.base}/mcp", "oauth": oauth}})["s"]
    liar.says["/mcp"] = (200, {}, {})
    login = asyncio.run(obtained(server, {"SECRET": "x" * 9}, Login(), None))
    assert login.access_token == SECRET
    (asked,) = liar.asked("/token")
    assert asked["grant_type"] == ["client_credentials"]
    assert asked["resource"] == [f"{liar.base}/mcp"]


def test_an_authority_that_is_down_costs_no_login(liar: Liar, world: Worlds) -> None:
    one = world(s={"url": f"{liar.base}/mcp"})
    server = parse_servers(one.entries)["s"]
    kept = Login(access_token="old-token", refresh_token=SECRET, expires=1.0, token_endpoint=f"{liar.base}/token", client_id="me")
    keep_login(one.agent, server, lambda old: replace(kept, entry=old.entry))
    liar.says["/token"] = (503, SECRET, {})
    (said,) = one.accepted().news(asks=False)
    assert "answered 503" in said
    assert SECRET not in said
    assert login_of(one.agent, server).refresh_token == SECRET
    assert need_of(one.agent, server) == "there"
    assert not [sent for path, _, sent in liar.heard if path == "/mcp" and sent]


def test_a_client_with_a_key_signs_for_its_issuer_and_the_key_stays_here(liar: Liar, world: Worlds) -> None:
    import jwt
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    oauth = {"client_id": "me", "private_key": "${KEY}", "algorithm": "ES256", "grant": "client_credentials"}
    server = parse_servers({"s": {"url": f"{liar.base}/mcp", "oauth": {**oauth, "issuer": liar.base}}})["s"]
    liar.says["/mcp"] = (200, {}, {})
    assert asyncio.run(obtained(server, {"KEY": key.private_bytes(*kinds).decode()}, Login(), None)).access_token == SECRET
    (asked,) = liar.asked("/token")
    told = jwt.decode(asked["client_assertion"][0], key.public_key(), ["ES256"], audience=f"{liar.base}/")
    assert (told["iss"], told["sub"]) == ("me", "me")
    assert "PRIVATE" not in str(liar.heard)
    with pytest.raises(LoginFailed) as bad:
        asyncio.run(obtained(server, {"KEY": SECRET}, Login(), None))
    assert SECRET not in str(bad.value)
