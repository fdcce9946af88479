"""`foundry mcp list` and `trust`, and servers in a whole chat on a terminal and in a one-shot run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import Home
from foundry.agent.mcp_servers import Pin, entry_hash, parse_servers, pin
from tests.commands.conftest import place, settings, shared_are_known
from tests.commands.running import foundry, make_runnable, script
from tests.conftest import FOUNDRY
from tests.mcp.conftest import TIME, stranger
from tests.session.screens import Terminal

__all__ = ["place", "settings", "shared_are_known"]
NOW = {"calls": [{"name": "time.get_current_time", "arguments": {"timezone": "Asia/Tokyo"}}]}


@pytest.fixture
def agent(place: Home, tmp_path: Path) -> Any:
    def make(*steps: Any, servers: Any = None, **config: Any) -> Any:
        model = script(tmp_path / "script.json", *(steps or ({"text": "Hello."},)))
        return make_runnable(place, "scout", mcp_servers=servers or {"time": TIME}, model=model, **config)

    return make


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"command": "x", "arg": []}, 'did you mean "args"?'),
        ({"args": []}, 'neither "command" nor "url"'),
        ({"command": "x", "env": {"API_KEY": "sk-123"}}, "looks like a secret"),
        ({"command": "x", "args": ["--token=abc"]}, "looks like a secret"),
        ({"command": "x", "args": ["${TOKEN}"]}, "others on this machine could read it"),
        ({"url": "https://x.org", "headers": {"Authorization": "Bearer abc"}}, "looks like a secret"),
        ({"url": "https://x.org", "headers": {"A": "b\r\nC: d"}}, "cannot be sent"),
        ({"url": "http://x.org"}, "https://"),
        ({"url": "https://me:pw@x.org"}, "holds a secret"),
        ({"url": "https://x.org/?api_key=1"}, "holds a secret"),
        ({"url": "file:///etc/passwd"}, "https://"),
        ({"type": "sse", "url": "https://x.org"}, "sse"),
        ("x", "must be an object"),
    ],
)
def test_a_wrong_entry_is_told(entry: Any, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_servers({"s": entry})


def test_the_form_of_other_clients_is_read() -> None:
    there = parse_servers(
        {
            "s": {"type": "stdio", **TIME, "env": {"A_TOKEN": "${TOKEN}", "PLAIN": "x"}},
            "h": {"type": "http", "url": "http://localhost:1/mcp"},
        }
    )
    assert there["s"].variables() == ("TOKEN",)
    assert there["h"].host == "localhost:1"


def test_list_starts_nothing_and_tells_what_waits(agent: Any, place: Home) -> None:
    folder = agent(servers={"s": stranger(env={"T": "${MCP_TOKEN}"}), "clock": TIME}, tools=["clock"])
    ended = foundry("mcp", "list", "scout", "--home", str(place.path), "--json")
    data = json.loads(ended.stdout)["data"]
    assert [(one["name"], one["state"], one["missing"]) for one in data["servers"]] == [("s", "new", ["MCP_TOKEN"])]
    assert "a plugin has that name" in data["problems"][0]
    assert not (folder.path / "server.pid").exists()


def test_an_agents_servers_are_told_beside_its_tools_without_starting_them(agent: Any, place: Home) -> None:
    folder = agent(servers={"s": stranger(), "t": TIME})
    pin(folder, "t", lambda _: Pin(entry_hash(parse_servers({"t": TIME})["t"], folder), {"now": "h", "convert": "h"}))

    tools, shown = (foundry(verb, "scout", "--home", str(place.path)).stdout for verb in ("tools", "show"))

    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in tools.splitlines() if ".*" in line}
    assert rows == {
        "s.*": "mcp new, not started before you accept it: foundry mcp trust scout",
        "t.*": "mcp accepted: convert, now",
    }
    assert "mcp servers s (new), t (accepted)" in " ".join(shown.split())
    assert not (folder.path / "server.pid").exists()


@pytest.mark.slow
def test_trust_shows_everything_and_then_a_one_shot_run_uses_it(agent: Any, place: Home) -> None:
    agent(NOW, {"text": "{result}"}, approvals=[{"decide": "allow", "tool": "time.*"}])
    home = ("--home", str(place.path))
    before = foundry("run", "scout", "-p", "time?", *home)
    assert "foundry mcp trust scout time" in before.stderr
    assert foundry("mcp", "trust", "scout", *home).returncode == 2
    trusted = foundry("mcp", "trust", "scout", "time", "--yes", *home)
    assert trusted.returncode == 0
    assert "mcp_server_time" in trusted.stderr
    assert "Get current time in a specific timezone" in trusted.stderr
    assert foundry("mcp", "list", "scout", *home).stdout.count("accepted") == 1
    after = foundry("run", "scout", "-p", "time?", *home)
    assert json.loads(after.stdout)["timezone"] == "Asia/Tokyo"
    assert foundry("mcp", "trust", "scout", "--revoke", *home).returncode == 0
    assert json.loads(foundry("mcp", "list", "scout", *home, "--json").stdout)["data"]["servers"][0]["state"] == "new"


@pytest.mark.slow
def test_a_chat_in_which_a_server_is_accepted_asked_and_answers(agent: Any, place: Home, tmp_path: Path) -> None:
    agent(NOW, {"text": "In Tokyo: {result}"})
    terminal = Terminal([*FOUNDRY, "run", "scout", "--home", str(place.path)], tmp_path, 100, 40, dict(os.environ))
    try:
        terminal.until("was not shown to you yet", 30)
        terminal.line("What time is it in Tokyo?")
        terminal.until("mcp_server_time")
        terminal.until("Trust it?")
        terminal.line("y")
        terminal.until("Accept them?", 30)
        terminal.line("y")
        terminal.until("Allow it?", 30)
        terminal.line("y")
        terminal.until("In Tokyo:", 30)
        terminal.line("/mcp")
        terminal.until("2 tools")
        terminal.line("/exit")
        assert terminal.end() == 0
    finally:
        terminal.stop()


@pytest.mark.slow
def test_a_server_that_never_answers_holds_up_no_chat(agent: Any, place: Home, tmp_path: Path) -> None:
    agent({"text": "Here I am."}, servers={"s": stranger("silent")})
    from foundry.agent.mcp_servers import Pin, entry_hash, pin

    folder = place.agent("scout")
    server = parse_servers({"s": stranger("silent")})["s"]
    pin(folder, "s", lambda _: Pin(entry_hash(server, folder), {}))
    terminal = Terminal([*FOUNDRY, "run", "scout", "--home", str(place.path)], tmp_path, 100, 30, dict(os.environ))
    try:
        terminal.until("\u276f", 30)
        began = time.monotonic()
        terminal.line("hello")
        terminal.until("Here I am.", 20)
        assert time.monotonic() - began < 15
        terminal.line("/exit")
        assert terminal.end() == 0
    finally:
        terminal.stop()


def test_the_light_command_line_never_loads_the_library(agent: Any, place: Home) -> None:
    agent()
    code = (
        "import sys; from foundry.foundry_cli import cli; "
        f"cli.main(['mcp', 'list', 'scout', '--home', {str(place.path)!r}], standalone_mode=False); "
        "sys.exit('mcp' in sys.modules or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], capture_output=True).returncode == 0
