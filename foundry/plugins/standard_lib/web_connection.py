"""A GET over a connection that is checked: to the very address that was looked at, with limits of time and size on all of it."""

from __future__ import annotations

import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin

from foundry.plugins.api import ToolError
from foundry.plugins.standard_lib.web_address import (
    Allowed,
    Resolve,
    Target,
    addresses_of,
    check_addresses,
    is_elsewhere,
    target_of,
)
from foundry.settings import VERSION

if TYPE_CHECKING:
    import httpcore

_MOST_ADDRESSES = 4
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_FRAMING = 200_000  # bytes a body may take on the wire beyond its size: headers, chunk lengths, a TLS handshake


@dataclass(frozen=True, slots=True)
class Limits:
    """What a fetch may take: seconds in all, to connect and for one read; bytes on the wire and unpacked; redirects."""

    seconds: float = 20.0
    connect: float = 5.0
    read: float = 10.0
    size: int = 5_000_000
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered: where it was found, the status, the headers in lower case, the body, whether it was cut."""

    target: Target
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False


class TooSlow(ToolError):
    """The host took longer than it may."""


class _Bounds:
    """The time and bytes that are left of a fetch."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.until = time.monotonic() + limits.seconds
        self.bytes = limits.size + _FRAMING

    def seconds(self, most: float) -> float:
        """Return how long the next step may take. Raises TooSlow when no time is left."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TooSlow(self.slow())
        return min(left, most)

    def slow(self) -> str:
        """Return in words what took too long."""
        if time.monotonic() >= self.until:
            return f"was not finished within {self.limits.seconds:g} s"
        return "did not answer in time"

    def count(self, size: int) -> None:
        self.bytes -= size
        if self.bytes < 0:
            raise _TooMuch


class _TooMuch(Exception):
    """More came over the wire than may."""


class _Stream:
    """A socket in the form that httpcore reads from: each step has what is left of the whole fetch's time and bytes."""

    def __init__(self, sock: socket.socket, bounds: _Bounds) -> None:
        self._socket = sock
        self._bounds = bounds

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._socket.settimeout(self._bounds.seconds(self._bounds.limits.read))
        data = self._socket.recv(max_bytes)
        self._bounds.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        while buffer:
            self._socket.settimeout(self._bounds.seconds(self._bounds.limits.read))
            buffer = buffer[self._socket.send(buffer) :]

    def close(self) -> None:
        self._socket.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        self._socket.settimeout(self._bounds.seconds(self._bounds.limits.read))
        try:
            return _Stream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname), self._bounds)
        except BaseException:
            self._socket.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        return None


class _Pinned:
    """A network backend that knows no names: it connects to the addresses it was made with, whatever it is asked for."""

    def __init__(self, addresses: list[str], bounds: _Bounds) -> None:
        self._addresses = addresses
        self._bounds = bounds

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> _Stream:
        problem: OSError = ConnectionError("no address")
        for address in self._addresses[:_MOST_ADDRESSES]:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(self._bounds.seconds(self._bounds.limits.connect))
                sock.connect((address, port))
            except OSError as error:
                sock.close()
                problem = error
                continue
            except BaseException:
                sock.close()
                raise
            return _Stream(sock, self._bounds)
        raise problem


