"""A database server that DATABASE_URL names, by SQLAlchemy: one statement at a time, reads in transactions that cannot write."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from foundry.plugins.api import ToolError
from foundry.plugins.built_ins import needs
from foundry.plugins.standard_lib import database_mysql as mysql
from foundry.plugins.standard_lib.database_limits import Limits
from foundry.text import one_line

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine

_AT_ONCE = 20  # rows
_MOST_FETCHED = 4_000_000  # characters
_KINDS = {
    **dict.fromkeys(("postgresql", "postgres", "postgresql+psycopg"), "postgresql+psycopg"),
    **dict.fromkeys(("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"), "mysql+pymysql"),
}
_PORTS = {"postgresql+psycopg": 5432, "mysql+pymysql": 3306}
# What an address may say beside its host: nothing by which it would lead to another host or to files of this machine.
_ALLOWED = {
    "postgresql+psycopg": frozenset(("sslmode", "sslrootcert", "application_name")),
    "mysql+pymysql": mysql.TLS | {"charset"},
}
_ROWS = frozenset(("select", "with", "values", "table"))
_TELLS = frozenset(("explain", "show", "describe", "desc"))
# Blanks and such comments as every server takes for one: neither with another inside, nor with a line end that is none for some.
_LEADING = re.compile(r"(?:\s+|--[^\r\n]*(?:\r?\n|$)|/\*(?:(?!/\*).)*?\*/|\()*", re.DOTALL)
# What makes or reads a file on MySQL's server, and its comments that are carried out, which could hide that, or lift its bounds.
_OF_MYSQL = re.compile(r"outfile|dumpfile|load_file|/\*M?!|/\*\+", re.IGNORECASE)
_NO_CHANGES = ("begin", "start", "commit", "rollback", "abort", "end", "savepoint", "prepare", "copy", "lock")
_NO_CHANGES_OF_MYSQL = ("xa", "if", "case", "loop", "while", "repeat", "for")  # MariaDB takes many statements as one in these


@dataclass(frozen=True, slots=True)
class Server:
    """A database on a server; its address, which holds a password, is shown by no `repr`."""

    url: URL = field(repr=False)
    host: str
    limits: Limits

    def read(self, sql: str, parameters: Sequence[Any], most: int) -> dict[str, Any]:
        """Return the rows of a statement that only reads. Raises ToolError."""
        self._accept_read(sql)
        with self._connected(reads=True) as connection:
            if self.is_mysql:
                whole = mysql.filled(connection, sql, parameters)
                self._accept_read(whole)
                with mysql.streamed(connection, whole) as cursor:
                    return _answer(cursor, most)
            if first_word(sql) in _TELLS:
                return _prepared(connection, sql, parameters, most)
            options = connection.execution_options(stream_results=True, max_row_buffer=_AT_ONCE, no_parameters=not parameters)
            with contextlib.closing(options.exec_driver_sql(sql, tuple(parameters) if parameters else None)) as found:
                return _taken(list(found.keys()), found, most)

    def write(self, sql: str, parameters: Sequence[Any], most: int) -> dict[str, Any]:
        """Do one statement in a transaction of its own and return its rows and how many it changed. Raises ToolError."""
        self._accept_write(sql)
        with self._connected(reads=False) as connection:
            if self.is_mysql:
                whole = mysql.filled(connection, sql, parameters)
                self._accept_write(whole)
                answer = _changed(connection, whole, most)
            else:
                answer = _prepared(connection, sql, parameters, most)
            connection.commit()
            return answer

    @property
    def is_mysql(self) -> bool:
        return self.url.drivername.startswith("mysql")

    def _accept_read(self, sql: str) -> None:
        if first_word(sql) not in _ROWS | _TELLS:
            raise ToolError(
                "query only reads: SELECT, WITH, VALUES, EXPLAIN or SHOW. Use execute for a statement that changes something."
            )
        if self.is_mysql and (odd := _OF_MYSQL.search(sql)):
            raise ToolError(
                f"query only reads, and {odd.group()} may do more on this server: no files, no /*! and no /*+. Leave it out."
            )

    def _accept_write(self, sql: str) -> None:
        word = first_word(sql)
        if word in _NO_CHANGES or (self.is_mysql and word in _NO_CHANGES_OF_MYSQL):
            raise ToolError(
                "execute does one statement in a transaction of its own, and no COPY. Give an INSERT, UPDATE, DELETE, …"
            )
        if self.is_mysql and re.search(r"/\*M?!", sql, re.IGNORECASE):
            raise ToolError("execute takes no /*! comments: this server carries them out. Write what they say as it is.")

    def tables(self, most: int) -> dict[str, Any]:
        """Return what tables and views the default schema has. Raises ToolError."""
        from sqlalchemy import inspect

        with self._connected(reads=True) as connection:
            if self.is_mysql:
                return mysql.tables(connection, most)
            looked = inspect(connection)
            named = [("table", one) for one in looked.get_table_names()] + [("view", one) for one in looked.get_view_names()]
            found = []
            for kind, name in sorted(named, key=lambda one: one[1])[:most]:
                columns = [[one["name"], str(one["type"])] for one in looked.get_columns(name)][:200]
                found.append({"kind": kind, "name": name, "columns": columns, "rows": None})
            return {"tables": found, "more": len(named) > most}

    @contextlib.contextmanager
    def _connected(self, *, reads: bool) -> Iterator[Connection]:
        """Give a connection in a transaction that is rolled back, with all bounds set. Raises ToolError, no secret in it."""
        from sqlalchemy import NullPool, create_engine
        from sqlalchemy.exc import SQLAlchemyError

        late = threading.Event()
        try:
            url = self.url.difference_update_query(mysql.TLS)
            engine = create_engine(url, poolclass=NullPool, connect_args=self._connecting())
            with _within(engine, self.limits, late), engine.connect() as connection:
                try:
                    _begin(connection, self.limits.seconds, reads=reads)
                    yield connection
                finally:
                    if late.is_set():
                        connection.invalidate()
                    else:
                        with contextlib.suppress(SQLAlchemyError):
                            connection.rollback()
        except ToolError:
            raise
        except Exception as error:  # drivers raise what they like, and their words may hold the address
            raise ToolError(f"The database on {self.host}: {_LATE if late.is_set() else self._told(error)}") from None

    def _connecting(self) -> dict[str, Any]:
        limits = self.limits
        if self.is_mysql:  # its driver's own bounds are on each read, and are there for want of better
            options = mysql.connecting(self.url, limits.seconds + 2 * limits.server_grace)
            return {"connect_timeout": limits.connecting, **options}
        return {"connect_timeout": limits.connecting, "tcp_user_timeout": 1000 * limits.seconds}

    def _told(self, error: Exception) -> str:
        """Return what the driver says, on one line; only what kind of error it is where it repeats the address or password."""
        found = getattr(error, "orig", None) or error
        told = str(found.args[-1] if self.is_mysql and found.args else found)  # PyMySQL has a number before its words
        text = one_line(told, 500)
        secrets = [one for one in (self.url.password, self.url.render_as_string(hide_password=False)) if one]
        if any(str(one) in told for one in secrets):
            text = type(error).__name__
        if any(one in text for one in _TIMED_OUT):
            return f"it took longer than {self.limits.seconds} seconds. Ask for less, or use an index."
        return text


def server_of(address: str, limits: Limits | None = None) -> Server:
    """Return the server that DATABASE_URL names. Raises ToolError for what it cannot be, and where a library is missing."""
    if importlib.util.find_spec("sqlalchemy") is None:
        raise ToolError(f"A database server {needs('database', 'sqlalchemy')}. SQLite files of the working folder need nothing.")
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address.strip())
        port = url.port
    except (ArgumentError, ValueError):
        raise ToolError(f"DATABASE_URL cannot be read. It is such as {_SUCH_AS}") from None
    kind = _KINDS.get(url.drivername)
    if kind is None:
        raise ToolError(f"DATABASE_URL is for PostgreSQL or MySQL, such as {_SUCH_AS} An SQLite file is given by its path.")
    if importlib.util.find_spec(driver := kind.partition("+")[2]) is None:
        raise ToolError(f"This database {needs('database', driver)}.")
    if not url.host or "," in url.host or "/" in url.host:
        raise ToolError(f"DATABASE_URL names no single host. It is such as {_SUCH_AS}")
    if odd := sorted(set(url.query) - _ALLOWED[kind]):
        raise ToolError(
            f"DATABASE_URL says {', '.join(odd)}, which is not taken here. It may say: {', '.join(sorted(_ALLOWED[kind]))}."
        )
    port = port or _PORTS[kind]
    return Server(url.set(drivername=kind, port=port), f"{url.host}:{port}", limits or Limits())


_TIMED_OUT = ("statement timeout", "maximum statement execution time", "max_statement_time exceeded")
_LATE = "it gave no answer in good time and was left. Ask for less, or try again later."
_SUCH_AS = "postgresql://name:password@db.example.org/shop."


def first_word(sql: str) -> str:
    """Return the word that a statement begins with, in lower case; what is before it are blanks, comments and brackets."""
    found = re.match(r"[A-Za-z]+", sql[_LEADING.match(sql).end() :])  # type: ignore[union-attr]
    return found.group().lower() if found else ""


def _begin(connection: Connection, seconds: int, *, reads: bool) -> None:
    """Begin the transaction with its bounds; a server that cannot keep them raises."""
    if connection.dialect.name == "postgresql":
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {name} = {seconds * 1000}")
        if reads:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        return
    mysql.begin(connection, seconds, reads=reads)


def _prepared(connection: Connection, sql: str, parameters: Sequence[Any], most: int) -> dict[str, Any]:
    """Do a statement on PostgreSQL as a prepared one: the server takes no second statement there."""
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(sql, tuple(parameters) if parameters else None, prepare=True)
        answer = _taken([one.name for one in cursor.description or ()], cursor if cursor.description else None, most)
        answer["changes"] = max(cursor.rowcount, 0) if not cursor.description else 0
        return answer


def _answer(cursor: Any, most: int) -> dict[str, Any]:
    """Return the first rows of a driver's cursor, where its statement has any."""
    return _taken([one[0] for one in cursor.description or ()], cursor if cursor.description else None, most)


