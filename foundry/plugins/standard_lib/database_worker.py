"""The process behind SQLite databases: one request on stdin, one answer on stdout; whatever a file or statement does ends here.

It opens one file, may do what the request allows and nothing else (an authorizer sees every step of a statement), and has bounds
on time, memory, rows and the length of what it says. It imports nothing else of ours: what it is asked was checked by who asks.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from foundry.plugins.standard_lib.worker_bounds import begun

_MEMORY = 1024 * 1024 * 1024
_GROWTH = 256 * 1024 * 1024  # bytes that a file may grow by
_LONGEST_VALUE = 16 * 1024 * 1024
_STEPS = 2_000  # of SQLite's machine, between two looks at the clock
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_PRAGMA}
_NEVER = {
    *(sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT),
    *(sqlite3.SQLITE_CREATE_VTABLE, sqlite3.SQLITE_DROP_VTABLE),
}
_NO_FUNCTIONS = {"load_extension", "fts3_tokenizer"}
_PRAGMAS = {
    *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"),
    *("integrity_check", "quick_check", "foreign_key_check"),
}
_BARE_PRAGMAS = {"user_version", "schema_version", "application_id", "encoding", "page_size", "page_count", "data_version"}


class _Refused(Exception):
    """What was asked is not done; the text says why."""

    def __init__(self, text: str, kind: str = "refused") -> None:
        super().__init__(text)
        self.kind = kind


class _Steps:
    """What SQLite asks before each step: whether it is allowed, and whether there is time left."""

    def __init__(self, writes: bool, seconds: float) -> None:
        self.writes = writes
        self.deadline = time.monotonic() + seconds
        self.denied = ""

    def authorize(self, action: int, first: str | None, second: str | None, _database: str | None, _inside: str | None) -> int:
        if self._allows(action, first or "", second):
            return sqlite3.SQLITE_OK
        self.denied = self.denied or _named(action, first, second)
        return sqlite3.SQLITE_DENY

    def _allows(self, action: int, first: str, second: str | None) -> bool:
        if action == sqlite3.SQLITE_FUNCTION:
            return (second or "").lower() not in _NO_FUNCTIONS
        if action == sqlite3.SQLITE_PRAGMA:
            return first.lower() in _PRAGMAS or (first.lower() in _BARE_PRAGMAS and second is None)
        if action == sqlite3.SQLITE_UPDATE and first == "sqlite_master":
            return True  # what a virtual table says of itself when it is opened; SQLite lets no statement do it
        return action in _READS or (self.writes and action not in _NEVER)

    def out_of_time(self) -> int:
        return int(time.monotonic() > self.deadline)


def main() -> int:
    """Answer one request with one line of JSON, {"error", "kind"} for what was not done."""
    request, _ = begun()
    _bound(request)
    try:
        answer = _answered(request)
    except _Refused as refused:
        answer = {"error": str(refused), "kind": refused.kind}
    except (MemoryError, RecursionError):
        answer = {"error": "it needs more memory than there is for it", "kind": "limit"}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _bound(request: dict[str, Any]) -> None:
    seconds = int(request["seconds"]) + 3
    size = 0 if request["handle"] is None else os.fstat(request["handle"]).st_size
    bounds = ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, _MEMORY + size), (resource.RLIMIT_CORE, 0))
    for which, most in (*bounds, (resource.RLIMIT_FSIZE, size + _GROWTH)):
        with suppress(ValueError, OSError):
            resource.setrlimit(which, (most, most))


def _answered(request: dict[str, Any]) -> dict[str, Any]:
    steps = _Steps(request["mode"] != "read", request["seconds"])
    try:
        database = _memory() if request["handle"] is None else _opened(request)
        if request["mode"] == "try" and request["handle"] is not None:
            database = _copy(database, steps)
        _set_up(database, request["mode"])
        if request.get("tables"):
            return _tables(database, steps, request)
        return _done(database, steps, request)
    except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
        raise _why(error, steps) from None


def _opened(request: dict[str, Any]) -> sqlite3.Connection:
    """Open the very file that the handle is of; the name could be another's by now."""
    mode = "rw" if request["mode"] == "write" else "ro"
    uri = f"file:{quote(request['path'])}?mode={mode}" + ("&immutable=1" if request.get("still") else "")
    before = _open_files()
    database = sqlite3.connect(uri, uri=True, timeout=2, isolation_level=None, cached_statements=0)
    wanted = os.fstat(request["handle"])
    if (wanted.st_dev, wanted.st_ino) not in [one for handle, one in _open_files().items() if before.get(handle) != one]:
        raise _Refused("the file is not the one it was", "changed")
    return database


def _open_files() -> dict[int, tuple[int, int]]:
    """Return what each handle of this process is of."""
    found = {}
    for handle in [int(one) for one in os.listdir("/dev/fd") if one.isdigit()]:  # noqa: PTH208
        with suppress(OSError):  # the one that listed the handles is gone
            about = os.fstat(handle)
            found[handle] = (about.st_dev, about.st_ino)
    return found


def _memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)


