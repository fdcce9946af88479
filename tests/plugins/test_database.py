"""SQLite files as a model reads and changes them: real files, each statement in its bounds, nothing done that was not shown."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.plugins.api import Changed, ToolContext, ToolError
from foundry.plugins.standard_lib.database import Database

from .given import Given
from .worlds import world

Sql = Callable[..., str]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A working folder with the database shop.db: three goods and a view of them."""
    folder = tmp_path / "work"
    folder.mkdir()
    with sqlite3.connect(folder / "shop.db") as one:
        one.executescript(
            "CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, price REAL, picture BLOB);"
            "INSERT INTO goods VALUES (1, 'apple', 0.5, NULL), (2, 'pear', 0.75, x'00ff00'), (3, 'plum', NULL, NULL);"
            "CREATE INDEX by_name ON goods (name);"
            "CREATE VIEW cheap AS SELECT name FROM goods WHERE price < 0.6;"
        )
    one.close()
    return folder


def database(folder: Path, limit: int = 20_000, **variables: str) -> Database:
    return Database(ToolContext(folder, limit=limit, variables=Given(**variables)))


def query(folder: Path, sql: str, source: str = "shop.db", limit: int = 20_000, **more: Any) -> str:
    return database(folder, limit).query(sql, source, **more).do()


def execute(folder: Path, sql: str, source: str = "shop.db", **more: Any) -> str:
    return database(folder).execute(sql, source, **more).do()


def test_rows_are_lined_up(shop: Path) -> None:
    before = world(shop)

    assert query(shop, "SELECT * FROM goods ORDER BY id") == (
        "id | name  | price | picture\n"
        "---+-------+-------+----------\n"
        " 1 | apple |   0.5 | NULL\n"
        " 2 | pear  |  0.75 | (3 bytes)\n"
        " 3 | plum  |  NULL | NULL\n"
        "(3 rows)"
    ).replace("----------\n", "----------\n")
    assert world(shop) == before


def test_parameters_stand_for_values_only(shop: Path) -> None:
    sql = "SELECT name FROM goods WHERE name = ?"
    assert "apple" in query(shop, sql, parameters=["apple"])
    assert query(shop, sql, parameters=["x' OR '1'='1"]) == "No rows. Columns: name"
    with pytest.raises(ToolError, match="binding"):
        query(shop, sql)


def test_what_is_more_than_asked_for_is_said(shop: Path) -> None:
    assert query(shop, "SELECT id FROM goods", most=2).endswith("(2 rows; there are more: use WHERE, LIMIT and OFFSET)")


def test_long_and_odd_values_come_as_json_lines_and_harmless(shop: Path) -> None:
    said = query(shop, "SELECT 'a' || char(10, 27, 8238) || 'b' AS t, 1 AS t, x'41' AS u")
    assert said == '{"t": "a\\n\\u001b\\u202eb", "t_2": 1, "u": "(1 bytes)"}\n(1 row)'
    assert "\x1b" not in query(shop, 'SELECT char(27) AS "a\x1b"')
    cut = query(shop, "SELECT replace(hex(zeroblob(50000)), '00', 'ab') AS t")
    assert "(98,000 more characters)" in cut
    assert len(cut) < 2_200


