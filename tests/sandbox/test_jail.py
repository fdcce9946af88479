"""The jail as callers see it: what a cell gives, how a run ended, and that nothing outlives whoever asked for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.errors import FoundryError, NotReadyError
from foundry.sandbox import filters, jail, seatbelt
from foundry.sandbox.cell import Bounds, Cell, Level
from foundry.sandbox.jail import CannotStart
from foundry.sandbox.warm import CallError, WarmPython
from foundry.sandbox.watch import Kept
from tests.sandbox.test_escapes import held

LEVELS = pytest.mark.parametrize("level", held())
SH = ["/bin/sh", "-c"]


def test_the_best_level_of_this_machine_is_told() -> None:
    print("level", jail.probe())

    assert jail.probe().level in ("strong", "kernel", "macos", "none")
    assert jail.probe().level == "strong" or jail.probe().findings


@LEVELS
def test_a_command_writes_its_folder_and_tells_how_it_ended(tmp_path: Path, level: Level) -> None:
    heard: list[tuple[str, str]] = []

    ended = jail.run(
        [*SH, "cat > file; pwd; echo problem >&2; exit 3"],
        Cell(tmp_path),
        stdin=b"x" * 200_000,
        level=level,
        on_output=lambda *one: heard.append(one),
    )

    assert (ended.code, ended.out, ended.err, ended.level, ended.ended) == (3, f"{tmp_path}\n", "problem\n", level, "itself")
    assert (tmp_path / "file").stat().st_size == 200_000
    assert (tmp_path / "file").stat().st_uid == tmp_path.stat().st_uid
    assert {one for one, _ in heard} == {"out", "err"}


@LEVELS
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_roots_jail_leaves_another_users_folder_that_users(level: Level) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        os.chown(folder, 12345, 12345)

        ended = jail.run([*SH, "echo x > file && mkdir folder && id -u && echo y > $TMPDIR/z"], Cell(folder), level=level)

        assert ended.code == 0, ended.err
        assert ended.out != "0\n"
        assert {one.stat().st_uid for one in folder.rglob("*")} == {12345}


@LEVELS
def test_without_a_folder_there_is_a_scratch_that_goes_away(tmp_path: Path, level: Level) -> None:
    ended = jail.run([*SH, "echo x > here && cp here $TMPDIR/there && pwd"], Cell(readable=(tmp_path,)), level=level)

    assert ended.code == 0, ended.err
    assert not Path(ended.out.strip(), "here").exists()


@LEVELS
def test_what_is_given_to_read_can_be_read_and_not_written(tmp_path: Path, level: Level) -> None:
    given = tmp_path / "given"
    given.mkdir(mode=0o700)
    (given / "file").write_text("text")
    (given / "file").chmod(0o600)
    (tmp_path / "work").mkdir()

    ended = jail.run([*SH, f"cat {given}/file; echo x > {given}/file"], Cell(tmp_path / "work", readable=(given,)), level=level)

    assert ended.out == "text"
    assert ended.code != 0
    assert (given / "file").read_text() == "text"


@LEVELS
def test_masked_and_fixed_paths_of_the_folder_stay_as_they_are(tmp_path: Path, level: Level) -> None:
    (tmp_path / ".env").write_text("KEY=canary")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("[core]")
    (tmp_path / "sub").mkdir()
    cell = Cell(tmp_path, masked=(tmp_path / ".env",), fixed=(tmp_path / ".git",))
    tries = "cat .env; echo x > .env; rm -f .env; mv .env other; ln .env hard; rm -rf .git; echo x > .git/hook; cat .git/config"

    ended = jail.run([*SH, f"{tries}; echo fine > sub/new"], cell, level=level)

    assert "canary" not in ended.out + ended.err
    assert "[core]" in ended.out
    assert (tmp_path / ".env").read_text() == "KEY=canary"
    assert sorted(one.name for one in (tmp_path / ".git").iterdir()) == ["config"]
    assert (tmp_path / "sub" / "new").read_text() == "fine\n"


@LEVELS
def test_the_agents_own_python_runs(tmp_path: Path, level: Level) -> None:
    ended = jail.run(
        [sys.executable, "-c", "import pytest; print(pytest.__name__)"], Cell(readable=(Path(sys.prefix),)), level=level
    )

    assert ended.out == "pytest\n", ended.err


@LEVELS
def test_the_network_is_there_only_when_it_was_granted(level: Level) -> None:
    import socket

    code = (
        "import socket; socket.create_connection(('127.0.0.1', int(__import__('sys').argv[1])), 3).sendall(b'x'); print('there')"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        argv = [sys.executable, "-c", code, str(server.getsockname()[1])]
        cell = Cell(readable=(Path(sys.prefix),))

        assert "there" not in jail.run(argv, cell, level=level).out
        granted = jail.run(argv, Cell(readable=cell.readable, network=True), level=level)

    assert granted.out == "there\n", granted.err


@LEVELS
def test_long_output_keeps_its_beginning_and_its_end(level: Level) -> None:
    ended = jail.run([*SH, "echo first; seq 1 20000; echo last"], Cell(bounds=Bounds(output=2000)), level=level)

    assert ended.ended == "itself"
    assert ended.out.startswith("first\n1\n")
    assert ended.out.endswith("last\n")
    assert "bytes left out" in ended.out


@given(st.lists(st.binary(max_size=60), max_size=30), st.integers(2, 80))
def test_what_is_kept_of_a_stream_is_its_ends(chunks: list[bytes], limit: int) -> None:
    kept = Kept(limit)
    for one in chunks:
        kept.add(one)
    whole = b"".join(chunks)

    assert kept.total == len(whole)
    assert whole.startswith(bytes(kept.head))
    assert whole.endswith(bytes(kept.tail[-kept.half :]))
    if len(whole) <= limit - 1:
        assert len(kept.head) + len(kept.tail) == len(whole)


@LEVELS
def test_a_program_that_is_not_there_is_said(level: Level) -> None:
    with pytest.raises(CannotStart, match="no-such-program"):
        jail.run(["no-such-program"], Cell(), level=level)


def test_the_system_cannot_be_given_away() -> None:
    for folder in ("/", "/usr", "/etc", "/proc/self"):
        with pytest.raises(FoundryError, match="cannot be given"):
            jail.run(["true"], Cell(Path(folder)), level="kernel")


def test_without_a_level_a_command_is_refused_unless_allowed_in_so_many_words(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError) as caught:
        jail.run(["true"], Cell(tmp_path), level="none")

    assert caught.value.code == "no_jail"
    assert jail.run([*SH, "pwd"], Cell(tmp_path), level="none", allow_none=True).out == f"{tmp_path}\n"


# nothing outlives it ------------------------------------------------------------------------------------------------------

DAEMON = (
    "(setsid sh -c 'trap \"\" HUP TERM INT; while :; do echo {mark} > alive; sleep 0.05; done' >/dev/null 2>&1 &) ;"
    " trap '' HUP TERM INT; while :; do sleep 0.1; done"
)


def marked(folder: Path) -> bool:
    """Whether the daemon inside still writes its file."""
    (folder / "alive").unlink(missing_ok=True)
    time.sleep(0.4)
    return (folder / "alive").exists()


# Whose outer ones end first leave the inner ones to whoever watches over all.
NESTED = "sh -c 'sh -c \"while :; do echo x > alive; sleep 0.05; done; true\"; true'; true"


@LEVELS
def test_nothing_is_left_after_its_time_is_up(tmp_path: Path, level: Level) -> None:
    ended = jail.run([*SH, DAEMON], Cell(tmp_path, bounds=Bounds(seconds=0.8)), level=level)

    assert ended.ended == "time"
    assert ended.seconds < 2.5
    assert not marked(tmp_path)


@LEVELS
def test_a_daemon_does_not_outlive_the_command(tmp_path: Path, level: Level) -> None:
    ended = jail.run([*SH, DAEMON.partition(" trap ''")[0] + " sleep 0.3; echo done"], Cell(tmp_path), level=level)

    assert (ended.out, ended.ended) == ("done\n", "itself")
    assert not marked(tmp_path)


@LEVELS
def test_stop_all_ends_it_from_another_thread(tmp_path: Path, level: Level) -> None:
    threading.Timer(0.6, jail.stop_all).start()

    ended = jail.run([*SH, DAEMON], Cell(tmp_path), level=level)

    assert ended.ended == "interrupted"
    assert not marked(tmp_path)


CALLER = """
import sys, threading, time
from pathlib import Path
from foundry.sandbox import jail
work = lambda: jail.run(["/bin/sh", "-c", sys.argv[3]], jail.Cell(Path(sys.argv[1])), level=sys.argv[2])
if sys.argv[4] == "thread":
    threading.Thread(target=work, daemon=True).start()
    time.sleep(60)
