"""The chat in a real terminal."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.running import MAIN
from tests.model_server import model_server
from tests.session.screens import Terminal

pytestmark = pytest.mark.slow
PROMPT = "\u276f"
PLUGIN = '''"""Touch things."""
from foundry.plugins.api import kernel_function


class Own:
    @kernel_function
    def touch(self, path: str) -> str:
        """Change a file."""
        return f"touched {path}"
'''
Chats = Callable[..., Terminal]


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chats]:
    """Start the agent's main.py on a terminal, its model playing these steps."""
    agent = tmp_path / "talker"
    agent.mkdir()
    (agent / "main.py").write_text(MAIN)
    (agent / "plugins" / "own").mkdir(parents=True)
    (agent / "plugins" / "own" / "__init__.py").write_text(PLUGIN)
    (agent / "workspace").mkdir()
    started: list[Terminal] = []

    def start(*steps: dict[str, Any], columns: int = 80, lines: int = 30, **config: Any) -> Terminal:
        settings = {"name": "talker", "tools": ["clock"], "plugins": ["own"], **config}
        (agent / "agent.config.json").write_text(json.dumps(settings))
        (tmp_path / "script.json").write_text(json.dumps({"steps": list(steps) or [{"text": "ok"}], "loop": True}))
        model = [] if "model" in config else ["--model", "scripted:script.json"]
        terminal = Terminal([sys.executable, "-P", str(agent / "main.py"), *model], tmp_path, columns, lines)
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.stop()


def test_what_is_typed_while_it_loads_is_shown_at_once_and_answered(chat: Chats) -> None:
    one = chat({"text": "You said: {user}"})
    one.until(PROMPT)
    one.line("early bird")
    one.until("You said: early bird")
    one.keys("\x04")
    assert one.end() == 0
    assert "scripted:script.json" in one.text


def test_markdown_streams_and_is_drawn_once(chat: Chats) -> None:
    text = "# Title\n\nSome **bold** words.\n\n- one\n- two\n\n```python\nprint(1)\n\nprint(2)\n```\n\nEnd of it."
    one = chat({"text": text, "chunk": 3, "delay": 0.005})
    one.until(PROMPT)
    one.line("go")
    shown = one.until(PROMPT, count=2)
    assert "**" not in shown
    assert [shown.count(word) for word in ("Title", "bold", "print(1)", "print(2)", "End of it.")] == [1] * 5
    one.line("exit")
    assert one.end() == 0


def test_escape_codes_of_a_model_are_written_out(chat: Chats) -> None:
    one = chat({"text": "a\x1b[2Jb \x1b]0;title\x07 \u202egnp", "chunk": 2})
    one.until(PROMPT)
    one.line("go")
    assert "a^[[2Jb ^[]0;title^G <U+202E>gnp" in one.until("<U+202E>gnp")


def test_ctrl_c_stops_an_answer_keeps_it_and_the_next_turn_is_valid(chat: Chats) -> None:
    slow = {"text": f"one two three {'and on ' * 20}eight", "chunk": 4, "delay": 0.2}
    one = chat(slow, {"text": "Going on."})
    one.until(PROMPT)
    one.line("count")
    one.until("one two")
    one.keys("\x03")
    one.until("interrupted")
    assert "eight" not in one.text
    one.line("and now?")
    one.until("Going on.")
    one.line("/save talk.md")
    one.until("saved to talk.md")
    saved = (Path(str(one.process.cwd)) / "talk.md").read_text()
    assert "[interrupted]" in saved
    one.keys("\x03")
    assert one.end() == 130


def test_several_lines_are_one_message(chat: Chats) -> None:
    one = chat({"text": "[{user}]"})
    one.until(PROMPT)
    one.keys("first\nsecond\x1b\rthird")
    one.until("third")
    one.keys("\x1b[200~ pasted\nlines\x1b[201~\r")
    one.until("lines]")
    assert "[first" in one.text
    one.line("/exit")
    assert one.end() == 0


def test_slash_commands(chat: Chats) -> None:
    one = chat({"text": "Heard {user}."})
    one.until(PROMPT)
    for typed, shown in {
        "/help": "the tools this agent has",
        "/tools": "clock.now",
        "/model": "a window of",
        "/usage": "tokens read",
        "/toools": "Did you mean /tools?",
        "//etc/hosts": "Heard /etc/hosts.",
        "/clear": "forgotten",
        "/save": "/save needs a file",
        "/save script.json": "is already there",
    }.items():
        one.line(typed)
        one.until(shown)
    one.keys("/us\t")
    one.until("/usage")
    one.keys("\x03")
    assert one.end() == 130


def test_an_own_tool_asks_and_what_was_typed_before_does_not_answer(chat: Chats) -> None:
    plan = "I will, and here is why."
    call = {"calls": [{"name": "own.touch", "arguments": {"path": "a.txt"}}], "text": plan, "chunk": 1, "delay": 0.1}
    one = chat(call, {"text": "Result: {result}"})
    one.until(PROMPT)
    one.line("go")
    one.until("I w")
    one.keys("y\r")
    one.until("Allow it?")
    one.line("")
    one.until("Result: Denied. The user declined this call.")
    one.keys("\x15")
    one.line("again")
    one.until("Allow it?", count=2)
    one.line("y")
    assert "path:  a.txt" in one.until("Result: touched a.txt")
    one.line("once more")
    one.until("Allow it?", count=3)
    one.keys("\x03")
    one.until("Result: Denied. The user declined this call.", count=2)


