"""Databases: SQLite files of the working folder and the server of DATABASE_URL; they are read, and changed by another tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from foundry.plugins.api import Plan, Preview, ToolContext, ToolError, effects, kernel_function, planned
from foundry.plugins.standard_lib.database_file import SqliteFile, known_files, sqlite_file
from foundry.plugins.standard_lib.database_limits import Limits
from foundry.plugins.standard_lib.database_server import Server, server_of
from foundry.plugins.standard_lib.database_shown import shown_rows, shown_tables
from foundry.text import counted

_MOST_ROWS = 1_000
_MOST_RETURNED = 20  # rows of a statement that changes something
_MOST_TABLES = 200
_COUNTED = 100_000
_LONGEST_SQL = 50_000
_MOST_PARAMETERS = 200

Source = Annotated[str, "Path of an SQLite file; empty: the server of DATABASE_URL"]
Parameters = Annotated[list[str | int | float | None] | None, "Values for each ? (on a server: %s)"]


class Database:
    """Reads and changes databases by SQL."""

    def __init__(self, context: ToolContext, limits: Limits | None = None) -> None:
        self.context = context
        self._limits = limits or Limits()

    @kernel_function(description="Read from a database by one SQL SELECT. See tables first for what there is.")
    @effects("reads")
    @planned
    def query(
        self,
        sql: str,
        source: Source = "",
        parameters: Parameters = None,
        most: Annotated[int, "Rows to show"] = 100,
    ) -> Plan:
        """Plan to read rows; nothing can be changed by it. Raises ToolError for what is no such statement."""
        _accept(sql, parameters)
        rows = min(max(most, 1), _MOST_ROWS)
        given: Sequence[Any] = parameters or ()
        found = self._source(source)
        preview = self._preview(found, f"Read from {_name(found)}", f"reading {_name(found)}")
        return Plan(preview, lambda: shown_rows(found.read(sql, given, rows), self.context.limit))

    @kernel_function(description="Which tables a database has, with their columns and how many rows.")
    @effects("reads")
    @planned
    def tables(self, source: Source = "") -> Plan:
        """Plan to list tables and views. Raises ToolError where there is no such database."""
        found = self._source(source)
        preview = self._preview(found, f"List the tables of {_name(found)}", f"reading {_name(found)}")

        def do() -> str:
            answer = found.tables(_MOST_TABLES, _COUNTED) if isinstance(found, SqliteFile) else found.tables(_MOST_TABLES)
            return shown_tables(answer, self.context.limit, _COUNTED)

        return Plan(preview, do)

    @kernel_function(
        description="Change a database by one SQL statement: INSERT, UPDATE, DELETE, CREATE TABLE. The user sees it first."
    )
    @effects("writes")
    @planned
    def execute(self, sql: str, source: Source = "", parameters: Parameters = None) -> Plan:
        """Plan one statement in a transaction of its own. Raises ToolError; doing it, Changed for other rows."""
        _accept(sql, parameters)
        given: Sequence[Any] = parameters or ()
        found = self._source(source, new=True)
        if isinstance(found, Server):
            preview = self._preview(found, f"Change the database on {found.host}", "")
            return Plan(preview, lambda: self._done(found.write(sql, given, _MOST_RETURNED), found.host))
        there = found.is_there()
        expected = found.tried(sql, given)
        rows = "how many rows is not known" if expected is None else counted(expected, "row")
        summary = f"Change {found.name} ({rows})" if there else f"Make the new database {found.name}"
        preview = self._preview(found, summary, f"changes to {_name(found)}")
        return Plan(preview, lambda: self._done(found.write(sql, given, _MOST_RETURNED, expected), found.name))

    def _source(self, source: str, *, new: bool = False) -> SqliteFile | Server:
        if source.strip():
            return sqlite_file(self.context, source.strip(), self._limits, new=new)
        address = self.context.variables.get("DATABASE_URL")
        if not address.strip():
            raise ToolError(
                f"source is empty and DATABASE_URL is not set. Give an SQLite file's path. {known_files(self.context)}"
            )
        return server_of(address, self._limits)

    def _preview(self, found: SqliteFile | Server, summary: str, scope: str) -> Preview:
        if isinstance(found, Server):
            return Preview(summary, hosts=(found.host,), scope=scope)
        return Preview(summary, paths=(found.path,), scope=scope)

    def _done(self, answer: dict[str, Any], name: str) -> str:
        said = f"Done in {name}: {counted(answer['changes'], 'row')} changed."
        return f"{said}\n{shown_rows(answer, self.context.limit - len(said) - 1)}" if answer["columns"] else said


def _name(found: SqliteFile | Server) -> str:
    return f"the database on {found.host}" if isinstance(found, Server) else f"the database {found.path}"


def _accept(sql: str, parameters: list[str | int | float | None] | None) -> None:
    if not sql.strip() or "\0" in sql:
        raise ToolError("sql is one SQL statement, without NUL.")
    if len(sql) > _LONGEST_SQL:
        raise ToolError(f"sql is longer than {_LONGEST_SQL:,} characters. Give its values as parameters, or do it in parts.")
    if len(parameters or ()) > _MOST_PARAMETERS:
        raise ToolError(f"More than {_MOST_PARAMETERS} parameters are too many for one statement. Do it in parts.")
