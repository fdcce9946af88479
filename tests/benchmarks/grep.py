"""What a search of 50,000 files costs, as a whole call of the tool: with ripgrep and without it, against ripgrep alone.

Alone means its counts brought into Python as the standard library does it; into a file it is quicker, which is told too.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.grep_codebase import GrepCodebase
from foundry.plugins.standard_lib.grep_ripgrep import ripgrep
from tests.benchmarks.measure import Figure, ratio

FILES = 50_000
RUNS = 11
PATTERNS = {
    "a text": "needle_in_tree",
    "an expression": r"class \w+\(Base\)",
    "a word of 10,000 files": "def common",
    "nothing": "nothing_of_that",
    "in another case": "NEEDLE_IN_TREE",
}
BOUNDS = {"a text": 1.3, "an expression": 1.3, "a word of 10,000 files": 1.3}
FIRST = {"a text": 1.6, "an expression": 1.8}
WITHOUT = {"a text": 6.0, "a word of 10,000 files": 6.0}


def figures() -> Iterator[Figure]:
    """Yield the ratios of the medians, the calls taking turns; `first` is a session's first search, which knows no tree yet."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch).resolve()
        size = _plant(root)
        program = ripgrep(root)
        if not program:
            yield Figure("ripgrep is not there to compare with", 0, None)
            return
        context = ToolContext(root)
        fast, own = GrepCodebase(context), GrepCodebase(context, program="")
        for one in (fast, own):
            one.search("nothing of that")
        for what, pattern in PATTERNS.items():
            plain = ["--no-config", "--hidden", "--count", "--null", f"--regexp={pattern}", "."]
            rounds = [
                (
                    _timed(lambda argv=[program, *plain]: _alone(argv, root)),  # type: ignore[misc]
                    _timed(lambda argv=[program, *plain]: _into_a_file(argv, root)),  # type: ignore[misc]
                    _timed(lambda sought=pattern: fast.search(sought)),  # type: ignore[misc]
                    _timed(lambda sought=pattern: GrepCodebase(context).search(sought)),  # type: ignore[misc]
                    _timed(lambda sought=pattern: own.search(sought)),  # type: ignore[misc]
                )
                for _ in range(RUNS)
            ]
            alone, file, ours, first, without = (list(one) for one in zip(*rounds, strict=True))
            into = f"{statistics.median(file):.0f} into a file"
            told = f"ripgrep {statistics.median(alone):.0f} ms, {into}, {FILES} files, {size / 1e6:.0f} MB"
            yield Figure(f"{what}: with ripgrep, times ripgrep", ratio(ours, alone), BOUNDS.get(what), told)
            yield Figure(f"{what}: first, times ripgrep", ratio(first, alone), FIRST.get(what), told)
            yield Figure(f"{what}: without, times ripgrep", ratio(without, alone), WITHOUT.get(what), told)


def _alone(argv: list[str], root: Path) -> None:
    subprocess.run(argv, cwd=root, stdin=subprocess.DEVNULL, capture_output=True)


def _into_a_file(argv: list[str], root: Path) -> None:
    with tempfile.TemporaryFile() as out:
        subprocess.run(argv, cwd=root, stdin=subprocess.DEVNULL, stdout=out)


def _timed(work: Callable[[], object]) -> float:
    time.sleep(0.15)  # what gets ready for the next search is not to disturb who comes next
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def _plant(root: Path) -> int:
    """Write the tree and return its size: source-like lines, ten files a folder, a .gitignore."""
    draw = random.Random(4)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 11))) for _ in range(3000)]
    lines = ["    " * draw.randint(0, 3) + " ".join(draw.choices(words, k=draw.randint(3, 12))) for _ in range(20_000)]
    size = 0
    for number in range(FILES):
        part = number // 10
        folder = root / f"pkg{part % 50}" / f"mod{part // 50 % 20}" / f"part{part}"
        folder.mkdir(parents=True, exist_ok=True)
        body = draw.sample(lines, draw.randint(10, 122))
        if number % 5 == 0:
            body.insert(1, f"def common_{number}(x):")
        if number % 500 == 7:
            body.insert(len(body) // 2, "class NeedleHere(Base):  # needle_in_tree")
        size += (folder / f"file{number}.{'py' if number % 2 else 'ts'}").write_text("\n".join(body) + "\n")
    (root / ".gitignore").write_text("*.log\n/build/\n__pycache__/\ndist/\n*.pyc\n.DS_Store\n")
    return size
