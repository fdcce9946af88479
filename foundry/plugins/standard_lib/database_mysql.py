"""MySQL and MariaDB by PyMySQL: how they are reached, what bounds they keep, and how their rows and tables are read."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from foundry.plugins.api import ToolError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

TLS = frozenset(("ssl_ca", "ssl_verify_cert", "ssl_verify_identity"))
_AT_ONCE = 20  # rows
_MOST_COLUMNS = 200
_NAMES = "SELECT table_type, table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 2 LIMIT %s"
_COLUMNS = (
    "SELECT column_name, column_type FROM information_schema.columns"
    " WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position LIMIT %s"
)


def connecting(url: URL, seconds: float) -> dict[str, Any]:
    """Return what PyMySQL is told beside the address. Raises ToolError for a certificate that cannot be read."""
    driver = import_module("pymysql")
    # A bit field is a number to who asks, and a time what the server says: Python has none such as -25:10.
    kinds = {**driver.converters.conversions, driver.FIELD_TYPE.BIT: lambda raw: int.from_bytes(raw, "big")}
    del kinds[driver.FIELD_TYPE.TIME]
    found = {"conv": kinds, "read_timeout": seconds, "write_timeout": seconds, "local_infile": False}
    if url.password:
        found["password"] = url.password.encode()  # as the server has it; PyMySQL's own choice is Latin-1
    context = _tls({name: one if isinstance(one, str) else one[-1] for name, one in url.query.items() if name in TLS})
    if context is not None:
        found["ssl"] = context
    if context is None or context.verify_mode != ssl.CERT_REQUIRED:
        found["auth_plugin_map"] = dict.fromkeys(("mysql_clear_password", "mysql_old_password", "dialog"), _Unsafe)
    return found


class _Unsafe:
    """A way to log in that hands the password to whoever listens there."""

    def __init__(self, _connection: Any) -> None:
        pass

    def authenticate(self, _packet: Any) -> None:
        raise ToolError(
            "The database's server wants the password in the clear, and nothing proves which server it is. "
            "Add ?ssl_ca=FILE with its certificate to DATABASE_URL."
        )


def _tls(said: Mapping[str, str]) -> ssl.SSLContext | None:
    """Return how TLS is checked: fully as soon as an option is given, but for what is said not to be; None for none given."""
    if not said:
        return None
    no = {name for name, one in said.items() if one.lower() in ("0", "false", "no", "none")}
    try:
        context = ssl.create_default_context(cafile=said.get("ssl_ca"))
    except OSError:
        raise ToolError("ssl_ca of DATABASE_URL names no file of certificates. Give the path of a PEM file.") from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # which the certificates that MySQL makes for itself do not pass
    context.check_hostname = not no & {"ssl_verify_identity", "ssl_verify_cert"}
    if "ssl_verify_cert" in no:
        context.verify_mode = ssl.CERT_NONE
    return context


def connected(dialect: Any, options: Mapping[str, Any], watch: Callable[[int], None]) -> Any:
    """Connect over a socket of our own, which is watched from the first byte: PyMySQL shows nobody its own."""
    one = dialect.connect(defer_connect=True, **options)
    reached = socket.create_connection((options["host"], options["port"]), options["connect_timeout"])
    watch(reached.fileno())
    one.connect(reached)
    return one


def kill(dialect: Any, options: Mapping[str, Any], number: int, seconds: float) -> None:
    """End a connection at the server, which would otherwise go on with its statement long after nobody waits for it."""
    bounds = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), seconds)
    with contextlib.suppress(Exception), dialect.connect(**{**options, **bounds}) as other:
        other.kill(number)


def begin(connection: Connection, seconds: int, *, reads: bool) -> None:
    """Begin the transaction with its bounds; a server that cannot keep them raises."""
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    bound = f"max_statement_time = {seconds}" if mariadb else f"max_execution_time = {seconds * 1000}"
    for one in (bound, f"innodb_lock_wait_timeout = {seconds}", f"lock_wait_timeout = {seconds}"):
        connection.exec_driver_sql(f"SET SESSION {one}")
    if reads:
        connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        connection.exec_driver_sql("START TRANSACTION READ ONLY")


def filled(connection: Connection, sql: str, parameters: Sequence[Any]) -> str:
    """Return the statement as the server gets it: PyMySQL writes the values into it, and what comes of that is another text."""
    if not parameters:
        return sql
    places = re.findall("%.?", sql, re.DOTALL)
    if places.count("%s") != len(parameters) or set(places) - {"%s", "%%"}:
        raise ToolError(f"sql needs one %s for each of the {len(parameters)} parameters, and %% where it means a percent sign.")
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        return str(cursor.mogrify(sql, tuple(parameters)))


@contextlib.contextmanager
def streamed(connection: Connection, sql: str) -> Iterator[Any]:
    """Do a statement and give a cursor whose rows come as they are fetched; the connection is left with those that are not."""
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor(import_module("pymysql").cursors.SSCursor)
    try:
        cursor.execute(sql)
        yield cursor
    finally:
        result = cursor._result
        if result is not None and result.unbuffered_active:
            result.unbuffered_active = False  # else PyMySQL fetches all the rest before it lets go
            connection.invalidate()


def finished(cursor: Any) -> int:
    """Fetch all that is left of what a statement returns and return how many rows it changed, or was the first to return."""
    first = cursor.rowcount
    if cursor.description:
        while cursor.fetchmany(_AT_ONCE):
            pass
        first = cursor.rownumber
    while cursor.nextset():  # a procedure returns as much as it likes
        while cursor.description and cursor.fetchmany(_AT_ONCE):
            pass
    return int(first)


def tables(connection: Connection, most: int) -> dict[str, Any]:
    """Return tables and views as the server itself lists them: with its own types, and those views that no longer work."""
    if connection.exec_driver_sql("SELECT DATABASE()").scalar() is None:
        raise ToolError("DATABASE_URL names no database: end it with /NAME. `SHOW DATABASES` as a query lists them.")
    names = connection.exec_driver_sql(_NAMES, (most + 1,)).all()
    found = []
    for kind, name in names[:most]:
        columns = [list(one) for one in connection.exec_driver_sql(_COLUMNS, (name, _MOST_COLUMNS))]
        found.append({"kind": "view" if "VIEW" in kind else "table", "name": name, "columns": columns or None, "rows": None})
    return {"tables": found, "more": len(names) > most}
