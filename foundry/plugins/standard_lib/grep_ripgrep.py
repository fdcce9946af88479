"""Finding files with ripgrep: only those it is given, and what it finds is searched again by us before any of it is shown."""

from __future__ import annotations

import os
import re
import shutil
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from foundry.plugins.standard_lib.grep_tree import Listing, is_sayable
from foundry.processes import run

_FLAGS = (
    *("--no-config", "--no-messages", "--color=never", "--no-heading", "--with-filename", "--null", "--count"),
    # Which files there are is decided by us, and what of it is text.
    *("--no-ignore", "--hidden", "--no-follow", "--text", "--encoding=auto", "--no-pre", "--no-search-zip"),
    *("--no-multiline", "--case-sensitive", "--stats"),
)
# What nobody looked at yet, and what appears after it was looked at, ripgrep passes by if it has one of these names.
_NEVER = "".join(
    "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in one) + "\n"
    for one in (".env*", ".foundry*", ".git", ".ssh", ".gnupg", ".aws", ".netrc", ".pgpass")
)
_SKIPPED = "".join(f"{one}/\n" for one in ("node_modules", "__pycache__", ".venv", ".tox", ".nox", ".hg", ".cache", ".*_cache"))
_NAMES = re.compile(r"[\w.*-]+", re.ASCII)
_ESCAPED = r"\\\1"
_SPECIAL = re.compile(r"([][\\*?{}!# ])")
_LONGEST_PATTERN = 100_000
_LONGEST_ARGUMENTS = 900_000  # of 1 MiB on macOS; a pointer each counts, too
_FOUND = re.compile(r"([^\0]+)\0(\d+)\n")
_SEARCHED = re.compile(r"^(\d+) files searched$", re.M)
_OUT = 64 * 1024 * 1024


def ripgrep(away_from: Path) -> str:
    """Return the path of a ripgrep that works: from PATH, else beside this Python; none that lies in the folder `away_from`."""
    found = (shutil.which("rg") or "", str(Path(sysconfig.get_path("scripts"), "rg")))
    return next((one for one in found if _works(one, away_from)), "")


def _works(program: str, away_from: Path) -> bool:
    if not Path(program).is_absolute() or Path(program).resolve().is_relative_to(away_from.resolve()):
        return False
    try:
        return run([program, "--no-config", "--version"], timeout=5).out.startswith("ripgrep ")
    except OSError:
        return False


@dataclass(slots=True)
class Counted:
    """The files that have lines like the pattern, with how many, of so many `searched`; `odd`: and files that cannot be named.

    `cut` says that time ran out before all were looked into.
    """

    lines: dict[str, int] = field(default_factory=dict)
    searched: int = 0
    odd: bool = False
    cut: bool = False


def is_sayable_glob(glob: str) -> bool:
    """Return whether ripgrep takes a pattern for names as Python does."""
    return glob == "" or (_NAMES.fullmatch(glob) is not None and "**" not in glob)


def counted(program: str, looser: str, root: Path, listing: Listing, deadline: float, glob: str = "") -> Counted | None:
    """Return what ripgrep finds until `deadline`, as time.monotonic tells it; None where it cannot search.

    Of a listing that is not whole it looks into all that is not left out and has a name like `glob`.
    """
    found = Counted()
    if len(looser) > _LONGEST_PATTERN:
        return None
    for paths, ignored in _parts(listing, glob):
        left = max(deadline - time.monotonic(), 0.01)
        argv = [program, *_FLAGS, "--ignore-file=/dev/stdin", f"--regexp={looser}", "--", *paths]
        ended = run(argv, cwd=root, stdin=ignored, timeout=left, limit=_OUT)
        for one in _FOUND.finditer(ended.out):
            name = one[1].removeprefix("./")
            if name.isascii() or "\ufffd" not in name:
                found.lines[name] = int(one[2])
            else:
                found.odd = True
        found.searched += sum(int(one) for one in _SEARCHED.findall(ended.out, max(len(ended.out) - 300, 0)))
        if ended.timed_out:
            found.cut = True
            return found
        # 1 is nothing found, 2 with nothing said a file that could not be read.
        if ended.code not in (0, 1) and (ended.code != 2 or ended.err.strip()):
            return None
    return found


def _parts(listing: Listing, glob: str) -> Iterator[tuple[list[str], str]]:
    """Yield what ripgrep is to look into and what it is to leave out there: the whole tree, else files by name.

    What is left out is said in the words of a .gitignore.
    """
    left_out = listing.left_out
    if left_out is not None and all(map(is_sayable, left_out)):
        some = "" if listing.whole else (f"*\n!*/\n!{glob}\n" if glob else "") + _SKIPPED
        away = [*left_out, *(one for one in listing.unsure if is_sayable(one))]
        yield [f"./{listing.top}"], some + _NEVER + "".join(f"/{_SPECIAL.sub(_ESCAPED, one)}\n" for one in away)
        return
    unsure = set(listing.unsure)
    paths = (folder + name for folder, names in listing.chunks for name in names)
    for part in _in_parts(f"./{one}" for one in paths if one not in unsure):
        yield part, _NEVER


def _in_parts(paths: Iterator[str]) -> Iterator[list[str]]:
    """Yield the paths in as many parts as a process takes as its arguments."""
    part: list[str] = []
    size = 0
    for one in paths:
        size += len(os.fsencode(one)) + 9
        if size > _LONGEST_ARGUMENTS:
            yield part
            part, size = [], len(one)
        part.append(one)
    if part:
        yield part
