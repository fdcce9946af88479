"""The working folder's files: read with line numbers, listed, written, edited, moved and deleted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from foundry.files import nearest
from foundry.plugins.api import Plan, ToolContext, ToolError, effects, is_protected, kernel_function, planned
from foundry.plugins.confined import read_up_to
from foundry.plugins.standard_lib import file_changes
from foundry.plugins.standard_lib.ignored import Ignored
from foundry.plugins.standard_lib.text_files import LARGEST, decode, is_skipped, lines_of, wanted
from foundry.text import counted

_LONGEST_LINE = 1000
_MOST_LINES = 200
_MOST_FILES = 20_000


class ReadWriteCode:
    """Reads, lists and changes the files of the working folder."""

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    @kernel_function(description="Read a text file whose path is known: what it says. Whole, unless certain lines are asked for.")
    @effects("reads")
    def read_file(self, path: str, start: int = 1, end: int = 0) -> str:
        """Return lines `start` to `end` with their numbers, as many as fit. Raises ToolError saying what to do instead."""
        target = self._existing(path)
        text, encoding = self._text(target)
        lines = lines_of(text)
        first, last = max(start, 1), min(end, len(lines)) if end > 0 else len(lines)
        if not lines:
            return f"{self.context.name(target)} is empty."
        if first > len(lines):
            raise ToolError(f"{self.context.name(target)} has only {len(lines)} lines.")
        if 0 < end < first:
            raise ToolError(f"end ({end}) is before start ({first}).")
        return self._numbered(self.context.name(target), lines, first, last, encoding)

    @kernel_function(description="List which files are in a folder: only their names.")
    @effects("reads")
    def list_files(self, path: Annotated[str, "A folder"] = ".", pattern: Annotated[str, "Such as *.py"] = "*") -> str:
        """Return the files below `path` that match, sorted, with their sizes; large trees with folders folded up.

        What .gitignore and caches leave out is listed when it is `path` itself.
        """
        target = self._existing(path)
        if not target.is_dir():
            raise ToolError(f"{self.context.name(target)} is a file. Use read_file.")
        found = _Found(self.context, target, pattern)
        said = "" if found.files else f"No file's name in {self.context.name(target)!r} matches {pattern!r}"
        if said and not found.use_folders():
            return f"{said}; search looks inside files.{found.left_out()}"
        listed = "\n".join(found.lines(_MOST_LINES))
        return f"{said}; these are in folders with such a name:\n{listed}" if said else listed + found.left_out()

    @kernel_function(description="Write a text file, new or from scratch.")
    @effects("writes")
    @planned
    def write_file(self, path: str, content: Annotated[str, "The whole text"]) -> Plan:
        """Return the plan of a file with `content`. Raises ToolError saying what to do instead."""
        return file_changes.write(self.context, path, content)

    @kernel_function(description="Change a part of a text file: replace text by other text.")
    @effects("writes")
    @planned
    def edit_file(
        self,
        path: str,
        old: Annotated[str, "The exact text to replace, without line numbers"],
        new: str,
        all: Annotated[bool, "Every place, not just one"] = False,
    ) -> Plan:
        """Return the plan of a file with `old` replaced. Raises ToolError, with the nearest lines where `old` is not there."""
        return file_changes.edit(self.context, path, old, new, all)

    @kernel_function(description="Rename or move a file or folder.")
    @effects("writes")
    @planned
    def move(self, path: str, to: Annotated[str, "The new path"]) -> Plan:
        """Return the plan of a file or folder under another name. Raises ToolError saying what to do instead."""
        return file_changes.move(self.context, path, to)

    @kernel_function(description="Delete a file or folder.")
    @effects("writes")
    @planned
    def delete(self, path: str) -> Plan:
        """Return the plan of a file or folder gone. Raises ToolError saying what to do instead."""
        return file_changes.delete(self.context, path)

    def _existing(self, given: str) -> Path:
        target = self.context.path(given or ".")
        try:
            if os.path.lexists(target):
                return target
            siblings = [one.name for one in os.scandir(target.parent) if not is_protected(one.name)]
        except OSError:
            siblings = []
        close = nearest(target.name, [one.lower() for one in siblings])
        real = next((one for one in siblings if one.lower() == close), "") if close else ""
        hint = f"Did you mean {self.context.name(target.parent / real)}?" if real else "Use list_files to see what is there."
        raise ToolError(f"There is no {given!r}. {hint}")

    def _text(self, target: Path) -> tuple[str, str]:
        name = self.context.name(target)
        if target.is_dir():
            inside = ", ".join(_Found(self.context, target, "*").lines(10)) or "nothing"
            raise ToolError(f"{name} is a folder. In it: {inside}. Read one of its files.")
        raw = read_up_to(self.context, target, LARGEST)
        if len(raw) > LARGEST:
            raise ToolError(f"{name} is larger than {LARGEST // 1024 // 1024} MiB; search is for such files.")
        text, encoding = decode(raw)
        if not encoding:
            raise ToolError(f"{name} is no text: {text}, {_size(len(raw))}.")
        return text, encoding

    def _numbered(self, name: str, lines: list[str], first: int, last: int, encoding: str) -> str:
        """Return the header and as many numbered lines as fit, then how to read on."""
        room = self.context.limit - 200
        taken: list[str] = []
        for number in range(first, last + 1):
            line = lines[number - 1]
            if len(line) > _LONGEST_LINE:
                line = f"{line[:_LONGEST_LINE]}… ({len(line) - _LONGEST_LINE} more characters)"
            room -= len(line) + 8
            if room < 0 and taken:
                taken.append(f"… lines {number}-{last} are not shown; read on with start={number}")
                break
            taken.append(f"{number}: {line}")
        said = "" if encoding == "utf-8" else f", read as {encoding}"
        span = f", lines {first}-{last} of {len(lines)}" if (first, last) != (1, len(lines)) else ""
        return f"{name}{span}{said}\n" + "\n".join(taken)


class _Found:
    """The files below a folder that match a pattern, as paths relative to the working folder, and what was left out."""

    def __init__(self, context: ToolContext, top: Path, pattern: str) -> None:
        self.context = context
        self.wanted = wanted(pattern)
        self.skipped: list[str] = []
        self.ignored: list[str] = []
        self.cut = False
        self.files: list[tuple[str, int]] = []
        self._in_folders: list[tuple[str, int]] = []  # files in folders whose own names match
        self.prefix = "" if context.name(top) == "." else context.name(top) + "/"
        for one in self._walk(top, "", Ignored.at(context, top)):
            if len(self.files) == _MOST_FILES:
                self.cut = True
                break
            self.files.append(one)
        self.files.sort()

    def use_folders(self) -> bool:
        """Take the files in folders whose own names match instead, if there are any."""
        self.files = sorted(self._in_folders)
        return bool(self.files)

    def _walk(self, folder: Path, inside: str, ignored: Ignored, named: bool = False) -> Iterator[tuple[str, int]]:
        try:
            entries = sorted(os.scandir(folder), key=lambda one: one.name)
        except OSError:
            self.skipped.append(inside or ".")
            return
        for one in entries:
            name = inside + one.name
            is_folder = one.is_dir(follow_symlinks=False)
            if is_protected(one.name) or (is_folder and self._is_out_of_the_way(one)):
                self.skipped.append(name)
            elif ignored.leaves_out(self.prefix + name, is_folder):
                self.ignored.append(name)
            elif is_folder:
                within = named or (self.wanted is not None and self.wanted(name))
                yield from self._walk(Path(one.path), name + "/", ignored.inside(f"{self.prefix}{name}/"), within)
            elif self.wanted is None or self.wanted(name):
                with suppress(OSError):  # gone since
                    yield name, _size_of(one)
            elif named and len(self._in_folders) < _MOST_FILES:
                with suppress(OSError):
                    self._in_folders.append((name, _size_of(one)))

    def _is_out_of_the_way(self, folder: os.DirEntry[str]) -> bool:
        return not self.context.allows(Path(folder.path)) or is_skipped(folder)

    def lines(self, most: int) -> Iterator[str]:
        """Yield one line a file, or, when those are too many, folders deeper than fits as one line each."""
        depth = max(name.count("/") for name, _ in self.files)
        while depth > 0 and len(self._folded(depth)) > most:
            depth -= 1
        shown = self._folded(depth)
        yield from (self.prefix + line for line in shown[:most])
        if len(shown) > most:
            yield f"… and {len(shown) - most} more; ask for a folder or a pattern"

    def _folded(self, depth: int) -> list[str]:
        """Return the lines with everything deeper than `depth` folders folded into its folder."""
        lines: dict[str, list[int]] = {}
        for name, size in self.files:
            parts = name.split("/")
            key = name if len(parts) <= depth + 1 else "/".join(parts[: depth + 1]) + "/"
            lines.setdefault(key, []).append(size)
        return [
            f"{name} ({counted(len(sizes), 'file')})" if name.endswith("/") else f"{name} {_size(sizes[0])}"
            for name, sizes in lines.items()
        ]

    def left_out(self) -> str:
        """Return a line on what is not shown, or nothing."""
        said = []
        if self.skipped:
            said.append(f"left out: {_kinds(self.skipped)}")
        if self.ignored:
            said.append(f"ignored by .gitignore: {_kinds(self.ignored)}; give a path of it to list it")
        if self.cut:
            said.append(f"only the first {_MOST_FILES} files were looked at")
        return f"\n({'; '.join(said)})" if said else ""


def _kinds(names: list[str]) -> str:
    kinds = Counter(name.rsplit("/", 1)[-1] for name in names)
    shown = ", ".join(f"{count} {name}" if count > 1 else name for name, count in kinds.most_common(5))
    return f"{shown} and {len(kinds) - 5} more names" if len(kinds) > 5 else shown


def _size_of(file: os.DirEntry[str]) -> int:
    return -1 if file.is_symlink() else file.stat(follow_symlinks=False).st_size


def _size(size: int) -> str:
    if size < 0:
        return "link"
    return f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1e6:.1f} MB"
