"""The Foundry as an agent: asked in plain words it makes, runs, changes and deletes agents, each with the person's yes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foundry.agent import lock
from foundry.agent.folder import Home
from foundry.agent.record import load_record, save_record
from foundry.plugins.built_ins import BUILT_INS
from foundry.plugins.foundry_core.chat_foundry import BLUEPRINT, NAME
from foundry.plugins.foundry_core.tools import OFFERED
from tests.commands.running import foundry, make_runnable, script
from tests.conftest import FOUNDRY
from tests.session.screens import Terminal

PROMPT = "\u276f"


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"calls": [{"name": f"foundry_core.{tool}", "arguments": arguments}]}


@pytest.fixture
def there(home: Path, tmp_path: Path) -> Home:
    """A home with the Foundry's own agent and one that reads a log."""
    place = Home(home)
    own = make_runnable(place, NAME, tools=["foundry_core"])
    save_record(own, replace(load_record(own), blueprint=BLUEPRINT))
    reads = {"calls": [{"name": "read_write_code.read_file", "arguments": {"path": "app.log"}}]}
    logs = script(tmp_path / "logs.json", reads, {"text": "One error: the disk is full."})
    folder = make_runnable(place, "logs", tools=["read_write_code"], model=logs)
    (folder.workspace / "app.log").write_text("ok\nERROR disk is full\n")
    return place


def asked(there: Home, tmp_path: Path, *steps: dict[str, Any], mode: str = "run") -> dict[str, Any]:
    """Ask the Foundry once, nobody there, and return the envelope of its answer."""
    model = script(tmp_path / "foundry.json", *steps)
    words = ("chat", "--home", str(there.path), "--model", model, "--mode", mode, "--json", "-p", "go")
    done = foundry(*words, cwd=tmp_path)
    return dict(json.loads(done.stdout))


def answer(envelope: dict[str, Any]) -> str:
    return str(envelope["data"]["answer"])


@pytest.mark.slow
def test_it_looks_at_agents_without_asking(there: Home, tmp_path: Path) -> None:
    told = answer(asked(there, tmp_path, call("list_agents"), {"text": "{result}"}))
    assert "logs: " in told
    assert "tools read_write_code" in told
    shown = answer(asked(there, tmp_path, call("show_agent", name="logs"), {"text": "{result}"}))
    assert '"read_write_code' in shown
    assert "terminal.run: " in answer(asked(there, tmp_path, call("tools"), {"text": "{result}"}))
    assert "read_write_code.read_file: " in answer(asked(there, tmp_path, call("tools", name="logs"), {"text": "{result}"}))
    assert "logs" in answer(asked(there, tmp_path, call("doctor", name="logs"), {"text": "{result} logs"}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "wanted",
    [
        call("create_agent", name="new", description="x"),
        call("run_agent", name="logs", request="hello"),
        call("delete_agent", name="logs"),
        call("edit_agent", name="logs", request="a tool"),
        call("sync_agent", name="logs"),
    ],
    ids=lambda one: str(one["calls"][0]["name"]),
)
@pytest.mark.parametrize("mode", ["run", "auto", "plan"])
def test_with_nobody_there_nothing_is_done(there: Home, tmp_path: Path, wanted: dict[str, Any], mode: str) -> None:
    before = there.names()
    envelope = asked(there, tmp_path, wanted, {"text": "{result}"}, mode=mode)
    assert "Denied" in answer(envelope)
    assert not envelope["data"]["tool_calls"][0]["allowed"]
    assert there.names() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "../up", "description": "x"}, "cannot be an agent's name"),
        ({"name": "--home=/x", "description": "x"}, "cannot be an agent's name"),
        ({"name": "new", "description": "x", "instructions": "@/etc/passwd"}, "cannot begin with @"),
        ({"name": "new", "description": "x\0"}, "NUL"),
    ],
)
@pytest.mark.slow
def test_what_a_model_writes_is_never_an_option_or_a_file(
    there: Home, tmp_path: Path, arguments: dict[str, str], said: str
) -> None:
    assert said in answer(asked(there, tmp_path, call("create_agent", **arguments), {"text": "{result}"}))


def test_the_tools_it_may_give_are_those_there_are() -> None:
    named = set(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", OFFERED)))
    assert set(BUILT_INS) - named == {"foundry_core"}


@pytest.mark.slow
def test_agents_that_ask_one_another_come_to_an_end(there: Home, tmp_path: Path) -> None:
    model = script(tmp_path / "echo.json", call("run_agent", name="echo", request="go on"), {"text": "{result}"})
    rules = [{"decide": "allow", "tool": "foundry_core.run_agent", "paths": ["/**"]}]
    make_runnable(there, "echo", tools=["foundry_core.run_agent"], model=model, approvals=rules)
    done = foundry("run", "echo", "--home", str(there.path), "--json", "-p", "go", cwd=tmp_path)
    told = answer(json.loads(done.stdout))
    assert told.count("echo answers: ") == 3
    assert "too many times over" in told


@pytest.mark.slow
def test_another_agent_called_foundry_is_not_taken_for_it(home: Path) -> None:
    make_runnable(Home(home), NAME)
    done = foundry("chat", "--home", str(home), "-p", "hello")
    assert done.returncode == 1
    assert "foundry rename foundry NEW" in done.stderr


@pytest.fixture
def play(there: Home, tmp_path: Path) -> Iterator[Any]:
    started: list[Terminal] = []

    def start(*steps: dict[str, Any]) -> Terminal:
        model = script(tmp_path / "foundry.json", *steps)
        terminal = Terminal([*FOUNDRY, "chat", "--home", str(there.path), "--model", model], tmp_path, 100, 60)
        started.append(terminal)
        terminal.until(PROMPT)
        return terminal

    yield start
    for one in started:
        one.stop()


@pytest.mark.slow
def test_an_agent_is_run_with_a_yes_and_its_answer_comes_back(play: Any) -> None:
    one = play(call("run_agent", name="logs", request="What went wrong?"), {"text": "It says: {result}"})
    one.line("ask logs what went wrong")
    shown = one.until("Allow it?")
    assert "ask logs: What went wrong?" in shown
    assert "foundry run logs --output=json" in shown
    one.line("y")
    one.until("It says: logs answers: One error: the disk is full.", patience=30)


@pytest.mark.slow
def test_delete_and_restore_each_with_a_yes(play: Any, there: Home) -> None:
    one = play(call("delete_agent", name="logs"), call("restore_agent", name="logs"), {"text": "Done: {result}"})
    one.line("throw logs away, no, bring it back")
    assert "move the agent logs to the trash" in one.until("Allow it?")
    one.line("y")
    one.until("Allow it?", count=2)
    assert there.names() == ["foundry"]
    one.line("y")
    one.until("Done: logs is back.")
    assert there.names() == ["foundry", "logs"]


@pytest.mark.slow
def test_ctrl_c_ends_the_agent_that_runs(play: Any, there: Home, tmp_path: Path) -> None:
    slow = script(tmp_path / "logs.json", {"text": "too late", "delay": 60})
    assert slow.endswith("logs.json")
    one = play(call("run_agent", name="logs", request="Take your time"), {"text": "never"})
    one.line("go")
    one.until("Allow it?")
    one.line("y")
    one.until("foundry_core.run_agent …")
    one.keys("\x03")
    one.until("interrupted")
    deadline = time.monotonic() + 10
    while not lock.is_free(there.agent("logs").holders):
        assert time.monotonic() < deadline, "the agent runs on"
        time.sleep(0.05)
