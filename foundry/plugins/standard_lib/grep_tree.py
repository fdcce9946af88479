"""Which files a search looks into: the tree walked once, and later only where a folder has changed."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from foundry.plugins.api import ToolContext, is_protected
from foundry.plugins.standard_lib.ignored import Ignored
from foundry.plugins.standard_lib.text_files import LARGEST, SKIP_MARKS, is_skipped_name

MOST_FILES = 100_000
_RULES = ".gitignore"
_MOST_LEFT_OUT = 2000

Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a search takes another way: by how many folders there are, how many files are found, how old a change is."""

    near: int = 150  # folders looked at before ripgrep starts
    first: int = 1000  # files that ripgrep names and that are searched again at first
    # Nanoseconds. A disk may tell a change's time no finer: what changed right before it was looked at may change again unseen.
    coarse: int = 2_000_000_000


class Chunk(NamedTuple):
    """Files of one folder, in order: the folder relative to the working folder, as in "src/" or "", and the files' names."""

    folder: str
    names: list[str]


@dataclass(slots=True)
class Listing:
    """The files to search below `top`, in order, all regular when they were listed.

    `left_out` is what else a walk would come by, files and folders, unless it is too much to say: None. `unsure` are those of
    the files that are hard to hand to others: too large for it, or with names that are no UTF-8. `ignored` is how many files
    and folders .gitignore keeps out; `cut` says that there are more files than are searched, or than could be listed in time.
    `whole` is no where only some of the folders were looked at.
    """

    top: str = ""
    wanted: Wanted | None = None
    chunks: list[Chunk] = field(default_factory=list)
    left_out: list[str] | None = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    files: int = 0
    ignored: int = 0
    cut: bool = False
    whole: bool = True

    def add(self, folder: str, names: list[str]) -> None:
        """Add those of a folder's files that are wanted."""
        taken = names if self.wanted is None else [one for one in names if self.wants(folder + one)]
        room = MOST_FILES - self.files
        if len(taken) > room:
            taken, self.cut = taken[:room], True
        if len(taken) < len(names):
            self.leave_out(folder, set(names).difference(taken))
        if taken:
            self.chunks.append(Chunk(folder, taken))
            self.files += len(taken)

    def wants(self, path: str) -> bool:
        return self.wanted is None or self.wanted(path[len(self.top) :])

    def leave_out(self, folder: str, names: Iterable[str]) -> None:
        if self.left_out is not None:
            self.left_out += [folder + one for one in names]
            if len(self.left_out) > _MOST_LEFT_OUT:
                self.left_out = None


class _Bounds(NamedTuple):
    """What a walk stays out of: the closed folders by their path in the working folder, and further names of protected files."""

    root: str
    closed: frozenset[str]
    secrets: frozenset[tuple[int, int]]


