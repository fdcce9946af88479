"""The versions of an agent's code: what each accepted change and each hand edit made of it, kept outside its folder.

`.foundry/history/ID/` of the home (0700) holds a JSON file for each version with the files that it changed, their contents once
each by hash, and `head.json`: which version the agent is at and what was undone. An agent's ID stands in its `.foundry.json`, so
that a rename, the trash and a restore need nothing; a folder copied by hand gets an ID of its own at the first look.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from foundry.agent import intent
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.record import load_record, new_id, now, save_record
from foundry.agent.versions import LARGEST, Head, Marks, Pending, State, Version, VersionStore, mark_of
from foundry.diff import Diff
from foundry.errors import FoundryError
from foundry.files import BadFileError

__all__ = ["Change", "Code", "History", "State", "Version", "code_of", "diffs", "forget_history", "is_code"]

Change = tuple[str, State | None, State | None]  # a file's path, as it was, as it is then; None where it is not there
Code = dict[str, State]
_ID = re.compile(r"[0-9a-f]{8,64}")
_TOP = {"agent.config.json", "requirements.lock", "README.md"}
_SKIPPED_FOLDERS = {"__pycache__", ".git", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", "node_modules"}
_NEVER = (".env", ".foundry")  # secrets, and what Foundry keeps


def is_code(name: str) -> bool:
    """Return whether a file of this path inside an agent's folder is part of its code, and so of its versions.

    That are its configuration, lock, README, the Python files beside them and all of plugins/ but secrets and caches.
    """
    parts = PurePosixPath(name).parts
    if not parts or "/".join(parts) != name or ".." in parts or not _can_be_told(name):
        return False
    last = parts[-1]
    if len(parts) == 1:
        return last in _TOP or (last.endswith(".py") and not last.startswith("."))
    if parts[0] != "plugins" or _SKIPPED_FOLDERS & {*parts[1:-1]}:
        return False
    passing = last.endswith(".pyc") or (last.startswith(".") and last.endswith(".tmp"))
    return not passing and not any(one.casefold().startswith(_NEVER) for one in parts)


def code_of(folder: AgentFolder) -> Code:
    """Return the agent's code, each file that `is_code` as bytes and mode.

    Links, what is larger than 1 MiB and what is no regular file are left out.
    """
    found: Code = {}
    with suppress(OSError):
        for one in os.scandir(folder.path):
            if is_code(one.name):
                _take(found, one.name, Path(one.path))
    for top, folders, files in os.walk(folder.plugins):
        folders[:] = sorted(one for one in folders if one not in _SKIPPED_FOLDERS)
        inside = Path(top).relative_to(folder.path)
        for name in (inside / one for one in files):
            if is_code(name.as_posix()):
                _take(found, name.as_posix(), folder.path / name)
    return dict(sorted(found.items()))


def _take(found: Code, name: str, path: Path) -> None:
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(handle)
            if stat.S_ISREG(about.st_mode) and about.st_size <= LARGEST:
                found[name] = file.read(), stat.S_IMODE(about.st_mode) & 0o777


def _can_be_told(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False  # no UTF-8: no JSON can hold it


class History:
    """The versions of the agent in `folder`; looking at them changes nothing but `observe` and what `apply` does."""

    def __init__(self, folder: AgentFolder) -> None:
        self.folder = folder
        self.home = Home(folder.path.parent.parent)
        self.top = self.home.own / "history"

    # looking -------------------------------------------------------------------------------------------------------------

    def versions(self) -> list[Version]:
        """Return every version, oldest first. Raises BadFileError for one that cannot be read."""
        store = self._store()
        return [store.version(number) for number in store.numbers()]

    def version(self, number: int) -> Version:
        """Return one version. Raises NotFoundError when there is none of that number, BadFileError for a damaged one."""
        return self._store().version(number)

    def head(self) -> int:
        """Return the version that the agent is at; 0 before the first look."""
        return self._store().head().at

    def marks(self, number: int) -> Marks:
        """Return every file of a version by path, as hash and mode; none for version 0."""
        return self._store().marks(number)

    def files(self, number: int) -> Code:
        """Return every file of a version by path, as bytes and mode. Raises FoundryError when its content is damaged."""
        store = self._store()
        return {name: (store.content(digest), mode) for name, (digest, mode) in sorted(store.marks(number).items())}

    def diff(self, before: int, after: int) -> list[Change]:
        """Return each file that differs between two versions: path, as it was, as it is then."""
        store = self._store()
        old, new = store.marks(before), store.marks(after)
        names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        return [(name, store.state(old.get(name)), store.state(new.get(name))) for name in names]

    def by_hand(self, since: int | None = None) -> list[Change]:
        """Return each file that differs from a version, else from the one in force: path, as recorded, as it lies there."""
        store = self._store()
        old, there = store.marks(store.head().at if since is None else since), code_of(self.folder)
        names = sorted(name for name in {*old, *there} if old.get(name) != mark_of(there.get(name)))
        return [(name, store.state(old.get(name)), there.get(name)) for name in names]

    def undo_target(self, number: int | None = None) -> int:
        """Return the version that an undo goes back to. Raises FoundryError where there is none."""
        head = self.head()
        if number is not None:
            self.version(number)
            if number == head:
                raise FoundryError(f"{self.folder.name!r} is at version {number}", f"foundry history {self.folder.name}")
            return number
        parent = self.version(head).parent if head else 0
        if not parent:
            raise FoundryError(f"{self.folder.name!r} has nothing to undo", f"foundry history {self.folder.name}")
        return parent

    def redo_target(self) -> int:
        """Return the version that a redo goes to. Raises FoundryError where nothing was undone last."""
        redo = self.redo_targets()
        if not redo:
            raise FoundryError(f"{self.folder.name!r} has nothing to redo", "Only what was undone last, with no change since.")
        return redo[-1]

    def redo_targets(self) -> tuple[int, ...]:
        """Return the versions that were undone and not redone, with no change since; the last one first to be redone."""
        return self._store().head().redo

    def last_touching(self, prefix: str) -> Version | None:
        """Return the newest version on the way to the one the agent is at that changed something below `prefix`."""
        number = self.head()
        while number:
            one = self.version(number)
            if any(name.startswith(prefix) for name in one.files):
                return one
            number = one.parent
        return None

    # recording -----------------------------------------------------------------------------------------------------------

    def observe(self, said: str = "") -> Version | None:
        """Record the code as it lies there when it is no version yet: the first look, or a change by hand; else return None.

        While a change of ours is being put in place, what lies there is neither, and nothing is recorded.
        """
        if intent.pending(self.folder):
            return None
        with self._held() as store:
            if intent.pending(self.folder):  # a change began while we waited
                return None
            head = self._settled(store)
            old, there = store.marks(head.at), code_of(self.folder)
            new: dict[str, State | None] = {**dict.fromkeys(old), **there}
            changed = {name: state for name, state in new.items() if mark_of(state) != old.get(name)}
            if head.at and not changed:
                if (head.name, head.inode) != (self.folder.name, self.folder.path.stat().st_ino):  # renamed, or moved to a disk
                    store.put_head(self._head(store, head.at, head.redo))
                return None
            version = self._made(store, head, "hand edit" if head.at else "made", said, changed)
            store.write(version)
            store.put_head(self._head(store, version.number))
            return version

    def prepare(self, kind: str, said: str, put: Mapping[str, State | None], at: int = 0, redo: tuple[int, ...] = ()) -> Version:
        """Note what is about to be put in place: a new version of the files `put`, or, with `at`, the way to that version.

        Once the files are there, `settle` makes it the one the agent is at; where they never came, it is as if never noted.
        """
        with self._held() as store:
            head = store.head()
            version = store.version(at) if at else self._made(store, head, kind, said, put)
            marks = {name: mark_of(state) for name, state in put.items()}
            store.put_head(replace(head, pending=Pending(version, not at, redo, marks)))
            return version

    def settle(self) -> None:
        """End what `prepare` noted, by what lies in the agent's folder; nothing while it is still being put there."""
        if self._store().head().pending:
            with self._held() as store:
                self._settled(store)

    def _settled(self, store: VersionStore) -> Head:
        head = store.head()
        pending = head.pending
        if not pending or intent.pending(self.folder):
            return head
        there = code_of(self.folder)
        ended = replace(head, pending=None)
        # Only what was put counts: a file that a person changed meanwhile is the next hand edit.
        if all(mark_of(there.get(name)) == mark for name, mark in pending.put.items()):
            if pending.new:
                store.write(pending.version)
            ended = self._head(store, pending.version.number, pending.redo)
        store.put_head(ended)
        return ended

    def _made(self, store: VersionStore, head: Head, kind: str, said: str, put: Mapping[str, State | None]) -> Version:
        files = {name: None if state is None else store.keep(state) for name, state in sorted(put.items())}
        return Version((store.numbers() or [0])[-1] + 1, head.at, now(), kind, said, files)

    def _head(self, store: VersionStore, at: int, redo: tuple[int, ...] = ()) -> Head:
        return Head(at, redo, self.folder.name, self.folder.path.stat().st_ino, store.marks(at))

    # the place -----------------------------------------------------------------------------------------------------------

    @contextmanager
    def _held(self) -> Iterator[VersionStore]:
        """Give the versions to change, one process at a time; from then on the history is this agent's own."""
        store = self._own()
        handle = os.open(store.place / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield store
        finally:
            os.close(handle)

    def _store(self) -> VersionStore:
        """Return the agent's versions to look at; none where it has no history, or only that of another."""
        found = load_record(self.folder)
        known = _ID.fullmatch(found.id) is not None and not _is_anothers(self.home, self.folder, found.id)
        return VersionStore(self.top / (found.id if known else "none"), self.folder.name)

    def _own(self) -> VersionStore:
        found = load_record(self.folder)
        if not _ID.fullmatch(found.id) or _is_anothers(self.home, self.folder, found.id):
            found = replace(found, id=new_id())
            save_record(self.folder, found)
        store = VersionStore(self.top / found.id, self.folder.name)
        if not self.home.own.is_dir():
            self.home.prepare()
        for place in (self.top, store.place):
            place.mkdir(mode=0o700, exist_ok=True)
        return store


def diffs(changes: Iterable[Change]) -> list[Diff]:
    """Return changes of files as blocks to show."""
    return [Diff(name, old and old[0], new and new[0], (old and old[1], new and new[1])) for name, old, new in changes]


def forget_history(home: Home, folder: AgentFolder) -> None:
    """Remove the history of the agent that lies in `folder` for good; not that of another, of which it is a copy."""
    from foundry.agent.trash import remove_tree

    own = _id_of(folder)
    if not _ID.fullmatch(own):
        return
    try:
        keep = _is_anothers(home, folder, own)
    except BadFileError:
        keep = any(_id_of(one) == own for one in _others(home, folder))
    if not keep:
        remove_tree(home.own / "history" / own)


def _is_anothers(home: Home, folder: AgentFolder, own: str) -> bool:
    """Return whether the history of that id is that of another agent, of which this folder is a copy made by hand.

    The folder that a history was last written for is known by its number on disk; where none has that number any more (a
    home copied as a whole, say), by its name.
    """
    head = VersionStore(home.own / "history" / own, folder.name).head()
    if not head.at or head.inode == folder.path.stat().st_ino:
        return False
    others = [one for one in _others(home, folder) if _id_of(one) == own]
    if any(one.path.stat().st_ino == head.inode for one in others):
        return True
    return head.name != folder.name and any(one.name.partition("@")[0] == head.name for one in others)


def _others(home: Home, folder: AgentFolder) -> Iterator[AgentFolder]:
    """Yield every other folder of the home that is or was an agent."""
    for above in (home.agents, home.trash):
        with suppress(OSError):
            for one in os.scandir(above):
                if one.is_dir(follow_symlinks=False) and one.path != str(folder.path):
                    yield AgentFolder(Path(one.path))


def _id_of(folder: AgentFolder) -> str:
    try:
        return load_record(folder).id
    except FoundryError:
        return ""
