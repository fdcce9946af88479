"""A real PostgreSQL on loopback: read in transactions that cannot write, changed by one statement, its address kept secret."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.plugins.api import Plan, ToolContext, ToolError
from foundry.plugins.standard_lib.database import Database
from foundry.plugins.standard_lib.database_limits import Limits
from foundry.plugins.standard_lib.database_server import first_word, server_of

from .given import Given
from .mail_world import talker

PASSWORD = "hunter2 hunter2/@:"
QUOTED = "hunter2%20hunter2%2F%40%3A"


def binaries() -> Path | None:
    """Return the folder with PostgreSQL's server programs, where Debian and others put them."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return next(
        (one for one in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True) if (one / "initdb").exists()), None
    )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server of this module's own, gone with it; it never runs as root, who lends it another user."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="foundry-postgres-"))  # pytest's own folders are closed to other users
    lent: dict[str, object] = {}
    if os.getuid() == 0:
        lent = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        shutil.chown(folder, "nobody")
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    data = folder / "data"
    made = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "owner",
        "-A",
        "scram-sha-256",
        f"--pwfile={folder / 'password'}",
        "-E",
        "UTF8",
    ]
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(folder)}
    subprocess.run(made, check=True, capture_output=True, cwd=folder, env=env, **lent)  # type: ignore[call-overload]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", "", "-c", "fsync=off"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd=folder, env=env, **lent
        )  # type: ignore[call-overload]
    try:
        found = f"postgresql://owner:{QUOTED}@127.0.0.1:{port}/postgres"
        _wait_for(found, folder / "log")
        yield found
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder)


def _wait_for(address: str, log: Path) -> None:
    from psycopg import OperationalError, connect

    for _ in range(300):
        try:
            with connect(address, connect_timeout=2) as one:
                one.execute(
                    "CREATE TABLE goods (id serial PRIMARY KEY, name text, price numeric(6, 2), picture bytea, at timestamptz)"
                )
                one.execute(
                    "INSERT INTO goods (name, price, picture, at) VALUES ('apple', 0.5, '\\x00ff', '2026-01-02 03:04:05Z')"
                )
                one.execute("INSERT INTO goods (name) VALUES ('100% pear')")
                return
        except OperationalError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def database(folder: Path, address: str, limits: Limits | None = None) -> Database:
    return Database(ToolContext(folder, variables=Given(DATABASE_URL=address)), limits)


def refused(plan: Plan) -> str:
    with pytest.raises(ToolError) as caught:
        plan.do()
    for secret in (PASSWORD, QUOTED, "hunter2"):
        assert secret not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
def test_rows_are_read_and_the_host_is_shown(tmp_path: Path, address: str) -> None:
    plan = database(tmp_path, address).query("SELECT name, price, picture, at FROM goods WHERE name LIKE '%a%' ORDER BY id")

    assert plan.preview.hosts == (address.rpartition("@")[2].partition("/")[0],)
    assert "hunter2" not in repr(plan.preview)
    said = plan.do()
    assert "apple" in said
    assert "0.50" in said
    assert "(2 bytes)" in said
    assert "2026-01-02 03:04:05+00:00" in said
    assert "100% pear" in said
    one = database(tmp_path, address)
    assert "apple" in one.query("SELECT name FROM goods WHERE name = %s", parameters=["apple"]).do()
    assert one.query("SELECT name FROM goods WHERE name = %s", parameters=["' OR 1=1 --"]).do().startswith("No rows")
    assert "Seq Scan" in one.query("EXPLAIN SELECT * FROM goods").do()
    assert "on" in one.query("SHOW transaction_read_only").do()
    assert "table goods: id INTEGER, name TEXT, price NUMERIC(6, 2), picture BYTEA, at TIMESTAMP" in one.tables().do()


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO goods (name) VALUES ('x')",
        "WITH d AS (DELETE FROM goods RETURNING *) SELECT * FROM d",
        "SELECT 1; DELETE FROM goods",
        "SELECT 1; COMMIT; DELETE FROM goods",
        "EXPLAIN SELECT 1; COMMIT; DELETE FROM goods",
        "SHOW server_version; COMMIT; DELETE FROM goods",
        "EXPLAIN ANALYZE DELETE FROM goods",
        "/* SELECT */ DELETE FROM goods",
        "-- SELECT\nDELETE FROM goods",
        "SELECT nextval('goods_id_seq')",
        "SELECT * INTO copy FROM goods",
        "SELECT * FROM goods FOR UPDATE",
        "SET TRANSACTION READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "COPY goods TO PROGRAM 'cat'",
        "DO $$ BEGIN DELETE FROM goods; END $$",
        "COMMIT",
        "TABLE goods; DROP TABLE goods",
    ],
)
def test_reading_changes_nothing(tmp_path: Path, address: str, sql: str) -> None:
    one = database(tmp_path, address)
    count = one.query("SELECT count(*), max(name) FROM goods").do()
    refused(one.query(sql))
    assert one.query("SELECT count(*), max(name) FROM goods").do() == count
    assert "table copy" not in one.tables().do()


