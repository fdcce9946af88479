"""Where a browser comes back to after a login: one answer, on 127.0.0.1, at a port that the system chooses."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from foundry.session.mcp.streams import Lost
from foundry.text import visible

_LARGEST_HEAD, _HEAD_SECONDS = 16 * 1024, 10.0
_PAGE = "<!doctype html><meta charset=utf-8><title>Agent Foundry</title><p>{}</p>"
_HEADERS = (
    "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
    "Content-Security-Policy: default-src 'none'\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
)


class LoginFailed(Lost):
    """A login came to nothing; the text says why, in words fit for a terminal."""


class Loopback:
    """Listens from `async with` on; `redirect` is the address to send the browser back to."""

    def __init__(self) -> None:
        self.redirect = ""
        self.strangers = 0  # answers that were not to the question asked
        self.state = self._issuer = ""
        self._server: asyncio.Server | None = None
        self._code: asyncio.Future[str] | None = None

    async def __aenter__(self) -> Loopback:
        self._code = asyncio.get_running_loop().create_future()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LARGEST_HEAD)
        self.redirect = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/callback"
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._server:
            self._server.close()
        if self._code and self._code.done() and not self._code.cancelled():
            self._code.exception()  # it may be that nobody waits for it any more
        await asyncio.sleep(0)

    def expect(self, state: str, issuer: str) -> None:
        """Take only the answer that carries `state` and, if it names who it is from, `issuer`; until then none is taken."""
        self.state, self._issuer = state, issuer

    async def answer(self) -> str:
        """Return the authorization code that the browser brings. Raises LoginFailed when it brings a no."""
        assert self._code
        return await self._code

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_SECONDS)
                status, said = self._answered(head.decode("ascii"))
                page = _PAGE.format(said).encode()
                writer.write(f"HTTP/1.1 {status}\r\n{_HEADERS}Content-Length: {len(page)}\r\n\r\n".encode() + page)
                await asyncio.wait_for(writer.drain(), _HEAD_SECONDS)
        finally:
            writer.close()

    def _answered(self, head: str) -> tuple[str, str]:
        """Return the status and the words for a request, whose answer is taken if it is the one waited for."""
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        hosts = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:")]
        asked = urlsplit(target)
        if hosts != [urlsplit(self.redirect).netloc] or method != "GET" or asked.path != "/callback":
            return "404 Not Found", "There is nothing here."
        assert self._code
        if self._code.done():
            return "410 Gone", "This login is over."
        given = parse_qs(asked.query, keep_blank_values=True, max_num_fields=20)
        if any(len(values) > 1 for values in given.values()):
            return "400 Bad Request", "This is no answer to a login."
        one = {name: values[0] for name, values in given.items()}
        if not self.state or not secrets.compare_digest(one.get("state", "").encode(), self.state.encode()):
            self.strangers += 1
            return "400 Bad Request", "This is no answer to the login that is waited for."
        return self._taken(one, self._code)

    def _taken(self, given: dict[str, str], code: asyncio.Future[str]) -> tuple[str, str]:
        if "iss" in given and given["iss"].rstrip("/") != self._issuer.rstrip("/"):
            code.set_exception(LoginFailed(f"the answer is from another server, {visible(given['iss'][:200])!r}"))
        elif "error" in given:
            more = f": {given['error_description'][:300]}" if given.get("error_description") else ""
            code.set_exception(LoginFailed(f"the authorization server says {visible(given['error'][:100] + more)!r}"))
        elif not given.get("code"):
            code.set_exception(LoginFailed("the authorization server sent no code"))
        else:
            code.set_result(given["code"])
            return "200 OK", "You are logged in. You can close this page and go back to the terminal."
        return "200 OK", "You are not logged in. The terminal says why; you can close this page."
