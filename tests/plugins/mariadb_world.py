"""A MariaDB of the tests' own on loopback, with TLS and a shop's tables; it never runs as root, who lends it another user."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .mail_world import certificates

PASSWORD = "hunter2 hünter€/@:"
QUOTED = "hunter2%20h%C3%BCnter%E2%82%AC%2F%40%3A"


@dataclass(frozen=True)
class MariaDB:
    """A server that runs: where it listens, whom its certificate is of, and where its files are."""

    port: int
    folder: Path
    authority: Path

    @property
    def address(self) -> str:
        """Return what a DATABASE_URL says of it."""
        return f"mysql://owner:{QUOTED}@127.0.0.1:{self.port}/shop"

    def asked(self, sql: str, *values: object) -> Sequence[Sequence[Any]]:
        """Return the rows of a statement done at once, past the tool."""
        driver = import_module("pymysql")
        options = {"host": "127.0.0.1", "port": self.port, "user": "owner", "password": PASSWORD.encode(), "database": "shop"}
        with driver.connect(**options, autocommit=True, ssl_disabled=True) as one, one.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())


def installed() -> tuple[Path, Path] | None:
    """Return what makes a data folder and the server, where Debian and others put them."""
    places = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    found = [shutil.which(name, path=places) for name in ("mariadb-install-db", "mariadbd")]
    return (Path(found[0]), Path(found[1])) if found[0] and found[1] else None


@contextmanager
def mariadb(programs: tuple[Path, Path], shop: Sequence[str]) -> Iterator[MariaDB]:
    """Run a server with the statements of `shop` done in it, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="foundry-mariadb-"))  # pytest's own folders are closed to other users
    folder.chmod(0o755)
    authority, _ = certificates(folder)
    try:
        _make(folder, programs[0])
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        found = MariaDB(port, folder, authority)
        server = _started(found, programs[1])
        try:
            _wait_for(found, server)
            for line in shop:
                found.asked(line)
            yield found
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def _make(folder: Path, installer: Path) -> None:
    files = folder / "files"  # where SELECT … INTO OUTFILE could write
    files.mkdir()
    first = [
        f"CREATE USER owner@'%' IDENTIFIED BY '{PASSWORD}'",
        "GRANT ALL ON *.* TO owner@'%' WITH GRANT OPTION",
        "CREATE DATABASE shop CHARACTER SET utf8mb4",
    ]
    (folder / "shop.sql").write_text("SET NAMES utf8mb4;\n" + "".join(f"{line};\n" for line in first), "utf-8")
    if os.getuid() == 0:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "mysql", "mysql")
    user = ["--user=mysql"] if os.getuid() == 0 else []
    data = f"--datadir={folder / 'data'}"
    options = ["--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db", *user]
    subprocess.run([installer, *options], check=True, capture_output=True, cwd=folder)


def _started(one: MariaDB, program: Path) -> subprocess.Popen[bytes]:
    settings = {
        "datadir": one.folder / "data",
        "port": one.port,
        "bind-address": "127.0.0.1",
        "socket": one.folder / "socket",
        "pid-file": one.folder / "pid",
        "init-file": one.folder / "shop.sql",
        "ssl-cert": one.folder / "localhost.pem",
        "ssl-key": one.folder / "localhost.pem",
        "innodb-flush-log-at-trx-commit": 0,
        "innodb-buffer-pool-size": "16M",
        **({"user": "mysql"} if os.getuid() == 0 else {}),
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    with (one.folder / "log").open("wb") as log:
        return subprocess.Popen([program, "--no-defaults", *options], stdout=log, stderr=log, cwd=one.folder)


def _wait_for(one: MariaDB, server: subprocess.Popen[bytes]) -> None:
    driver = import_module("pymysql")
    for _ in range(600):
        with suppress(driver.Error):
            one.asked("SELECT 1")
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError((one.folder / "log").read_text("utf-8", "replace"))
