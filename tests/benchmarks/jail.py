"""What the jail costs: a command in it against the same one outside, and a function in a Python that waits there."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from foundry import processes
from foundry.sandbox import jail
from foundry.sandbox.warm import WarmPython
from tests.benchmarks.measure import Figure

RUNS = 25


def figures() -> Iterator[Figure]:
    """Yield the added milliseconds of a command and the milliseconds of a warm call, at the best level that holds."""
    started = time.perf_counter()
    level = jail.probe().level
    yield Figure(
        "finding out the jail's level, ms", (time.perf_counter() - started) * 1e3, None, f"level {level}, once a process"
    )
    if level not in ("strong", "kernel"):
        return
    with tempfile.TemporaryDirectory() as scratch:
        cell = jail.Cell(Path(scratch).resolve())
        argv = ["/bin/sh", "-c", "true"]
        inside, outside = _in_turn(lambda: jail.run(argv, cell), lambda: processes.run(argv))
        added = [one - other for one, other in zip(inside, outside, strict=True)]
    told = f"median {statistics.median(added):.0f}, outside {statistics.median(outside):.1f} ms"
    # Three processes and new namespaces wait for a core more often than one does: the quarter of runs that waited least.
    yield Figure("the jail adds to a command, ms", statistics.quantiles(added, n=4)[0], 60, told)
    with WarmPython() as python:
        started = time.perf_counter()
        python.call("def f(x):\n    return x * 2", "f", {"x": 1})
        first = (time.perf_counter() - started) * 1e3
        (warm,) = _in_turn(lambda: python.call("def f(x):\n    return x * 2", "f", {"x": 1}))
    yield Figure("a function in the waiting Python, ms", statistics.median(warm), 10, f"the first {first:.0f} ms")


def _in_turn(*works: Callable[[], object]) -> list[list[float]]:
    """Return the milliseconds of each work, the works taking turns after one round to warm up."""
    rounds = [[_timed(one) for one in works] for _ in range(RUNS + 1)][1:]
    return [list(one) for one in zip(*rounds, strict=True)]


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3
