"""A real MariaDB on loopback: a query changes nothing there whatever it says, everything ends in time, no password is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.plugins.api import Plan, ToolContext, ToolError
from foundry.plugins.standard_lib.database import Database
from foundry.plugins.standard_lib.database_limits import Limits

from .given import Given
from .mail_world import talker
from .mariadb_world import PASSWORD, QUOTED, MariaDB, installed, mariadb

SHOP = (
    "CREATE TABLE goods (id int PRIMARY KEY AUTO_INCREMENT, name varchar(60), price decimal(6, 2))",
    "INSERT INTO goods (name, price) VALUES ('apple', 0.5), ('100% pear', NULL)",
    "CREATE TABLE plain (a int) ENGINE=MyISAM",
    "CREATE TABLE quick (a int) ENGINE=MEMORY",
    "CREATE TABLE aria (a int) ENGINE=Aria TRANSACTIONAL=0",
    "CREATE SEQUENCE numbers",
    "CREATE FUNCTION cleared() RETURNS int BEGIN DELETE FROM goods; RETURN 1; END",
    "CREATE FUNCTION filled() RETURNS int BEGIN INSERT INTO plain VALUES (1); RETURN 1; END",
    "CREATE FUNCTION hurried() RETURNS int BEGIN INSERT INTO quick VALUES (1); RETURN 1; END",
    "CREATE FUNCTION sung() RETURNS int BEGIN INSERT INTO aria VALUES (1); RETURN 1; END",
    "CREATE FUNCTION opened() RETURNS int BEGIN SET SESSION tx_read_only = 0; DELETE FROM goods; RETURN 1; END",
    "CREATE FUNCTION dozed() RETURNS int BEGIN DO SLEEP(60); RETURN 1; END",
    "CREATE PROCEDURE emptied() BEGIN DELETE FROM goods; COMMIT; END",
    "CREATE PROCEDURE talked() BEGIN SELECT 7 AS seven; SELECT seq FROM seq_1_to_100; SELECT 8; END",
    "CREATE VIEW cheap AS SELECT name FROM goods",
    "CREATE TABLE gone (a int)",
    "CREATE VIEW broken AS SELECT a FROM gone",
    "DROP TABLE gone",
)
ENDLESS = "seq_1_to_1000000 AS a, seq_1_to_1000000 AS b, seq_1_to_1000000 AS c"
WITHOUT_BOUND = "SET STATEMENT max_statement_time = 0 FOR "


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    """A server of this module's own with a small shop in it, gone with the module."""
    pytest.importorskip("pymysql", reason="PyMySQL is not installed (the extra database)")
    programs = installed()
    if programs is None:
        pytest.skip("MariaDB is not installed (Debian: mariadb-server)")
    with mariadb(programs, SHOP) as one:
        yield one


def database(address: str, limits: Limits | None = None) -> Database:
    return Database(ToolContext(Path("/nowhere"), variables=Given(DATABASE_URL=address)), limits)


def refused(plan: Plan) -> str:
    with pytest.raises(ToolError) as caught:
        plan.do()
    for secret in (PASSWORD, QUOTED, "hunter"):
        assert secret not in str(caught.value)
    return str(caught.value)


def state(server: MariaDB) -> list[object]:
    """Return all that a query could have changed: rows, tables, accounts, settings, and files beside the data."""
    asked = (
        "CHECKSUM TABLE goods, plain, quick, aria, numbers",
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'shop' ORDER BY 1",
        "SELECT * FROM mysql.global_priv ORDER BY 1, 2",
        "SELECT variable_name, variable_value FROM information_schema.global_variables WHERE variable_name NOT LIKE 'gtid%'",
        "SHOW DATABASES",
    )
    return [*(server.asked(one) for one in asked), sorted((server.folder / "files").iterdir())]


