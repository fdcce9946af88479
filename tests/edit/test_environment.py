"""Packages in edit mode, on a created agent and a real terminal: an environment made apart, put in place, used, taken back."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import code_of
from tests.commands.running import foundry
from tests.conftest import FOUNDRY
from tests.session.screens import Terminal

pytestmark = pytest.mark.slow
PROMPT = "\u276f"
ASKS = "Accept it?"
CODE = """\
import tuner

from foundry.plugins.api import effects, kernel_function


class Tunes:
    @kernel_function(description="Play a tune.")
    @effects()
    def play(self) -> str:
        return f"played by tuner {tuner.WHO}"
"""
TEST = """\
from foundry_plugins.tunes import Tunes


def test_it_plays() -> None:
    assert "tuner" in Tunes().play()
"""
Plays = Callable[..., Terminal]


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"calls": [{"name": tool, "arguments": arguments}]}


def wants(requirement: str) -> dict[str, Any]:
    return call("agent_code.set_dependencies", dependencies=[requirement])


BUILD = [
    call("agent_code.new_plugin", name="tunes", description="Plays tunes.", code=CODE),
    call("agent_code.write_file", path="plugins/tunes/tests/test_tunes.py", content=TEST),
    call("agent_code.propose", summary="A tool that plays tunes."),
]
USE = [call("tunes.play"), {"text": "It was {result}."}]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two versions of the package `foundry-tuner`, which installers look into; no index is needed."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        info = f"foundry_tuner-{version}.dist-info"
        with zipfile.ZipFile(folder / f"foundry_tuner-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tuner/__init__.py", f"WHO = {version!r}\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: foundry-tuner\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", f"tuner/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def agent(home: Path, packages: Path) -> AgentFolder:
    made = foundry("create", "scout", "--no-input", "--tools", "clock")
    assert made.returncode == 0, made.stderr
    return Home(home).agent("scout")


@pytest.fixture
def play(agent: AgentFolder, tmp_path: Path) -> Iterator[Plays]:
    """Start `foundry run scout --edit` on a terminal, its model playing these steps."""
    started: list[Terminal] = []

    def start(*steps: dict[str, Any], words: tuple[str, ...] = ("--edit",)) -> Terminal:
        play_next(tmp_path, *steps)
        argv = [*FOUNDRY, "run", "scout", "--model", "scripted:script.json", *words]
        terminal = Terminal(argv, tmp_path, 120, 60)
        started.append(terminal)
        terminal.until(PROMPT, patience=30)
        return terminal

    yield start
    for one in started:
        one.stop()


def play_next(tmp_path: Path, *steps: dict[str, Any]) -> None:
    """Write the steps that the next process plays."""
    (tmp_path / "script.json").write_text(json.dumps({"steps": steps}))


def left(terminal: Terminal) -> int:
    terminal.keys("\x04")
    return terminal.end()


def made(agent: AgentFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(agent.made.read_text())
    return found


def tuner(agent: AgentFolder) -> list[str]:
    """The versions of the package in the agent's environment."""
    return sorted(one.name for one in agent.venv.glob("lib/python*/site-packages/foundry_tuner-*"))


def with_tuner(agent: AgentFolder, play: Plays, tmp_path: Path, *more: dict[str, Any]) -> Terminal:
    """Build the tool with version 1.0 of the package, accept it, and see it answer in the same turn."""
    one = play(wants("foundry-tuner==1.0"), *BUILD, *USE, *more)
    one.line("Play a tune")
    asked = one.until("Allow it?", patience=30)
    assert "foundry-tuner==1.0" in asked
    assert "the package index" in asked
    one.line("y")
    shown = one.until(ASKS, patience=60)
    assert "foundry-tuner 1.0, new" in shown
    assert "passed" in shown
    assert "tuner" in shown.partition("new imports")[2]
    assert tuner(agent) == [], "made apart: nothing counts before it is accepted"
    one.line("y")
    one.until("It was played by tuner 1.0.", patience=30)
    return one


