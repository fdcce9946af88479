"""What a provider's failure means: one clear line and what to do, never with a key in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from foundry.errors import ProviderError, ProviderFault

MAX_WAIT = 60.0
_CONTEXT = re.compile(
    r"context.{0,20}(length|window|size)|(prompt|input|request).{0,40}too (long|large)"
    r"|exceeds? the (available )?(context|maximum)|maximum context|too many (input )?tokens",
    re.IGNORECASE,
)
_KEY_LIKE = re.compile(r"\b(sk|pk|rk|key|gsk|xai|Bearer)[-_ ][\w.*-]{6,}|\b[\w-]{32,}\b")


@dataclass(frozen=True, slots=True)
class Door:
    """Where a model is asked: its name, the address, the variable its key stands in, and the key, so that no message holds it."""

    name: str
    url: str = ""
    variable: str = ""
    key: str = ""

    @property
    def provider(self) -> str:
        return self.name.partition(":")[0]

    @property
    def host(self) -> str:
        """The address as a person should read it: host and port, no credentials."""
        parts = urlsplit(self.url)
        return (parts.hostname or "") + (f":{parts.port}" if parts.port else "")


def from_exception(door: Door, error: BaseException) -> ProviderError:
    """Return what `error`, raised by Semantic Kernel, openai or its HTTP client, means; a ProviderError is returned as it is."""
    chain = list(_causes(error))
    for one in chain:
        if isinstance(one, ProviderError):
            return one
    for one in chain:
        status = getattr(one, "status_code", None)
        if isinstance(status, int):
            return from_status(door, status, _said(one), _retry_after(one))
    names = {base.__name__ for one in chain for base in type(one).__mro__}
    if names & {"APITimeoutError", "TimeoutException", "TimeoutError"}:
        return _error(door, "timeout", f"no answer from {door.host} in time", "Try again, or raise FOUNDRY_REQUEST_TIMEOUT.")
    if names & {"ConnectError", "ConnectionRefusedError", "gaierror", "ProxyError", "UnsupportedProtocol"}:
        return _error(door, "connection", f"{door.host or door.url} cannot be reached", _start_hint(door))
    if names & {
        "APIConnectionError",
        "TransportError",
        "RemoteProtocolError",
        "ReadError",
        "JSONDecodeError",
        "UnicodeDecodeError",
    }:
        return cut(door)
    if "APIError" in names:
        return _in_stream(door, next(one for one in chain if type(one).__name__ == "APIError"))
    return _error(door, "answer", f"the answer could not be read ({type(chain[-1]).__name__})", "Try again, or another model.")


def from_status(door: Door, status: int, said: str, retry_after: float | None = None) -> ProviderError:
    """Return what an HTTP error answer means; `said` is the provider's own words."""
    words = _clean(door, said)
    if status in {401, 403}:
        return _error(door, "auth", f"the key was refused (HTTP {status}): {words}", _key_hint(door))
    if status in {400, 413, 422, 500} and _CONTEXT.search(said):
        return _error(
            door,
            "context",
            f"the conversation is too long for the model: {words}",
            "Start over with /clear, or ask less at once.",
        )
    if status == 402:
        return _error(door, "auth", f"the account has no credit (HTTP 402): {words}", "Top it up, or choose another model.")
    if status == 429:
        if "quota" in said.lower() or "credit" in said.lower():
            return _error(door, "auth", f"the account's quota is used up: {words}", "Top it up, or choose another model.")
        wait = f"{retry_after:,.0f} seconds" if retry_after and retry_after > MAX_WAIT else "a little"
        return _error(door, "rate", f"too many requests: {words}", f"Wait {wait}, then try again.", retry_after)
    if status == 408:
        return _error(door, "timeout", f"the provider gave up waiting: {words}", "Try again.")
    if status in {409, 425} or status >= 500:
        return _error(door, "server", f"the provider failed (HTTP {status}): {words}", "Try again in a moment.", retry_after)
    if status == 404:
        return _error(door, "request", f"not found (HTTP 404): {words}", _model_hint(door))
    return _error(
        door, "request", f"the request was refused (HTTP {status}): {words}", "Check the model's name and what it can do."
    )


def cut(door: Door) -> ProviderError:
    """Return the error of a stream that ended before the answer did."""
    return _error(door, "cut", "the connection broke off in the middle of an answer", "Ask again.")


def parse_wait(value: str, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number, or an HTTP date); None when it means nothing."""
    try:
        seconds = float(value)
        return max(0.0, seconds) if seconds == seconds and seconds < 1e9 else None
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def _in_stream(door: Door, error: BaseException) -> ProviderError:
    """An error event inside the stream: its code decides like a status where it is one."""
    body = getattr(error, "body", None)
    code = str(body.get("code", "") if isinstance(body, Mapping) else "")
    said = _said(error)
    if code.isdigit() and 400 <= int(code) < 600:
        return from_status(door, int(code), said)
    if _CONTEXT.search(said) or "context_length" in code:
        return from_status(door, 400, said + " (context length)")
    if "rate_limit" in code:
        return from_status(door, 429, said)
    return from_status(door, 500, said)


def _error(door: Door, fault: ProviderFault, message: str, hint: str, retry_after: float | None = None) -> ProviderError:
    return ProviderError(f"{door.name}: {message}".rstrip(": "), hint, fault=fault, retry_after=retry_after)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _said(error: BaseException) -> str:
    """The provider's own words, out of the shapes that they come in."""
    body: Any = getattr(error, "body", None)
    for _ in range(3):
        if isinstance(body, Mapping):
            body = body.get("error") or body.get("message") or body.get("detail") or ""
        elif isinstance(body, list) and body:
            body = body[0]
    if isinstance(body, str) and body.strip():
        return body
    return "" if getattr(error, "status_code", None) else str(error)


def _retry_after(error: BaseException) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        return None
    millis = str(headers.get("retry-after-ms") or "")
    if millis.replace(".", "", 1).isdigit():
        return float(millis) / 1000
    return parse_wait(str(headers.get("retry-after") or ""))


def _clean(door: Door, said: str) -> str:
    """One line of at most 200 characters without anything that looks like a key."""
    line = " ".join(said.split())
    if door.key and len(door.key) >= 4:
        line = line.replace(door.key, "[key]")
    if line.lstrip().startswith("<"):
        return ""
    line = _KEY_LIKE.sub("[key]", line)
    return line if len(line) <= 200 else line[:199] + "…"


def _key_hint(door: Door) -> str:
    if door.provider == "local":
        return "Run: foundry model stop, then try again."
    if door.variable:
        return f"Check the key in {door.variable}: foundry env NAME set {door.variable}"
    return "Check the provider's key."


def _start_hint(door: Door) -> str:
    if door.provider == "ollama":
        return "Start it with: ollama serve (or set OLLAMA_HOST to where it runs)."
    if door.provider == "local":
        return "Try again: the embedded model is started anew. If that fails: foundry model stop"
    return "Check the network, a proxy's variables and the address" + (
        f" ({_URL_OF[door.provider]})." if door.provider in _URL_OF else "."
    )


def _model_hint(door: Door) -> str:
    model = door.name.partition(":")[2]
    if door.provider == "ollama":
        return f"Bring it with: foundry model pull {door.name}"
    return f'Is "{model}" the model\'s exact name, and the address right?'


_URL_OF = {"openai": "OPENAI_BASE_URL", "openrouter": "OPENROUTER_BASE_URL", "anthropic": "ANTHROPIC_BASE_URL"}