else:
    work()
"""


@LEVELS
@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_foundry_is_ended(tmp_path: Path, level: Level, how: signal.Signals, where: str) -> None:
    ended_with_foundry(tmp_path, level, how, DAEMON, where)


@LEVELS
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_shell_in_a_shell_is_left_when_foundry_is_ended(tmp_path: Path, level: Level, how: signal.Signals) -> None:
    ended_with_foundry(tmp_path, level, how, NESTED, "thread")


def ended_with_foundry(tmp_path: Path, level: Level, how: signal.Signals, command: str, where: str) -> None:
    argv = [sys.executable, "-c", CALLER, str(tmp_path), level, command, where]
    (tmp_path / "temporary").mkdir()
    env = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while not (tmp_path / "alive").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(how)
        process.wait(10)

    time.sleep(0.3)
    assert not marked(tmp_path)
    assert not list((tmp_path / "temporary").iterdir())


# functions ----------------------------------------------------------------------------------------------------------------


@LEVELS
def test_a_function_is_called_again_and_again_and_what_goes_wrong_is_told(level: Level) -> None:
    wrong = {
        "def f():\n    while True: pass": "time",
        "def f():\n    return 'x' * (3 << 30)": "memory",
        "def f():\n    return 'x' * (3 << 20)": "output",
        "def f():\n    import os; os._exit(3)": "exit 3",
        "def f():\n    import ctypes; ctypes.string_at(0)": "SIGSEGV",
        "def f():\n    import os; os.fork()": "PermissionError",
        "def f():\n    import os; os.kill(os.getppid(), 9)": "PermissionError",
        "def f():\n    import os; os.listdir(f'/proc/{os.getppid()}/fd')": "PermissionError",
        "def f():\n    import subprocess; subprocess.run(['id'])": "PermissionError",
        "def f():\n    import socket; socket.socket()": "PermissionError",
        "def f():\n    return open('/etc/shadow').read()": "Error",
        "def f():\n    return {1, 2}": "not JSON",
        "def g(): pass": "no function",
        "def f(:": "SyntaxError",
    }
    with WarmPython(level=level) as python:
        assert python.call("def f(a, b=2):\n    return [a, b]", "f", {"a": "ä"}) == ["ä", 2]
        for source, told in wrong.items():
            with pytest.raises(CallError, match=told):
                python.call(source, "f", {}, seconds=1)
        with pytest.raises(CallError) as caught:
            python.call("def f():\n    a = 0\n    return 1 / a", "f", {})
        assert caught.value.line == 3
        assert python.call("def f():\n    return 1", "f", {}) == 1


# the parts that cannot be tried on this machine -----------------------------------------------------------------------------


@pytest.mark.parametrize("machine", list(filters.MACHINES))
@pytest.mark.parametrize("profile", ["command", "function"])
def test_a_filter_is_one_the_kernel_takes(machine: str, profile: filters.Profile) -> None:
    code = filters.program(profile, by_path=True, truncate=True, machine=machine)
    parts = [code[at : at + 8] for at in range(0, len(code), 8)]

    assert len(code) % 8 == 0
    assert len(parts) < 4096
    for at, one in enumerate(parts):
        if one[0] & 7 == 5:
            assert at + 1 + max(one[2], one[3]) < len(parts), "a jump leads out of the program"
    assert parts[-1][0] == 6


@given(st.text(min_size=1, max_size=30))
def test_a_path_in_the_macos_profile_stays_one_string(name: str) -> None:
    path = Path("/x", name.replace("\0", "").lstrip("/") or "y")
    try:
        text = seatbelt.profile(Cell(path), path, path)
    except ValueError:
        assert any(ord(one) < 32 for one in name)
        return
    line = next(one for one in text.split("\n") if "file-write* (subpath" in one)
    assert line.replace("\\\\", "").replace('\\"', "").count('"') == 2
    assert text.endswith("(deny network*)")
