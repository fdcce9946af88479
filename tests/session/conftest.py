"""A session in this process: the scripted model, a toolbox of real tools, and a person with a fixed answer."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

from foundry.agent.secrets import Redactor
from foundry.messages import Event, Message, TurnEnded
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.plugins.api import ToolContext, effects, kernel_function
from foundry.plugins.strict import bind
from foundry.session.approvals import Answer, Approvals, Question
from foundry.session.limits import Limits
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.session.asking import ASKS, Asks
from tests.session.screens import Terminal


class Desk:
    """Tools with an end of every kind."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.stopped: list[str] = []

    @kernel_function
    @effects("reads")
    def add(self, a: int, b: Annotated[int, "The other number"] = 0) -> int:
        """Add two numbers."""
        self.done.append(f"add {a} {b}")
        return a + b

    @kernel_function
    @effects("reads")
    async def slow(self, seconds: float, word: str = "slow") -> str:
        """Wait, then say a word."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.stopped.append(word)
            raise
        self.done.append(word)
        return word

    @kernel_function
    @effects("reads")
    def leave(self) -> str:
        """Try to end the process."""
        raise SystemExit(3)

    @kernel_function
    @effects("reads")
    def odd_names(self, arguments: str, kernel: int, settings: str = "", given: str = "") -> str:
        """Take parameters that Semantic Kernel would fill itself."""
        return f"{arguments} {kernel} {settings} {given}"

    @kernel_function
    @effects("reads")
    def secret(self) -> str:
        """Return what must not be seen."""
        return "the key is hunter2-hunter2"

    @kernel_function
    @effects("reads")
    def long_secret(self) -> str:
        """Return so much that the cut goes through the secret."""
        return "hunter2-hunter2 " * 2_000


class Own:
    """A tool whose code the agent brought."""

    @kernel_function
    def touch(self, path: str) -> str:
        """Change a file."""
        return f"touched {path}"


@dataclass
class Person:
    """Somebody who gives the same answer to every question."""

    answer: bool
    asked: list[Question] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, question: Question) -> Answer:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        self.asked.append(question)
        return Answer("yes" if self.answer else "no")


class Room:
    """A session and what happened in it."""

    def __init__(self, session: Session, desk: Desk) -> None:
        self.session = session
        self.desk = desk
        self.events: list[Event] = []

    def say(self, text: str, until: Callable[[Event], bool] | None = None) -> TurnEnded:
        """Play a turn and return its end; it is cancelled, as by Ctrl+C, after the first event that `until` accepts."""
        return asyncio.run(self._say(text, until))

    async def _say(self, text: str, until: Callable[[Event], bool] | None) -> TurnEnded:
        self.events = []
        task = asyncio.current_task()
        assert task
        async with aclosing(self.session.turn(text)) as events:
            async for event in events:
                self.events.append(event)
                if until and until(event):
                    asyncio.get_running_loop().call_later(0.05, task.cancel)
        end = self.events[-1]
        assert isinstance(end, TurnEnded)
        assert_valid(self.session.history)
        return end

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def roles(self) -> str:
        return " ".join(message.role for message in self.session.history)


def assert_valid(history: list[Message]) -> None:
    """A history that every provider takes: turns begin with the user, end with the assistant, and each call has its answer."""
    before = "assistant"
    open_calls: list[str] = []
    for message in history:
        if open_calls:
            assert message.role == "tool"
            assert message.call_id == open_calls.pop(0)
        else:
            assert message.role != before or message.role == "tool", history
            assert message.role != "tool", history
        if message.role == "assistant":
            assert message.content or message.calls
            open_calls = [call.id for call in message.calls]
        before = "assistant" if message.role == "assistant" else "user"
    assert not open_calls
    assert not history or history[-1].role == "assistant"


Sessions = Callable[..., Room]


@pytest.fixture
def room(tmp_path: Path) -> Sessions:
    """Make a session from script steps; keywords: mode, ask, window, clean, and those of Limits."""

    def make(*steps: dict[str, Any], mode: Any = "run", ask: Any = None, window: int = 32_000, **more: Any) -> Room:
        redactor = Redactor(more.pop("secrets", {}))
        desk = Desk()
        context = ToolContext(tmp_path, limit=5_000)
        tools = [*bind(desk, "desk", "built-in", context), *bind(Own(), "own", "own", context)]
        model = ScriptedModel(script({"steps": list(steps)}), ModelInfo("scripted:test", window))
        limits = Limits(**{"retries": 0, **more})
        session = Session(
            model, Toolbox(tools, redactor), Approvals(mode, ask), system="You are a test.", limits=limits, clean=redactor.clean
        )
        return Room(session, desk)

    return make


def call(name: str, call_id: str = "", **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments, **({"id": call_id} if call_id else {})}


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Asks]:
    """Start a process on a terminal that asks these questions."""
    started: list[Terminal] = []
    (tmp_path / "asks.py").write_text(ASKS)

    def start(*questions: dict[str, Any], columns: int = 80, lines: int = 30, env: dict[str, str] | None = None) -> Terminal:
        (tmp_path / "questions.json").write_text(json.dumps(questions))
        argv = [sys.executable, "-P", str(tmp_path / "asks.py"), str(tmp_path / "questions.json")]
        started.append(Terminal(argv, tmp_path, columns, lines, {"VISUAL": "", "EDITOR": "", **(env or {})}))
        return started[-1]

    yield start
    for terminal in started:
        terminal.stop()
