"""Servers on loopback that are what a test makes of them, certificates they can be trusted by, and every connection counted."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from foundry.plugins.api import Plan, ToolContext, ToolError
from foundry.plugins.standard_lib.web_connection import Limits, Web
from foundry.plugins.standard_lib.web_page import WebPage

LOOPBACK = "127.0.0.1"
Says = Callable[[socket.socket, bytes], None]
_attempts: list[Any] | None = None


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _attempts is not None:
        _attempts.append(arguments[1])


sys.addaudithook(_heard)


@contextlib.contextmanager
def connections() -> Iterator[list[Any]]:
    """Every address that this process tries to connect a socket to, as Python's own audit events tell."""
    global _attempts
    made: list[Any] = []
    _attempts = made
    try:
        yield made
    finally:
        _attempts = None


def response(body: bytes | str = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP answer; headers are named with _ for -."""
    raw = body.encode() if isinstance(body, str) else body
    given = {"content_type": "text/html; charset=utf-8", "content_length": str(len(raw)), **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def redirect(where: str, status: str = "302 Found") -> bytes:
    return response(status=status, location=where)


class Site:
    """An HTTP server at 127.0.0.1: `pages` are answers by path, bytes or what writes to the socket; `asked` the requests."""

    def __init__(self, pages: dict[str, bytes | Says], tls: ssl.SSLContext | None = None) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.accepted = 0
        self.stopped = threading.Event()
        self._tls = tls
        self._listener = socket.create_server((LOOPBACK, 0), backlog=50)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def url(self, path: str = "/", host: str = "site.example") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def close(self) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):
            socket.create_connection((LOOPBACK, self.port), 1).close()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.stopped.is_set():
                connection.close()
                return
            self.accepted += 1
            self._threads.append(threading.Thread(target=self._talk, args=(connection,)))
            self._threads[-1].start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with contextlib.suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self.answer(connection)
        connection.close()

    def answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += (more := connection.recv(65536))
            if not more:
                return
        self.asked.append(request.decode("latin-1"))
        path = request.split(b" ")[1].decode()
        said = self.pages.get(path, response(status="404 Not Found"))
        if callable(said):
            said(connection, request)
        else:
            connection.sendall(said)


@contextlib.contextmanager
def site(pages: dict[str, bytes | Says], tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    made = Site(pages, tls)
    try:
        yield made
    finally:
        made.close()


def resolver(*answers: Sequence[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """A resolver that gives these addresses, each call the next answer, the last one for ever; `.asked` counts."""
    calls: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        calls.append(host)
        found = answers[min(len(calls), len(answers)) - 1]
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    resolve.asked = calls  # type: ignore[attr-defined]
    return resolve


def is_loopback(address: str) -> bool:
    return address == LOOPBACK


def page(
    folder: Path, *, limit: int = 20_000, parsing: float = 10.0, trust: ssl.SSLContext | None = None, **limits: Any
) -> WebPage:
    """The tool as it reads pages of a Site: every name is loopback, and loopback alone is allowed."""
    web = Web(Limits(**limits), resolver([LOOPBACK]), is_loopback, trust)
    return WebPage(ToolContext(folder, limit=limit), web, parsing)


def done(tool: Callable[..., Plan], *given: Any, **named: Any) -> str:
    """What a call returns, or its error's text with "error: " before it."""
    try:
        found = tool(*given, **named).do()
    except ToolError as error:
        return f"error: {error}"
    assert isinstance(found, str)
    return found


@dataclass(frozen=True)
class Certificates:
    """A certificate authority made for a test: its own certificate in a file, and contexts for servers and clients."""

    folder: Path
    authority: Path
    names: tuple[str, ...]

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))


def certificates(folder: Path, *names: str) -> Certificates:
    """Make an authority and a server's certificate for these names."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    def begun(subject: x509.Name, public: Any) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(ca).public_key(public)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(start)
        return made.not_valid_after(start + datetime.timedelta(days=30))

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    authority = begun(ca, ca_key.public_key()).add_extension(x509.BasicConstraints(True, 0), True).add_extension(usage, True)
    authority = authority.add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
    server = begun(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]), key.public_key())
    server = server.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
    server = server.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    (folder / "server.pem").write_bytes(server.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(private)
    return Certificates(folder, folder / "ca.pem", names)
