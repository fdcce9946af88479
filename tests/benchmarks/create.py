"""What a new agent costs: time against bare uv with the same lock, and disk, before and after its first chat."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from uv import find_uv_bin

from tests.benchmarks.measure import Cost, Figure, cost, environment, in_turn, ratio
from tests.model_server import model_server

FOUNDRY = str(Path(sys.executable).with_name("foundry"))
LOCK = Path(__file__).parents[2] / "foundry" / "agent" / "runtime.lock"


def disk(folder: Path, seen: set[tuple[int, int]]) -> int:
    """Bytes on disk below `folder` that `seen` does not hold yet; hard links count once."""
    total = 0
    for path in [folder, *folder.rglob("*")]:
        info = path.lstat()
        if (info.st_dev, info.st_ino) not in seen:
            seen.add((info.st_dev, info.st_ino))
            total += info.st_blocks * 512
    return total


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        home, number = Path(scratch, "home"), count()
        env = environment(FOUNDRY_HOME=str(home))

        def create() -> Cost:
            return cost([FOUNDRY, "create", f"a{next(number)}", "--no-input"], env)

        def bare() -> Cost:
            venv = Path(scratch, f"bare{next(number)}")
            uv = find_uv_bin()
            one = cost([uv, "venv", "-q", "--python", sys.executable, str(venv)])
            two = cost([uv, "pip", "sync", "-q", "--offline", "--python", str(venv / "bin" / "python"), str(LOCK)])
            shutil.rmtree(venv)
            return Cost(one.cpu + two.cpu, one.wall + two.wall, max(one.memory, two.memory))

        theirs, ours = in_turn(7, bare, create)
        yield Figure("CPU of create / bare uv venv + sync", ratio([c.cpu for c in ours], [c.cpu for c in theirs]), 2.5)
        yield Figure("wall of create / bare uv venv + sync", ratio([c.wall for c in ours], [c.wall for c in theirs]), 2.5)
        yield from _disk(home, env)


def _disk(home: Path, env: dict[str, str]) -> Iterator[Figure]:
    last = home / "agents" / "last"
    subprocess.run([FOUNDRY, "create", last.name, "--no-input"], env=env, check=True, capture_output=True)
    seen: set[tuple[int, int]] = set()
    cache = subprocess.run([find_uv_bin(), "cache", "dir"], env=env, capture_output=True, text=True, check=True).stdout.strip()
    disk(Path(cache), seen)
    for other in sorted(home.glob("agents/a*")):
        disk(other, seen)
    fresh = disk(last, seen)
    yield Figure("MB of disk a further agent takes", fresh / 1e6, 10)
    with model_server([{"text": "hi"}]) as server:
        chat = {**env, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none"}
        subprocess.run(
            [FOUNDRY, "run", last.name, "-p", "hi", "--model", "openai:scripted"], env=chat, check=True, stdin=subprocess.DEVNULL
        )
    yield Figure("MB of disk after its first chat", (fresh + disk(last, seen)) / 1e6, 25)
    assert os.path.lexists(last)