def wait_until_nothing_runs(server: MariaDB, sign: str) -> None:
    for _ in range(30):
        left = [one for one in server.asked("SHOW FULL PROCESSLIST") if sign in str(one[7])]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(left)


@pytest.mark.slow
def test_rows_are_read_and_the_host_is_shown(server: MariaDB) -> None:
    one = database(server.address)
    plan = one.query("SELECT name, price FROM goods WHERE name LIKE '%a%' ORDER BY id")

    assert plan.preview.hosts == (f"127.0.0.1:{server.port}",)
    assert "hünter" not in repr(plan.preview)
    said = plan.do()
    assert "apple     | 0.50" in said
    assert "100% pear | NULL" in said
    assert "apple" in one.query("SELECT name FROM goods WHERE name = %s AND 5 %% 3 = 2", parameters=["apple"]).do()
    for name in ("' OR 1=1 -- ", "\\' OR 1=1 -- ", '" OR ""="', "%s"):
        assert one.query("SELECT name FROM goods WHERE name = %s", parameters=[name]).do().startswith("No rows")
    for sql in ("EXPLAIN SELECT * FROM goods", "DESC goods", "SHOW CREATE TABLE goods", "SELECT 1 INTO @a", "(SELECT 1)"):
        one.query(sql).do()
    assert "ON" in one.query("SHOW VARIABLES LIKE 'tx_read_only'").do()


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO goods (name) VALUES ('x')",
        "UPDATE goods SET name = 'x'",
        "REPLACE INTO goods VALUES (1, 'x', 1)",
        "WITH d AS (SELECT 1) DELETE FROM goods",
        "SELECT 1; DELETE FROM goods",
        "SELECT 1; COMMIT; DELETE FROM goods",
        "SHOW TABLES; DROP TABLE goods",
        "SELECT cleared()",
        "SELECT * FROM (SELECT cleared()) AS a",
        "EXPLAIN SELECT * FROM (SELECT cleared()) AS a",
        "SHOW TABLES WHERE cleared()",
        "SELECT filled()",
        "SELECT hurried()",
        "SELECT sung()",
        "SELECT opened()",
        "VALUES (cleared())",
        "CALL emptied()",
        "DO cleared()",
        "SELECT NEXTVAL(numbers)",
        "SELECT NEXT VALUE FOR numbers",
        "SELECT SETVAL(numbers, 50)",
        "SELECT * FROM goods FOR UPDATE",
        "SELECT * INTO OUTFILE '{files}/a' FROM goods",
        "SELECT 1 INTO DUMPFILE '{files}/a'",
        "SELECT 1 INTO/**/outfile'{files}/a'",
        "SELECT 1 /*!INTO OUTFILE '{files}/a'*/",
        "SELECT 1 /*M!100000 INTO OUTFILE '{files}/a'*/",
        "SELECT LOAD_FILE('/etc/passwd')",
        "SELECT Load_File ('/etc/passwd')",
        "SELECT `load_file`('/etc/passwd')",
        "SELECT /*+ SET_VAR(max_statement_time = 0) */ 1",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE goods (name)",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE goods (name)",
        "/*! DELETE FROM goods */",
        "/*!99999 SELECT */ DELETE FROM goods",
        "/* SELECT */ DELETE FROM goods",
        "-- SELECT\nDELETE FROM goods",
        "# SELECT\nDELETE FROM goods",
        "--SELECT\nDELETE FROM goods",
        "(DELETE FROM goods)",
        "EXPLAIN DELETE FROM goods; DELETE FROM goods",
        "ANALYZE DELETE FROM goods",
        "HANDLER goods OPEN",
        "SET GLOBAL max_connections = 7",
        "SET PASSWORD = ''",
        "SET SESSION TRANSACTION READ WRITE",
        "SET STATEMENT tx_read_only = 0 FOR DELETE FROM goods",
        "START TRANSACTION READ WRITE",
        "COMMIT AND CHAIN",
        "XA START 'x'",
        "BEGIN NOT ATOMIC DELETE FROM goods; COMMIT; END",
        "IF 1 THEN DELETE FROM goods; END IF",
        "EXECUTE IMMEDIATE CONCAT('DELETE ', 'FROM goods')",
        "PREPARE p FROM 'DELETE FROM goods'",
        "CREATE TABLE copied AS SELECT * FROM goods",
        "CREATE TEMPORARY TABLE copied (a int)",
        "CREATE DATABASE another",
        "CREATE USER other IDENTIFIED BY 'x'",
        "GRANT ALL ON *.* TO other",
        "ALTER TABLE goods ADD COLUMN a int",
        "TRUNCATE goods",
        "DROP TABLE goods",
        "RENAME TABLE goods TO gone",
        "ANALYZE TABLE goods",
        "OPTIMIZE TABLE goods",
        "LOCK TABLES goods WRITE",
        "FLUSH PRIVILEGES",
        "RESET QUERY CACHE",
        "PURGE BINARY LOGS BEFORE NOW()",
        "KILL 1",
        "SHUTDOWN",
        "INSTALL SONAME 'auth_ed25519'",
    ],
)
def test_reading_changes_nothing(server: MariaDB, sql: str) -> None:
    before = state(server)
    refused(database(server.address).query(sql.format(files=server.folder / "files")))
    assert state(server) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT 1 INTO OUT%.0sFILE '{files}/a'", ["x"]),  # PyMySQL puts values in by Python's %
        ("SELECT 1 /%.0s*!INTO OUT%.0sFILE '{files}/a'*/", ["x", "y"]),
        ("SELECT 'x' '%s{files}/a'", [" INTO OUTFILE "]),  # which ends the quotes around it
        ("SELECT 'x' '%s{files}/a'*/", [" /*!INTO OUTFILE "]),
        ("/*%s*/ SELECT 1", ["*/ SET GLOBAL max_connections = 7 -- "]),
        ("/*%s*/ SELECT 1", ["*/ CREATE USER other /*"]),
        ("/*%s*/ SELECT 1", ["*/ DELETE FROM goods /*"]),
        ("SELECT %1000000000s", ["x"]),  # that would be a gigabyte here
        ("SELECT %(a)s", ["x"]),
        ("SELECT %s, %s", ["x"]),
        ("SELECT 1", ["x"]),
        ("SELECT 5 % 3, %s", [1]),
    ],
)
def test_no_value_makes_another_statement_of_it(server: MariaDB, sql: str, values: list[str | int | float | None]) -> None:
    before = state(server)
    refused(database(server.address).query(sql.format(files=server.folder / "files"), parameters=values))
    assert state(server) == before


