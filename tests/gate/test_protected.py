"""What Foundry or the system later executes or trusts: asked each time in every mode, or refused, by whatever name and route."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent.definition import AgentDefinition, ApprovalRule
from foundry.agent.folder import AgentFolder
from foundry.agent.policy import Action
from foundry.agent.secrets import Redactor
from foundry.agent.standing import Grant, change_standing, decisions_file, standing_of
from foundry.messages import ToolDecided
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.plugins.api import is_protected, is_trusted, plain_name
from foundry.session.allowed import Allowed
from foundry.session.approvals import Approvals
from foundry.session.limits import Limits
from foundry.session.session import Session
from foundry.session.toolbox import open_toolbox
from foundry.settings import state_folder
from tests.gate.conftest import Said, call
from tests.session.conftest import Desk, Room

REFUSED = [
    ".env", ".ENV", ".env.local", ".envrc", ".git/config", ".GIT/hooks/pre-commit", ".git\u200b/config",
    "\uff0egit/config", ".foundry.json", ".foundry-staged/new/main.py", ".ssh/authorized_keys", ".ssh", ".netrc",
    ".aws/credentials", "agent.config.json", "Agent.Config.JSON", "sub/agent.config.json", "agent.config\u00ad.json",
    "../agent.config.json", "../main.py", "../plugins/own/__init__.py", "../.env", "../venv/bin/python", "out/main.py",
    "out/plugins/own/__init__.py", "hard", "state/x",
]  # fmt: skip
ASKED = [
    ".bashrc", ".BashRC", ".bash_profile", ".zshrc", ".zshenv", ".profile", ".config/fish/config.fish",
    ".config/git/config", ".config/autostart/x.desktop", ".gitconfig", ".vscode/tasks.json", ".husky/pre-commit",
    ".pre-commit-config.yaml", "venv/bin/python", ".venv/lib/x.py", "deep/venv/x", "x.pth", "sitecustomize.py",
    "inner/plugins/a/__init__.py", "inner/main.py", "inner/requirements.lock", ".mcp.json",
]  # fmt: skip
FREE = [
    "a.txt",
    "main.py",
    "plugins/a.py",
    "requirements.lock",
    "src/venvs.py",
    "bashrc",
    "git/config",
    "inner/notes.txt",
    "fish/a",
]


@pytest.fixture
def scout(home: Path) -> AgentFolder:
    """An agent whose workspace holds another agent's folder, links out of it and a second name of its .env."""
    folder = AgentFolder(home / "agents" / "scout")
    (folder.plugins / "own").mkdir(parents=True)
    (folder.workspace / "inner").mkdir(parents=True)
    folder.config.write_text('{"name": "scout"}')
    (folder.workspace / "inner" / "agent.config.json").write_text('{"name": "inner"}')
    (folder.path / "main.py").write_text("1")
    folder.env_file.write_text("KEY=hunter2-hunter2\n")
    (folder.workspace / "out").symlink_to(folder.path)
    (folder.workspace / "state").symlink_to(state_folder())
    (folder.workspace / "hard").hardlink_to(folder.env_file)
    return folder


def session(folder: AgentFolder, work: Path, calls: list[dict[str, Any]], ask: Any, mode: Any = "auto") -> Room:
    """The agent's real file tools behind a gate whose rules, grants and session all say always."""
    redactor = Redactor({})
    definition = AgentDefinition("scout", tools=("read_write_code",))
    toolbox, _ = open_toolbox(folder, definition, work, run="r", limit=5_000, redactor=redactor)
    always = [Grant(f"read_write_code.{one}", f"files in {work.resolve()}", "") for one in ("write_file", "move", "delete")]
    change_standing(folder, lambda old: old.__class__(old.path, "made", grants=tuple(always)))
    rules = (ApprovalRule("allow"), ApprovalRule("allow", paths=("**", "/**")))
    session = Allowed({one: Action(one.tool, frozenset(("writes",))) for one in always})
    approvals = Approvals(mode, ask, folder=folder, rules=rules, work=work, always=session)
    model = ScriptedModel(
        script({"steps": [*({"calls": [one]} for one in calls), {"text": "ok"}]}), ModelInfo("scripted:t", 32_000)
    )
    return Room(Session(model, toolbox, approvals, limits=Limits(retries=0, rounds=200, calls=0)), Desk())


