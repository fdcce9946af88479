"""The embedded model's process is shared, kept by leases, gone when idle, and never another's that is stopped."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.console import Silent
from foundry.errors import FoundryError, NotReadyError
from foundry.models import local, weights
from foundry.models.local import LocalAddress
from foundry.models.local_server import Place
from foundry.models.weights_table import MODELS
from foundry.settings import load_settings, state_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    local.stop()


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python whose engine needs no weights."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\ncd "{ROOT}" && exec "{sys.executable}" -m tests.models.fake_engine "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def cached() -> Path:
    """Weights that look whole: the right size, all hole."""
    path = weights.folder() / MODELS["coder-0.5b"].file
    with path.open("wb") as file:
        file.truncate(MODELS["coder-0.5b"].size)
    return path


def ensure(python: str, idle: float = 60) -> LocalAddress:
    settings = load_settings(None, {}).over("flag", {"local_model": "coder-0.5b", "local_idle": idle, "offline": True})
    return local.ensure(settings, Silent(), None, python)


def place() -> Place:
    (found,) = (state_folder() / "local").iterdir()
    return Place(found)


def gone(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
        os.kill(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        return not _lives(pid)
    return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: object, seconds: float = 10) -> bool:
    for _ in range(int(seconds / 0.05)):
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def test_a_started_model_answers_to_its_key_and_is_listed(python: str, cached: Path) -> None:
    address = ensure(python)

    assert local._answers(address.url, address.key)
    assert not local._answers(address.url, "another")
    assert [one.model for one in local.status()] == ["coder-0.5b"]
    assert address.model == "coder-0.5b"
    assert address.window in (4096, 8192)


def test_key_and_state_are_for_this_user_alone_and_never_in_an_argument_list(python: str, cached: Path) -> None:
    address = ensure(python)

    assert stat.S_IMODE(place().folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(place().state.stat().st_mode) == 0o600
    assert not (place().folder / "config.json").exists()
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert address.key not in shown


def test_two_sessions_share_one_server(python: str, cached: Path) -> None:
    first, second = ensure(python), ensure(python)

    assert (first.url, first.key) == (second.url, second.key)
    assert first.lease_fd != second.lease_fd


def test_two_processes_at_once_start_one_server(python: str, cached: Path) -> None:
    code = "import sys; from tests.models.test_local import ensure; print(ensure(sys.argv[1]).url)"
    both = [subprocess.Popen([sys.executable, "-c", code, python], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    urls = {one.communicate(timeout=60)[0] for one in both}

    assert len(urls) == 1


def test_the_model_ends_when_nobody_uses_it_and_starts_again(python: str, cached: Path) -> None:
    first = ensure(python, idle=0.3)
    pid = local.status()[0].pid
    assert not wait_until(lambda: gone(pid), 1)

    first.release()

    assert wait_until(lambda: gone(pid))
    assert not place().state.exists()
    assert ensure(python).key != first.key


def test_a_lease_is_inherited_by_exec(python: str, cached: Path) -> None:
    code = (
        "import os, sys, time; from tests.models.test_local import ensure; a = ensure(sys.argv[1], 0.3);"
        "os.execv('/bin/sh', ['sh', '-c', 'echo there; sleep 1.5'])"
    )
    session = subprocess.Popen([sys.executable, "-c", code, python], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert session.stdout
    session.stdout.readline()
    pid = local.status()[0].pid

    ended_early = wait_until(lambda: not _lives(pid), 1)
    session.wait()
    session.stdout.close()

    assert not ended_early
    assert wait_until(lambda: not local.status())


def test_a_killed_server_is_replaced(python: str, cached: Path) -> None:
    first = ensure(python)
    os.kill(local.status()[0].pid, signal.SIGKILL)
    assert place().state.exists()

    second = ensure(python)

    assert second.key != first.key
    assert local._answers(second.url, second.key)


def test_a_state_that_makes_no_sense_is_passed_over(python: str, cached: Path) -> None:
    ensure(python).release()
    local.stop()
    place().state.write_text('{"url": "http://example.com/v1", "key": "k", "pid": 1, "model": "coder-0.5b", "window": 1}')

    assert local.status() == []
    assert ensure(python).url.startswith("http://127.0.0.1:")


def test_a_stale_pid_is_never_signalled(python: str, cached: Path) -> None:
    ensure(python).release()
    assert local.stop() == ["coder-0.5b"]
    other = subprocess.Popen(["sleep", "30"])
    place().server.write_text(str(other.pid))
    place().state.write_text(json.dumps({"url": "http://127.0.0.1:9/v1", "key": "", "pid": other.pid, "model": "", "window": 1}))

    stopped = local.stop()

    assert stopped == []
    assert other.poll() is None
    other.kill()
    other.wait()


def test_stop_ends_the_server_at_once(python: str, cached: Path) -> None:
    ensure(python)
    pid = local.status()[0].pid

    assert local.stop() == ["coder-0.5b"]

    assert wait_until(lambda: gone(pid), 1)
    assert local.status() == []
    assert local.stop() == []


def test_a_server_that_hangs_is_replaced_not_waited_for_for_ever(python: str, cached: Path) -> None:
    ensure(python)
    pid = local.status()[0].pid
    place().state.write_text(json.dumps({**json.loads(place().state.read_text()), "url": "http://127.0.0.1:9/v1"}))

    assert local.stop() == ["coder-0.5b"]

    assert wait_until(lambda: gone(pid), 1)


def test_a_failing_start_shows_the_last_line_of_the_log_and_leaves_nothing(python: str, cached: Path) -> None:
    with cached.open("r+b") as file:
        file.write(b"fail")

    with pytest.raises(FoundryError, match="the weights make no sense") as caught:
        ensure(python)

    assert str(place().log) in caught.value.hint
    assert not (place().folder / "config.json").exists()
    assert local.status() == []


def test_a_missing_engine_names_the_extra(tmp_path: Path, cached: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)

    with pytest.raises(NotReadyError, match="engine is not installed") as caught:
        ensure(str(bare))

    assert "agent-foundry[local]" in caught.value.hint


def test_missing_weights_offline_are_told_and_nothing_is_started(python: str) -> None:
    with pytest.raises(NotReadyError, match="offline"):
        ensure(python)

    assert local.status() == []


def test_a_failed_start_lets_go_of_the_lease(python: str) -> None:
    with pytest.raises(NotReadyError):
        ensure(python)

    with place().lease.open("w") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_ctrl_c_while_it_loads_leaves_nothing_half(python: str, cached: Path) -> None:
    slow = Path(python)
    slow.write_text(slow.read_text().replace("exec ", 'case "$*" in *local_server*) sleep 20;; esac; exec '))
    code = "import sys; from tests.models.test_local import ensure; print('go', flush=True); ensure(sys.argv[1])"
    session = subprocess.Popen(
        [sys.executable, "-c", code, python], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert session.stdout
    session.stdout.readline()
    assert wait_until(lambda: list(state_folder().glob("local/*/log")))

    session.send_signal(signal.SIGINT)
    session.wait(10)
    session.stdout.close()

    assert list(state_folder().glob("local/*/config.json")) == []
    assert local.status() == []
