"""The process behind grep_codebase: reads a request on stdin, writes matches as JSON lines; a bad pattern can only hang this."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from foundry.plugins.api import ToolContext, ToolError, is_protected
from foundry.plugins.confined import is_name_of_protected
from foundry.plugins.standard_lib.ignored import Ignored
from foundry.plugins.standard_lib.text_files import LARGEST, decode, is_skipped, lines_of, matches

_SEARCHED_OF_A_LINE = 20_000
_SHOWN_OF_A_LINE = 200
_A_FILE = 20
_FILES = 50_000


class _Search:
    """One search over the files below a path: says each match at once and sums up at the end."""

    def __init__(self, context: ToolContext, glob: str, most: int) -> None:
        self.context = context
        self.glob = glob
        self.most = most
        self.matches = 0
        self.files = 0
        self.searched = 0
        self.shown = 0
        self.skipped = 0
        self.ignored = 0
        self.prefix = ""

    def run(self, pattern: re.Pattern[str], top: Path) -> None:
        files: Iterable[tuple[Path, str]] = [(top, top.name)]
        if top.is_dir():
            name = self.context.name(top)
            self.prefix = "" if name == "." else f"{name}/"
            files = self._walk(top, "", Ignored.at(self.context, top))
        for path, name in files:
            if self.searched >= _FILES:
                break
            if top.is_dir() and not matches(name, self.glob):
                continue
            text = self._text(path)
            if text is None:
                self.skipped += 1
                continue
            self.searched += 1
            self._search(pattern, self.context.name(path), text)

    def _search(self, pattern: re.Pattern[str], name: str, text: str) -> None:
        before = self.matches
        for number, line in enumerate(lines_of(text), 1):
            if not (found := pattern.search(line[:_SEARCHED_OF_A_LINE])):
                continue
            self.matches += 1
            if self.shown < self.most and self.matches - before <= _A_FILE:
                self.shown += 1
                _say({"file": name, "line": number, "text": _around(line, found.start())})
        self.files += self.matches > before

    def _text(self, path: Path) -> str | None:
        try:
            with self.context.open(path) as file:
                if is_name_of_protected(self.context, os.fstat(file.fileno())):
                    return None
                raw = file.read(LARGEST + 1)
        except (OSError, ToolError):
            return None
        text, encoding = decode(raw) if len(raw) <= LARGEST else ("", "")
        return text if encoding else None

    def _walk(self, folder: Path, inside: str, ignored: Ignored) -> Iterator[tuple[Path, str]]:
        try:
            entries = sorted(os.scandir(folder), key=lambda one: one.name)
        except OSError:
            return
        for one in entries:
            if one.is_symlink() or is_protected(one.name):
                continue
            name, is_folder = inside + one.name, one.is_dir(follow_symlinks=False)
            if is_folder and (is_skipped(one) or not self.context.allows(Path(one.path))):
                continue
            if ignored.leaves_out(self.prefix + name, is_folder):
                self.ignored += 1
            elif is_folder:
                yield from self._walk(Path(one.path), f"{name}/", ignored.inside(f"{self.prefix}{name}/"))
            else:
                yield Path(one.path), name


def _around(line: str, at: int) -> str:
    """Return the line, or the part of it around the match."""
    if len(line) <= _SHOWN_OF_A_LINE:
        return line.strip()
    start = max(0, at - _SHOWN_OF_A_LINE // 3)
    part = line[start : start + _SHOWN_OF_A_LINE].strip()
    return ("…" if start else "") + part + ("…" if start + _SHOWN_OF_A_LINE < len(line) else "")


def _say(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Answer one request: {"folder", "closed", "top", "pattern", "glob", "most", "seconds"}."""
    request = json.load(sys.stdin)
    # Whoever asked may be gone; the alarm's default action ends this process whatever the pattern does.
    signal.alarm(int(request["seconds"]) + 5)
    context = ToolContext(Path(request["folder"]), closed=tuple(Path(one) for one in request["closed"]))
    literal = ""
    try:
        pattern = re.compile(request["pattern"])
    except (re.error, RecursionError, OverflowError) as error:
        literal = str(error) or "too deeply nested"
        pattern = re.compile(re.escape(request["pattern"]))
    search = _Search(context, request["glob"], request["most"])
    search.run(pattern, Path(request["top"]))
    any_case = False
    if not search.matches and not pattern.flags & re.IGNORECASE:
        again = _Search(context, request["glob"], request["most"])
        again.run(re.compile(pattern.pattern, pattern.flags | re.IGNORECASE), Path(request["top"]))
        any_case, search = bool(again.matches), again
    _say(
        {
            **{"matches": search.matches, "files": search.files, "searched": search.searched, "skipped": search.skipped},
            **{"literal": literal, "any_case": any_case, "ignored": search.ignored},
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