@pytest.mark.slow
def test_a_change_is_one_statement_in_a_transaction(server: MariaDB) -> None:
    one = database(server.address)
    plan = one.execute("CREATE TABLE visits (who varchar(30))")
    assert plan.preview.hosts
    assert plan.preview.scope == ""
    assert "visits" not in one.tables().do()
    plan.do()
    said = one.execute("INSERT INTO visits VALUES (%s), ('100%%')", parameters=["it's \\ 🍎"]).do()
    assert said.endswith("2 rows changed.")
    assert "it's \\ 🍎" in one.query("SELECT * FROM visits").do()
    assert "2 rows changed.\n" in one.execute("DELETE FROM visits RETURNING who").do()
    assert "0 rows changed.\n" in one.execute("SELECT 1").do()
    assert "there are more" in one.execute("INSERT INTO visits SELECT seq FROM seq_1_to_50 RETURNING who").do()
    assert server.asked("SELECT count(*) FROM visits") == [(50,)]
    assert "seven" in one.execute("CALL talked()").do()


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        *("DELETE FROM plain; DELETE FROM goods", "COMMIT", "LOCK TABLES goods WRITE", "XA START 'x'", "/*!COMMIT*/"),
        *("BEGIN NOT ATOMIC DELETE FROM goods; COMMIT; END", "IF 1 THEN DELETE FROM goods; COMMIT; END IF"),
        *("DELETE FROM plain /*!WHERE cleared()*/", "INSERT INTO goods (id) VALUES (77), (1)"),
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE goods (name)",
    ],
)
def test_a_change_that_is_more_than_it_seems_is_refused(server: MariaDB, sql: str) -> None:
    before = server.asked("SELECT * FROM goods")
    refused(database(server.address).execute(sql))
    assert server.asked("SELECT * FROM goods") == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT SLEEP(60)",
        "SELECT dozed()",
        f"SELECT count(*) FROM {ENDLESS}",
        f"SELECT sum(a.seq) AS s FROM {ENDLESS} ORDER BY s",
    ],
)
def test_time_has_a_limit_here_and_at_the_server(server: MariaDB, sql: str) -> None:
    began = time.monotonic()
    assert "longer than 1 seconds" in refused(database(server.address, Limits(seconds=1)).query(sql))
    assert time.monotonic() - began < 8
    wait_until_nothing_runs(server, sql)


