"""Escape attempts at each level that holds here, as the user of this run and, when that is root, as a normal user too."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from foundry.sandbox import jail
from foundry.sandbox.cell import Bounds, Cell, Jailed, Level
from tests.sandbox.escapes import ALL, BOMBS, PRELUDE

CANARY = "canary-7f3a9b"
BOUNDS = Bounds(seconds=4, memory=400 << 20, processes=48, disk=150 << 20, output=1 << 16)
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
# What a level does not hold, and README says so.
GAPS: dict[tuple[Level, str], str] = {
    ("kernel", "become root"): "a root's jail stays uid 0, with no right of root's",
}
LEVELS: tuple[Level, ...] = ("strong", "kernel")


def held() -> list[Level]:
    """The levels that hold on this machine."""
    best = jail.probe().level
    return list(LEVELS[LEVELS.index(best) :]) if best in LEVELS else []


@dataclass(frozen=True)
class World:
    """What lies outside the jail: a secret, sockets that listen, a process, an open handle."""

    outside: Path
    work: Path
    names: dict[str, object]
    heard: list[bytes]
    process: subprocess.Popen[bytes]

    def intact(self) -> None:
        assert {one.name for one in self.outside.iterdir()} == {"secret", "socket"}
        secret = self.outside / "secret"
        assert (secret.read_text(), oct(secret.stat().st_mode & 0o7777)) == (CANARY, "0o644")
        assert secret.stat().st_mtime > 1000
        assert self.process.poll() is None
        assert not self.heard
        assert not [one for one in self.work.rglob("*") if not one.is_symlink() and one.stat().st_mode & 0o6000]


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        # Not in pytest's folders: those of root are closed to the normal user, which would contain everything for free.
        outside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outside-"))).resolve()
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inside-"))).resolve()
        outside.chmod(0o777)
        work.chmod(0o777)
        (outside / "secret").write_text(CANARY)
        (outside / "secret").chmod(0o644)
        heard: list[bytes] = []
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(10)
        unix, abstract = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in "12")
        unix.bind(str(outside / "socket"))
        (outside / "socket").chmod(0o777)
        abstract.bind(f"\0jail-{os.getpid()}")
        for one in (unix, abstract):
            one.listen()
        threading.Thread(target=_hear, args=(udp, heard), daemon=True).start()
        sleeper = [PYTHON, "-c", "import time; time.sleep(600)"]
        process = stack.enter_context(subprocess.Popen(sleeper, cwd=outside, env={"SECRET": CANARY}, user=_tester()))
        stack.callback(process.kill)
        handle = os.open(outside / "secret", os.O_RDONLY)
        stack.callback(os.close, handle)
        names = {
            **{"secret": outside / "secret", "outside": outside, "tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]},
            **{"unix": outside / "socket", "abstract": f"jail-{os.getpid()}", "pid": process.pid, "fd": handle},
        }
        yield World(outside, work, names, heard, process)


def _hear(udp: socket.socket, heard: list[bytes]) -> None:
    try:
        heard.append(udp.recv(100))
    except OSError:
        return


def _tester() -> int | None:
    """A normal user of this machine for a test that runs as root; None when it does not."""
    if os.geteuid():
        return None
    return next((one.pw_uid for one in pwd.getpwall() if one.pw_name == "nobody"), 65534)


def attempt(world: World, name: str, level: Level) -> Jailed:
    code = PRELUDE + ALL[name].format_map(world.names)
    return jail.run([PYTHON, "-c", code], Cell(world.work, bounds=BOUNDS, env={"PATH": "/usr/bin:/bin"}), level=level)


def judge(world: World, name: str, level: Level, ended: Jailed) -> None:
    time.sleep(0.05)
    assert ended.level == level
    assert CANARY not in ended.out + ended.err
    if (level, name) not in GAPS:
        assert "ESCAPED" not in ended.out
    assert ended.seconds < BOUNDS.seconds + 3
    written = sum(one.stat().st_blocks * 512 for one in world.work.rglob("*") if one.is_file() and not one.is_symlink())
    assert written < BOUNDS.disk + (120 << 20)
    world.intact()


@pytest.mark.parametrize(
    "name", ["read a secret", "read by dot dot", "read the users", "list a folder outside", "tcp", "unix socket"]
)
def test_without_a_jail_the_attempts_do_get_out(world: World, name: str) -> None:
    code = PRELUDE + ALL[name].format_map(world.names)

    ended = jail.run([PYTHON, "-c", code], Cell(world.work, bounds=BOUNDS), level="none", allow_none=True)

    assert "ESCAPED" in ended.out or CANARY in ended.out


@pytest.mark.parametrize("level", held())
@pytest.mark.parametrize("name", [one for one in ALL if one not in BOMBS])
def test_an_attempt_is_contained(world: World, name: str, level: Level) -> None:
    judge(world, name, level, attempt(world, name, level))


@pytest.mark.slow
@pytest.mark.parametrize("level", [pytest.param(one, marks=pytest.mark.prove if one == "kernel" else ()) for one in held()])
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_contained(world: World, name: str, level: Level) -> None:
    judge(world, name, level, attempt(world, name, level))


AS_USER = """
import json, os, sys
uid = int(sys.argv[1])
from tests.sandbox.escapes import ALL, PRELUDE
from foundry.sandbox import jail, seatbelt, stage, walls, watch, filters
from foundry.sandbox.cell import Bounds, Cell
import tempfile, marshal, random
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
os.environ.clear()
asked = json.load(sys.stdin)
sys._base_executable, sys.base_prefix = asked["python"], "/usr"
for name, code in asked["codes"].items():
    cell = Cell(jail.Path(asked["work"]), bounds=Bounds(**asked["bounds"]))
    ended = jail.run([asked["python"], "-c", code], cell, level=asked["level"])
    print(json.dumps({"name": name, "out": ended.out[-3000:], "err": ended.err[-3000:], "seconds": ended.seconds}), flush=True)
"""


@pytest.mark.prove
@pytest.mark.skipif(os.geteuid() != 0 or PYTHON != "/usr/bin/python3", reason="a normal user ran the other tests already")
@pytest.mark.parametrize("level", held())
def test_a_normal_users_jail_contains_them_all(world: World, level: Level) -> None:
    codes = {name: PRELUDE + code.format_map(world.names) for name, code in ALL.items()}
    stage_folder = Path(jail.__file__).parent
    if not os.access(stage_folder, os.R_OK):
        pytest.skip("this checkout cannot be read by others")
    asked = {
        **{"work": str(world.work), "level": level, "python": PYTHON, "codes": codes},
        "bounds": {name: getattr(BOUNDS, name) for name in Bounds.__slots__},
    }
    user = str(_tester())
    done = subprocess.run(
        [sys.executable, "-c", AS_USER, user], input=json.dumps(asked), capture_output=True, text=True, timeout=280
    )

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["name"] for one in told] == list(ALL), done.stderr[-2000:]
    escaped = [one for one in told if "ESCAPED" in one["out"] or CANARY in one["out"] + one["err"]]
    assert not escaped
    assert not [one for one in told if one["seconds"] > BOUNDS.seconds + 3]
    world.intact()
