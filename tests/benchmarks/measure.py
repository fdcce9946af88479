"""Times whole processes: CPU of the process and its children, wall clock, peak memory; the two of a ratio in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """One process's cost: CPU and wall in milliseconds, peak memory in MB."""

    cpu: float
    wall: float
    memory: float


@dataclass(frozen=True)
class Figure:
    """One line of the report: what was measured, its value, and the bound it must stay under (None: told only)."""

    what: str
    value: float
    bound: float | None
    detail: str = ""

    @property
    def kept(self) -> bool:
        return self.bound is None or self.value <= self.bound

    def __str__(self) -> str:
        bound = "" if self.bound is None else f" (bound {self.bound:g}){'' if self.kept else '  BROKEN'}"
        return f"{self.what:<64} {self.value:8.2f}{bound}  {self.detail}"


def environment(**extra: str) -> dict[str, str]:
    """Ours, without the variable that forbids bytecode: users have none."""
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}, **extra}


def cost(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Cost:
    """Run `argv` to its end, output thrown away, and return what it cost. Raises RuntimeError when it fails."""
    started = time.perf_counter()
    with subprocess.Popen(
        argv, env=env or environment(), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{argv} ended with {process.returncode}")
    return Cost((used.ru_utime + used.ru_stime) * 1e3, wall * 1e3, used.ru_maxrss / 1024)


def in_turn(runs: int, *makers: Callable[[], Cost]) -> list[list[Cost]]:
    """Run each maker once to warm up, then all of them in turn `runs` times; one list of costs per maker."""
    for make in makers:
        make()
    rounds = [[make() for make in makers] for _ in range(runs)]
    return [list(one) for one in zip(*rounds, strict=True)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios pair by pair: drift of a shared machine hits both of a pair."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
