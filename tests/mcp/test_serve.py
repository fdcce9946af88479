"""`foundry mcp serve`: what an editor sees of an agent, and that the gate is the same with nobody to ask."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, McpError

from foundry.agent.decisions import recorded
from foundry.agent.folder import Home
from foundry.settings import VERSION
from tests.commands.conftest import place, settings, shared_are_known
from tests.commands.running import foundry, make_runnable, script, started
from tests.mcp.conftest import alive
from tests.mcp.serving import served, text

__all__ = ["place", "settings", "shared_are_known"]
pytestmark = pytest.mark.slow
PLUGIN = '''"""Slow things."""
import time
from foundry.plugins.api import effects, kernel_function


class Own:
    @kernel_function
    @effects("reads")
    def shout(self, text: str) -> str:
        """Say it on the screen."""
        print("this is no message", flush=True)
        return text.upper()
'''


@pytest.fixture
def agent(place: Home, tmp_path: Path) -> Any:
    """Make an agent with this script."""

    def make(name: str = "scout", *steps: Any, **config: Any) -> Any:
        tools = {"tools": ["clock", "read_write_code"], "description": "Finds things."}
        model = script(tmp_path / f"{name}.json", *(steps or ({"text": "I am here."},)))
        return make_runnable(place, name, {"plugins/own/__init__.py": PLUGIN}, **{"model": model, **tools, **config})

    return make


@pytest.fixture
def env(place: Home, own_world: Path) -> dict[str, str]:
    return {**os.environ, "FOUNDRY_HOME": str(place.path)}


def test_an_agent_is_a_server_with_its_tools_and_itself_as_one(agent: Any, env: dict[str, str]) -> None:
    folder = agent("scout", {"calls": [{"name": "clock.now", "arguments": {}}]}, {"text": "It is late."})

    async def work(session: ClientSession, said: Any) -> Any:
        tools = (await session.list_tools()).tools
        return (
            said,
            tools,
            await session.call_tool("scout-clock-now", {}),
            await session.call_tool("scout-ask", {"prompt": "time?"}),
        )

    said, tools, now, asked = served("scout", env=env, work=work)
    assert (said.serverInfo.name, said.serverInfo.version) == ("agent-foundry", VERSION)
    assert "scout: Finds things." in said.instructions
    names = [one.name for one in tools]
    assert names[0] == "scout-ask"
    assert {"scout-clock-now", "scout-read_write_code-write_file"} <= set(names)
    hints = {one.name: one.annotations for one in tools}
    assert hints["scout-clock-now"].readOnlyHint
    assert not hints["scout-read_write_code-write_file"].readOnlyHint
    assert not now.isError
    assert text(asked) == "It is late."
    assert {one["entrance"] for one in recorded(folder)} == {"mcp"}


def test_what_a_person_would_be_asked_is_denied_with_the_reason_and_a_rule_can_allow_it(agent: Any, env: dict[str, str]) -> None:
    folder = agent("scout")
    write = ("scout-read_write_code-write_file", {"path": "a.txt", "content": "hello"})

    async def work(session: ClientSession, _: Any) -> Any:
        return await session.call_tool(*write)

    denied = served("scout", env=env, work=work)
    assert denied.isError
    assert "nobody is there to ask" in text(denied)
    assert not (folder.workspace / "a.txt").exists()
    config = json.loads(folder.config.read_text())
    folder.config.write_text(json.dumps({**config, "approvals": [{"decide": "allow", "tool": "read_write_code.write_file"}]}))
    assert not served("scout", env=env, work=work).isError
    assert (folder.workspace / "a.txt").read_text() == "hello"
    (folder.workspace / "a.txt").unlink()
    assert served("scout", "--mode", "plan", env=env, work=work).isError
    assert not (folder.workspace / "a.txt").exists()


def test_only_messages_are_on_stdout_and_wrong_calls_are_told(agent: Any, env: dict[str, str]) -> None:
    agent("scout", plugins=["own"], approvals=[{"decide": "allow", "tool": "own.*"}])

    async def work(session: ClientSession, _: Any) -> Any:
        wrong = await session.call_tool("scout-clock-now", {"zzz": 1})
        own = await session.call_tool("scout-own-shout", {"text": "hey"})
        with pytest.raises(McpError, match="There is no tool"):
            await session.call_tool("scout-nothing", {})
        return wrong, own, await session.call_tool("scout-ask", {"prompts": "x"})

    wrong, own, asked = served("scout", env=env, work=work)
    assert wrong.isError
    assert "unknown argument" in text(wrong)
    assert own.isError  # the plugin's code was not accepted, so no rule loosens what it may do
    assert asked.isError


def test_an_agent_without_a_model_still_serves_its_tools(agent: Any, env: dict[str, str]) -> None:
    agent("scout", model="openai:some-model")

    async def work(session: ClientSession, _: Any) -> Any:
        return await session.call_tool("scout-clock-now", {}), await session.call_tool("scout-ask", {"prompt": "hi"})

    now, asked = served("scout", env={name: value for name, value in env.items() if not name.endswith("_KEY")}, work=work)
    assert not now.isError
    assert asked.isError
    assert "OPENAI_API_KEY" in text(asked)


def test_the_embedded_model_is_looked_for_when_it_is_asked_and_not_before(
    agent: Any, env: dict[str, str], tmp_path: Path
) -> None:
    agent("scout", model="local:coder-0.5b")
    (tmp_path / "cache").mkdir()

    async def work(session: ClientSession, _: Any) -> Any:
        now = await session.call_tool("scout-clock-now", {})
        kept = [*(tmp_path / "cache").rglob("*.gguf*"), *Path(env["XDG_STATE_HOME"]).rglob("lease")]
        return now, kept, await session.call_tool("scout-ask", {"prompt": "hi"})

    now, kept, asked = served("scout", env={**env, "XDG_CACHE_HOME": str(tmp_path / "cache")}, work=work)
    assert not now.isError
    assert kept == []
    assert asked.isError
    assert "foundry model pull" in text(asked)


def test_a_cancelled_request_cancels_the_turn_and_the_next_one_is_answered(agent: Any, env: dict[str, str]) -> None:
    agent("scout", {"text": "slow " * 200, "chunk": 1, "delay": 0.05}, {"text": "Quick."})

    async def work(session: ClientSession, _: Any) -> Any:
        from mcp import types

        asking = asyncio.ensure_future(session.call_tool("scout-ask", {"prompt": "go"}))
        await asyncio.sleep(2)
        number = session._request_id - 1
        params = types.CancelledNotificationParams(requestId=number)
        await session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
        with pytest.raises(McpError, match="cancelled"):
            await asyncio.wait_for(asking, 5)
        return await asyncio.wait_for(session.call_tool("scout-clock-now", {}), 5)

    assert not served("scout", env=env, work=work).isError


@pytest.mark.parametrize("how", ["eof", "term", "kill"])
def test_every_end_leaves_no_process(agent: Any, env: dict[str, str], how: str) -> None:
    agent("scout")
    process = started("mcp", "serve", "scout", env=env, stdin=-1)
    assert process.stdin
    assert process.stdout
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
    process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "agent-foundry"
    if how == "eof":
        process.stdin.close()
    else:
        process.send_signal(signal.SIGTERM if how == "term" else signal.SIGKILL)
    assert process.wait(15) == {"eof": 0, "term": 143, "kill": -9}[how]
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def test_several_agents_are_one_server_and_one_that_fails_takes_none_with_it(
    agent: Any, env: dict[str, str], place: Home
) -> None:
    agent("scout")
    agent("other", {"text": "Other here."})
    broken = agent("broken")
    (broken.path / "main.py").write_text("raise SystemExit('no')")

    async def work(session: ClientSession, _: Any) -> Any:
        names = [one.name for one in (await session.list_tools()).tools]
        with pytest.raises(McpError):
            await session.call_tool("broken-ask", {"prompt": "hi"})
        return names, await session.call_tool("other-ask", {"prompt": "hi"}), await session.call_tool("scout-clock-now", {})

    names, asked, now = served(env=env, work=work)
    assert {"scout-ask", "other-ask", "scout-clock-now", "other-clock-now"} <= set(names)
    assert text(asked) == "Other here."
    assert not now.isError


def test_a_killed_gateway_leaves_no_agent_behind(agent: Any, env: dict[str, str]) -> None:
    agent("scout")
    agent("other")
    process = started("mcp", "serve", "scout", "other", env=env, stdin=-1)
    end = time.monotonic() + 15
    children: list[int] = []
    while len(children) < 2 and time.monotonic() < end:
        time.sleep(0.1)
        children = [
            int(one) for task in Path(f"/proc/{process.pid}/task").iterdir() for one in (task / "children").read_text().split()
        ]
    assert len(children) == 2
    process.kill()
    process.wait()
    while any(map(alive, children)) and time.monotonic() < end + 15:
        time.sleep(0.1)
    assert not any(map(alive, children))
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def test_nothing_to_serve_is_said(place: Home, env: dict[str, str]) -> None:
    ended = foundry("mcp", "serve", "--home", str(place.path))
    assert ended.returncode == 4
    assert "no agent" in ended.stderr
    assert ended.stdout == ""
