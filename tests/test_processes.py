"""Processes: what they see of us, what is kept of them, and that nothing outlives the call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foundry.processes import clean_environment, run

PYTHON = [sys.executable, "-c"]


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.exists() and Path("/proc/self").exists():
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_it_wrote_and_its_exit_code_come_back() -> None:
    ended = run([*PYTHON, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"])

    assert (ended.code, ended.out, ended.err, ended.timed_out) == (3, "out\n", "err\n", False)


def test_a_secret_of_the_shell_does_not_reach_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-000000")
    monkeypatch.setenv("UV_INDEX_X_PASSWORD", "canary-111111")

    ended = run([*PYTHON, "import os; print(dict(os.environ))"])

    assert "canary" not in ended.out
    assert "PATH" in ended.out
    assert "UV_INDEX_X_PASSWORD" in clean_environment(installer=True)


def test_standard_input_is_fed_whole_and_empty_otherwise() -> None:
    echo = "import sys; data = sys.stdin.read(); print(len(data), data[-3:])"

    assert run([*PYTHON, echo], stdin="x" * 300_000 + "end").out == "300003 end\n"
    assert run([*PYTHON, echo]).out == "0 \n"


def test_endless_output_is_cut_at_the_limit_and_does_not_block() -> None:
    ended = run([*PYTHON, "for _ in range(100_000): print('y' * 99)"], limit=1000)

    assert ended.code == 0
    assert len(ended.out) == 1000


def test_time_running_out_ends_the_process_and_says_so() -> None:
    ended = run([*PYTHON, "import time; print('started', flush=True); time.sleep(60)"], timeout=0.5)

    assert ended.timed_out
    assert ended.out == "started\n"
    assert ended.code == -signal.SIGTERM


def test_children_it_left_behind_end_with_it() -> None:
    leave = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)"
    )

    ended = run([*PYTHON, leave], timeout=20)

    assert ended.code == 0
    assert not alive(int(ended.out))


def test_one_that_ignores_the_request_to_end_is_killed() -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"

    ended = run([*PYTHON, stubborn], timeout=0.5)

    assert ended.timed_out
    assert ended.code == -signal.SIGKILL


def test_lines_of_standard_error_are_heard_as_they_come() -> None:
    heard: list[str] = []

    run([*PYTHON, "import sys; sys.stderr.write('one\\rtwo\\nthree\\n')"], on_line=heard.append)

    assert heard == ["one", "two", "three"]


def test_an_interrupt_ends_the_child_too(tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text("import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)")
    caller = f"import sys; from foundry.processes import run; run([sys.executable, {str(child)!r}, {str(tmp_path / 'pid')!r}])"
    with subprocess.Popen([*PYTHON, caller], stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)

    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_program_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(OSError, match="no-such-program"):
        run(["/no-such-program"])


STOPS = """import threading
from foundry.processes import run, stop_group

def start() -> None:
    while True:
        run(["true"])

threading.Thread(target=start, daemon=True).start()
while True:
    stop_group()
    print("goes on", flush=True)
"""


@pytest.mark.slow
def test_it_can_be_stopped_at_any_moment_while_it_starts_others() -> None:
    with subprocess.Popen([*PYTHON, STOPS], process_group=0, stdout=subprocess.PIPE) as one:
        try:
            for _ in range(100):
                assert stopped(one.pid)
                os.killpg(one.pid, signal.SIGCONT)
                assert one.stdout
                assert one.stdout.readline() == b"goes on\n"
        finally:
            os.killpg(one.pid, signal.SIGKILL)


def stopped(pid: int) -> bool:
    """Return whether a shell would see that its child has stopped, within ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG):
            return True
        time.sleep(0.005)
    return False
