"""Background jobs of the terminal: begun, looked at, stopped, and gone with the session however it ends."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.agent.secrets import Redactor
from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.terminal import Terminal
from foundry.plugins.standard_lib.terminal_jobs import MOST, end_jobs
from foundry.sandbox import jail
from foundry.session.toolbox import Toolbox

pytestmark = pytest.mark.skipif(jail.probe().level not in ("strong", "kernel"), reason="no jail holds here")
AT_STRONG = pytest.mark.skipif(jail.probe().level != "strong", reason="a gap of the levels below strong, named in README")
TICKING = "while :; do echo x > alive; sleep 0.05; done"
STUBBORN = (
    f"(setsid sh -c 'trap \"\" HUP TERM INT; {TICKING}' >/dev/null 2>&1 &) ; trap '' HUP TERM INT; while :; do sleep 0.1; done"
)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal of a session of its own."""
    run = secrets.token_hex(4)
    (tmp_path / "work").mkdir()
    yield Terminal(ToolContext(tmp_path / "work", run))
    end_jobs(run)


def begun(terminal: Terminal, command: str) -> str:
    return terminal.start(command).do()


def until(terminal: Terminal, number: int, word: str, said: str = "", seconds: float = 30) -> str:
    """Look at a job until its output or state says the word; `said` is what it has told before."""
    deadline = time.monotonic() + seconds
    while word not in said:
        assert time.monotonic() < deadline, said[-300:]
        said += terminal.jobs(number)
        time.sleep(0.02)
    return said


def beats(folder: Path) -> bool:
    """Whether something inside still writes its file."""
    (folder / "alive").unlink(missing_ok=True)
    time.sleep(0.4)
    return (folder / "alive").exists()


def test_a_plan_shows_the_command_and_starts_nothing(terminal: Terminal) -> None:
    plan = terminal.start(TICKING)

    assert (plan.preview.command, plan.preview.scope) == (TICKING, f"the background command: {TICKING}")
    assert "no jobs" in terminal.jobs()
    assert not beats(terminal.context.folder)


def test_a_job_runs_beside_and_only_what_is_new_is_read(terminal: Terminal) -> None:
    print("level", jail.probe().level)
    began = time.monotonic()
    told = begun(terminal, "echo one; sleep 0.6; echo two >&2; sleep 60")

    assert time.monotonic() - began < 5
    assert "[job 1 runs since " in told
    later = until(terminal, 1, "two", told)
    assert later.count("one") == later.count("two") == 1
    assert terminal.jobs().startswith("1 · echo one; sleep 0.6")


def test_a_finished_job_says_how_it_ended_and_is_read_once(terminal: Terminal) -> None:
    said = until(terminal, 1, "job 1 ended", begun(terminal, "sleep 0.3; echo done; exit 4"))

    assert "done" in said + terminal.jobs(1)
    assert "exit 4" in said
    assert "done" not in terminal.jobs(1)
    assert "exit 4" in terminal.jobs()


def test_what_ends_at_once_or_cannot_start_is_told_at_once(terminal: Terminal) -> None:
    assert "not found" in until(terminal, 1, "exit 127", begun(terminal, "no-such-program"))
    terminal.context.folder.rename(terminal.context.folder.with_name("away"))
    with pytest.raises(ToolError):
        begun(terminal, "true")


def test_a_job_is_stopped_with_all_it_left_behind_and_stopping_twice_is_no_harm(terminal: Terminal) -> None:
    begun(terminal, STUBBORN)
    while not (terminal.context.folder / "alive").exists():
        time.sleep(0.02)

    assert "job 1 ended: stopped" in terminal.stop(1)
    assert not beats(terminal.context.folder)
    assert "job 1 ended: stopped" in terminal.stop(1)
    with pytest.raises(ToolError, match="no job 2"):
        terminal.stop(2)


def test_there_are_only_so_many_at_once(terminal: Terminal) -> None:
    for _ in range(MOST):
        begun(terminal, "sleep 60")
    with pytest.raises(ToolError, match="Stop one first"):
        terminal.start("sleep 60")
    terminal.stop(3)

    assert "job 9 runs" in begun(terminal, "sleep 60")
    assert terminal.jobs().count("runs since") == MOST


def test_other_tool_objects_of_the_session_know_its_jobs_and_other_sessions_do_not(terminal: Terminal) -> None:
    begun(terminal, "sleep 60")
    again, other = Terminal(terminal.context), Terminal(ToolContext(terminal.context.folder, "another"))

    assert "sleep 60" in again.jobs()
    assert "no jobs" in other.jobs()
    assert "stopped" in again.stop(1)


def test_a_flood_is_bounded_and_ended(terminal: Terminal) -> None:
    begun(terminal, "yes 0123456789012345678901234567890123456789")
    said = until(terminal, 1, "wrote too much output", seconds=60)

    assert len(said) < 60 * terminal.context.limit
    assert len(terminal.jobs(1)) <= terminal.context.limit


