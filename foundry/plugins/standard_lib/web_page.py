"""Reading a page of the public web as Markdown: never an inner address, never past its limits, parsed in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from foundry.plugins.api import Plan, Preview, ToolContext, ToolError, effects, kernel_function, planned
from foundry.plugins.standard_lib.web_address import Target
from foundry.plugins.standard_lib.web_connection import Answer, Web, twin
from foundry.plugins.standard_lib.web_kept import Kept
from foundry.plugins.standard_lib.web_text import clean, decoded, one_line, part_of
from foundry.plugins.standard_lib.worker import answers, ask
from foundry.text import counted

_SECONDS = 10.0
_MOST_SAID = 16 * 1024 * 1024  # bytes of what the parsing process may say
_KEPT, _KEPT_SECONDS = 8, 600.0
_ACCEPT = "text/html,application/xhtml+xml,text/plain;q=0.9,text/markdown;q=0.9,application/json;q=0.9,*/*;q=0.5"
_HTML = frozenset(("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml"))
_TEXT = frozenset(
    (
        *("application/json", "application/xml", "application/javascript", "application/ecmascript", "application/toml"),
        *(
            "application/yaml",
            "application/x-yaml",
            "application/sql",
            "application/x-sh",
            "application/rtf",
            "application/x-ndjson",
        ),
    )
)
_UNTRUSTED = "(what follows was written by the page's author, not by the user)"
_MARKS = ((b"%PDF-", "a PDF"), (b"PK\x03\x04", "a ZIP archive or an office document"), (b"\x89PNG", "a picture"))


@dataclass(frozen=True, slots=True)
class _Page:
    """A page as it is shown, and where it was found."""

    url: str
    title: str
    text: str
    notes: tuple[str, ...] = ()


class WebPage:
    """Fetches pages of the public web. Pages are kept in memory for ten minutes, so that reading on fetches nothing."""

    def __init__(self, context: ToolContext, web: Web | None = None, seconds: float = _SECONDS) -> None:
        self.context = context
        self.seconds = seconds
        self._web = web or Web()
        self._kept = Kept[str, _Page](_KEPT, _KEPT_SECONDS)

    @kernel_function(description="Read a web page as Markdown. Long pages come in parts.")
    @effects("network")
    @planned
    def fetch(
        self, url: Annotated[str, "Begins with https:// or http://"], part: Annotated[int, "Which part of a long page"] = 1
    ) -> Plan:
        """Plan to fetch a page; doing it returns its text. Raises ToolError for what is no public page's URL."""
        if part < 1:
            raise ToolError("Parts are counted from 1.")
        target = self._web.target(url)
        other = twin(target.host)
        hosts = (target.place, target.place.replace(target.host, other)) if other else (target.place,)
        shown = Preview(f"Fetch {target.url}", hosts=hosts, scope=f"the host {min(hosts, key=len)}")
        return Plan(shown, lambda: self._shown(self._page(target), part))

    def _page(self, target: Target) -> _Page:
        page = self._kept.get(target.url)
        if page is None:
            page = self._read(self._web.get(target, _is_readable, _ACCEPT))
            self._kept.put(target.url, page)
        return page

    def _shown(self, page: _Page, part: int) -> str:
        """Return one part of a page below its title and URL."""
        head = "\n".join([*([f"# {page.title}"] if page.title else []), page.url, *page.notes, _UNTRUSTED])
        text, parts = part_of(page.text, part, max(self.context.limit - len(head) - 200, 500))
        if part > parts:
            raise ToolError(f"The page has only {counted(parts, 'part')}.")
        more = f"read on with part={part + 1}" if part < parts else "the last"
        note = f"\n\n(part {part} of {parts}; {more})" if parts > 1 else ""
        return f"{head}\n\n{text}{note}"

    def _read(self, answer: Answer) -> _Page:
        """Return what an answer holds as a page. Raises ToolError for one that is no text."""
        place, kind = answer.target.place, _kind(answer)
        if not 200 <= answer.status < 300:
            raise ToolError(_refusal(answer))
        if not answer.body and _is_readable(answer):
            raise ToolError(f"{place} answered with an empty page.")
        if not _is_readable(answer) or _is_binary(answer.body, kind):
            raise ToolError(_what_it_is(answer, kind))
        text = decoded(answer.body, answer.headers.get("content-type", ""), answer.cut)
        notes = [f"(only its first {len(answer.body):,} bytes were read)"] if answer.cut else []
        if kind in _HTML or (not kind and text.lstrip()[:1] == "<"):
            return self._converted(answer.target, text, notes)
        return _Page(answer.target.url, "", clean(text), tuple(notes))

    def _converted(self, target: Target, html: str, notes: list[str]) -> _Page:
        """Return HTML as Markdown: its main text, else all its text. Raises ToolError where neither can be had."""
        found = self._worked(target, html, "main")
        if found is None:
            found = self._worked(target, html, "plain")
        if found is None:
            raise ToolError(f"The page at {target.place} is made so that it cannot be read within {self.seconds:g} s.")
        title, text = one_line(found["title"], 300), clean(found["text"])
        if not text.strip():
            raise ToolError(f"The page {title!r} at {target.place} has no text. It may be made by scripts, which are not run.")
        if found["plain"]:
            notes.append("(all text of the page: its main text could not be told from the rest)")
        if found["cut"]:
            notes.append("(the end of its text is left out)")
        return _Page(target.url, title, text, tuple(notes))

    def _worked(self, target: Target, html: str, how: str) -> dict[str, Any] | None:
        """Return what the parsing process made of a page, None where it was ended or failed."""
        request = {"url": target.url, "how": how}
        ended = ask("web_worker", request, self.seconds, data=html.encode("utf-8", "replace"), limit=_MOST_SAID)
        return None if ended.timed_out or ended.code != 0 else next(answers(ended.out), None)


def _kind(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_readable(answer: Answer) -> bool:
    """Return whether an answer says that it is text; one that says nothing is looked at."""
    kind = _kind(answer)
    if not 200 <= answer.status < 300:
        return False
    return kind in _HTML or kind in _TEXT or kind == "" or kind.startswith("text/") or kind.endswith(("+json", "+xml"))


def _is_binary(body: bytes, kind: str) -> bool:
    if body.startswith(tuple(mark for mark, _ in _MARKS)):
        return True
    return kind not in _HTML and b"\0" in body[:4096] and not body.startswith((b"\xff\xfe", b"\xfe\xff"))


def _what_it_is(answer: Answer, kind: str) -> str:
    """Return in words what was found instead of text, and how big it is as far as that is known."""
    mark = next((name for start, name in _MARKS if answer.body.startswith(start)), "")
    what = mark or ("a PDF" if kind == "application/pdf" else f"no text but {one_line(kind, 100) or 'of an unknown kind'}")
    size = answer.headers.get("content-length", "")
    told = f"{int(size):,} bytes" if size.isascii() and size.isdigit() and len(size) < 16 else "of unknown size"
    return f"What {answer.target.place} has at this URL is {what}, {told}. Only pages of text are read."


def _refusal(answer: Answer) -> str:
    """Return in words why there is no page, and what to try."""
    try:
        name = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        name = str(answer.status)
    tries = {
        **{401: "It wants a login.", 403: "It lets nobody in, or no programs.", 404: "Check the URL, or search for the page."},
        **{410: "The page is gone for good.", 429: "Wait before asking it again.", 451: "It may not be shown here."},
    }
    hint = tries.get(answer.status, "Try again later." if answer.status >= 500 else "Try another page.")
    return f"{answer.target.place} answered {name} for {answer.target.url[:300]}. {hint}"
