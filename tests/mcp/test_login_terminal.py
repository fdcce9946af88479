"""`foundry mcp login`, `logout` and `list` as a person has them: on a terminal, with a browser that the desktop names."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import Home
from foundry.agent.standing import logins_file
from tests.commands.conftest import place, settings, shared_are_known
from tests.commands.running import foundry, make_runnable, script
from tests.conftest import FOUNDRY
from tests.mcp.authority import Authority
from tests.session.screens import Terminal

__all__ = ["place", "settings", "shared_are_known"]
pytestmark = pytest.mark.slow
BROWSER = """#!{python}
import pathlib, sys, urllib.request
pathlib.Path({seen!r}).write_text(sys.argv[1])
urllib.request.urlopen(sys.argv[1], timeout=10).read()
"""
CALL = {"calls": [{"name": "s.token_of_caller", "arguments": {}}]}


@pytest.fixture
def desktop(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a desktop whose browser follows where it is led."""
    browser = tmp_path / "browser"
    browser.write_text(BROWSER.format(python=sys.executable, seen=str(tmp_path / "page")))
    browser.chmod(0o755)
    return {**os.environ, "BROWSER": f"{browser} %s"}


def terminal(tmp_path: Path, env: dict[str, str], place: Home, *words: str) -> Terminal:
    return Terminal([*FOUNDRY, *words, "--home", str(place.path)], tmp_path, 100, 40, env)


def state(place: Home) -> tuple[str, str]:
    (one,) = json.loads(foundry("mcp", "list", "scout", "--home", str(place.path), "--json").stdout)["data"]["servers"]
    return one["state"], one["login"]


def made(place: Home, tmp_path: Path, url: str, **more: Any) -> Any:
    model = script(tmp_path / "script.json", CALL, {"text": "{result}"})
    rules = [{"decide": "allow", "tool": "s.*"}]
    return make_runnable(place, "scout", mcp_servers={"s": {"url": url, **more}}, model=model, approvals=rules)


def test_from_no_login_to_an_answer_and_out_again(
    place: Home, tmp_path: Path, url: str, authority: Authority, desktop: dict[str, str]
) -> None:
    agent = made(place, tmp_path, url, oauth={})
    home = ("--home", str(place.path))
    assert state(place) == ("new", "needed")
    assert "new, login needed" in foundry("mcp", "list", "scout", *home).stdout
    shown = terminal(tmp_path, desktop, place, "mcp", "login", "scout", "s")
    try:
        shown.until("Trust it?", 30)
        shown.line("y")
        shown.until("Log in there?", 30)
        assert not (tmp_path / "page").exists()
        shown.line("y")
        shown.until("Logged in at s", 30)
        assert shown.end() == 0
        said = shown.raw.decode("utf-8", "replace")
    finally:
        shown.stop()
    page = (tmp_path / "page").read_text()
    assert page.startswith(url.removesuffix("/mcp") + "/authorize?")
    assert page in said
    assert state(place) == ("accepted", "there")
    assert logins_file(agent).stat().st_mode & 0o777 == 0o600
    trusted = foundry("mcp", "trust", "scout", "s", "--yes", *home)
    assert trusted.returncode == 0
    ran = foundry("run", "scout", "-p", "go", *home)
    assert "you sent [token of the MCP server s]" in ran.stdout
    everything = said + trusted.stdout + trusted.stderr + ran.stdout + ran.stderr
    assert [secret for secret in (*authority.secrets, *authority.given_codes) if secret in everything] == []
    assert "deleted here" in foundry("mcp", "logout", "scout", "s", *home).stdout
    assert state(place) == ("accepted", "needed")
    again = foundry("run", "scout", "-p", "go", *home)
    assert again.stderr.count("foundry mcp login scout s") == 1


def test_a_no_opens_no_browser_and_a_denial_is_told(
    place: Home, tmp_path: Path, url: str, authority: Authority, desktop: dict[str, str]
) -> None:
    made(place, tmp_path, url)
    authority.manner = "no"
    for answer, told in (("n", "you said no"), ("y", "access_denied")):
        shown = terminal(tmp_path, desktop, place, "mcp", "login", "scout", "s")
        try:
            if answer == "n":
                shown.until("Trust it?", 30)
                shown.line("y")
            shown.until("Log in there?", 30)
            shown.line(answer)
            shown.until(told, 30)
            assert shown.end() == 1
        finally:
            shown.stop()
        assert (tmp_path / "page").exists() == (answer == "y")


def test_ctrl_c_ends_the_wait_for_a_browser_that_does_nothing(
    place: Home, tmp_path: Path, url: str, authority: Authority
) -> None:
    agent = made(place, tmp_path, url)
    shown = terminal(tmp_path, {**os.environ, "BROWSER": "true %s"}, place, "mcp", "login", "scout", "s")
    try:
        for question in ("Trust it?", "Log in there?"):
            shown.until(question, 30)
            shown.line("y")
        shown.until("waiting for the browser", 30)
        shown.keys("\x03")
        shown.until("you ended it", 10)
        assert shown.end() == 1
    finally:
        shown.stop()
    assert not logins_file(agent).exists()


def test_nobody_there_is_told_and_nothing_is_asked(place: Home, tmp_path: Path, url: str, authority: Authority) -> None:
    made(place, tmp_path, url)
    home = ("--home", str(place.path))
    ended = foundry("mcp", "login", "scout", "s", *home)
    assert ended.returncode == 2
    assert "nobody is there" in ended.stderr
    assert authority.clients == {}
    assert "no login" in foundry("mcp", "logout", "scout", "s", *home).stdout
    assert foundry("mcp", "logout", "scout", "other", *home).returncode == 1
