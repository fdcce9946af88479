"""SQLite files of the working folder: found, opened by a process that can be ended, changed only as was shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundry.plugins.api import Changed, ToolContext, ToolError, is_protected
from foundry.plugins.confined import Confined, is_name_of_protected
from foundry.plugins.standard_lib.database_limits import Limits
from foundry.plugins.standard_lib.worker import answers, ask, last_words
from foundry.text import named

LONGEST_CELL = 2_000
_MAGIC = b"SQLite format 3\x00"
_ENDINGS = (".db", ".db3", ".sqlite", ".sqlite3")
_MOST_NAMED = 20
_NAMES_ANOTHER = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"  # a journal that ends so names a file, which SQLite would then delete


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """One database file by its real path; it may not be there yet."""

    context: ToolContext
    path: Path
    limits: Limits

    @property
    def name(self) -> str:
        return self.context.name(self.path)

    def read(self, sql: str, parameters: Sequence[Any], most: int) -> dict[str, Any]:
        """Return the rows of a statement that only reads. Raises ToolError."""
        return self._asked({"mode": "read", "sql": sql, "parameters": list(parameters), "most": most})

    def tables(self, most: int, counted: int) -> dict[str, Any]:
        """Return what tables and views there are. Raises ToolError."""
        return self._asked({"mode": "read", "tables": True, "most": most, "counted": counted})

    def tried(self, sql: str, parameters: Sequence[Any]) -> int | None:
        """Return how many rows a statement would change, found on a copy in memory; None for a file too large for one.

        Raises ToolError for a statement that fails.
        """
        if self.is_there() and self.path.stat().st_size > self.limits.largest_tried:
            return None
        return int(self._asked({"mode": "try", "sql": sql, "parameters": list(parameters), "most": 0})["changes"])

    def write(self, sql: str, parameters: Sequence[Any], most: int, expected: int | None) -> dict[str, Any]:
        """Do a statement in a transaction of its own. Raises ToolError, Changed where not `expected` rows would be changed."""
        request = {"mode": "write", "sql": sql, "parameters": list(parameters), "most": most, "expected": expected}
        if self.is_there():
            return self._asked(request)
        folder = Confined(self.context.folder)
        folder.write(self.path, None, b"")
        try:
            return self._asked(request)
        except BaseException:
            folder.remove(self.path, {"": b""})
            raise

    def is_there(self) -> bool:
        return os.path.lexists(self.path)

    def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        request = {**request, "cell": LONGEST_CELL, "room": self.context.limit}
        if request["mode"] == "try" and not self.is_there():
            return self._taken(_answer({**request, "handle": None}, self.limits))
        from foundry.sandbox.still import held_still

        # Jailed code could put a journal beside it that names another file, which SQLite, in no jail, would delete.
        frozen = held_still() if request["mode"] == "write" else nullcontext()
        with frozen, self._opened(request["mode"]) as handle:
            still = request["mode"] != "write" and self._rests(handle)
            before = _state(self.path)
            answer = _answer({**request, "path": str(self.path), "handle": handle, "still": still}, self.limits, handle)
            if still and (_state(self.path) != before or self._beside("-wal")):
                raise ToolError(f"{self.name} was changed by another program meanwhile. Try again.")
        return self._taken(answer)

    def _taken(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "error" not in answer:
            return answer
        if answer["kind"] == "changed":
            raise Changed(f"{self.name}: {answer['error']}.")
        hint = " Tools do one statement: query reads, execute changes rows and tables." if answer["kind"] == "denied" else ""
        raise ToolError(f"{self.name}: {answer['error']}.{hint}")

    @contextmanager
    def _opened(self, mode: str) -> Iterator[int]:
        """Give a handle of the file. Raises ToolError for what is no database, or not to be touched."""
        try:
            with self.context.open(self.path) as file:
                found = os.fstat(file.fileno())
                head = file.read(len(_MAGIC))
                if is_name_of_protected(self.context, found):
                    raise ToolError(f"{self.name} is another name of a protected file: it cannot be read.")
                if head and head != _MAGIC:
                    raise ToolError(f"{self.name} is no SQLite database.")
                if mode == "write":
                    self._accept_journal()
                yield file.fileno()
        except OSError as error:
            raise ToolError(f"{self.name} cannot be opened: {error.strerror}.") from None

    def _rests(self, handle: int) -> bool:
        """Return whether the database keeps a write-ahead log and nobody has it open: then reading it must not begin a log."""
        return os.pread(handle, 2, 18) == b"\x02\x02" and not self._beside("-wal")

    def _beside(self, ending: str) -> bool:
        return os.path.lexists(f"{self.path}{ending}")

    def _accept_journal(self) -> None:
        journal = self.path.with_name(f"{self.path.name}-journal")
        if not os.path.lexists(journal):
            return
        with self.context.open(journal) as file:
            file.seek(max(os.fstat(file.fileno()).st_size - 8, 0))
            if file.read() == _NAMES_ANOTHER:
                raise ToolError(f"{self.context.name(journal)} names another file, which changing {self.name} could delete.")


def sqlite_file(context: ToolContext, source: str, limits: Limits, *, new: bool = False) -> SqliteFile:
    """Return the database file called `source`. Raises ToolError, saying which there are, where it is not there and not `new`."""
    path = context.path(source)
    if path.is_dir() or (not path.exists() and not (new and path.suffix.lower() in _ENDINGS)):
        called = f" A new one ends with one of {', '.join(_ENDINGS)}." if new else ""
        raise ToolError(f"There is no database {source!r}. {known_files(context)}{called}")
    if not path.exists() and not path.name.isprintable():
        raise ToolError("The name holds characters that nobody sees. Give one such as notes.db.")
    return SqliteFile(context, path, limits)


def known_files(context: ToolContext) -> str:
    """Return a sentence on the files at the top of the working folder that look like databases."""
    with os.scandir(context.folder) as entries:
        names = sorted(one.name for one in entries if one.name.lower().endswith(_ENDINGS) and not is_protected(one.name))
    if not names:
        return "The working folder has no file that ends with .db or .sqlite."
    return f"There are: {', '.join(map(named, names[:_MOST_NAMED]))}."


def _answer(request: dict[str, Any], limits: Limits, *handles: int) -> dict[str, Any]:
    ended = ask("database_worker", request, limits.seconds, grace=limits.worker_grace, handles=handles)
    if ended.timed_out:
        return {"error": "it took too long", "kind": "limit"}
    broken = f"the process that opened it ended with {ended.code} {last_words(ended.err, '')}".rstrip()
    return next(answers(ended.out), {"error": broken, "kind": "limit"})


def _state(path: Path) -> tuple[int, int, int]:
    found = os.lstat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns
