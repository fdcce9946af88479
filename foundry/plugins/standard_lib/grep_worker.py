"""The process behind grep_codebase: searches the files named on stdin and writes matches as JSON lines; a bad pattern hangs this.

A file may take so much processor time, then it is left out and said; whoever asked ends the process at the deadline of the whole.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from foundry.plugins.api import ToolContext, is_protected
from foundry.plugins.confined import is_name_of_protected
from foundry.plugins.standard_lib.text_files import LARGEST, decode, lines_of
from foundry.plugins.standard_lib.worker_bounds import begun

_SEARCHED_OF_A_LINE = 20_000
_SHOWN_OF_A_LINE = 200
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Request:
    """What to search: `chunks` of files as (number, folder, names), for lines that `pattern` matches.

    `needles`: a file without any of these texts has no match (in any case, if `folded`). `most` matches are shown, `of_a_file`
    of one file, with `around` lines before and after. Once they are shown and `enough` files were
    searched, the search is over.
    """

    folder: str
    closed: tuple[str, ...]
    pattern: str
    flags: int
    chunks: list[tuple[int, str, list[str]]]
    most: int
    of_a_file: int
    around: int = 0
    needles: tuple[str, ...] = ()
    folded: bool = False
    enough: int | None = None
    seconds: float = 10.0
    seconds_of_a_file: float = 1.0


@dataclass(slots=True)
class Summary:
    """How a search went: matching lines and their files, files left out as no text or not ours to read, and as taking too long.

    `done` files were searched; `over` says that the rest was not, for lack of time unless it was `enough`.
    """

    matches: int = 0
    files: int = 0
    skipped: int = 0
    done: int = 0
    late: list[str] = field(default_factory=list)
    over: bool = False
    enough: bool = False


class Search:
    """One search, in order: yields what is to be shown of each file with a match as {"at", "file", "lines"}."""

    def __init__(self, request: Request, timed: bool = False) -> None:
        self.request = request
        self.timed = timed
        self.context = ToolContext(Path(request.folder), closed=tuple(Path(one) for one in request.closed))
        self.root = self.context.folder.resolve()
        self.pattern = re.compile(request.pattern, request.flags)
        self.needles = [one for text in request.needles for one in _as_bytes(text)]
        self.summary = Summary()
        self.shown = 0
        self.ends = time.monotonic() + request.seconds

    def run(self) -> Iterator[dict[str, Any]]:
        for number, folder, names in self.request.chunks:
            handle = _entered(self.root, folder)
            try:
                for place, name in enumerate(names):
                    if self._is_over():
                        return
                    lines = self._of(handle, folder, name)
                    self.summary.done += 1
                    if lines:
                        yield {"at": [number, place], "file": folder + name, "lines": lines}
            finally:
                if handle is not None:
                    os.close(handle)

    def _is_over(self) -> bool:
        told, enough = self.summary, self.request.enough
        told.enough = enough is not None and self.shown >= self.request.most and told.done >= enough
        told.over = told.enough or time.monotonic() > self.ends
        return told.over

    def _of(self, folder: int | None, path: str, name: str) -> list[tuple[int, str, bool]]:
        """Return the lines of a file to show, each with its number and whether it matches."""
        raw = None if folder is None or is_protected(name) else self._read(folder, name)
        if raw is None:
            self.summary.skipped += 1
            return []
        if not self._may_match(raw):
            return []
        text, encoding = decode(raw)
        if not encoding:
            self.summary.skipped += 1
            return []
        try:
            with _Limit(min(self.request.seconds_of_a_file, (self.ends - time.monotonic()) / 2) if self.timed else None):
                return self._lines(lines_of(text))
        except _TooLong:
            self.summary.late.append(path + name)
            return []

    def _lines(self, lines: list[str]) -> list[tuple[int, str, bool]]:
        search, most = self.pattern.search, min(self.request.of_a_file, self.request.most - self.shown)
        found = [(at, match.start()) for at, line in enumerate(lines) if (match := search(line[:_SEARCHED_OF_A_LINE]))]
        self.summary.matches += len(found)
        self.summary.files += bool(found)
        shown = found[: max(most, 0)]
        self.shown += len(shown)
        around = self.request.around
        if not around:
            return [(at + 1, _part(lines[at], start).strip(), True) for at, start in shown]
        starts = dict(shown)
        near = {one for at in starts for one in range(max(at - around, 0), min(at + around + 1, len(lines)))}
        return [(at + 1, _part(lines[at], starts.get(at, 0)).rstrip(), at in starts) for at in sorted(near)]

    def _may_match(self, raw: bytes) -> bool:
        if not self.needles or raw.startswith(_WIDE):
            return True
        if self.request.folded:
            if not raw.isascii():  # beyond ASCII there are letters that are an ASCII letter in another case
                return True
            raw = raw.lower()
        return any(one in raw for one in self.needles)

    def _read(self, folder: int, name: str) -> bytes | None:
        """Return the bytes of a regular file that is not too large and no other name of a protected one."""
        try:
            handle = os.open(name, _FILE, dir_fd=folder)
        except OSError:
            return None
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
                return None
            if found.st_nlink > 1 and is_name_of_protected(self.context, found):
                return None
            raw = os.read(handle, found.st_size + 1)
            while len(raw) <= LARGEST and len(raw) != found.st_size and (more := os.read(handle, LARGEST)):
                raw += more
            return raw if len(raw) <= LARGEST else None
        except OSError:
            return None
        finally:
            os.close(handle)


def _entered(root: Path, folder: str) -> int | None:
    """Return a handle of a folder below `root`, no link followed on the way; None where there is none any more."""
    handle = None
    try:
        handle = os.open(root, _FOLDER)
        for part in folder.split("/")[:-1]:
            above, handle = handle, os.open(part, _FOLDER, dir_fd=handle)
            os.close(above)
    except OSError:
        if handle is not None:
            os.close(handle)
        return None
    return handle


def _as_bytes(text: str) -> Iterator[bytes]:
    yield text.encode()
    if not text.isascii():
        with suppress(UnicodeEncodeError):
            yield text.encode("latin-1")


def _part(line: str, at: int) -> str:
    """Return the line, or the part of it around a match."""
    if len(line) <= _SHOWN_OF_A_LINE:
        return line
    start = max(0, at - _SHOWN_OF_A_LINE // 3)
    part = line[start : start + _SHOWN_OF_A_LINE].strip()
    return ("…" if start else "") + part + ("…" if start + _SHOWN_OF_A_LINE < len(line) else "")


class _TooLong(Exception):
    """A file took more processor time than it may."""


class _Limit:
    """So many seconds of processor time for what is done inside, None for no limit: a regular expression heeds the signal."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        if self.seconds is not None:
            signal.signal(signal.SIGPROF, _too_long)
            signal.setitimer(signal.ITIMER_PROF, max(self.seconds, 0.01))

    def __exit__(self, *_: object) -> None:
        if self.seconds is not None:
            signal.signal(signal.SIGPROF, signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_PROF, 0)


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise _TooLong


def main() -> int:
    """Answer one request: the fields of Request as JSON on stdin."""
    request, _ = begun()
    search = Search(Request(**request), timed=True)
    for one in search.run():
        sys.stdout.write(json.dumps(one) + "\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps(asdict(search.summary)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
