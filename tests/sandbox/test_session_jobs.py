"""Background jobs and Python code in a real session: asked about as they are, kept through a cancelled turn, gone at its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.secrets import Redactor
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel
from foundry.models.scripted import script as steps_of
from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.python import Python
from foundry.plugins.standard_lib.terminal import Terminal as TerminalTool
from foundry.plugins.standard_lib.terminal_jobs import end_jobs
from foundry.plugins.strict import bind
from foundry.sandbox import jail
from foundry.session.approvals import Answer, Approvals, Question
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.commands.running import make_runnable, script
from tests.conftest import FOUNDRY
from tests.gate.conftest import Said
from tests.naps import naps
from tests.session.conftest import Desk, Room, call
from tests.session.screens import Terminal

pytestmark = pytest.mark.skipif(jail.probe().level not in ("strong", "kernel"), reason="no jail holds here")
NAP = f"47.{os.getpid()}"
Sessions = Callable[..., tuple[Room, Said]]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Sessions]:
    """Make a session with both tools from the calls that its model makes, and the person's answers."""
    context = ToolContext(tmp_path, f"run-{tmp_path.name}")

    def make(*calls: dict[str, Any], said: Said | None = None, mode: Any = "run") -> tuple[Room, Said]:
        said = said or Said()
        tools = [
            *bind(TerminalTool(context), "terminal", "built-in", context),
            *bind(Python(context), "python", "built-in", context),
        ]
        played = [*({"calls": [one]} for one in calls), {"text": "That is all."}]
        model = ScriptedModel(steps_of({"steps": played}), ModelInfo("scripted:test", 32_000))
        approvals = Approvals(mode, said, work=tmp_path, entrance="test", run="r1")
        return Room(Session(model, Toolbox(tools, Redactor({}), context), approvals), Desk()), said

    yield make
    end_jobs(context.run)


def results(room: Room) -> list[str]:
    room.say("go")
    return [message.content for message in room.session.history if message.role == "tool"]


def test_what_is_asked_is_what_runs_and_looking_and_stopping_are_not_asked(session: Sessions) -> None:
    print("level", jail.probe().level)
    room, said = session(
        call("terminal.start", command="echo begun; sleep 60"),
        call("terminal.jobs", number=1),
        call("terminal.stop", number=1),
        call("python.run", code="print(6 * 7)"),
        said=Said(("yes", "yes")),
    )
    told = results(room)

    assert [one.preview.command for one in said.asked] == ["echo begun; sleep 60", "print(6 * 7)"]
    assert "job 1 runs" in told[0]
    assert "stopped" in told[2]
    assert told[3].startswith("42\n")


def test_a_no_starts_nothing_and_plan_mode_neither(session: Sessions, tmp_path: Path) -> None:
    calls = (call("terminal.start", command="touch made"), call("python.run", code="open('made', 'w')"))
    for mode in ("run", "plan"):
        room, _ = session(*calls, mode=mode)
        assert all(one.startswith("Denied") for one in results(room))
    assert not (tmp_path / "made").exists()


class ChangesIt(Said):
    """Somebody who changes the script while it is asked about, says yes, and then no."""

    script: Path

    async def __call__(self, question: Question) -> Answer:
        self.script.write_text("print('two')")
        return await super().__call__(question)


def test_a_script_changed_between_the_question_and_the_run_is_asked_about_anew(session: Sessions, tmp_path: Path) -> None:
    said = ChangesIt(("yes", "no"))
    said.script = tmp_path / "a.py"
    said.script.write_text("print('one')")
    room, _ = session(call("python.run", path="a.py"), said=said)
    told = results(room)

    assert len({one.preview.scope for one in said.asked}) == len(said.asked) == 2
    assert told[0].startswith("Denied")


@pytest.fixture
def agent(home: Path) -> AgentFolder:
    return make_runnable(Home(home), "scout", tools=["terminal"])


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def chat(agent: AgentFolder, tmp_path: Path) -> Iterator[Terminal]:
    """A chat whose agent has begun a job in the background, and whose next command sleeps."""
    steps = (
        {"calls": [{"name": "terminal.start", "arguments": {"command": f"trap '' HUP INT TERM; sleep {NAP}; true"}}]},
        {"text": "It runs."},
        {"calls": [{"name": "terminal.run", "arguments": {"command": "sleep 300"}}]},
        {"text": "Slept."},
    )
    terminal = Terminal([*FOUNDRY, "run", "scout", "--mode", "auto", "--model", script(tmp_path / "s.json", *steps)], tmp_path)
    terminal.until("\u276f")
    terminal.line("begin")
    terminal.until("It runs.")
    until(lambda: bool(naps(NAP)))
    yield terminal
    terminal.stop()


@pytest.mark.slow
def test_ctrl_c_in_a_turn_leaves_the_job_and_leaving_the_chat_ends_it(chat: Terminal) -> None:
    chat.line("sleep")
    chat.until("terminal.run")
    time.sleep(1)
    chat.keys("\x03")
    chat.until("interrupted")
    assert naps(NAP)
    chat.keys("\x04")

    assert chat.end() == 0
    assert not naps(NAP)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["hang up", signal.SIGTERM, signal.SIGKILL])
def test_the_job_ends_with_the_session_however_it_ends(chat: Terminal, how: Any) -> None:
    if how == "hang up":
        chat.hang_up()
    else:
        os.kill(chat.process.pid, how)

    until(lambda: not naps(NAP))