def picture(*places: Path) -> dict[str, Any]:
    def files() -> Iterator[Path]:
        for place in places:
            yield from (one for one in place.rglob("*") if one.is_file() and not one.is_symlink())

    return {str(one): one.read_bytes() for one in files()}


def write(path: str) -> dict[str, Any]:
    return call("read_write_code.write_file", path=path, content="taken over")


@pytest.mark.parametrize("path", REFUSED)
def test_secrets_and_the_agents_own_are_refused_without_a_question(scout: AgentFolder, path: str) -> None:
    person = Said(["yes"] * 9)
    calls = [write(path), call("read_write_code.delete", path=path), call("read_write_code.move", path="inner/n", to=path)]
    (scout.workspace / "inner" / "n").write_text("x")
    before = picture(scout.path)
    room = session(scout, scout.workspace, calls, person)
    room.say("go")
    assert person.asked == []
    assert picture(scout.path) == before
    assert all(not message.content.startswith("Wrote") for message in room.session.history if message.role == "tool")


@pytest.mark.parametrize("mode", ["plan", "run", "edit", "auto"])
@pytest.mark.parametrize("path", ASKED)
def test_what_is_trusted_asks_each_time_whatever_was_allowed(scout: AgentFolder, path: str, mode: str) -> None:
    person = Said(["always_agent", "always", "no"])
    before = picture(scout.path)
    room = session(scout, scout.workspace, [write(path)] * 3, person, mode)
    room.say("go")
    assert picture(scout.path) == before
    assert len(person.asked) == (0 if mode == "plan" else 3)
    assert not any(one.always or one.lasting for one in person.asked)
    assert not any(event.decision.allowed for event in room.of(ToolDecided))
    assert len(standing_of(scout).grants) == 3


@pytest.mark.parametrize("path", ASKED)
def test_moving_something_there_asks_too(scout: AgentFolder, path: str) -> None:
    (scout.workspace / "n").write_text("x")
    person = Said()
    session(scout, scout.workspace, [call("read_write_code.move", path="n", to=path)], person).say("go")
    assert len(person.asked) == 1


@pytest.mark.parametrize("path", FREE)
def test_ordinary_names_are_written_in_auto_mode(scout: AgentFolder, path: str) -> None:
    session(scout, scout.workspace, [write(path)], None).say("go")
    assert (scout.workspace / path).read_text() == "taken over"


def test_a_wide_working_folder_leaves_the_home_and_the_state_out(scout: AgentFolder, home: Path, tmp_path: Path) -> None:
    state = decisions_file(scout).parent
    state.mkdir(parents=True, exist_ok=True)
    (home / ".foundry" / "history").mkdir(parents=True)
    (home / ".foundry" / "history" / "head.json").write_text("{}")
    reach = [home / "agents" / "other" / "a.txt", home / ".foundry" / "history" / "head.json", state / "x.json", scout.config]
    calls = [write(str(path.relative_to(tmp_path))) for path in reach]
    before = picture(home)
    room = session(scout, tmp_path, calls, Said(["yes"] * 9))
    room.say("go")
    assert picture(home) == before
    assert not (state / "x.json").exists()


@given(st.sampled_from([".git", ".env", ".ssh", ".foundry.json"]), st.data())
def test_no_spelling_of_a_secret_name_gets_by(name: str, data: st.DataObject) -> None:
    letters = [one.upper() if data.draw(st.booleans()) else one for one in name]
    for _ in range(data.draw(st.integers(0, 3))):
        letters.insert(
            data.draw(st.integers(0, len(letters))), data.draw(st.sampled_from("\u200b\u200d\u2060\ufeff\u00ad\u202e"))
        )
    assert is_protected("".join(letters) + data.draw(st.sampled_from(["", " ", ".", " ."])))


@given(st.text(max_size=12).filter(lambda text: "/" not in text and "\0" not in text))
def test_a_plain_name_is_never_empty_and_settles(name: str) -> None:
    assert bool(plain_name(name)) == bool(name)
    assert is_protected(name) == is_protected(name.upper()) or not name.isascii()


def test_the_names_around_the_working_folder_say_nothing(tmp_path: Path) -> None:
    work = tmp_path / "venv" / ".vscode" / "work"
    assert is_trusted(work / "a.txt")
    assert not is_trusted(work / "a.txt", work)
    assert is_trusted(work / ".bashrc", work)
    assert os.path.relpath(work, tmp_path) == "venv/.vscode/work"
