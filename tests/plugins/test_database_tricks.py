"""Statements that a server reads otherwise than they look: nothing but reading comes of a query."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.database import Database

from .given import Given
from .test_database_server import address, database

__all__ = ["address"]  # a fixture

MYSQL = "mysql://me:hunter2hunter2@127.0.0.1:1/shop"  # nobody listens there: what is refused is refused before


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        *("/* /* */ explain */ {}", "/*/**/ explain */ {}", "/* /* /* */ */ show */ {}", "/* /* */ select */ {}"),
        *("-- x\r {} /*\n explain */", "-- x\r explain \n {}"),
    ],
)
def test_no_comment_hides_a_program_that_a_server_would_run(tmp_path: Path, address: str, sql: str) -> None:
    made = Path(f"/tmp/{tmp_path.name}-made")
    with pytest.raises(ToolError):
        database(tmp_path, address).query(sql.format(f"copy (select 1) to program 'touch {made}'")).do()
    there = made.exists()
    made.unlink(missing_ok=True)
    assert not there


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT 1 INTO -- to\n OUTFILE '/tmp/x'",
        "SELECT 1 INTO # to\n DUMPFILE '/tmp/x'",
        "SELECT 1 INTO /*!OUTFILE*/ '/tmp/x'",
        "SELECT 1 /*!50000INTO*/ /*!50000OUTFILE*/ '/tmp/x'",
        "SELECT 1 /*M!INTO OUTFILE '/tmp/x'*/",
        "/*!SET GLOBAL general_log_file = */ (SELECT 'x')",
        "/*M!100000 KILL */ (SELECT 5)",
    ],
)
def test_mysqls_comments_that_are_none_hide_nothing(tmp_path: Path, sql: str) -> None:
    one = Database(ToolContext(tmp_path, variables=Given(DATABASE_URL=MYSQL)))

    with pytest.raises(ToolError, match="query only reads"):
        one.query(sql).do()