def test_the_result_stays_below_the_limit(shop: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i, 'row ' || i AS t FROM n"
    for limit in (500, 1_000, 5_000):
        said = query(shop, numbers, limit=limit, most=1000)
        assert len(said) <= limit
        assert "there are more" in said
    assert "too many to show" in query(shop, "SELECT replace(hex(zeroblob(5000)), '00', 'a') AS t", limit=500)


def test_tables_are_listed_with_columns_and_rows(shop: Path) -> None:
    before = world(shop)
    assert database(shop).tables("shop.db").do() == (
        "view cheap: name TEXT\ntable goods, 3 rows: id INTEGER, name TEXT, price REAL, picture BLOB"
    )
    assert world(shop) == before


def test_plans_to_read_touch_no_network_and_say_which_file(shop: Path) -> None:
    for plan in (database(shop).query("SELECT 1", "shop.db"), database(shop).tables("shop.db")):
        assert plan.preview.hosts == ()
        assert plan.preview.changes == ()
        assert plan.preview.paths == (shop / "shop.db",)


WRITES = [
    "INSERT INTO goods (name) VALUES ('x')",
    "UPDATE goods SET name = 'x'",
    "DELETE FROM goods",
    "DROP TABLE goods",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t (a)",
    "ALTER TABLE goods RENAME TO t",
    "REPLACE INTO goods (id) VALUES (1)",
    "WITH n AS (SELECT 1) DELETE FROM goods",
    "CREATE INDEX i ON goods (name)",
    "REINDEX",
    "ANALYZE",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "ATTACH 'other.db' AS o",
    "DETACH main",
    "BEGIN",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT s",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode = WAL",
    "PRAGMA user_version = 7",
    "PRAGMA wal_checkpoint",
    "PRAGMA incremental_vacuum",
    "PRAGMA optimize",
    "SELECT load_extension('x')",
    "UPDATE sqlite_master SET sql = 'x'",
    "DELETE FROM sqlite_master",
    "CREATE VIRTUAL TABLE v USING fts5(a)",
]


@pytest.mark.parametrize("sql", WRITES)
def test_reading_changes_nothing(shop: Path, sql: str) -> None:
    (shop / "other.db").write_bytes((shop / "shop.db").read_bytes())
    before = world(shop)
    with pytest.raises(ToolError, match=r"not allowed here|readonly|may not be modified|cannot VACUUM|cannot start") as caught:
        query(shop, sql)
    assert not isinstance(caught.value, Changed)
    assert world(shop) == before


@pytest.mark.parametrize(
    "sql", ["SELECT 1; DROP TABLE goods", "SELECT 1;;SELECT 2", "DELETE FROM goods; SELECT 1", "SELECT 1 ; ; DELETE FROM goods"]
)
@pytest.mark.parametrize("tool", [query, execute])
def test_there_is_one_statement(shop: Path, sql: str, tool: Sql) -> None:
    before = world(shop)
    with pytest.raises(ToolError):
        tool(shop, sql)
    assert world(shop) == before


# changing -------------------------------------------------------------------------------------------------------------------


def test_a_change_is_counted_first_and_done_then(shop: Path) -> None:
    before = world(shop)

    plan = database(shop).execute("UPDATE goods SET price = 1 WHERE price IS NOT NULL", "shop.db")

    assert plan.preview.summary == "Change shop.db (2 rows)"
    assert plan.preview.paths == (shop / "shop.db",)
    assert plan.preview.scope == f"changes to the database {shop / 'shop.db'}"
    assert world(shop) == before
    assert plan.do() == "Done in shop.db: 2 rows changed."
    assert "1.0" in query(shop, "SELECT price FROM goods")
    assert sorted(world(shop)) == ["shop.db"]


def test_what_it_would_change_now_is_not_what_was_shown(shop: Path) -> None:
    plan = database(shop).execute("DELETE FROM goods WHERE id > 1", "shop.db")
    execute(shop, "INSERT INTO goods (name) VALUES ('fig')")
    before = (shop / "shop.db").read_bytes()

    with pytest.raises(Changed, match="3 rows, not 2"):
        plan.do()
    assert (shop / "shop.db").read_bytes() == before


def test_a_new_database_is_made_and_one_that_failed_is_gone(shop: Path) -> None:
    plan = database(shop).execute("CREATE TABLE t (a)", "new/log.sqlite")
    assert plan.preview.summary == "Make the new database new/log.sqlite"
    assert not (shop / "new").exists()
    plan.do()
    assert execute(shop, "INSERT INTO t VALUES (?), (?)", "new/log.sqlite", parameters=[1, "b"]).endswith("2 rows changed.")
    assert "id" in execute(shop, "INSERT INTO goods (name) VALUES ('kiwi') RETURNING id")

    late = database(shop).execute("CREATE TABLE t (a)", "late.db")
    (shop / "late.db").write_text("mine")
    with pytest.raises(ToolError, match="no SQLite database"):
        late.do()
    assert (shop / "late.db").read_text() == "mine"


def test_a_statement_that_fails_is_told_before_anybody_is_asked(shop: Path) -> None:
    for sql, said in (("UPDATE missing SET a = 1", "no such table"), ("SELEC 1", "syntax error"), ("DROP TABLE", "incomplete")):
        with pytest.raises(ToolError, match=said):
            database(shop).execute(sql, "shop.db")


REFUSED = [
    one for one in WRITES if one.split()[0] in ("VACUUM", "ATTACH", "DETACH", "BEGIN", "COMMIT", "END", "ROLLBACK", "PRAGMA")
]


@pytest.mark.parametrize("sql", [*REFUSED, "SAVEPOINT s", "SELECT load_extension('x')", "CREATE VIRTUAL TABLE v USING csv(x)"])
def test_a_change_stays_in_its_file_and_its_transaction(shop: Path, sql: str) -> None:
    before = world(shop)
    with pytest.raises(ToolError):
        execute(shop, sql)
    assert world(shop) == before


# which files ----------------------------------------------------------------------------------------------------------------


def test_only_databases_of_the_working_folder(shop: Path) -> None:
    (shop.parent / "outside.db").write_bytes((shop / "shop.db").read_bytes())
    (shop / "link.db").symlink_to(shop.parent / "outside.db")
    (shop / "text.db").write_text("hello, this is no database")
    (shop / ".env").write_text("KEY=1")
    (shop / "hard.db").hardlink_to(shop / ".env")
    (shop / "folder.db").mkdir()
    wrong = [
        "../outside.db",
        "link.db",
        "text.db",
        ".env",
        "hard.db",
        "folder.db",
        "none.db",
        "file:shop.db?mode=rwc",
        ":memory:",
    ]
    for source in wrong:
        for tool in (query, execute):
            with pytest.raises(ToolError):
                tool(shop, "SELECT 1", source if tool is query or source != "none.db" else "none.txt")
    with pytest.raises(ToolError, match=r"There are: .*shop\.db"):
        query(shop, "SELECT 1", "")


def test_a_file_swapped_for_a_link_is_not_read(shop: Path) -> None:
    (shop.parent / "outside.db").write_bytes((shop / "shop.db").read_bytes())
    plan = database(shop).query("SELECT * FROM goods", "shop.db")
    (shop / "shop.db").unlink()
    (shop / "shop.db").symlink_to(shop.parent / "outside.db")
    with pytest.raises(ToolError, match="cannot be opened"):
        plan.do()


def test_a_name_that_means_something_to_sqlite_is_a_name(shop: Path) -> None:
    odd = "a?mode=rwc&x=%41#b.db"
    (shop / odd).write_bytes((shop / "shop.db").read_bytes())
    assert "apple" in query(shop, "SELECT name FROM goods", odd)
    assert sorted(world(shop)) == [odd, "shop.db"]


# other programs -------------------------------------------------------------------------------------------------------------


def test_a_log_that_nobody_has_open_is_not_begun_by_reading(shop: Path) -> None:
    with sqlite3.connect(shop / "shop.db") as one:
        one.execute("PRAGMA journal_mode = WAL")
    one.close()
    before = world(shop)
    assert list(before) == ["shop.db"]
    assert "apple" in query(shop, "SELECT * FROM goods")
    assert world(shop) == before


@pytest.mark.slow
def test_what_another_program_has_just_written_is_read(shop: Path) -> None:
    with sqlite3.connect(shop / "shop.db", isolation_level=None) as one:
        one.execute("PRAGMA journal_mode = WAL")
        one.execute("INSERT INTO goods (name) VALUES ('fig')")
        assert "fig" in query(shop, "SELECT name FROM goods")
        one.execute("BEGIN IMMEDIATE")
        plan = database(shop).execute("DELETE FROM goods", "shop.db")
        with pytest.raises(ToolError, match="locked"):
            plan.do()
    one.close()


def test_a_journal_that_names_another_file_is_not_followed(shop: Path) -> None:
    victim = shop.parent / "precious"
    victim.write_text("x")
    name = str(victim).encode()
    tail = len(name).to_bytes(4, "big") + (sum(name) & 0xFFFFFFFF).to_bytes(4, "big") + bytes.fromhex("d9d505f920a163d7")
    (shop / "shop.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0" * 504 + b"\0\0\0\1" + name + tail)
    for tool in (query, execute):
        with pytest.raises(ToolError):
            tool(shop, "DELETE FROM goods" if tool is execute else "SELECT * FROM goods")
    assert victim.read_text() == "x"
