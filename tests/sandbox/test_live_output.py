"""A command's output on the person's screen while it runs: whole lines, no secrets, no flood, nothing that acts on a terminal."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.secrets import Redactor
from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.terminal import Terminal as TerminalTool
from foundry.plugins.standard_lib.terminal_output import Output, Screen
from foundry.sandbox import jail
from tests.commands.running import make_runnable, script
from tests.conftest import FOUNDRY
from tests.session.screens import Terminal

JAILED = pytest.mark.skipif(jail.probe().level not in ("strong", "kernel"), reason="no jail holds here")


def shown(*pieces: str) -> list[str]:
    said: list[str] = []
    screen = Screen(said.append, clock=lambda: 0.0)
    for one in pieces:
        screen.write(one)
    screen.end()
    return "\n".join(said).split("\n") if said else []


@given(st.lists(st.text("ab\u00e4 \n", max_size=12), max_size=20))
def test_lines_are_the_same_in_whatever_pieces_they_come(pieces: list[str]) -> None:
    whole = "".join(pieces)

    assert shown(*pieces) == (whole.removesuffix("\n").split("\n") if whole else [])


def test_a_bar_that_is_drawn_over_itself_is_shown_as_it_stands_at_last() -> None:
    assert shown("10 %\r20 %", "\r30 %\r\n", "done\n") == ["30 %", "done"]
    assert shown(*(f"{n} %\r" for n in range(10_000)))[-1] == "9999 %"


def test_a_flood_shows_its_beginning_a_few_lines_now_and_then_and_its_end() -> None:
    said: list[str] = []
    now = [0.0]
    screen = Screen(said.append, clock=lambda: now[0])
    for number in range(100_000):
        now[0] += 0.001
        screen.write(f"line {number}\n")
    screen.end()
    lines = "\n".join(said).split("\n")

    assert len(lines) < 1100
    assert lines[:2] == ["line 0", "line 1"]
    assert lines[-1] == "line 99999"
    counted = sum(int(line.split()[1].replace(",", "")) for line in lines if line.endswith("not shown"))
    assert counted + sum(line.startswith("line") for line in lines) == 100_000


@given(st.lists(st.integers(1, 12), max_size=12))
def test_a_secret_is_named_in_whatever_pieces_it_comes(sizes: list[int]) -> None:
    said: list[str] = []
    context = ToolContext(Path(), show=said.append, cleaner=Redactor({"KEY": "hunter2-hunter2"}).stream)
    output, text = Output(context), "it is hunter2-hunter2 and hunter2-hunter2\n"
    for size in sizes:
        output.write("out", text[:size])
        output.write("err", "beside\n")
        text = text[size:]
    output.write("out", text)
    output.end()

    for told in (output.out, output.news(), "".join(said)):
        assert "hunter2" not in told
    assert output.out == "it is [KEY] and [KEY]\n"


@JAILED
def test_lines_come_while_the_command_runs_and_the_result_is_whole(tmp_path: Path) -> None:
    came: list[tuple[str, float]] = []
    began = time.monotonic()
    context = ToolContext(tmp_path, show=lambda text: came.append((text, time.monotonic() - began)))
    told = TerminalTool(context).run("echo one; sleep 1; printf 'tw\\303'; sleep 0.3; printf '\\266\\n' >&1; seq 1 5000").do()

    lines = "\n".join(text for text, _ in came).split("\n")
    assert lines[:2] == ["one", "twö"]
    assert came[-1][1] - came[0][1] > 1
    assert len(lines) < 300
    assert "\n4321\n" in told


@pytest.fixture
def agent(home: Path) -> AgentFolder:
    made = make_runnable(Home(home), "scout", tools=["terminal"])
    config = json.loads(made.config.read_text())
    made.config.write_text(json.dumps({**config, "env": {"API_KEY": "a key"}}))
    made.env_file.write_text("API_KEY=hunter2-hunter2\n")
    return made


COMMAND = "printf 'hunter2-'; sleep 0.3; echo hunter2; printf '\\033[31mred\\033]52;c;eA==\\007\\n'; sleep 3; echo late"
STEPS = ({"calls": [{"name": "terminal.run", "arguments": {"command": COMMAND}}]}, {"text": "That is all."})


@pytest.fixture
def chat(agent: AgentFolder, tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal([*FOUNDRY, "run", "scout", "--mode", "auto", "--model", script(tmp_path / "s.json", *STEPS)], tmp_path)
    terminal.until("\u276f")
    yield terminal
    terminal.stop()


@JAILED
@pytest.mark.slow
def test_the_person_sees_it_behind_a_bar_while_it_runs(chat: Terminal) -> None:
    chat.line("go")
    seen = chat.until("│ ^[[31mred")

    assert "late" not in seen.partition("│ ")[2]
    assert "│ [API_KEY]" in seen
    assert "hunter2-hunter2" not in chat.until("That is all.")


@JAILED
@pytest.mark.slow
@pytest.mark.parametrize("output", ["text", "json", "events"])
def test_a_one_shots_stdout_has_nothing_of_it(agent: AgentFolder, tmp_path: Path, output: str) -> None:
    words = ["run", "scout", "--mode", "auto", "--model", script(tmp_path / "s.json", *STEPS), "-p", "go", "--output", output]
    ended = subprocess.run([*FOUNDRY, *words], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert "│" not in ended.stdout + ended.stderr
    assert "ToolOutput" not in ended.stdout
    assert "hunter2-hunter2" not in ended.stdout
    if output == "text":
        assert ended.stdout == "That is all.\n"