@dataclass(slots=True)
class _Folder:
    """A folder as it was when it was looked at: in order its files (lists, between its folders) and folders (strings)."""

    mark: tuple[int, ...]
    rules: tuple[int, ...]
    settled: bool
    skipped: bool
    above: Ignored
    inside: Ignored
    steps: list[list[str] | str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    ignored: int = 0

    def is_still(self, path: str, above: Ignored) -> bool:
        """Return whether looking again would find the same. Raises OSError."""
        if not self.settled or (above is not self.above and above.levels != self.above.levels):
            return False
        return _mark(path[:-1]) == self.mark and (not self.rules or _mark(path + _RULES) == self.rules)


_Entered = tuple[str, Iterator[list[str] | str], Ignored]


class Tree:
    """The files below a working folder, as they are at each asking; protected ones are never among them, nor are links."""

    def __init__(self, context: ToolContext, limits: Limits | None = None) -> None:
        self.context = context
        self.limits = limits or Limits()
        self._known: dict[str, _Folder] = {}
        self._bounds = _Bounds("", frozenset(), frozenset())
        self._near: dict[str, int] = {}
        self.deep: set[str] = set()

    def files(self, top: Path, wanted: Wanted | None, deadline: float, only: Collection[str] | None = None) -> Listing:
        """Return the files at a real path or below it, those below by `wanted`; cut at `deadline` as time.monotonic tells it.

        With `only` these folders are looked at, where they and all above them are searched at all.
        """
        name = self.context.name(top)
        if not top.is_dir():
            return Listing(chunks=[Chunk(name[: len(name) - len(top.name)], [top.name])], left_out=None, files=1)
        found = self._begun(name, wanted)
        found.whole = only is None
        self._fill(found, Ignored.at(self.context, top), deadline, only)
        if found.whole and found.ignored > self._near.get(found.top, found.ignored):
            self.deep.add(found.top)
        return found

    def near(self, top: Path) -> Listing | None:
        """Return what the folders next to a real path leave out; None where only the whole tree can tell.

        That is so in a tree of few folders, and below each `top` in `deep`: there, folders far down are left out, too.
        """
        name = self.context.name(top)
        found = self._begun(name, None)
        if not top.is_dir() or found.top in self.deep:
            return None
        found.whole = False
        first = self._enter(found, found.top, Ignored.at(self.context, top))
        entered = deque([(found.top, first)] if first else [])
        number, most = 0, self.limits.near
        while entered and number < most:
            folder, one = entered.popleft()
            for step in one.steps:
                if isinstance(step, str) and number < most and (inner := self._enter(found, f"{folder}{step}/", one.inside)):
                    entered.append((f"{folder}{step}/", inner))
                    number += 1
        if number < most or found.left_out is None:
            return None
        self._near[found.top] = found.ignored
        found.left_out = [one for one in {*found.left_out, *(one[:-1] for one in self._bounds.closed)} if is_sayable(one)]
        return found

    def _begun(self, name: str, wanted: Wanted | None) -> Listing:
        bounds = _bounds(self.context)
        if bounds != self._bounds:
            self._bounds, self._known = bounds, {}
        return Listing("" if name == "." else f"{name}/", wanted)

    def _fill(self, found: Listing, rules: Ignored, deadline: float, only: Collection[str] | None) -> None:
        first = self._enter(found, found.top, rules)
        entered: list[_Entered] = [(found.top, iter(first.steps), first.inside)] if first else []
        while entered and not found.cut:
            folder, steps, inside = entered[-1]
            step = next(steps, None)
            if step is None:
                entered.pop()
            elif isinstance(step, list):
                found.add(folder, step)
            else:
                step = f"{folder}{step}/"
                inner = self._enter(found, step, inside) if only is None or step in only else None
                if inner is None:
                    continue
                if len(inner.steps) == 1 and isinstance(inner.steps[0], list):  # most are so, with nothing to come back for
                    found.add(step, inner.steps[0])
                else:
                    entered.append((step, iter(inner.steps), inner.inside))
                found.cut |= time.monotonic() > deadline
        if found.cut:
            found.left_out = None

    def _enter(self, found: Listing, folder: str, above: Ignored) -> _Folder | None:
        """Return a folder, looked at again only if it may have changed; None for one that is not searched."""
        path = f"{self._bounds.root}/{folder}"
        is_top = folder == found.top
        try:
            one = self._known.get(folder)
            if one is None or not one.is_still(path, above):
                one = self._known[folder] = self._look(path, folder, above, is_top)
        except OSError:
            self._known.pop(folder, None)
            one = None
        if one is None or (one.skipped and not is_top):
            found.leave_out("", [folder[:-1]])
            return None
        found.ignored += one.ignored
        if one.left_out:
            found.leave_out(folder, one.left_out)
        if one.unsure:
            found.unsure += [folder + name for name in one.unsure if found.wants(folder + name)]
        return one

    def _look(self, path: str, folder: str, above: Ignored, is_top: bool) -> _Folder:
        now, mark = time.time_ns(), _mark(path[:-1] or path)
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda one: one.name)
        names = {one.name for one in entries}
        rules = _mark(path + _RULES) if _RULES in names else ()
        settled = max(mark[0], rules[0] if rules else 0) + self.limits.coarse < now
        skipped = any(one in names and os.path.exists(path + one) for one in SKIP_MARKS)  # noqa: PTH110
        # What holds in the topmost folder was put together for it, with its own rules.
        inside = above.inside(folder) if rules and not is_top else above
        made = _Folder(mark, rules, settled, skipped, above, inside)
        if is_top or not skipped:
            self._sort_out(made, entries, folder)
        return made

    def _sort_out(self, made: _Folder, entries: list[os.DirEntry[str]], folder: str) -> None:
        """Write down what of the entries of a folder is searched and what is not."""
        names: list[str] = []
        odd_folder = _is_odd(folder)
        for one in entries:
            name, is_folder = one.name, one.is_dir(follow_symlinks=False)
            if not is_folder and not one.is_file(follow_symlinks=False):
                continue
            if self._is_out_of_bounds(one, folder, is_folder):
                made.left_out.append(name)
            elif made.inside.levels and made.inside.leaves_out(folder + name, is_folder):
                made.left_out.append(name)
                made.ignored += 1
            elif is_folder:
                if names:
                    made.steps.append(names)
                    names = []
                made.steps.append(name)
            else:
                names.append(name)
                if odd_folder or _is_odd(name) or one.stat(follow_symlinks=False).st_size > LARGEST:
                    made.unsure.append(name)
        if names:
            made.steps.append(names)

    def _is_out_of_bounds(self, one: os.DirEntry[str], folder: str, is_folder: bool) -> bool:
        name = one.name
        if (name[0] == "." or not name.isascii()) and is_protected(name):
            return True
        if is_folder:
            return is_skipped_name(name) or f"{folder}{name}/" in self._bounds.closed
        if not self._bounds.secrets:
            return False
        found = one.stat(follow_symlinks=False)
        return (found.st_dev, found.st_ino) in self._bounds.secrets


def _is_odd(name: str) -> bool:
    """Return whether a name is no UTF-8, or cannot be told from one that is none."""
    return not name.isascii() and ("\ufffd" in name or any("\ud800" <= one <= "\udfff" for one in name))


def is_sayable(path: str) -> bool:
    """Return whether a path can stand in a line of a .gitignore."""
    return not _is_odd(path) and "\n" not in path and "\r" not in path


def _mark(path: str) -> tuple[int, ...]:
    found = os.lstat(path)  # without a slash at its end, or a link would be followed
    return found.st_mtime_ns, found.st_ino, found.st_dev, found.st_size


def _bounds(context: ToolContext) -> _Bounds:
    root = context.folder.resolve()
    closed = [one.resolve() for one in context.closed]
    secrets = set()
    for place in {root, *closed}:
        with suppress(OSError), os.scandir(place) as entries:
            for one in entries:
                if is_protected(one.name):
                    found = one.stat(follow_symlinks=False)
                    if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
                        secrets.add((found.st_dev, found.st_ino))
    inside = frozenset(f"{one.relative_to(root).as_posix()}/" for one in closed if one != root and one.is_relative_to(root))
    return _Bounds(str(root), inside, frozenset(secrets))