@pytest.mark.slow
def test_a_change_ends_in_time_too_and_at_the_server(server: MariaDB) -> None:
    before = server.asked("SELECT * FROM goods")
    one, began = database(server.address, Limits(seconds=1, server_grace=1.0)), time.monotonic()
    assert "longer than 1 seconds" in refused(one.execute("DELETE FROM goods WHERE SLEEP(60) IS NOT NULL"))
    slow = f"{WITHOUT_BOUND}UPDATE goods SET name = SLEEP(8)"
    assert "no answer in good time" in refused(one.execute(slow))
    refused(one.execute(f"SELECT * FROM {ENDLESS}"))  # by the server's bound or by ours, whichever is first
    assert time.monotonic() - began < 15
    wait_until_nothing_runs(server, slow)
    assert server.asked("SELECT * FROM goods") == before


@pytest.mark.slow
def test_rows_and_values_have_limits(server: MariaDB) -> None:
    one, began = database(server.address), time.monotonic()
    said = one.query(f"SELECT a.seq FROM {ENDLESS}", most=5).do()
    assert "(5 rows; there are more" in said
    assert "there are more" in one.query("SELECT REPEAT('x', 1000000) FROM seq_1_to_100000").do()
    assert "more characters" in one.query("SELECT REPEAT('x', 1000000)").do()
    assert "(1,000,000 bytes)" in one.query("SELECT CAST(REPEAT('x', 1000000) AS BINARY)").do()
    assert time.monotonic() - began < 9, "what is not shown is not fetched"
    wait_until_nothing_runs(server, "seq_1_to")


@pytest.mark.slow
def test_each_kind_of_value_is_shown(server: MariaDB) -> None:
    kinds = {
        "d": ("decimal(30,10)", "12345678901234567890.5", "12345678901234567890.5000000000"),
        "t": ("datetime(3)", "'2026-01-02 03:04:05.12'", "2026-01-02 03:04:05.120000"),
        "nodate": ("date", "'0000-00-00'", "0000-00-00"),
        "notime": ("datetime", "'0000-00-00 00:00:00'", "0000-00-00 00:00:00"),
        "span": ("time", "'-25:10:00'", "-25:10:00"),
        "b": ("blob", "X'00FF'", "(2 bytes)"),
        "j": ("json", """'{"a": [1]}'""", '{\\"a\\": [1]}'),
        "flag": ("bit(1)", "b'1'", '"flag": 1'),
        "bits": ("bit(12)", "b'101010101010'", '"bits": 2730'),
        "n": ("text", "NULL", '"n": null'),
        "emoji": ("varchar(9)", "'🍎 ☕ 🚀'", "🍎 ☕ 🚀"),
        "large": ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
        "s": ("set('x','y')", "'x,y'", "x,y"),
        "id": ("uuid", "'12345678-1234-1234-1234-123456789abc'", "12345678-1234-1234-1234-123456789abc"),
        "g": ("point", "POINT(1, 2)", "(25 bytes)"),
        "escapes": ("text", "'\x1b[2J\u202e'", "\\u001b[2J\\u202e"),
    }
    server.asked(f"CREATE OR REPLACE TABLE kinds ({', '.join(f'{name} {kind[0]}' for name, kind in kinds.items())})")
    server.asked(f"SET STATEMENT sql_mode = '' FOR INSERT INTO kinds VALUES ({', '.join(one[1] for one in kinds.values())})")
    said = database(server.address).query("SELECT * FROM kinds").do()
    for _, _, shown in kinds.values():
        assert shown in said
    assert "\x1b" not in said
    assert "a^[[2J" in database(server.address).query("SELECT 1 AS `a\x1b[2J`").do()


