"""False and silent MySQL servers: they get neither the password nor a file, and are left in time."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from foundry.plugins.standard_lib.database_limits import Limits

from .mail_world import talker
from .mariadb_world import PASSWORD, QUOTED
from .test_database_mysql import database, refused

pytest.importorskip("pymysql", reason="PyMySQL is not installed (the extra database)")


def packet(number: int, said: bytes) -> bytes:
    return len(said).to_bytes(3, "little") + bytes([number]) + said


GREETING = b"\x0a8.0.1\0\1\0\0\0abcdefgh\0\x01\xa2\x2d\0\0\x08\x00\x15" + bytes(10) + b"ijklmnopqrst\0mysql_native_password\0"
WELCOME = b"\0\0\0\0\0\0\0"


def heard_by(answers: list[bytes]) -> tuple[str, bytes]:
    """Return what a query at a server with these answers is refused with, and all that such a server is told."""
    heard = bytearray()

    def serve() -> None:
        one, _ = listening.accept()
        with one:
            one.settimeout(5)
            for answer in answers:
                one.sendall(answer)
                heard.extend(one.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        said = refused(database(f"mysql://a:{QUOTED}@127.0.0.1:{listening.getsockname()[1]}/x").query("SELECT 1"))
        thread.join(10)
    return said, bytes(heard)


@pytest.mark.slow
def test_a_false_server_gets_neither_password_nor_files(tmp_path: Path) -> None:
    for way in (b"mysql_clear_password\0", b"dialog\0\x05Password: ", b"mysql_old_password\0abcdefgh"):
        said, heard = heard_by([packet(0, GREETING), packet(2, b"\xfe" + way)])
        assert "in the clear" in said
        assert PASSWORD.encode() not in heard
    (tmp_path / "private").write_text("a file of the user")
    asks = packet(1, b"\xfb" + bytes(tmp_path / "private"))
    said, heard = heard_by([packet(0, GREETING), packet(2, WELCOME), packet(1, WELCOME), asks])
    assert "local_infile" in said
    assert b"a file of the user" not in heard


@pytest.mark.slow
@pytest.mark.parametrize("answers", [[], [packet(0, GREETING)], [packet(0, GREETING), packet(2, WELCOME)]], ids=range(3))
def test_a_server_that_says_nothing_is_left(answers: list[bytes]) -> None:
    limits, began = Limits(seconds=1, server_grace=0.5, killing=0.5), time.monotonic()
    with talker(*answers, *[b""] * 9) as port:
        said = refused(database(f"mysql://a:{QUOTED}@127.0.0.1:{port}/x", limits).query("SELECT 1"))
    assert "no answer in good time" in said
    with talker(packet(0, GREETING) * 9, drip=0.2) as port:
        assert "no answer" in refused(database(f"mysql://a:{QUOTED}@127.0.0.1:{port}/x", limits).query("SELECT 1"))
    assert time.monotonic() - began < 12