class Web:
    """Fetches from hosts whose every address is `allowed`: by default those of the public network.

    No proxy is used, whatever the environment says: it would resolve the name anew. `trust` are the certificates taken for
    good, by default the system's and certifi's.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        resolve: Resolve = socket.getaddrinfo,
        allowed: Allowed = is_elsewhere,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._resolve = resolve
        self._allowed = allowed
        self._trust = trust

    def target(self, url: str) -> Target:
        """Return where a URL leads. Raises ToolError for what can be refused without asking the network."""
        found = target_of(url)
        if found.is_address:
            check_addresses(found, [found.host], self._allowed)
        return found

    def get(self, target: Target, wanted: Callable[[Answer], bool], accept: str = "*/*") -> Answer:
        """Return what `target` answers, after redirects that stay at its place; without a body that is not `wanted`.

        Raises ToolError where it cannot be fetched, where a redirect leads to another place, and past a limit of time.
        """
        bounds = _Bounds(self.limits)
        seen = {target.url}
        while True:
            answer = self._one(target, bounds, wanted, accept)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return answer
            onward = self._onward(target, answer.headers["location"])
            if onward.url in seen:
                raise ToolError(f"{target.place} redirects in a circle at {_short(onward.url)}.")
            if len(seen) > self.limits.redirects:
                raise ToolError(f"{target.place} redirects more than {self.limits.redirects} times.")
            seen.add(onward.url)
            target = onward

    def _onward(self, target: Target, location: str) -> Target:
        """Return where a redirect leads. Raises ToolError for another place than was agreed to, naming it."""
        try:
            base = target.url
            onward = self.target(location if re.match("(?i)https?:", location) else urljoin(base, location))
        except (ToolError, ValueError) as error:
            raise ToolError(f"{target.place} redirects to what is not fetched: {error}") from None
        if not stays(target, onward):
            raise ToolError(
                f"{target.place} redirects to another place, which was not followed: {_short(onward.url)}\n"
                "Fetch that URL if it is what you want; the person is asked anew."
            )
        return onward

    def _one(self, target: Target, bounds: _Bounds, wanted: Callable[[Answer], bool], accept: str) -> Answer:
        """Return the answer to one request. Raises ToolError."""
        import httpcore

        addresses = addresses_of(target, self._resolve, self._allowed, _left(bounds, target))
        connection = httpcore.HTTPConnection(
            httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=self._trusted() if target.scheme == "https" else None,
            network_backend=cast("httpcore.NetworkBackend", _Pinned(addresses, bounds)),
        )
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        headers = [
            *(("Host", target.place), ("User-Agent", f"AgentFoundry/{VERSION}"), ("Accept", accept)),
            *(("Accept-Encoding", "gzip, deflate"), ("Connection", "close")),
        ]
        try:
            with connection, connection.stream("GET", url, headers=headers) as response:
                told = {name.decode("latin-1").lower(): _text(value) for name, value in response.headers}
                head = Answer(target, response.status, told)
                if response.status in _REDIRECTS or not wanted(head):
                    return head
                body, cut = _body(response.iter_stream(), told.get("content-encoding", ""), bounds)
                return Answer(target, response.status, told, body, cut)
        except _TooMuch:
            raise ToolError(f"{target.place} sent more than {bounds.limits.size:,} bytes without an answer.") from None
        except (TooSlow, TimeoutError):
            raise TooSlow(f"{target.place} {bounds.slow()}. Try again later, or another page.") from None
        except ssl.SSLCertVerificationError as error:
            raise ToolError(f"{target.place} cannot prove that it is {target.host}: {error.verify_message}.") from None
        except OSError as error:
            raise ToolError(f"{target.place} cannot be reached: {_reason(error)}.") from None
        except (httpcore.ProtocolError, httpcore.NetworkError) as error:
            raise ToolError(f"{target.place} did not answer as HTTP has it: {_short(str(error))}") from None

    def _trusted(self) -> ssl.SSLContext:
        if self._trust is None:
            import certifi

            self._trust = ssl.create_default_context()
            self._trust.load_verify_locations(certifi.where())
        return self._trust


def twin(host: str) -> str:
    """Return the host that differs only by www. and counts as the same place, or "": example.org has one, a.example.org not."""
    if host.startswith("www."):
        return host.removeprefix("www.") if host.count(".") == 2 else ""
    return f"www.{host}" if host.count(".") == 1 and not host.replace(".", "").isdigit() else ""


def stays(before: Target, after: Target) -> bool:
    """Return whether a redirect stays at a place: the host or its twin, the same port, or from plain HTTP to HTTPS."""
    if after.host not in {before.host, twin(before.host)}:
        return False
    upgraded = ((before.scheme, before.port), (after.scheme, after.port)) == (("http", 80), ("https", 443))
    return upgraded or (before.scheme, before.port) == (after.scheme, after.port)


def _left(bounds: _Bounds, target: Target) -> float:
    try:
        return bounds.seconds(bounds.limits.connect)
    except TooSlow as error:
        raise TooSlow(f"{target.place} {error}.") from None


# the body ---------------------------------------------------------------------------------------------------------------------


def _body(chunks: Iterable[bytes], coding: str, bounds: _Bounds) -> tuple[bytes, bool]:
    """Return a body unpacked and whether it was cut at the limit. Raises ToolError for a packing that was not asked for."""
    most, taken = bounds.limits.size, bytearray()
    try:
        for piece in _unpacked(chunks, coding.strip().lower(), most):
            taken += piece
            bounds.seconds(1)
            if len(taken) > most:
                return bytes(taken[:most]), True
    except _TooMuch:
        if not taken:
            raise
        return bytes(taken[:most]), True
    except zlib.error as error:
        raise ToolError(f"The page is packed with {coding[:20]} and damaged: {error}") from None
    return bytes(taken), False


def _unpacked(chunks: Iterable[bytes], coding: str, most: int) -> Iterator[bytes]:
    if coding in ("", "identity"):
        yield from chunks
    elif coding in ("gzip", "x-gzip", "deflate"):
        yield from _inflated(chunks, coding, most)
    else:
        raise ToolError(f"The page is packed with {coding[:40]!r}, which was not asked for. It cannot be read.")


def _inflated(chunks: Iterable[bytes], coding: str, most: int) -> Iterator[bytes]:
    """Yield what packed chunks hold, in pieces no larger than `most`, whatever they would swell to."""
    unpack, parts = None, 0
    for chunk in chunks:
        waiting = chunk
        while waiting:
            if unpack is None:
                if parts and (coding == "deflate" or waiting[0] != 0x1F):  # padding after the last part
                    return
                unpack, parts = zlib.decompressobj(_window(coding, waiting)), parts + 1
            yield unpack.decompress(waiting, min(most, 65536))
            waiting = unpack.unconsumed_tail
            if unpack.eof:
                waiting, unpack = unpack.unused_data, None
    if unpack is not None:
        yield unpack.flush()


def _window(coding: str, start: bytes) -> int:
    """Return zlib's name of a packing; "deflate" is sent with zlib's header and without it."""
    if coding != "deflate":
        return 31
    return 15 if start[0] & 0x0F == 8 and (len(start) < 2 or (start[0] * 256 + start[1]) % 31 == 0) else -15


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _short(text: str) -> str:
    return text if len(text) <= 500 else f"{text[:500]}…"


def _reason(error: OSError) -> str:
    known = (ConnectionRefusedError, "it refuses connections"), (ConnectionResetError, "it ended the connection")
    return next((said for kind, said in known if isinstance(error, kind)), _short(error.strerror or str(error) or "no reason"))