@pytest.mark.slow
def test_tables_are_listed_with_the_servers_own_types(server: MariaDB) -> None:
    server.asked("CREATE OR REPLACE TABLE `odd\x1b[2J` (`a'\"b` enum('x','y'), place point, u bigint unsigned)")
    said = database(server.address).tables().do()
    assert "table goods: id int(11), name varchar(60), price decimal(6,2)" in said
    assert "table odd^[[2J: a'\"b enum('x','y'), place point, u bigint(20) unsigned" in said
    assert "view cheap: name varchar(60)" in said
    assert "view broken: its columns cannot be read" in said
    server.asked("DROP TABLE `odd\x1b[2J`")
    assert "names no database" in refused(database(server.address.removesuffix("/shop")).tables())
    assert "shop" in database(server.address.removesuffix("shop")).query("SHOW DATABASES").do()


@pytest.mark.slow
def test_what_is_wrong_is_said_without_the_address(server: MariaDB) -> None:
    with pytest.raises(ToolError, match=r"Access denied for user 'owner'") as caught:
        database(server.address.replace("hunter2", "hunter3")).query("SELECT 1").do()
    assert "hunter3" not in str(caught.value)
    one = database(server.address)
    assert "Table 'shop.nothing_here' doesn't exist" in refused(one.query("SELECT * FROM nothing_here"))
    assert "Unknown database 'shops'" in refused(database(server.address + "s").query("SELECT 1"))
    assert "READ ONLY transaction" in refused(one.query("SELECT cleared()"))
    assert "hünter" not in refused(one.query(f"SELECT 1 FROM `{PASSWORD}`"))
    with talker() as port:
        pass
    assert "refused" in refused(database(server.address.replace(str(server.port), str(port))).query("SELECT 1"))


@pytest.mark.slow
def test_a_certificate_is_checked_where_that_is_asked_for(server: MariaDB) -> None:
    named = server.address.replace("127.0.0.1", "localhost")
    sql = "SHOW STATUS LIKE 'Ssl_cipher'"
    checked = f"?ssl_ca={server.authority}"
    assert "TLS" in database(named + checked).query(sql).do()
    assert "TLS" in database(f"{named}{checked}&ssl_verify_cert=true&ssl_verify_identity=true").query(sql).do()
    assert "TLS" in database(server.address + checked + "&ssl_verify_identity=false").query(sql).do()
    assert "TLS" in database(server.address + "?ssl_verify_cert=false").query(sql).do()
    for odd in (checked, checked + "&ssl_verify_identity=true", "?ssl_verify_cert=true", "?ssl_verify_identity=1"):
        assert "CERTIFICATE_VERIFY_FAILED" in refused(database(server.address + odd).query(sql))
    assert "names no file" in refused(database(f"{named}?ssl_ca=/nothing/here").query(sql))
    with pytest.raises(ToolError, match="says sslmode"):
        database(named + "?sslmode=require").query(sql)
