"""What fails in a chat's background, such as a tool's own task: a line, and a report that can be sent; the chat goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.session.screens import Terminal
from tests.session.test_chat import PROMPT, Chats, chat

__all__ = ["chat"]
pytestmark = pytest.mark.slow
PLUGIN = '''"""Begin what fails."""
import asyncio
import threading
from foundry.plugins.api import effects, kernel_function


async def failing(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise ValueError("no such star \\x1b[2J sk-canary-000000")


class Odd:
    def __del__(self) -> None:
        raise KeyError("odd")


class Own:
    @kernel_function
    @effects()
    async def begin(self, seconds: float) -> str:
        """Begin it."""
        asyncio.get_running_loop().call_later(seconds, lambda: 1 / 0)
        self.task = asyncio.ensure_future(failing(seconds))
        threading.Timer(seconds, lambda: [].pop()).start()
        asyncio.get_running_loop().call_later(seconds, Odd)
        return "begun"

    @kernel_function
    @effects()
    async def forget(self) -> str:
        """Forget about it."""
        await asyncio.sleep(0.1)
        del self.task
        return "forgotten"
'''


@pytest.fixture
def failing(chat: Chats, tmp_path: Path) -> Chats:
    """Start the agent whose tool begins what fails so many seconds later."""

    def start(seconds: float, *steps: dict[str, Any]) -> Terminal:
        (tmp_path / "talker" / "plugins" / "own" / "__init__.py").write_text(PLUGIN)
        (tmp_path / "talker" / ".env").write_text("STAR=sk-canary-000000\n")
        begin = {"calls": [{"name": "own.begin", "arguments": {"seconds": seconds}}]}
        forget = {"calls": [{"name": "own.forget", "arguments": {}}]}
        return chat(begin, *steps, forget, {"text": "Result: {result}."}, env=["STAR"])

    return start


def test_at_the_prompt_it_is_a_line_above_it_and_a_report(failing: Chats, tmp_path: Path) -> None:
    one = failing(2.0, {"text": "Result: {result}."})
    one.until(PROMPT)
    one.line("begin")
    one.until("Allow it?")
    one.line("y")
    one.until("Result: begun.")
    one.keys("half a")
    for told in ("ZeroDivisionError: division by zero", "IndexError: pop from empty list", "KeyError: 'odd'"):
        one.until(told)
    one.line(" word")
    one.until("Allow it?", count=2)
    one.line("y")
    one.until("Result: forgotten.")
    one.until("ValueError: no such star ^[[2J [STAR]")
    one.line("exit")
    assert one.end() == 0
    assert "half a word" in one.text
    assert not any(word in one.text for word in ("Traceback", "Press ENTER", "canary"))
    reports = sorted(report.read_text() for report in (tmp_path / "user").rglob("reports/*.txt"))
    assert len(reports) == 4
    assert any(report.endswith("ZeroDivisionError: division by zero\n") for report in reports)
    assert any(report.endswith("ValueError: no such star ^[[2J [STAR]\n") for report in reports)


def test_in_a_one_shot_it_is_said_beside_the_answer(failing: Chats, tmp_path: Path) -> None:
    alone = failing(0.02)
    alone.stop()
    one = Terminal([*map(os.fsdecode, alone.process.args), "-p", "begin"], tmp_path)
    try:
        for count in (1, 2):
            one.until("Allow it?", count=count)
            one.line("y")
        one.until("Result: forgotten.")
        assert one.end() == 0
    finally:
        one.stop()
    assert "ValueError: no such star ^[[2J [STAR]" in one.text
    assert "canary" not in one.text
