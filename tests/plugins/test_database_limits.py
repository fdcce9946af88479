"""Hostile databases and statements without end: each ends at a limit, in time, and the session goes on."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib import database_file
from foundry.plugins.standard_lib.database import Database
from foundry.plugins.standard_lib.database_limits import Limits

from .worlds import world

LITTLE = Limits(seconds=2)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the database a.db."""
    (tmp_path / "work").mkdir()
    with sqlite3.connect(tmp_path / "work" / "a.db") as one:
        one.execute("CREATE TABLE t (a)")
        one.execute("INSERT INTO t VALUES ('one')")
    one.close()
    return tmp_path / "work"


def database(folder: Path, limits: Limits = LITTLE, limit: int = 20_000) -> Database:
    return Database(ToolContext(folder, limit=limit), limits)


def query(folder: Path, sql: str, source: str = "a.db") -> str:
    return database(folder).query(sql, source).do()


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        ENDLESS + "SELECT count(*) FROM n",
        ENDLESS + "SELECT max(i) FROM n",
        ENDLESS + "SELECT i FROM n ORDER BY i",
        ENDLESS + "SELECT group_concat(i) FROM n",
        ENDLESS + "SELECT i, randomblob(1000000) AS b FROM n ORDER BY b",
        ENDLESS + "SELECT DISTINCT hex(randomblob(100000)) FROM n",
        "SELECT printf('%.*c', 2000000000, 'x')",
        "SELECT hex(zeroblob(100000000))",
        "SELECT zeroblob(999999999)",
        "SELECT count(*) FROM json_each('[' || replace(hex(zeroblob(4000000)), '00', '[[],') || '1]')",
        "SELECT replace(hex(zeroblob(8000000)), '0', 'xxxxxxxxxxxxxxxx')",
        "SELECT instr(zeroblob(16000000), zeroblob(8000000) || x'01')",
        "SELECT 'a' LIKE '" + "%a" * 1000 + "'",
        "SELECT hex(zeroblob(8000000)) LIKE '%0%0%0%0%0%0%0%0%0%0%0%0%0%0%1'",
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        " UNION ALL ".join(["SELECT 1"] * 5000),
        "SELECT " + "1+" * 20000 + "1",
    ],
    ids=range(17),
)
def test_a_statement_without_end_ends(folder: Path, sql: str) -> None:
    before = world(folder)
    began = time.monotonic()
    try:
        said = query(folder, sql)
    except ToolError as error:
        said = str(error)
    assert time.monotonic() - began < 8
    assert len(said) < 20_000
    assert world(folder) == before


@pytest.mark.slow
def test_a_change_without_end_leaves_nothing(folder: Path) -> None:
    before = world(folder)
    one = database(folder)
    for sql in (ENDLESS + "INSERT INTO t SELECT i FROM n", ENDLESS + "UPDATE t SET a = (SELECT count(*) FROM n)"):
        with pytest.raises(ToolError):
            one.execute(sql, "a.db").do()
    assert world(folder) == before


@pytest.mark.slow
def test_a_change_ended_half_way_is_taken_back(folder: Path) -> None:
    one = database(folder, replace(LITTLE, largest_tried=0))
    plan = one.execute(ENDLESS + "INSERT INTO t SELECT hex(randomblob(5000)) FROM n", "a.db")
    assert plan.preview.summary == "Change a.db (how many rows is not known)"
    with pytest.raises(ToolError):
        plan.do()
    assert "(1 row)" in one.execute("SELECT * FROM t", "a.db").do()
    assert "one" in query(folder, "SELECT * FROM t")


@pytest.mark.slow
def test_a_damaged_file_is_told_or_read_and_nothing_else(folder: Path) -> None:
    with sqlite3.connect(folder / "a.db") as one:
        one.execute("CREATE INDEX i ON t (a)")
        one.executemany("INSERT INTO t VALUES (?)", [(f"row {number}" * 20,) for number in range(200)])
    one.close()
    whole, chance = (folder / "a.db").read_bytes(), random.Random(7)
    for number in range(12):
        raw = bytearray(whole)
        for _ in range(60):
            raw[chance.randrange(100 if number % 2 else 16, len(raw))] = chance.randrange(256)
        (folder / "b.db").write_bytes(raw if number % 3 else raw[: len(raw) // 2])
        before = world(folder)
        for sql in ("SELECT * FROM t ORDER BY a", "PRAGMA integrity_check"):
            try:
                assert len(query(folder, sql, "b.db")) <= 20_000
            except ToolError as error:
                assert "b.db" in str(error)  # noqa: PT017
        assert world(folder) == before


@pytest.mark.prove
def test_a_schema_of_ten_thousand_tables_is_listed_in_part(folder: Path) -> None:
    with sqlite3.connect(folder / "many.db") as one:
        one.execute("BEGIN")
        for number in range(10_000):
            one.execute(f"CREATE TABLE t{number:05} (a, b, c)")
    one.close()
    said = database(folder, limit=5_000).tables("many.db").do()
    assert "there are more" in said
    assert len(said) <= 5_000


def test_views_and_triggers_of_a_hostile_file_do_nothing_outside(folder: Path) -> None:
    with sqlite3.connect(folder / "evil.db") as one:
        one.executescript(
            "CREATE TABLE t (a);"
            "CREATE VIEW v AS SELECT load_extension('/tmp/x.so') AS a;"
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT load_extension('/tmp/x.so'); END;"
        )
        one.execute(f"CREATE VIEW endless AS {ENDLESS} SELECT i FROM n")
        one.execute('CREATE TABLE "a\x1b[2J\nb" ("c\u202ed" TEXT)')
    one.close()
    with pytest.raises(ToolError, match=r"not allowed|unsafe|no such function"):
        query(folder, "SELECT * FROM v", "evil.db")
    with pytest.raises(ToolError, match=r"not allowed|unsafe|no such function"):
        database(folder).execute("INSERT INTO t VALUES (1)", "evil.db")
    assert "there are more" in query(folder, "SELECT * FROM endless", "evil.db")
    said = database(folder).tables("evil.db").do()
    assert "table a^[[2J\\nb, 0 rows: c<U+202E>d TEXT" in said


def test_full_text_tables_can_be_read_and_searched(folder: Path) -> None:
    with sqlite3.connect(folder / "a.db") as one:
        one.execute("CREATE VIRTUAL TABLE notes USING fts5(text)")
        one.execute("INSERT INTO notes VALUES ('the quick fox'), ('a slow dog')")
    one.close()
    before = world(folder)
    assert "quick" in query(folder, "SELECT text FROM notes WHERE notes MATCH 'fox'")
    assert "table notes, 2 rows: text" in database(folder).tables("a.db").do()
    assert world(folder) == before


def test_a_swap_between_the_look_and_the_opening_is_noticed(folder: Path) -> None:
    """The handle that goes along is what counts: another file at the name is refused by the process that opens it."""
    other = folder.parent / "other.db"
    other.write_bytes((folder / "a.db").read_bytes())
    with (folder / "a.db").open("rb") as looked_at:
        request = {
            **{"mode": "read", "path": str(other), "handle": looked_at.fileno(), "sql": "SELECT * FROM t", "parameters": []},
            **{"most": 5, "seconds": 2, "cell": 100, "room": 1000},
        }
        assert database_file._answer(request, LITTLE, looked_at.fileno()) == {
            "error": "the file is not the one it was",
            "kind": "changed",
        }
        request["path"] = os.fspath(folder / "a.db")
        assert database_file._answer(request, LITTLE, looked_at.fileno())["rows"] == [["one"]]
