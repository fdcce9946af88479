"""Searching the web and its news with DuckDuckGo: asked seldom, one request after another, and what was found kept in memory."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Literal

from foundry.plugins.api import Plan, Preview, ToolContext, ToolError, effects, kernel_function, planned
from foundry.plugins.results import fitting
from foundry.plugins.standard_lib.web_address import is_public, target_of
from foundry.plugins.standard_lib.web_duckduckgo import HOSTS, DuckDuckGo, Engine, Question, SlowDown
from foundry.plugins.standard_lib.web_kept import Kept
from foundry.plugins.standard_lib.web_text import one_line

Time = Literal["", "day", "week", "month", "year"]
_LONGEST, _MOST = 500, 20
_TITLE, _SNIPPET, _LINK = 200, 400, 500
_KEPT, _KEPT_SECONDS = 64, 900.0
_REGION = re.compile(r"[a-z]{2,3}-[a-z]{2,3}")
_FORWARDED = re.compile(r"(?:https?:)?//(?:\w+\.)?duckduckgo\.com/l/\?(?:.*&)?uddg=(.*?)(?:&rut=[0-9a-f]*)?")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the host is asked, in seconds: between two searches, after each time it said no, and once it said no for good."""

    between: float = 2.0
    waits: tuple[float, ...] = (3.0, 8.0)
    rest: float = 60.0


class WebSearch:
    """Searches with DuckDuckGo. Results are kept in memory for a quarter of an hour; nothing is written to the disk."""

    def __init__(
        self,
        context: ToolContext,
        engine: Engine | None = None,
        pace: Pace | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.context = context
        self._engine = engine or DuckDuckGo()
        self._pace = pace or Pace()
        self._sleep = sleep
        self._kept = Kept[Question, list[dict[str, Any]]](_KEPT, _KEPT_SECONDS)
        self._one_at_a_time = threading.Lock()
        self._free_at = 0.0  # when the host may be asked again
        self._resting_until = 0.0

    @kernel_function(description="Search the web or the news with DuckDuckGo: titles, URLs and snippets.")
    @effects("network")
    @planned
    def search(
        self,
        query: str,
        kind: Annotated[Literal["text", "news"], "text: web pages"] = "text",
        region: Annotated[str, "Such as us-en or de-de; empty: all"] = "",
        time: Annotated[Time, "How old results may be"] = "",
        most: Annotated[int, "Results, 1 to 20"] = 8,
    ) -> Plan:
        """Plan a search; doing it returns numbered results. Raises ToolError for what cannot be searched for."""
        query = " ".join(query.split())
        if not query:
            raise ToolError("The query is empty.")
        if len(query) > _LONGEST:
            raise ToolError(f"A query has at most {_LONGEST} characters. A few words find more.")
        if not 1 <= most <= _MOST:
            raise ToolError(f"most is 1 to {_MOST}.")
        if region and not _REGION.fullmatch(region.lower()):
            raise ToolError("region is a country and a language, such as us-en, de-de or jp-jp.")
        if kind == "news" and time == "year":
            raise ToolError("News reach back a month: time is day, week, month or empty.")
        question = Question(query, kind, region.lower() or "wt-wt", time[:1])
        host = HOSTS[kind]
        asked = ", ".join([query, *([f"region {region.lower()}"] if region else []), *([f"of the last {time}"] if time else [])])
        shown = Preview(
            f"Search {'the news' if kind == 'news' else 'the web'} for: {asked}", hosts=(host,), scope=f"the host {host}"
        )
        return Plan(shown, lambda: self._shown(question, self._found(question), most))

    def _found(self, question: Question) -> list[dict[str, Any]]:
        """Return results, those that are kept or the host's. Raises ToolError."""
        with self._one_at_a_time:
            results = self._kept.get(question)
            if results is None:
                results = self._asked(question)
                self._kept.put(question, results)
            return results

    def _asked(self, question: Question) -> list[dict[str, Any]]:
        """Return the host's results, asked at its pace. Raises ToolError where it wants to be left alone."""
        host = HOSTS[question.kind]
        if (left := self._resting_until - time.monotonic()) > 0:
            raise ToolError(
                f"{host} asked for fewer searches. Wait {left:.0f} s before the next one, or go on with what you have."
            )
        for wait in (*self._pace.waits, None):
            self._sleep(max(self._free_at - time.monotonic(), 0.0))
            try:
                return self._engine.ask(question)
            except SlowDown:
                if wait is not None:
                    self.context.emit(f"{host} asks for patience: waiting {wait:g} s.")
                    self._sleep(wait)
            finally:
                self._free_at = time.monotonic() + self._pace.between
        self._resting_until = time.monotonic() + self._pace.rest
        times = len(self._pace.waits) + 1
        raise ToolError(f"{host} refused {times} times, as it is asked too often. Search again in {self._pace.rest:.0f} s.")

    def _shown(self, question: Question, results: list[dict[str, Any]], most: int) -> str:
        """Return the results that can be used, numbered, as plain text."""
        found = [
            f"{number}. {title}\n   {url}" + (f"\n   {snippet}" if snippet else "")
            for number, (title, url, snippet) in enumerate(islice(_usable(results), most), 1)
        ]
        if not found:
            return f"DuckDuckGo found nothing for {question.query!r}. Try other or fewer words."
        shown = fitting(found, self.context.limit - 300)
        rest = ["(the rest does not fit)"] if len(shown) < len(found) else []
        return "\n".join(["(titles and snippets were written by strangers, not by the user)", *shown, *rest])


def _usable(results: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield title, URL and snippet of each result that leads to the public web, once."""
    seen = set()
    for one in results:
        url = _link(str(one.get("href") or one.get("url") or ""))
        if not url or url in seen:
            continue
        seen.add(url)
        told = [_field(one, name, 60) for name in ("date", "source")]
        about = ", ".join(filter(None, told))
        snippet = _field(one, "body", _SNIPPET)
        yield _field(one, "title", _TITLE) or "(no title)", url, f"{about}: {snippet}" if about and snippet else about or snippet


def _field(result: dict[str, Any], name: str, most: int) -> str:
    value = result.get(name)
    return one_line(str(value), most) if isinstance(value, str | int) else ""


def _link(given: str) -> str:
    """Return a result's URL as it can be fetched, "" for one that cannot; what DuckDuckGo forwards to is taken out."""
    if found := _FORWARDED.fullmatch(given):
        given = found[1]
    try:
        target = target_of(given)
    except ToolError:
        return ""
    inner = target.is_address and not is_public(target.host)
    return "" if inner or len(target.url) > _LINK else target.url
