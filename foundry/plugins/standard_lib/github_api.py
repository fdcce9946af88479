"""One host's GitHub API through PyGithub, with limits of ours: that host alone, few requests, bytes and seconds, no retries."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from foundry.hosts import is_this_machine
from foundry.plugins.api import ToolError, Variables
from foundry.text import visible

DEFAULT = "https://api.github.com"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call of a tool may take: seconds in all, to connect and for one read; requests; bytes of one answer."""

    seconds: float = 60.0
    connect: float = 10.0
    read: float = 30.0
    requests: int = 12
    size: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Api:
    """Where the API is: its `url`, and its `host` as a preview names it."""

    url: str
    host: str


def api(variables: Variables) -> Api:
    """Return where GitHub's API is. Raises ToolError for a GITHUB_BASE_URL that is no https address, or without a token."""
    given = variables.get("GITHUB_BASE_URL").strip() or DEFAULT
    wrong = ToolError(
        "GITHUB_BASE_URL is no https address such as https://github.example.org/api/v3. Ask the user to set it anew."
    )
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise wrong from None
    usable = parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host))
    if not usable or not host or "@" in parts.netloc or parts.query or parts.fragment or not given.isascii():
        raise wrong
    token = variables.get("GITHUB_TOKEN")
    if not token or not token.isprintable() or not token.isascii():
        raise ToolError("There is no GITHUB_TOKEN. Ask the user: foundry env NAME set GITHUB_TOKEN")
    return Api(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", parts.netloc.lower())


@contextmanager
def repository(variables: Variables, where: Api, name: str, limits: Limits, page: int = 100) -> Iterator[Any]:
    """Give PyGithub's object of a repository, about which nothing is asked before it is used; failures become ToolErrors."""
    import requests
    from github import Auth, GithubException
    from github.Repository import Repository

    wanted = _requester()
    asked = wanted(
        auth=Auth.Token(variables.get("GITHUB_TOKEN")),
        base_url=where.url,
        timeout=int(limits.read),
        user_agent="agent-foundry",
        per_page=page,
        verify=True,
        retry=0,
        pool_size=1,
        lazy=True,
    )
    asked.begin(where, limits)
    try:
        yield Repository(asked, url=f"/repos/{name}")
    except GithubException as error:
        raise ToolError(_refused(where, name, error)) from None
    except requests.RequestException as error:
        raise ToolError(_unreachable(where, error, asked.sent)) from None
    except (AssertionError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ToolError(f"{where.host} answered what GitHub's API does not say: {visible(str(error)[:200])}") from None


def _requester() -> type[Any]:
    """Return PyGithub's requester with connections of ours."""
    from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester

    logging.getLogger("github").handlers.clear()  # it would write where a server leads it straight onto the screen

    class Limited(Requester):
        sent = False  # whether something that changes the world was sent
        left = 0
        until = 0.0
        where = Api("", "")
        limits = Limits()

        def begin(self, where: Api, limits: Limits) -> None:
            self.where, self.limits = where, limits
            self.left, self.until = limits.requests, time.monotonic() + limits.seconds
            classes = {f"_Requester__{kind}ConnectionClass": self._connection for kind in ("http", "https")}
            vars(self).update(classes, _Requester__connectionClass=self._connection, _Requester__persist=False)

        def _connection(self, host: str, port: int | None = None, **more: Any) -> Any:
            parts = urlsplit(self.where.url)
            if (host, port) != (parts.hostname, parts.port):
                raise ToolError(f"{self.where.host} leads to another host, which is not followed.")
            plain = HTTPSRequestsConnectionClass if parts.scheme == "https" else HTTPRequestsConnectionClass
            connection: Any = plain(host, port, **more)
            connection.session.trust_env = not is_this_machine(host)
            connection.getresponse = lambda: self._answer(connection)
            return connection

        def _answer(self, connection: Any) -> _Answer:
            self.left -= 1
            if self.left < 0 or time.monotonic() > self.until:
                raise ToolError(f"{self.where.host} needs too many requests or too long for this. Ask for less.")
            reading = connection.verb in ("GET", "HEAD")
            self.sent = self.sent or not reading
            with (
                connection.session as session,
                session.request(
                    connection.verb,
                    f"{connection.protocol}://{self.where.host}{connection.url}",
                    headers={**connection.headers, "Accept-Encoding": "identity", "Connection": "close"},
                    data=connection.input,
                    timeout=(self.limits.connect, self.limits.read),
                    allow_redirects=False,
                    stream=True,
                ) as answer,
            ):
                text = _body(self.where, answer, self.limits.size, self.until)
            if answer.status_code == 202 and reading:
                raise ToolError(f"{self.where.host} is not ready with that yet. Try in a minute.")
            if answer.is_redirect and not reading:
                raise ToolError(f"{self.where.host} knows the repository under another name. Use that.")
            return _Answer(answer.status_code, answer.headers, text)

    return Limited


def _body(where: Api, answer: Any, most: int, until: float) -> str:
    raw = bytearray()
    while chunk := answer.raw.read1(65536, decode_content=False):
        raw += chunk
        if len(raw) > most or time.monotonic() > until:
            raise ToolError(f"{where.host} sends too much or too slowly. Ask for less.")
    return raw.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response as PyGithub looks at it."""

    status: int
    headers: Any
    text: str

    def getheaders(self) -> Any:
        return self.headers.items()

    def read(self) -> str:
        return self.text


def _refused(where: Api, name: str, error: Any) -> str:
    """Return what GitHub said no with, and what to do."""
    data = error.data if isinstance(error.data, dict) else {}
    message = visible(str(data.get("message", ""))[:300])
    if error.status in (403, 429) and ("rate limit" in message.lower() or error.status == 429):
        return f"{where.host} allows no more requests for now{_until(error.headers or {})}. Do something else meanwhile."
    if error.status == 401:
        return f"{where.host} does not accept GITHUB_TOKEN. Ask the user for another: foundry env NAME set GITHUB_TOKEN"
    if error.status == 403:
        return f"GITHUB_TOKEN has no right to that on {name}: {message or 'forbidden'}"
    if error.status in (404, 410):
        return f"There is no such thing in {name}, or GITHUB_TOKEN has no right to see it."
    if error.status == 422:
        return f"{where.host} does not take that: {_details(message, data)}"
    if error.status >= 500:
        return f"{where.host} has a fault of its own ({error.status}). Try later; look first whether it was done."
    return f"{where.host} said no ({error.status}): {message}"


def _until(headers: Any) -> str:
    seconds = str(headers.get("retry-after", ""))
    if seconds.isdigit():
        return f", for {seconds} seconds"
    reset = str(headers.get("x-ratelimit-reset", ""))
    return f", for {max(int(reset) - int(time.time()), 1)} seconds" if reset.isdigit() and len(reset) < 12 else ""


def _details(message: str, data: dict[str, Any]) -> str:
    errors = data.get("errors")
    told = [message]
    for one in errors[:5] if isinstance(errors, list) else []:
        known = one if isinstance(one, dict) else {"message": one}
        told.append(str(known.get("message") or f"{known.get('field', '?')}: {known.get('code', '?')}"))
    return visible("; ".join(one for one in told if one)[:500])


def _unreachable(where: Api, error: Exception, sent: bool) -> str:
    import requests

    unsure = " It is not known whether it was done: look before you try again." if sent else " Is the machine offline?"
    if isinstance(error, requests.exceptions.SSLError):
        return f"The certificate of {where.host} is not trusted."
    if isinstance(error, requests.Timeout):
        return f"{where.host} did not answer in time.{unsure}"
    return f"{where.host} cannot be reached.{unsure}"
