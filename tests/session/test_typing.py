"""Keys typed at any moment of a chat: a line that was ended with Enter is sent, whatever the session was doing."""

from __future__ import annotations

import os
import shlex
import signal
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def shell(chat: Chats, tmp_path: Path) -> Iterator[Terminal]:
    """A shell in which a chat was begun, whose answers take a while."""
    alone = chat({"text": "You said: {user}.", "chunk": 1, "delay": 0.1})
    alone.stop()
    one = Terminal(["sh", "-i"], tmp_path, env={"PS1": "shell> "})
    one.until("shell>")
    one.line(shlex.join(map(os.fsdecode, alone.process.args)))
    one.until(PROMPT)
    yield one
    one.stop()


@pytest.mark.parametrize("by", ["Ctrl+Z", "signal"])
def test_a_suspended_chat_leaves_the_terminal_as_it_was_and_goes_on(shell: Terminal, by: str) -> None:
    if by == "signal":
        os.killpg(os.tcgetpgrp(shell.process.child_fd), signal.SIGTSTP)
    else:
        shell.keys("\x1a")
    shell.until("Stopped")
    assert shows_keys(shell)
    shell.line("fg")
    shell.until(PROMPT)
    shell.line("again")
    shell.until("You said: again.")
    shell.line("exit")
    shell.until("shell>", count=3)
    shell.line("exit")
    assert shell.end() == 0


def test_suspended_during_an_answer_it_leaves_the_terminal_as_it_was_too_and_goes_on(shell: Terminal) -> None:
    shell.line("a long word")
    shell.until("You said:")
    shell.keys("\x1a")
    shell.until("Stopped")
    assert shows_keys(shell)
    shell.line("fg")
    shell.until("a long word.")
    assert not shows_keys(shell)
    shell.line("exit")
    shell.until("shell>", count=3)
    shell.line("exit")
    assert shell.end() == 0


def shows_keys(shell: Terminal) -> bool:
    _, _, _, modes, *_ = termios.tcgetattr(shell.process.child_fd)
    return bool(modes & termios.ECHO)