def _changed(connection: Connection, sql: str, most: int) -> dict[str, Any]:
    """Do a statement on MySQL to its end, with its first rows and how many rows it changed."""
    with mysql.streamed(connection, sql) as cursor:
        answer = _answer(cursor, most)
        count = mysql.finished(cursor)
        return answer | {"changes": 0 if first_word(sql) in _ROWS | _TELLS else count}


def _taken(columns: Sequence[str], found: Any, most: int) -> dict[str, Any]:
    """Return the first rows of a result; no more are fetched than fit, whatever their size."""
    rows: list[list[Any]] = []
    room = _MOST_FETCHED
    while found is not None and len(rows) <= most and room > 0 and (some := found.fetchmany(_AT_ONCE)):
        rows += [list(one) for one in some]
        room -= sum(len(one) if isinstance(one, str | bytes) else 20 for row in some for one in row)
    return {"columns": list(columns), "rows": rows[:most], "more": len(rows) > most or room <= 0, "changes": 0}


@contextlib.contextmanager
def _within(engine: Engine, limits: Limits, late: threading.Event) -> Iterator[None]:
    """End the engine's connection once its time and the grace are over, for a server that has gone silent; `late` tells that."""
    from sqlalchemy import event

    handles: list[socket.socket] = []
    kills: list[Callable[[], None]] = []

    def end() -> None:
        late.set()
        for one in handles:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for kill in kills:
            kill()

    timer = threading.Timer(limits.seconds + limits.server_grace, end)
    timer.daemon = True

    def watch(handle: int) -> None:
        handles.append(socket.socket(fileno=os.dup(handle)))
        timer.start()

    def connect(dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> Any:
        one = mysql.connected(dialect, options, watch)
        kills.append(partial(mysql.kill, dialect, options, one.thread_id(), limits.killing))
        return one

    if engine.dialect.name == "mysql":
        event.listen(engine, "do_connect", connect)
    else:  # before SQLAlchemy itself asks the server anything
        event.listen(engine, "connect", lambda driver, _record: watch(driver.fileno()), insert=True)
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():
            timer.join()
        for one in handles:
            one.close()