def test_a_package_is_fetched_apart_and_the_tool_that_needs_it_answers_in_the_same_turn(
    agent: AgentFolder, play: Plays, tmp_path: Path
) -> None:
    before, lock = code_of(agent), agent.lock.read_text()
    one = with_tuner(agent, play, tmp_path)
    assert left(one) == 0

    assert tuner(agent) == ["foundry_tuner-1.0.dist-info"]
    assert "foundry-tuner==1.0" in agent.lock.read_text()
    assert made(agent)["dependencies"] == ["foundry-tuner==1.0"]
    assert json.loads(agent.config.read_text())["dependencies"] == ["foundry-tuner==1.0"]
    assert foundry("sync", "scout", "--json").returncode == 0
    again = play(*USE, words=())
    again.line("And again")
    again.until("It was played by tuner 1.0.", patience=30)
    assert left(again) == 0

    undone = foundry("undo", "scout", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert (code_of(agent), agent.lock.read_text(), tuner(agent)) == (before, lock, [])
    assert made(agent)["dependencies"] == []
    redone = foundry("redo", "scout", "--yes")
    assert redone.returncode == 0, redone.stderr
    assert tuner(agent) == ["foundry_tuner-1.0.dist-info"]


@pytest.mark.prove
def test_another_version_of_what_is_loaded_restarts_the_session_with_its_conversation(
    agent: AgentFolder, play: Plays, tmp_path: Path
) -> None:
    propose = call("agent_code.propose", summary="The newer tuner.")
    one = with_tuner(agent, play, tmp_path, wants("foundry-tuner==2.0"), propose, {"text": "It said: {result}"})
    one.line("Now the newer one")
    one.until("Allow it?", count=2, patience=30)
    one.line("y")
    shown = one.until(ASKS, count=2, patience=60)
    assert "foundry-tuner 1.0 → 2.0" in shown
    play_next(tmp_path, *USE)
    one.line("y")
    one.until("the session restarts with the same conversation", patience=30)
    one.until("the conversation goes on", patience=30)
    assert tuner(agent) == ["foundry_tuner-2.0.dist-info"]

    one.line("Play it with that one")
    one.until("It was played by tuner 2.0.", patience=30)
    one.line("/save talk.md")
    one.until("talk.md", count=2)
    assert left(one) == 0
    talk = (tmp_path / "talk.md").read_text()
    assert all(said in talk for said in ("Play a tune", "played by tuner 1.0", "Now the newer one", "played by tuner 2.0"))
    assert one.text.count("mode edit") == 2, "the new process is in edit mode too"


def test_what_is_said_no_to_is_not_fetched(agent: AgentFolder, play: Plays) -> None:
    before = code_of(agent)
    one = play(wants("foundry-tuner==1.0"), {"text": "It said: {result}"})
    one.line("Play a tune")
    one.until("Allow it?", patience=30)
    one.line("n")
    one.until("It said:", patience=30)
    assert left(one) == 0
    assert (code_of(agent), tuner(agent)) == (before, [])


def test_a_package_that_is_nowhere_is_told_to_the_model(agent: AgentFolder, play: Plays) -> None:
    one = play(wants("foundry-tuner==3.0"), {"text": "It said: {result}"})
    one.line("Play a tune")
    one.until("Allow it?", patience=30)
    one.line("y")
    one.until("It said: The environment cannot be made", patience=60)
    assert left(one) == 0


def test_an_undo_whose_packages_are_not_there_changes_nothing_and_says_so(
    agent: AgentFolder, play: Plays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = with_tuner(agent, play, tmp_path)
    assert left(one) == 0
    after, record = code_of(agent), made(agent)

    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    undone = foundry("undo", "scout", "--yes")

    assert undone.returncode != 0
    assert "without the network, so nothing was changed" in undone.stderr
    assert (code_of(agent), made(agent), tuner(agent)) == (after, record, ["foundry_tuner-1.0.dist-info"])
    again = play(*USE, words=())
    again.line("And again")
    again.until("It was played by tuner 1.0.", patience=30)
    assert left(again) == 0