def test_a_providers_failure_is_one_line_and_the_session_goes_on(chat: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[dict[str, Any]] = [
        {"error": {"status": 401, "message": "no"}},
        {"error": {"status": 429, "retry_after": 0.2}},
        {"text": "Fine."},
    ]
    with model_server(steps) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        one = chat(model="openai:scripted")
        one.until(PROMPT)
        one.line("first")
        one.until("error:")
        one.line("second")
        one.until("Fine.")
        assert "Traceback" not in one.text
        one.line("exit")
        assert one.end() == 0


def test_a_model_that_is_not_there_ends_the_chat_at_once(chat: Chats) -> None:
    one = chat(model="scripted:nowhere.json")
    one.until("nowhere.json: not there")
    assert one.end() == 1


@pytest.mark.parametrize("columns", [20, 200])
def test_narrow_and_wide_terminals(chat: Chats, columns: int) -> None:
    one = chat({"text": "word " * 40 + "\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nlast", "chunk": 5}, columns=columns)
    one.until(PROMPT)
    one.line("go")
    one.until("last")
    assert one.text.count("word") >= 40


def test_a_terminal_resized_while_an_answer_comes(chat: Chats) -> None:
    one = chat({"text": "alpha beta gamma delta " * 8 + "\n\nomega", "chunk": 4, "delay": 0.02})
    one.until(PROMPT)
    one.line("go")
    one.until("gamma")
    one.resize(40, 20)
    one.until("omega")
    one.line("exit")
    assert one.end() == 0


def test_a_terminal_that_goes_away_ends_it_without_a_report(chat: Chats, own_world: Path) -> None:
    one = chat({"text": "word " * 300, "chunk": 5, "delay": 0.05})
    one.until(PROMPT)
    one.line("go")
    one.until("word word")
    assert one.hang_up() == 129
    assert not (own_world / "state" / "agent-foundry" / "reports").exists()


def test_sigterm_ends_it_in_good_order(chat: Chats) -> None:
    one = chat({"text": "ok"})
    one.until(PROMPT)
    one.line("go")
    one.until("ok")
    one.process.kill(signal.SIGTERM)
    assert one.end() == 143


def test_enter_typed_while_an_answer_comes_sends_the_line(chat: Chats) -> None:
    one = chat({"text": "You said: {user}.", "chunk": 1, "delay": 0.02})
    one.until(PROMPT)
    one.line("first")
    one.until("You")
    one.line("second")
    one.until("You said: second.")
    one.line("exit")
    assert one.end() == 0


def test_a_tool_is_told_on_a_line_with_what_it_was_given_and_what_came_back(chat: Chats) -> None:
    call = {"calls": [{"name": "own.touch", "arguments": {"path": "a\x1b[2J.txt"}}]}
    one = chat(call, {"text": "Done."})
    one.until(PROMPT)
    one.line("go")
    one.until("Allow it?")
    one.line("y")
    assert 'own.touch(path="a\\u001b[2J.txt") \u2192 touched a^[[2J.txt' in one.until("Done.")


def test_another_model_goes_on_with_the_conversation(chat: Chats, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps({"steps": [{"text": "The other: {user}"}]}))
    one = chat({"text": "The one: {user}"})
    one.until(PROMPT)
    one.line("plum")
    one.until("The one: plum")
    for typed, shown in {
        "/model nonsense": "names no provider",
        "/model openai:any": "foundry env talker set OPENAI_API_KEY",
        "/model scripted:nowhere.json": "not there",
        "/model scripted:other.json": "scripted:other.json (chosen here)",
        "pear": "The other: pear",
        "/save talk.md": "saved to talk.md",
    }.items():
        one.line(typed)
        one.until(shown)
    saved = (tmp_path / "talk.md").read_text()
    assert saved.index("The one: plum") < saved.index("The other: pear")
    one.keys("/model scr")
    one.until("scripted:other.json", count=3)
    one.keys("\t")
    one.until("/model scripted:other.json", count=2)


def test_a_key_set_meanwhile_is_there_for_the_next_model(chat: Chats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with model_server([{"text": "Hello from afar."}]) as server:
        monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
        one = chat()
        one.until(PROMPT)
        one.line("/model openrouter:any")
        one.until("OPENROUTER_API_KEY is not set")
        (tmp_path / "talker" / ".env").write_text("OPENROUTER_API_KEY=or-plumplum-plum\n")
        one.line("/model openrouter:any")
        one.until("openrouter:any (chosen here)")
        one.line("hi")
        one.until("Hello from afar.")
        assert server.requests[-1].headers["authorization"] == "Bearer or-plumplum-plum"


def test_ctrl_c_while_it_still_loads_takes_back_the_question_only(chat: Chats) -> None:
    one = chat({"text": "You said: {user}.", "delay": 2})
    one.until(PROMPT)
    one.line("early")
    one.until("…")
    one.keys("\x03")
    one.until("interrupted")
    one.line("later")
    one.until("You said: later.")
    assert "You said: early." not in one.text