def _copy(database: sqlite3.Connection, steps: _Steps) -> sqlite3.Connection:
    """Return a copy in memory, to try on what a statement would do."""

    def watch(_status: int, _left: int, _all: int) -> None:
        if steps.out_of_time():
            raise _Refused("copying it took too long", "limit")

    copy = _memory()
    database.backup(copy, pages=1000, progress=watch)
    database.close()
    return copy


def _set_up(database: sqlite3.Connection, mode: str) -> None:
    limits = {
        sqlite3.SQLITE_LIMIT_LENGTH: _LONGEST_VALUE,
        sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
        sqlite3.SQLITE_LIMIT_ATTACHED: 0,
        sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
        sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
        sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
        sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 50,
        sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
    }
    for which, most in limits.items():
        database.setlimit(which, most)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    pragmas = ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY", "mmap_size = 0", "foreign_keys = ON")
    for one in (*pragmas, *(["query_only = ON"] if mode == "read" else [])):
        database.execute(f"PRAGMA {one}")


def _done(database: sqlite3.Connection, steps: _Steps, request: dict[str, Any]) -> dict[str, Any]:
    database.execute("BEGIN IMMEDIATE" if request["mode"] == "write" else "BEGIN")
    before = database.total_changes
    answer = _watched(database, steps, lambda: _rows(database.execute(request["sql"], request["parameters"]), request))
    answer["changes"] = database.total_changes - before
    if request["mode"] != "write":
        database.execute("ROLLBACK")
        return answer
    expected = request["expected"]
    if expected is not None and answer["changes"] != expected:
        database.execute("ROLLBACK")
        raise _Refused(f"it would change {answer['changes']} rows, not {expected}", "changed")
    database.execute("COMMIT")
    return answer


def _watched(database: sqlite3.Connection, steps: _Steps, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    database.set_authorizer(steps.authorize)
    database.set_progress_handler(steps.out_of_time, _STEPS)
    answer = work()
    database.set_authorizer(None)
    database.set_progress_handler(None, 0)
    return answer


def _rows(cursor: sqlite3.Cursor, request: dict[str, Any]) -> dict[str, Any]:
    """Return the rows that fit; a statement that changes something is gone through to its end."""
    rows: list[list[Any]] = []
    room, more = int(request["room"]), False
    for row in cursor:
        if more or len(rows) == request["most"] or room < 0:
            more = True
            if request["mode"] == "read":
                break
            continue
        rows.append([_cell(one, request["cell"]) for one in row])
        room -= sum(len(str(one)) for one in rows[-1])
    columns = [str(one[0])[:200] for one in cursor.description or ()]
    return {"columns": columns, "rows": rows, "more": more}


def _cell(value: Any, most: int) -> Any:
    """Return a value as JSON has it: a blob as its size, a long text as its beginning and how much is left out."""
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    if isinstance(value, str) and len(value) > most:
        return f"{value[:most]}… ({len(value) - most:,} more characters)"
    return value if not isinstance(value, float) or abs(value) != float("inf") else str(value)


def _tables(database: sqlite3.Connection, steps: _Steps, request: dict[str, Any]) -> dict[str, Any]:
    """Return the tables and views with their columns, and how many rows each table has where that is soon counted."""

    def look() -> dict[str, Any]:
        listed = database.execute("SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        names = listed.fetchmany(request["most"] + 1)
        room, found = int(request["room"]), list[dict[str, Any]]()
        for kind, name in names[: request["most"]]:
            if name.startswith("sqlite_") or room < 0:
                continue
            quoted = '"' + name.replace('"', '""') + '"'
            columns, rows = None, None
            with suppress(sqlite3.Error):  # a view of what is not there, or a table of a module we do not have
                columns = [[_cell(one[1], 100), _cell(one[2], 50)] for one in database.execute(f"PRAGMA table_info({quoted})")][
                    :200
                ]
                if kind == "table":
                    counted = database.execute(f"SELECT count(*) FROM (SELECT 1 FROM {quoted} LIMIT {request['counted']} + 1)")
                    rows = counted.fetchone()[0]
            found.append({"kind": kind, "name": _cell(name, 200), "columns": columns, "rows": rows})
            room -= len(json.dumps(found[-1]))
        return {"tables": found, "more": len(names) > request["most"] or room < 0}

    return _watched(database, steps, look)


def _why(error: Exception, steps: _Steps) -> _Refused:
    text = str(error)
    if steps.denied:
        return _Refused(f"{steps.denied} is not allowed here", "denied")
    if "interrupted" in text:
        return _Refused("it took too long", "limit")
    if "one statement at a time" in text:
        return _Refused("it is more than one statement; give one", "denied")
    return _Refused(text[:500] or type(error).__name__, "sql")


def _named(action: int, first: str | None, second: str | None) -> str:
    names = {
        value: name.removeprefix("SQLITE_").replace("_", " ")
        for name, value in vars(sqlite3).items()
        if name.startswith("SQLITE_")
        and value == action
        and not name.startswith(("SQLITE_LIMIT", "SQLITE_DENY", "SQLITE_IGNORE"))
    }
    said = [names.get(action, f"step {action}"), *(one[:60] for one in (first, second) if one)]
    return " ".join(said)


if __name__ == "__main__":
    sys.exit(main())
