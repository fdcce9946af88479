"""DuckDuckGo's two answer pages as ddgs asks and reads them, with what ddgs keeps to itself: how the host answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from foundry.plugins.api import ToolError

Kind = Literal["text", "news"]
HOSTS: Mapping[str, str] = {"text": "html.duckduckgo.com", "news": "duckduckgo.com"}
_SLOW_DOWN = frozenset((202, 403, 418, 429, 503))  # 202 comes with a page that asks whether one is a robot
_ROBOT, _RESULT = b'class="anomaly-modal', b"result__a"  # what that page holds, and what it does not
_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for: `region` such as de-de or wt-wt for all, `time` one of d, w, m, y or "" for any."""

    query: str
    kind: Kind
    region: str
    time: str


class SlowDown(Exception):
    """The host wants to be asked less often."""


class Engine(Protocol):
    """Whoever answers a question."""

    def ask(self, question: Question) -> list[dict[str, Any]]:
        """Return results as ddgs names their fields. Raises SlowDown, or ToolError for any other failure."""
        ...


class _Watched:
    """ddgs's HTTP client; an answer that is none is an error here, where ddgs takes it for "no results"."""

    def __init__(self, client: Any, host: str) -> None:
        self._client = client
        self._host = host

    def request(self, *arguments: Any, **named: Any) -> Any:
        response = self._client.request(*arguments, follow_redirects=False, **named)  # no host but the one that was shown
        if response.status_code in _SLOW_DOWN or (_ROBOT in response.content and _RESULT not in response.content):
            raise SlowDown
        if response.status_code != 200:
            raise ToolError(f"{self._host} answered with status {response.status_code}. Try again later.")
        return response


class DuckDuckGo:
    """Asks DuckDuckGo and no other engine, by ddgs's own classes for it.

    `proxy` and `verify` are ddgs's; without a proxy the one of the environment (HTTPS_PROXY) is used, as ddgs's client does.
    """

    def __init__(self, proxy: str | None = None, verify: bool | str = True, seconds: int = _SECONDS) -> None:
        self._made: dict[str, Any] = {}
        self._options: dict[str, Any] = {"proxy": proxy, "verify": verify, "timeout": seconds}

    def ask(self, question: Question) -> list[dict[str, Any]]:
        """Return what the first page of answers holds. Raises SlowDown, or ToolError saying what is in the way."""
        from ddgs.exceptions import DDGSException, TimeoutException

        host = HOSTS[question.kind]
        try:
            found = self._engine(question.kind).search(
                question.query, region=question.region, safesearch="moderate", timelimit=question.time or None
            )
        except (SlowDown, ToolError):
            raise
        except TimeoutException:
            raise ToolError(f"{host} did not answer within {self._options['timeout']} s. Try again later.") from None
        except DDGSException as error:
            raise ToolError(_problem(error, host)) from None
        except Exception:  # whatever ddgs's parsers make of a page that is none
            raise ToolError(f"{host} answered with what is no page of results. Try again later.") from None
        return [dict(vars(one)) for one in found or ()]

    def _engine(self, kind: Kind) -> Any:
        if kind not in self._made:
            from ddgs.engines.duckduckgo import Duckduckgo
            from ddgs.engines.duckduckgo_news import DuckduckgoNews

            made: Any = (Duckduckgo if kind == "text" else DuckduckgoNews)(**self._options)
            made.http_client = _Watched(made.http_client, HOSTS[kind])
            self._made[kind] = made
        return self._made[kind]


def _problem(error: Exception, host: str) -> str:
    import primp

    if isinstance(error.__cause__, primp.ConnectError | primp.DNSError):
        return f"There is no connection to {host}: this machine seems to be offline. Search again when it is online."
    if error.__cause__ is None:  # ddgs's own word: the page had no key for the search
        return f"{host} answered with what is no page of results. Try again later."
    return f"The search failed on the way to {host} ({type(error.__cause__).__name__}). Try again later."
