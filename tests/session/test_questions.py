"""A person is asked on a real terminal: nothing but their own answer is one."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands.running import MAIN
from tests.session.asking import ASKS, Asks, answered
from tests.session.screens import Terminal

pytestmark = pytest.mark.slow


PLAIN: dict[str, Any] = {"arguments": {"path": "a.txt"}, "why": "an own plugin"}
OFFERED: dict[str, Any] = {**PLAIN, "always": "files in /x", "lasting": True}


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        *((typed, "yes") for typed in ("y", "yes", "Y", " y ", "q\x7fy")),
        ("a", "always"),
        ("A", "always_agent"),
        *((typed, "no") for typed in ("n", "", "N", "x", "yy", "y y", "ye", "\u0443", "\x1b[A", "\x1b[Ay", "y\x1b[D", "1", "y;")),
        *((typed, "no") for typed in ("E Y", "ok", "true", "\u200by")),
    ],
)
def test_only_an_offered_answer_and_enter_is_one(ask: Asks, typed: str, kind: str) -> None:
    one = ask(OFFERED)
    one.until("Allow it?")
    one.line(typed)
    assert answered(one)["kind"] == kind


@pytest.mark.parametrize("question", [PLAIN, {**PLAIN, "always": "files in /x"}])
def test_an_always_that_is_not_offered_is_a_no(ask: Asks, question: dict[str, Any]) -> None:
    one = ask(question, question)
    offered = "this session" in one.until("Allow it?")
    assert offered == ("always" in question)
    assert "this agent" not in one.text
    one.line("A")
    assert answered(one)["kind"] == "no"
    one.until("Allow it?", count=2)
    one.line("a")
    assert answered(one, 2)["kind"] == ("always" if offered else "no")


@pytest.mark.parametrize("keys", ["\x04", "y\x04", "\x03", "y\x03"])
def test_the_end_of_input_and_ctrl_c_are_a_no(ask: Asks, keys: str) -> None:
    one = ask(PLAIN, PLAIN)
    one.until("Allow it?")
    for key in keys:
        one.keys(key)
        time.sleep(0.1)
    assert answered(one)["kind"] == "no"
    one.until("Allow it?", count=2)
    one.line("y")
    assert answered(one, 2)["kind"] == "yes"
    one.until("all asked")


@pytest.mark.parametrize("early", ["y\r", "y\ry\ry\r", "y", "A\n", "\r\r"])
def test_what_was_typed_before_does_not_answer(ask: Asks, early: str) -> None:
    one = ask({**OFFERED, "before": 1})
    one.until("working")
    one.keys(early)
    one.until("Allow it?")
    time.sleep(0.3)
    one.keys("\r")
    assert answered(one)["kind"] == "no"


def test_without_a_terminal_it_is_a_no(ask: Asks, tmp_path: Path) -> None:
    for given in ("/dev/null", "questions.json", "-"):
        (tmp_path / "questions.json").write_text(json.dumps([PLAIN]))
        (tmp_path / "asks.py").write_text(ASKS)
        from_where = "<&-" if given == "-" else f"< {given}"
        command = f"'{sys.executable}' -P asks.py questions.json {from_where}"
        one = Terminal(["/bin/sh", "-c", command], tmp_path)
        try:
            assert answered(one)["kind"] == "no"
        finally:
            one.stop()


PLUGIN = '''"""Touch things."""
from pathlib import Path
from foundry.plugins.api import kernel_function


class Own:
    @kernel_function
    def touch(self, path: str) -> str:
        """Change a file."""
        Path(__file__).with_name("touched").write_text(path)
        return f"touched {path}"
'''


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """An agent with a tool of its own, which its model calls at once."""
    folder = tmp_path / "talker"
    (folder / "plugins" / "own").mkdir(parents=True)
    (folder / "workspace").mkdir()
    (folder / "main.py").write_text(MAIN)
    (folder / "plugins" / "own" / "__init__.py").write_text(PLUGIN)
    (folder / "agent.config.json").write_text(json.dumps({"name": "talker", "plugins": ["own"], "model": "scripted:script.json"}))
    steps = [{"calls": [{"name": "own.touch", "arguments": {"path": "a.txt"}}]}, {"text": "Result: {result}"}]
    (tmp_path / "script.json").write_text(json.dumps({"steps": steps}))
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, 137)])
@pytest.mark.parametrize("request_", ["", "-p go"])
def test_a_session_that_is_ended_at_the_question_does_nothing(agent: Path, number: int, code: int, request_: str) -> None:
    (agent.parent / "start").write_text(f"echo $$ > pid; exec '{sys.executable}' -P talker/main.py {request_}")
    one = Terminal(["/bin/sh", "-c", "/bin/sh start; echo ended $?; stty -a; echo stty ended"], agent.parent)
    try:
        if not request_:
            one.until("\u276f")
            one.line("go")
        one.until("Allow it?")
        os.kill(int((agent.parent / "pid").read_text()), number)
        one.until(f"ended {code}")
        if number != signal.SIGKILL:
            assert {"icanon", "echo", "icrnl"} <= set(one.until("stty ended").replace(";", " ").split())
    finally:
        one.stop()
    assert not (agent / "plugins" / "own" / "touched").exists()


@pytest.mark.parametrize(("typed", "result"), [("y", "touched a.txt"), ("", "declined")])
def test_one_shot_asks_on_the_terminal_while_the_answer_goes_to_a_file(agent: Path, typed: str, result: str) -> None:
    command = f"'{sys.executable}' -P talker/main.py -p go > answer.txt"
    one = Terminal(["/bin/sh", "-c", command], agent.parent, columns=20)
    try:
        one.until("[y/n/e/c")
        assert "a.txt" in one.text
        one.line(typed)
        assert one.end() in (0, 6)
    finally:
        one.stop()
    assert result in (agent.parent / "answer.txt").read_text()
    assert (agent / "plugins" / "own" / "touched").exists() == (typed == "y")


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_the_chat_asks_and_goes_on(agent: Path, columns: int) -> None:
    one = Terminal([sys.executable, "-P", str(agent / "main.py")], agent.parent, columns)
    try:
        one.until("\u276f")
        one.line("go")
        label = "[y/n/e/c" if columns == 20 else "Allow it?"
        assert "a.txt" in one.until(label)
        one.resize(60, 24)
        time.sleep(0.5)
        one.until("Allow it?", count=1 if columns == 20 else 2)
        one.line("y")
        one.until("Result: touched a.txt")
        one.line("/exit")
        assert one.end() == 0
    finally:
        one.stop()


def test_a_comment_goes_to_the_model(ask: Asks) -> None:
    one = ask(PLAIN, PLAIN, PLAIN)
    one.until("Allow it?")
    one.line("c")
    one.until("Say to the model:")
    one.line("use b.txt, grüße")
    assert answered(one) == {"kind": "comment", "text": "use b.txt, grüße", "arguments": None}
    for count, keys in ((2, "\r"), (3, "\x03")):
        one.until("Allow it?", count=count)
        one.line("c")
        one.until("Say to the model:", count=count)
        one.keys(keys)
        assert answered(one, count)["kind"] == "no"


def test_arguments_are_edited_in_the_editor(ask: Asks, tmp_path: Path) -> None:
    editor = tmp_path / "my editor"
    editor.write_text(
        '#!/bin/sh\ncp "$1" seen.json\nsed -i \'s/a.txt/b.txt/\' "$1"\ntest -t 0 && test -t 1 && stty -a > tty.txt\n'
    )
    editor.chmod(0o755)
    one = ask({"arguments": {"path": "a.txt", "text": "x\x1b\u202e\U000e0041 é 漢", "many": [1]}}, env={"VISUAL": f"'{editor}'"})
    one.until("Allow it?")
    one.line("e")
    edited = {"path": "b.txt", "text": "x\x1b\u202e\U000e0041 é 漢", "many": [1]}
    assert answered(one) == {"kind": "edit", "text": "", "arguments": edited}
    assert json.loads((tmp_path / "seen.json").read_text()) == {**edited, "path": "a.txt"}
    assert "\\u202e" in (tmp_path / "seen.json").read_text()
    assert "icanon" in (tmp_path / "tty.txt").read_text().split()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("true", ""),
        ("echo nonsense > $1", "This is not JSON"),
        ("echo [] > $1", "must be a JSON object"),
        ("exit 3", "ended with 3"),
        (None, "set VISUAL or EDITOR"),
        ("", "there/is/none"),
    ],
)
def test_an_edit_that_comes_to_nothing_asks_again(ask: Asks, tmp_path: Path, script: str | None, said: str) -> None:
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o755)
    one = ask(PLAIN, env={} if script is None else {"EDITOR": str(editor) if script else "/there/is/none"})
    one.until("Allow it?")
    one.line("e")
    one.until("Allow it?", count=2)
    assert said in " ".join(one.text.split())
    one.line("")
    assert answered(one)["kind"] == "no"


def test_a_secret_is_typed_unseen(ask: Asks) -> None:
    one = ask({"before": "secret"}, {"before": "secret"})
    one.until("API_TOKEN (not shown):")
    one.keys("hunter2hunter2")
    time.sleep(0.3)
    one.until("wants it")
    assert "hunter2" not in one.text
    one.keys("\r")
    one.until("given: hunter2hunter2")
    one.until("API_TOKEN (not shown):", count=2)
    one.keys("\x03")
    one.until("all asked")
    assert one.text.count("given:") == 2
    assert one.text.count("given: hunter2hunter2") == 1
