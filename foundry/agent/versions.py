"""Versions of something's files on disk: a JSON file for each, contents once each by hash, and which of them is in force."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foundry.errors import FoundryError, NotFoundError
from foundry.files import BadFileError, read_json, write_bytes, write_json

State = tuple[bytes, int]  # a file's bytes and its mode
Mark = tuple[str, int]  # the same by hash
Marks = dict[str, Mark]
LARGEST = 1024 * 1024  # a content beyond this is no code
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Version:
    """One version: what kind of change made it from `parent` (0: the first), when, in whose words, and the files it changed.

    `files` holds, by path, the hash and mode a file has since then, or None for one that is gone.
    """

    number: int
    parent: int
    at: str
    kind: str
    said: str = ""
    files: Mapping[str, Mark | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pending:
    """A version that is just being put in place: it is once `put` lies there. `new` tells one that was never written."""

    version: Version
    new: bool
    redo: tuple[int, ...]
    put: Mapping[str, Mark | None]


@dataclass(frozen=True, slots=True)
class Head:
    """The version in force, those that a redo goes to, newest last, and which folder it is: its name and number on disk.

    `files` are those of the version in force, so that looking whether something changed reads one file, not every version.
    """

    at: int = 0
    redo: tuple[int, ...] = ()
    name: str = ""
    inode: int = 0
    files: Mapping[str, Mark] | None = None
    pending: Pending | None = None


class VersionStore:
    """The versions in the folder `place`; `owner` is who they are of, for what is said."""

    def __init__(self, place: Path, owner: str) -> None:
        self.place = place
        self.owner = owner

    def numbers(self) -> list[int]:
        """Return the numbers of all versions, ascending."""
        with suppress(OSError):
            return sorted(int(one.name[:-5]) for one in os.scandir(self.place) if re.fullmatch(r"[1-9][0-9]*\.json", one.name))
        return []

    def version(self, number: int) -> Version:
        """Return one version. Raises NotFoundError when there is none of that number, BadFileError for one that is damaged."""
        path = self.place / f"{number}.json"
        if not path.is_file():
            there = self.numbers()
            hint = f"There are 1 to {there[-1]}; see: foundry history {self.owner}" if there else "It has no history yet."
            raise NotFoundError(f"{self.owner!r} has no version {number}", hint)
        with _whole(path):
            found = _version(read_json(path))
            if found.number != number or not 0 <= found.parent < number:
                raise ValueError
        return found

    def marks(self, number: int) -> Marks:
        """Return every file of a version by path, as hash and mode; none for version 0."""
        line: list[Version] = []
        head = self.head()
        while number and (number != head.at or head.files is None):
            line.append(self.version(number))
            number = line[-1].parent
        found: Marks = dict(head.files or {}) if number else {}
        for one in reversed(line):
            for name, mark in one.files.items():
                if mark is None:
                    found.pop(name, None)
                else:
                    found[name] = mark
        return found

    def content(self, digest: str) -> bytes:
        """Return the bytes of that hash. Raises FoundryError when they are not there or not those."""
        path = self._content(digest)
        with suppress(OSError, zlib.error):
            raw = zlib.decompressobj().decompress(path.read_bytes(), LARGEST + 1)  # a crafted one may swell without end
            if hashlib.sha256(raw).hexdigest() == digest:
                return raw
        raise FoundryError(f"the history of {self.owner!r} is damaged: {path} is gone or altered", "Nothing was changed.")

    def state(self, mark: Mark | None) -> State | None:
        """Return a file as bytes and mode; None where it is not there. Raises as `content` does."""
        return None if mark is None else (self.content(mark[0]), mark[1])

    def head(self) -> Head:
        """Return which version is in force; version 0 before the first. Raises BadFileError for a damaged one."""
        path = self.place / "head.json"
        try:
            data = read_json(path)
        except BadFileError as error:
            if error.code == "missing_file":
                return Head()
            raise
        with _whole(path):
            pending = data.get("pending")
            files = data.get("files")
            return Head(
                at=int(data["at"]),
                redo=_numbers(data["redo"]),
                name=str(data["name"]),
                inode=int(data.get("inode", 0)),
                files=None if files is None else {str(name): _mark(mark) for name, mark in files.items()},
                pending=_pending(pending) if pending else None,
            )

    def keep(self, state: State) -> Mark:
        """Store a file's content, where it is not stored yet, and return its mark."""
        mark = mark_of(state)
        assert mark
        path = self._content(mark[0])
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_bytes(path, zlib.compress(state[0], 9), 0o600)
        return mark

    def put_head(self, head: Head) -> None:
        """Say which version is in force."""
        write_json(self.place / "head.json", asdict(head), 0o600)

    def write(self, version: Version) -> None:
        """Write one version."""
        write_json(self.place / f"{version.number}.json", asdict(version), 0o600)

    def _content(self, digest: str) -> Path:
        return self.place / "files" / digest[:2] / digest


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Tell what a file does not mean as an error with the file's name."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        hint = f"Move {path.parent} away, and a new history begins with the code as it is."
        raise BadFileError(f"{path}: tells of no version", hint) from None


def mark_of(state: State | None) -> Mark | None:
    """Return a file's hash and mode; None for one that is not there."""
    return None if state is None else (hashlib.sha256(state[0]).hexdigest(), state[1])


def _version(data: Mapping[str, Any]) -> Version:
    words = str(data["at"]), str(data["kind"]), str(data["said"])
    return Version(int(data["number"]), int(data["parent"]), *words, _marks(data["files"]))


def _pending(data: Mapping[str, Any]) -> Pending:
    return Pending(_version(data["version"]), bool(data["new"]), _numbers(data["redo"]), _marks(data["put"]))


def _marks(data: Mapping[str, Any]) -> dict[str, Mark | None]:
    return {str(name): None if mark is None else _mark(mark) for name, mark in data.items()}


def _mark(data: Any) -> Mark:
    digest, mode = data
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not 0 <= int(mode) <= 0o777:
        raise ValueError
    return digest, int(mode)


def _numbers(data: Any) -> tuple[int, ...]:
    return tuple(int(one) for one in data)