def test_secrets_in_its_output_are_named_also_when_they_come_in_pieces(tmp_path: Path) -> None:
    context = ToolContext(tmp_path, secrets.token_hex(4), cleaner=Redactor({"KEY": "hunter2-hunter2"}).stream)
    terminal = Terminal(context)
    try:
        said = begun(terminal, "echo hunter2-hunter2; printf hunter2-; sleep 0.5; echo hunter2; echo all said; sleep 60")
        said = until(terminal, 1, "all said", said)
    finally:
        end_jobs(context.run)

    assert said.count("[KEY]") == 2
    assert "hunter2" not in said


def test_cancelled_calls_end_commands_and_no_jobs(terminal: Terminal) -> None:
    begun(terminal, TICKING)
    Toolbox([], Redactor({})).stop()

    assert beats(terminal.context.folder)
    assert "runs since" in terminal.jobs()


def test_a_job_reaches_no_network_and_nothing_protected(terminal: Terminal) -> None:
    folder = terminal.context.folder
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("[core]")
    (folder / ".env").write_text("KEY=canary")
    code = "import socket; socket.create_connection(('127.0.0.1', 1), 2)"
    tries = f'cat .env; echo x > .env; echo x > .git/config; echo x > .git/hook; python -c "{code}"'
    said = until(terminal, 1, "all said", begun(terminal, f"{tries}; echo all said; sleep 60"))

    assert "canary" not in said
    assert "ConnectionRefusedError" not in said
    assert "Error" in said
    terminal.stop(1)
    assert (folder / ".env").read_text() == "KEY=canary"
    assert [one.name for one in (folder / ".git").iterdir()] == ["config"]


@AT_STRONG
def test_what_a_job_may_not_make_is_put_aside_when_it_ends_and_nothing_is_lost(terminal: Terminal) -> None:
    folder = terminal.context.folder
    begun(terminal, "mkdir -p sub/.git/hooks; echo evil > sub/.git/hooks/pre-commit; echo KEY=x > sub/.env; sleep 60")
    while not (folder / "sub" / ".env").exists():
        time.sleep(0.02)
    (folder / ".vscode").mkdir()  # the person's own doing meanwhile
    (folder / ".vscode" / "settings.json").write_text("{}")
    told = terminal.stop(1)

    assert "taken away again" in told
    assert not list((folder / "sub").iterdir())
    kept = {one.name for one in folder.glob(".foundry-aside-*/*/*")}
    assert kept == {".git.aside", ".env.aside", ".vscode.aside"}
    assert "evil" not in Terminal(terminal.context).run("cat .foundry-aside-*/*/*/hooks/*; true").do()


@AT_STRONG
def test_a_command_treats_what_a_job_just_made_as_protected(terminal: Terminal) -> None:
    begun(terminal, "mkdir .git; echo job > .git/config; echo KEY=canary > .env; sleep 60")
    while not (terminal.context.folder / ".env").exists():
        time.sleep(0.02)
    told = terminal.run("echo run > .git/config; cat .env .git/config; true").do()

    assert "canary" not in told
    assert "Read-only" in told
    assert (terminal.context.folder / ".git" / "config").read_text() == "job\n"


SWAPPING = """
import os
os.makedirs('x/.config/fish'); open('x/.config/fish/config.fish', 'w').close(); os.symlink({outside!r}, 'y')
while True:
    os.rename('x', 'z'); os.rename('y', 'x'); os.rename('x', 'y'); os.rename('z', 'x')
"""


@AT_STRONG
def test_no_link_that_a_job_swaps_in_leads_a_command_or_what_is_put_away_outside(terminal: Terminal, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / ".config" / "fish").mkdir(parents=True)
    (outside / ".config" / "fish" / "config.fish").write_text("canary")
    (terminal.context.folder / "swap.py").write_text(SWAPPING.format(outside=str(outside)))
    begun(terminal, "python swap.py")
    told = ""
    for _ in range(12):
        told += terminal.run("cat x/.config/fish/config.fish z/.config/fish/config.fish; echo evil > x/made; true").do()
        time.sleep(0.05)
    told += terminal.stop(1)

    assert "canary" not in told
    assert sorted(str(one.relative_to(outside)) for one in outside.rglob("*")) == [
        ".config",
        ".config/fish",
        ".config/fish/config.fish",
    ]


SESSION = """
import sys, time
from pathlib import Path
from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.terminal import Terminal
Terminal(ToolContext(Path(sys.argv[1]), "r")).start(sys.argv[2]).do()
print("begun", flush=True)
if sys.argv[3] == "stay":
    time.sleep(60)
"""


def ended(folder: Path, how: int, command: str) -> None:
    argv = [sys.executable, "-c", SESSION, str(folder), command, "stay" if how else "leave"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(folder.parent)}) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        while not (folder / "alive").exists():
            time.sleep(0.02)
        if how:
            process.send_signal(how)
        process.wait(15)
    time.sleep(0.3)


@pytest.mark.parametrize("how", [0, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_job_outlives_the_session_however_it_ends(tmp_path: Path, how: int) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    ended(folder, how, STUBBORN)

    assert not beats(folder)


@AT_STRONG
@pytest.mark.parametrize("how", [0, signal.SIGINT])
def test_what_a_job_may_not_make_is_put_aside_also_when_the_session_leaves(tmp_path: Path, how: int) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    ended(folder, how, f"mkdir .git; {TICKING}")

    assert not (folder / ".git").exists()
