"""Sessions whose tools fall into each column of the gate's table, and the people who are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.definition import ApprovalRule
from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import Redactor
from foundry.agent.standing import change_standing
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.plugins.api import Change, Changed, Plan, Preview, ToolContext, effects, kernel_function, planned
from foundry.plugins.strict import BoundTool, bind
from foundry.session.approvals import Answer, Approvals, Question
from foundry.session.limits import Limits
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.session.conftest import Desk, Room, call

__all__ = ["Gate", "Said", "call", "gate"]


class World:
    """One tool for each column; `done` is what really happened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[str] = []
        self.plans = 0
        self.changed = 0  # how often a plan is found to be out of date when it is done

    @kernel_function
    @effects("reads")
    def reads(self, path: str = "a.txt") -> str:
        """Look."""
        return self._did("reads")

    @kernel_function
    @effects("writes")
    @planned
    def writes(self, path: str = "a.txt") -> Plan:
        """Write a file."""
        return self._planned("writes", path)

    @kernel_function
    @effects("runs")
    @planned
    def runs(self, command: str = "make test") -> Plan:
        """Run a command."""
        preview = Preview("Run a command", command=command, folder=str(self.folder), scope=f"the command: {command}")
        return Plan(preview, lambda: self._did("runs"))

    @kernel_function
    @effects("network")
    @planned
    def network(self, host: str = "example.org") -> Plan:
        """Fetch something."""
        return Plan(Preview("Fetch", hosts=(host,), scope=f"the host: {host}"), lambda: self._did("network"))

    @kernel_function
    @effects("writes")
    @planned
    def outside(self, path: str = "../b.txt") -> Plan:
        """Write a file somewhere else."""
        return self._planned("outside", path)

    @kernel_function
    @effects("writes")
    @planned
    def protected(self, path: str = ".bashrc") -> Plan:
        """Write what the system executes."""
        return self._planned("protected", path)

    def _planned(self, name: str, path: str) -> Plan:
        self.plans += 1
        target = (self.folder / path).resolve()
        preview = Preview(f"Write {path}", (Change(target, None, b"x"),), paths=(target,), scope=f"files in {self.folder}")

        def do() -> str:
            if self.changed:
                self.changed -= 1
                raise Changed("It is not what it was.")
            return self._did(name, path)

        return Plan(preview, do)

    def _did(self, name: str, path: str = "") -> str:
        self.done.append(f"{name} {path}".strip())
        return f"did {name}"


class Own:
    """An own plugin's tool that says it only reads."""

    def __init__(self, done: list[str]) -> None:
        self.done = done

    @kernel_function
    @effects("reads")
    def look(self, path: str = "a.txt") -> str:
        """Look."""
        self.done.append("look")
        return "looked"


@dataclass
class Said:
    """Somebody who gives these answers, one after another, then says no; `asked` is what they saw."""

    answers: Sequence[Any] = ()
    asked: list[Question] = field(default_factory=list)

    async def __call__(self, question: Question) -> Answer:
        self.asked.append(question)
        place = len(self.asked) - 1
        answer = self.answers[place] if place < len(self.answers) else "no"
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer) if isinstance(answer, str) else answer  # type: ignore[arg-type]


@dataclass
class Gate:
    """A session behind a gate; `world.done` is what was executed."""

    room: Room
    world: World
    approvals: Approvals
    folder: AgentFolder

    def play(self, text: str = "go") -> list[str]:
        self.end = self.room.say(text)
        return self.world.done

    def results(self) -> list[str]:
        return [message.content for message in self.room.session.history if message.role == "tool"]


Gates = Callable[..., Gate]


@pytest.fixture
def gate(tmp_path: Path) -> Gates:
    """Make a session from the calls that its model makes, each in a round of its own, and then an answer."""
    folder = AgentFolder(tmp_path / "home" / "agents" / "scout")
    folder.workspace.mkdir(parents=True)

    def make(
        *calls: dict[str, Any],
        mode: Any = "run",
        ask: Any = None,
        rules: Sequence[ApprovalRule] = (),
        accepted: bool = False,
        always: Any = None,
        steps: Sequence[dict[str, Any]] = (),
        **limits: Any,
    ) -> Gate:
        world = World(folder.workspace)
        context = ToolContext(folder.workspace)
        own: list[BoundTool] = bind(Own(world.done), "own", "own", context)
        tools = [
            *bind(world, "w", "built-in", context),
            *(replace(tool, code="c0de", accepted=accepted) for tool in own),
        ]
        if accepted:
            change_standing(folder, lambda old: replace(old, accepted={"own": "c0de"}))
        approvals = Approvals(
            mode, ask, folder=folder, rules=rules, work=folder.workspace, entrance="test", run="r1", always=always
        )
        played = [*steps, *({"calls": [one]} for one in calls), {"text": "That is all."}]
        model = ScriptedModel(script({"steps": played}), ModelInfo("scripted:test", 32_000))
        session = Session(model, Toolbox(tools, Redactor({}), context), approvals, limits=Limits(**{"retries": 0, **limits}))
        return Gate(Room(session, Desk()), world, approvals, folder)

    return make
