"""Keys typed at any moment of a chat: a line that was ended with Enter is sent, whatever the session was doing."""

from __future__ import annotations

import os
import shlex
import signal
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.session.screens import Terminal
from tests.session.test_chat import PROMPT, Chats, chat

__all__ = ["chat"]
pytestmark = pytest.mark.slow


def test_between_prompts_enter_is_never_made_a_line_feed(chat: Chats) -> None:
    one = chat({"text": "You said: {user}."}, tools=["clock", "read_write_code"])
    one.until(PROMPT)
    one.line("zero")
    one.until("You said: zero.")
    as_lines, over = list[int](), threading.Event()

    def watch() -> None:
        while not over.is_set():
            flags = termios.tcgetattr(one.process.child_fd)[0]
            if flags & termios.ICRNL:
                as_lines.append(flags)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for word in ("one", "two", "three"):
            one.line("/help")
            one.line(word)
            one.until(f"You said: {word}.")
    finally:
        over.set()
        watcher.join()
    assert not as_lines


def test_lines_typed_at_any_moment_are_all_sent(chat: Chats) -> None:
    one = chat({"text": "You said: {user}."})
    for at in range(30):
        one.line(f"word {at}")
        time.sleep(at * 0.002)
    one.until("You said: word 29.", patience=30)
    assert all(f"You said: word {at}." in one.text for at in range(30))
    one.line("exit")
    assert one.end() == 0


def test_a_line_typed_before_the_program_stood_is_sent_and_half_a_one_is_kept(chat: Chats) -> None:
    one = chat({"text": "You said: {user}."})
    one.line("first")
    one.keys("sec")
    one.until("You said: first.")
    one.line("ond")
    one.until("You said: second.")
    one.line("exit")
    assert one.end() == 0


Shells = Callable[..., Terminal]


@pytest.fixture
def shell(chat: Chats, tmp_path: Path) -> Iterator[Shells]:
    """A shell in which a chat was begun, or a program that runs it; its answers take a while."""
    started: list[Terminal] = []

    def start(
        program: str = "", answer: str = "You said: {user}.", *first: dict[str, Any], in_shell: Sequence[str] = ("sh", "-i")
    ) -> Terminal:
        alone = chat(*first, {"text": answer, "chunk": 1, "delay": 0.1})
        alone.stop()
        words = shlex.join(map(os.fsdecode, alone.process.args))
        (tmp_path / "program").write_text(f"{words}; exit")
        one = Terminal(in_shell, tmp_path, env={"PS1": "shell> "})
        started.append(one)
        one.until("shell>")
        one.line(f"{program} program" if program else words)
        one.until(PROMPT)
        return one

    yield start
    for one in started:
        one.stop()


@pytest.mark.parametrize("by", ["Ctrl+Z", "signal"])
def test_a_suspended_chat_leaves_the_terminal_as_it_was_and_goes_on(shell: Shells, by: str) -> None:
    one = shell()
    if by == "signal":
        os.killpg(os.tcgetpgrp(one.process.child_fd), signal.SIGTSTP)
    else:
        one.keys("\x1a")
    one.until("Stopped")
    assert shows_keys(one)
    one.line("fg")
    one.until(PROMPT)
    one.line("again")
    one.until("You said: again.")
    one.line("exit")
    one.until("shell>", count=3)
    one.line("exit")
    assert one.end() == 0


def test_suspended_during_an_answer_it_leaves_the_terminal_as_it_was_too_and_goes_on(shell: Shells) -> None:
    one = shell()
    one.line("a long word")
    one.until("You said:")
    one.keys("\x1a")
    one.until("Stopped")
    assert shows_keys(one)
    one.line("fg")
    one.until("a long word.")
    assert not shows_keys(one)
    one.line("exit")
    one.until("shell>", count=3)
    one.line("exit")
    assert one.end() == 0


def test_suspended_at_a_question_it_takes_the_answer_afterwards(shell: Shells) -> None:
    one = shell("", "Result: {result}.", {"calls": [{"name": "own.touch", "arguments": {"path": "a.txt"}}]})
    one.line("go")
    one.until("Allow it?")
    one.keys("\x1a")
    one.until("Stopped")
    assert shows_keys(one)
    one.line("fg")
    assert in_front(one, "program")
    one.line("y")
    one.until("Result: touched a.txt.")
    one.line("exit")
    one.until("shell>", count=3)


def test_beside_a_program_that_stops_sooner_it_stops_once_and_goes_on(shell: Shells) -> None:
    # Where the program that started us stands still before us, the shell must bring the terminal back, as sh does not.
    one = shell("sh", "It is " + "a very " * 5 + "long answer.", in_shell=("bash", "--norc", "--noprofile", "-i"))
    one.line("go")
    one.until("It is")
    for _ in range(5):
        one.keys("\x1a")
        assert in_front(one, "shell")
        one.line("fg")
        assert in_front(one, "program")
        time.sleep(0.5)
        assert in_front(one, "program")
    one.until("long answer.", patience=60)
    assert not shows_keys(one)


def in_front(shell: Terminal, who: str) -> bool:
    """Return whether the terminal belongs to the shell or to the program it runs, within some seconds."""
    end = time.monotonic() + 15
    while (os.tcgetpgrp(shell.process.child_fd) == shell.process.pid) is (who == "program"):
        if time.monotonic() > end:
            return False
        shell._read(0.02)
    return True


def shows_keys(one: Terminal) -> bool:
    _, _, _, modes, *_ = termios.tcgetattr(one.process.child_fd)
    return bool(modes & termios.ECHO)
