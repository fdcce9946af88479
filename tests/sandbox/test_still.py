"""Jailed code is held still while a folder is looked through, and goes on after."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foundry.sandbox import jail
from foundry.sandbox.cell import Bounds, Cell, Level
from foundry.sandbox.still import held_still
from tests.sandbox.test_escapes import held

LEVELS = pytest.mark.parametrize("level", held())
COUNTING = {
    "one process": "while :; do echo x >> log; done",
    "shells in shells": "sh -c 'sh -c \"while :; do echo x >> log; done; true\"; true'; true",
    "many that come and go": "for i in 1 2 3 4 5 6; do (while :; do /bin/sh -c 'echo x >> log'; done) & done; wait",
    "a daemon that ignores signals": "(setsid sh -c 'trap \"\" HUP TERM INT TSTP; while :; do echo x >> log; done' &); sleep 60",
    "threads": 'python3 -c \'\nimport threading\ndef go():\n  while True: open("log", "a").write("x\\n")\n'
    "for _ in range(5): threading.Thread(target=go).start()'",
    "a child that its parent waits for to begin": "while :; do python3 -c 'import subprocess\nfor _ in range(50):"
    ' subprocess.run(["/bin/sh", "-c", "echo x >> log"])\'; done',
}


@contextmanager
def under_way(folder: Path, command: str, level: Level) -> Iterator[None]:
    stop, ends = threading.Event(), []
    cell = Cell(folder, bounds=Bounds(seconds=60, look=0.2, file_size=1 << 30))
    work = threading.Thread(target=lambda: ends.append(jail.run(["/bin/sh", "-c", command], cell, stop=stop, level=level)))
    work.start()
    try:
        while not (folder / "log").exists():
            assert work.is_alive()
            time.sleep(0.01)
        yield
    finally:
        stop.set()
        work.join()
    assert [one.ended for one in ends] == ["interrupted"], ends


def size(folder: Path) -> int:
    return (folder / "log").stat().st_size


@LEVELS
@pytest.mark.parametrize("how", list(COUNTING))
def test_nothing_moves_while_it_is_held_and_all_goes_on_after(tmp_path: Path, level: Level, how: str) -> None:
    with under_way(tmp_path, COUNTING[how], level):
        for _ in range(5):
            with held_still():
                before = size(tmp_path)
                time.sleep(0.1)
                assert size(tmp_path) == before
            deadline = time.monotonic() + 10
            while size(tmp_path) == before:
                assert time.monotonic() < deadline, "it stands still for ever"
                time.sleep(0.01)


@LEVELS
def test_what_is_stopped_while_it_is_held_ends(tmp_path: Path, level: Level) -> None:
    with under_way(tmp_path, COUNTING["shells in shells"], level), held_still():
        pass
    with held_still():
        before = size(tmp_path)
        time.sleep(0.1)
        assert size(tmp_path) == before


@LEVELS
def test_one_that_starts_inside_is_not_held(tmp_path: Path, level: Level) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with under_way(tmp_path / "one", COUNTING["one process"], level), held_still():
        ended = jail.run(["/bin/sh", "-c", "echo done"], Cell(tmp_path / "two"), level=level)

    assert ended.out == "done\n"


@LEVELS
def test_the_beginning_is_told_once_the_walls_stand(tmp_path: Path, level: Level) -> None:
    told: list[bool] = []
    jail.run(
        ["/bin/sh", "-c", "sleep 0.5; echo x > made"],
        Cell(tmp_path),
        on_started=lambda: told.append((tmp_path / "made").exists()),
        level=level,
    )

    assert told == [False]