@pytest.mark.slow
def test_a_change_is_one_statement_in_a_transaction(tmp_path: Path, address: str) -> None:
    one = database(tmp_path, address)
    plan = one.execute("CREATE TABLE visits (who text)")
    assert plan.preview.hosts
    assert plan.preview.scope == ""
    assert "visits" not in one.tables().do()
    plan.do()
    assert one.execute("INSERT INTO visits VALUES (%s), ('100%%')", parameters=["ann"]).do().endswith("2 rows changed.")
    assert "ann" in one.execute("DELETE FROM visits WHERE who = 'ann' RETURNING who").do()
    for sql in (
        "DELETE FROM visits; DELETE FROM goods",
        "COMMIT",
        "COPY visits TO PROGRAM 'cat'",
        "INSERT INTO visits VALUES (1/0)",
    ):
        refused(one.execute(sql))
    assert "(1 row)" in one.query("SELECT * FROM visits").do()


@pytest.mark.slow
def test_time_and_rows_have_limits(tmp_path: Path, address: str) -> None:
    one = database(tmp_path, address, Limits(seconds=1))
    began = time.monotonic()
    assert "longer than 1 seconds" in refused(one.query("SELECT pg_sleep(60)"))
    assert "longer than 1 seconds" in refused(one.execute("DELETE FROM goods WHERE pg_sleep(60) IS NULL"))
    assert time.monotonic() - began < 8
    assert "there are more" in one.query("SELECT generate_series(1, 100000000)", most=5).do()
    assert "more characters" in one.query("SELECT repeat('x', 1000000)").do()


@pytest.mark.slow
def test_what_is_wrong_is_said_without_the_address(tmp_path: Path, address: str) -> None:
    wrong = address.replace("hunter2", "hunter3")
    with pytest.raises(ToolError, match="password authentication failed") as caught:
        database(tmp_path, wrong).query("SELECT 1").do()
    assert "hunter3" not in str(caught.value)
    assert "does not exist" in refused(database(tmp_path, address).query("SELECT * FROM nothing_here"))
    assert "does not exist" in refused(database(tmp_path, address + "s").query("SELECT 1"))


@pytest.mark.slow
def test_a_server_that_says_nothing_is_left(tmp_path: Path) -> None:
    began = time.monotonic()
    with talker(b"") as port:
        refused(database(tmp_path, f"postgresql://a:{QUOTED}@127.0.0.1:{port}/x", Limits(connecting=2)).query("SELECT 1"))
    limits = Limits(seconds=1, connecting=2, server_grace=0.5)
    welcome = b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"
    with talker(b"N", welcome, *[b""] * 9) as port:  # it lets anybody in, and then never answers
        refused(database(tmp_path, f"postgresql://a:{QUOTED}@127.0.0.1:{port}/x", limits).query("SELECT 1"))
    assert time.monotonic() - began < 12
    with talker() as port:
        pass
    refused(database(tmp_path, f"mysql://a:{QUOTED}@127.0.0.1:{port}/x", limits).query("SELECT 1"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("not a url", "cannot be read"),
        ("postgresql://a:b@host:port/x", "cannot be read"),
        ("oracle://a:hunter2@h/x", "PostgreSQL or MySQL"),
        ("sqlite:////etc/x.db", "given by its path"),
        ("postgresql:///x", "no single host"),
        ("postgresql://a:hunter2@/x?host=evil", "no single host"),
        ("postgresql://a:hunter2@h/x?host=evil", "says host"),
        ("postgresql://a:hunter2@h/x?service=s", "says service"),
        ("mysql://a:hunter2@h/x?read_default_file=/etc/passwd", "says read_default_file"),
        ("mysql://a:hunter2@h/x?local_infile=1", "says local_infile"),
        ("postgresql+psycopg2://a:hunter2@h/x", "PostgreSQL or MySQL"),
    ],
)
def test_addresses_that_are_not_taken(given: str, said: str) -> None:
    with pytest.raises(ToolError, match=said) as caught:
        server_of(given)
    assert "hunter2" not in str(caught.value)


def test_the_host_is_shown_and_the_rest_is_not() -> None:
    one = server_of(f"postgres://owner:{QUOTED}@db.example.org/shop?sslmode=require")
    assert one.host == "db.example.org:5432"
    assert "hunter2" not in repr(one)
    assert server_of("mariadb://a:b@h:77/x").host == "h:77"


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        *(("SELECT 1", "select"), (" \n (( with x", "with"), ("-- a\n/* b */ Delete", "delete"), ("", ""), ("/* SELECT", "")),
        *(("--SELECT", ""), ("selecting", "selecting"), ("/*/ SELECT 1 */ DROP", "drop"), ("1", "")),
    ],
)
def test_the_first_word_of_a_statement(sql: str, word: str) -> None:
    assert first_word(sql) == word


def test_without_the_library_the_extra_is_named_and_files_still_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "sqlalchemy" else real(name, *more))
    one = database(tmp_path, "postgresql://a:b@h/x")
    with pytest.raises(ToolError, match='needs the package sqlalchemy, which the extra "database" brings'):
        one.query("SELECT 1")
    one.execute("CREATE TABLE t (a)", "a.db").do()
    assert one.tables("a.db").do() == "table t, 0 rows: a"
