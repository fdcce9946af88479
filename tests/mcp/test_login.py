"""Logging in at a server as a person does, and what a run does with the login: renews it, or leaves the server out."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from dataclasses import replace
from typing import Any

import httpx
import pytest

from foundry.agent import trust
from foundry.agent.definition import ApprovalRule
from foundry.agent.folder import AgentFolder
from foundry.agent.mcp_logins import forget_login, keep_login, login_of, need_of
from foundry.agent.mcp_servers import McpServer, parse_servers
from foundry.agent.standing import logins_file
from foundry.session.mcp.access import may_ask
from foundry.session.mcp.login import log_in
from foundry.session.mcp.loopback import LoginFailed, Loopback
from tests.mcp.authority import Authority, Browser
from tests.mcp.conftest import World, Worlds, ids
from tests.session.conftest import call

ALLOWED = (ApprovalRule("allow", "s.*"),)


def at(url: str, **oauth: str) -> dict[str, Any]:
    return {"url": url, **({"oauth": oauth} if oauth else {})}


def server_of(one: World) -> McpServer:
    return parse_servers(one.entries)["s"]


def logged_in(one: World, browser: Browser | None = None) -> Browser:
    browser = browser or Browser()
    asyncio.run(log_in(one.agent, server_of(one), {}, browser))
    return browser


def test_a_run_without_a_login_leaves_the_server_out_in_one_line_and_opens_nothing(
    world: Worlds, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda *_: pytest.fail("a run opened a browser"))
    one = world(s=at(url))
    assert need_of(one.agent, server_of(one)) == ""
    servers = one.accepted()
    assert servers.news(asks=False) == [
        'The MCP server "s" is left out, it needs a login: foundry mcp login scout s',
    ]
    assert ids(servers) == []
    assert need_of(one.agent, server_of(one)) == "needed"


def test_after_a_login_its_tools_are_there_and_the_person_saw_who_authorizes(
    world: Worlds, url: str, authority: Authority
) -> None:
    one = world(s=at(url))
    browser = logged_in(one)
    (page,) = browser.pages
    host = url.split("/")[2]
    assert (page.host, page.token_host, page.scopes) == (host, host, ("user",))
    assert "code_challenge_method=S256" in page.url
    assert "You are logged in" in browser.answers[0].text
    assert not any(one in browser.answers[0].text for one in authority.secrets)
    servers = one.accepted()
    assert ids(servers) == ["s.token_of_caller"]
    assert need_of(one.agent, server_of(one)) == "there"
    assert "you sent access-" in one.play(servers, call("s.token_of_caller"), rules=ALLOWED)[0]


def test_what_is_kept_is_outside_the_agent_and_for_this_user_only(world: Worlds, url: str, authority: Authority) -> None:
    one = world(s=at(url))
    logged_in(one)
    place = logins_file(one.agent)
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert not place.is_relative_to(one.agent.path)
    assert not [file for file in one.agent.path.rglob("*") if file.is_file() and b"access-" in file.read_bytes()]
    assert "access-" not in repr(login_of(one.agent, server_of(one)))


def test_every_secret_of_a_login_is_learnt_before_the_server_can_say_it(world: Worlds, url: str, authority: Authority) -> None:
    from foundry.agent.definition import parse_definition
    from foundry.session.mcp.servers import Servers

    one = world(s=at(url))
    logged_in(one)
    one.accepted().close()
    authority.access.clear()  # so that it is renewed too
    learnt: dict[str, str] = {}
    servers = Servers(one.agent, parse_definition({"name": "scout", "mcp_servers": one.entries}), {}, learnt.update)
    one.sessions.append(servers)
    assert learnt["token of the MCP server s"] in authority.secrets
    before = dict(learnt)
    servers.start()
    servers.wait(20)
    assert ids(servers) == ["s.token_of_caller"]
    assert learnt["token of the MCP server s"] not in ("", before["token of the MCP server s"])
    assert learnt["token of the MCP server s"] in authority.access


@pytest.mark.parametrize("rotates", [True, False])
def test_a_token_that_ended_is_renewed_and_the_renewed_one_kept(
    world: Worlds, url: str, authority: Authority, rotates: bool
) -> None:
    one = world(s=at(url))
    authority.rotates, authority.lasts = rotates, 5  # which is less than what counts as early
    logged_in(one)
    authority.lasts = 3600
    assert ids(one.accepted()) == ["s.token_of_caller"]
    assert authority.refreshed == 1
    kept = login_of(one.agent, server_of(one))
    assert kept.access_token in authority.access
    assert kept.refresh_token in authority.refresh
    assert not kept.expired
    one.open()
    assert authority.refreshed == 1


def test_a_token_taken_back_early_is_renewed_during_the_session(world: Worlds, url: str, authority: Authority) -> None:
    one = world(s=at(url))
    logged_in(one)
    servers = one.accepted()
    authority.access.clear()
    assert "you sent access-" in one.play(servers, call("s.token_of_caller"), rules=ALLOWED)[0]
    assert authority.refreshed == 1


def test_a_login_taken_back_leaves_the_server_out_until_the_next_login(world: Worlds, url: str, authority: Authority) -> None:
    one = world(s=at(url))
    logged_in(one)
    servers = one.accepted()
    authority.access.clear()
    authority.refresh.clear()
    (told,) = one.play(servers, call("s.token_of_caller"), rules=ALLOWED)
    assert told.endswith("foundry mcp login scout s")
    assert need_of(one.agent, server_of(one)) == "needed"
    assert one.open().news(asks=False)[0].endswith("foundry mcp login scout s")
    logged_in(one)
    assert ids(one.open()) == ["s.token_of_caller"]
    assert need_of(one.agent, server_of(one)) == "there"


def test_two_runs_renew_once(world: Worlds, url: str, authority: Authority) -> None:
    one = world(s=at(url))
    logged_in(one)
    one.accepted().close()
    login = keep_login(one.agent, server_of(one), lambda old: replace(old, expires=1.0))
    assert login.expired
    first, second = one.open(0), one.open(0)
    for servers in (first, second):
        servers.wait(20)
        assert ids(servers) == ["s.token_of_caller"]
    assert authority.refreshed == 1


@pytest.mark.parametrize(
    ("manner", "told"),
    [("no", r"access_denied: no\^\[\[31m"), ("wrong issuer", "from another server"), ("wrong state", "nobody logged in")],
)
def test_an_answer_that_is_none_logs_nobody_in(world: Worlds, url: str, authority: Authority, manner: str, told: str) -> None:
    one = world(s=at(url))
    authority.manner = manner
    with pytest.raises(LoginFailed, match=told):  # a wrong state is waited out, else for five minutes
        asyncio.run(log_in(one.agent, server_of(one), {}, Browser(), seconds=3.0))
    assert authority.access == {}
    assert login_of(one.agent, server_of(one)).access_token == ""


def test_a_person_who_says_no_is_not_led_anywhere(world: Worlds, url: str, authority: Authority) -> None:
    one = world(s=at(url))

    async def refused(_: Any) -> bool:
        return False

    with pytest.raises(LoginFailed, match="you said no"):
        asyncio.run(log_in(one.agent, server_of(one), {}, refused))
    assert authority.codes == {}


def test_nothing_of_a_login_gets_into_a_log_an_argument_or_the_environment(
    world: Worlds, url: str, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = world(s=at(url))
    logged_in(one)
    authority.access.clear()
    assert ids(one.accepted()) == ["s.token_of_caller"]
    ours = [caplog.handler.format(record) for record in caplog.records if not record.name.startswith("mcp.server")]
    said = "\n".join([*ours, *sys.argv, *os.environ.values()])
    assert len(authority.secrets) >= 4
    assert [secret for secret in authority.secrets if secret in said] == []


def test_a_login_counts_for_the_entry_it_was_made_for_and_logout_deletes_it(world: Worlds, url: str) -> None:
    one = world(s=at(url))
    logged_in(one)
    one.entries["s"] = {"url": url, "headers": {"X-Other": "1"}}
    assert login_of(one.agent, server_of(one)).access_token == ""
    one.entries["s"] = at(url)
    assert login_of(one.agent, server_of(one)).access_token
    assert forget_login(one.agent, "s")
    assert not forget_login(one.agent, "s")
    assert b"access-" not in logins_file(one.agent).read_bytes()


def test_a_login_follows_an_agent_that_is_renamed_and_goes_with_it(world: Worlds) -> None:
    one = world(s=at("https://x.org/mcp"))
    keep_login(one.agent, server_of(one), lambda old: replace(old, access_token="access-token"))
    new = AgentFolder(one.agent.path.with_name("other"))
    one.agent.path.rename(new.path)
    trust.moved(one.agent, new)
    assert login_of(new, server_of(one)).access_token == "access-token"
    assert not logins_file(one.agent).exists()
    trust.forget(new)
    assert list(logins_file(new).parent.glob("other*login*")) == []


def test_a_server_that_asks_for_nothing_leaves_no_trace(world: Worlds) -> None:
    from foundry.session.mcp.access import Access

    one = world(s=at("https://x.org/mcp"))
    learnt: dict[str, str] = {}
    assert asyncio.run(Access(server_of(one), one.agent, {}, learnt.update).token()) == ""
    assert learnt == {}
    assert not list(logins_file(one.agent).parent.glob("*login*"))


def test_the_token_goes_to_no_other_address(world: Worlds, url: str, authority: Authority) -> None:
    from foundry.session.mcp.access import Access

    one = world(s=at(url))
    logged_in(one)
    heard: list[httpx.Request] = []

    async def ask() -> None:
        access = Access(server_of(one), one.agent, {}, lambda _: None)
        transport = httpx.MockTransport(lambda request: heard.append(request) or httpx.Response(200))  # type: ignore[func-returns-value]
        async with httpx.AsyncClient(auth=access.auth(), transport=transport) as client:
            await client.get(url)
            await client.get("http://127.0.0.1:1/mcp")

    asyncio.run(ask())
    assert ["authorization" in request.headers for request in heard] == [True, False]


@pytest.mark.parametrize(
    ("asked", "server", "may"),
    [
        ("https://auth.example.org/token", "https://x.org/mcp", True),
        ("http://auth.example.org/token", "https://x.org/mcp", False),
        ("http://127.0.0.1:8080/token", "https://x.org/mcp", False),
        ("https://localhost/token", "https://x.org/mcp", False),
        ("https://[::1]/token", "https://x.org/mcp", False),
        ("https://me:pw@auth.example.org/", "https://x.org/mcp", False),
        ("file:///etc/passwd", "https://x.org/mcp", False),
        ("javascript:alert(1)", "https://x.org/mcp", False),
        ("http://127.0.0.1:8080/token", "http://localhost:1/mcp", True),
        ("http://[", "https://x.org/mcp", False),
    ],
)
def test_where_a_login_may_lead(asked: str, server: str, may: bool) -> None:
    assert may_ask(asked, server) is may


def test_the_listener_takes_one_answer_with_the_right_state_on_loopback_only() -> None:
    async def play() -> list[int]:
        async with Loopback() as back, httpx.AsyncClient() as client:
            codes = [(await client.get(back.redirect, params={"code": "c", "state": ""})).status_code]
            back.expect("right", "https://issuer.example/")
            for params in ({"code": "c", "state": "wrong"}, {"code": "c"}, {"code": ["c", "d"], "state": "right"}):
                codes.append((await client.get(back.redirect, params=params)).status_code)
            rebound = {"Host": "evil.example"}
            codes.append((await client.get(back.redirect, params={"code": "c", "state": "right"}, headers=rebound)).status_code)
            codes.append((await client.get(back.redirect.replace("callback", "x"))).status_code)
            codes.append((await client.get(back.redirect, params={"code": "good", "state": "right"})).status_code)
            assert await back.answer() == "good"
            codes.append((await client.get(back.redirect, params={"code": "late", "state": "right"})).status_code)
            return codes

    assert asyncio.run(play()) == [400, 400, 400, 400, 404, 404, 200, 410]


@pytest.mark.parametrize(
    ("oauth", "told"),
    [
        ({"client_id": "me", "client_secret": "hunter22"}, "looks like a secret"),
        ({"client_secret": "${S}"}, 'belongs to a "client_id"'),
        ({"grant": "client_credentials", "client_id": "me", "client_secret": "${S}"}, '"issuer"'),
        ({"grant": "password"}, '"grant" is one of'),
        ({"scope": "all"}, 'unknown key "scope"'),
        ({"issuer": "http://auth.example.org"}, "https://"),
    ],
)
def test_a_wrong_oauth_entry_is_told(oauth: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_servers({"s": {"url": "https://x.org", "oauth": oauth}})
    with pytest.raises(ValueError, match="one of them says who asks"):
        parse_servers({"s": {"url": "https://x.org", "headers": {"Authorization": "${T}"}, "oauth": {}}})
