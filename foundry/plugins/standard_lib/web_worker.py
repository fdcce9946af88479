"""The process behind web_page: HTML on stdin, Markdown as JSON on stdout; a page made to hang a parser can only hang this."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

from foundry.plugins.standard_lib.worker_bounds import begun

_MEMORY = 1024**3
_LONGEST = 2_000_000
_DEEPEST = 200
_LONGEST_STYLE = 5000
_LITTLE, _MUCH_MORE, _MANY_LINKS = 250, 4, 10
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])", re.I
)
_LINK = re.compile(r"(!?)\[((?:[^\[\]\\]|\\.){0,500})\]\(([^()]{0,4000}(?:\([^()]{0,500}\)[^()]{0,2000})?)\)")


def main() -> int:
    """Answer one request: a line of JSON {"url", "seconds", "how"}, then the page; `how` is "main" or "plain"."""
    request, page = begun(_MEMORY)
    logging.disable(logging.CRITICAL)
    html = page.decode("utf-8", "replace")
    title, text = "", ""
    if request["how"] == "main":
        title, text = _main_text(html, request["url"])
    plain = False
    if len(text) < _LITTLE or "](" not in text:
        other, everything = _plain_text(html, request["url"])
        plain = _is_better(everything, text)
        title, text = title or other, everything if plain else text
    told: dict[str, Any] = {"title": title[:500], "text": _links_checked(text[:_LONGEST], request["url"]), "plain": plain}
    sys.stdout.write(json.dumps({**told, "cut": len(text) > _LONGEST}) + "\n")
    return 0


def _is_better(everything: str, main: str) -> bool:
    """Return whether all text of a page is to be shown rather than what was taken for its main text.

    So it is for a form or a page in frames, where that is next to nothing, and for a list of links, where it lost the links.
    """
    if len(main) < _LITTLE and len(everything) > _MUCH_MORE * len(main):
        return True
    return everything.count("](") >= _MANY_LINKS and len(_LINK.sub(r"\2", everything)) < 1.5 * len(main)


def _main_text(html: str, url: str) -> tuple[str, str]:
    """Return title and main text of a page as trafilatura finds them, both "" where it finds nothing."""
    from trafilatura import bare_extraction
    from trafilatura.utils import load_html
    from trafilatura.xml import xmltotxt

    tree = load_html(html)
    if tree is None:
        return "", ""
    title = " ".join(" ".join(tree.xpath("//head/title//text()")).split())
    for one in list(tree.iter()):
        if _is_hidden(one) and one.getparent() is not None:
            one.drop_tree()
    found = bare_extraction(
        tree,
        url=url,
        output_format="markdown",
        include_links=True,
        include_tables=True,
        include_formatting=True,
        include_comments=False,
        with_metadata=False,
    )
    body = getattr(found, "body", None)
    return title, "" if body is None else xmltotxt(body, True)


def _is_hidden(one: Any) -> bool:
    return isinstance(one.tag, str) and (one.tag in ("template", "noscript") or _hides(one.attrib))


def _hides(attributes: Mapping[str, str | None]) -> bool:
    """Return whether an element says of itself that nobody sees it; what a style sheet says is not looked at."""
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    return bool(_HIDDEN.search((attributes.get("style") or "")[:_LONGEST_STYLE]))


def _links_checked(text: str, url: str) -> str:
    """Return Markdown whose links are whole and lead to the web; of any other link its text is left, of pictures nothing."""

    def checked(found: re.Match[str]) -> str:
        target = "" if found[1] else _web_link(found[3].strip("<>"), url)
        return f"[{found[2]}]({target})" if target else "" if found[1] else found[2]

    return _LINK.sub(checked, text)


def _web_link(given: str, url: str) -> str:
    """Return a link as a whole URL, "" for one that is no address of the web."""
    try:
        target = urljoin(url, re.sub(r"[\t\r\n]", "", given).strip())
    except ValueError:
        return ""
    return re.sub(r"\s", "%20", target) if re.match(r"(?i)https?://|mailto:", target) else ""


# plain ------------------------------------------------------------------------------------------------------------------------

_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure"),
        *("footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre"),
        *("section", "table", "tr", "ul", "option", "title"),
    )
)
_SKIPPED = frozenset(("script", "style", "template", "noscript", "svg", "math", "iframe", "object", "canvas", "select"))
_VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))
_STARTS = {"li": "- ", "td": " | ", "th": " | ", **{f"h{level}": "#" * level + " " for level in range(1, 7)}}


class _Plain(HTMLParser):
    """Gathers the text of a page, block by block, with links; it keeps no tree and does not recurse."""

    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.url = url
        self.title = ""
        self.pieces: list[str] = []
        self.unseen: list[str] = []  # the open elements from a hidden one on
        self.links: list[str] = []
        self.in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        hides = tag in _SKIPPED or _hides(given)
        if self.unseen or hides:
            if tag not in _VOID and len(self.unseen) < _DEEPEST:
                self.unseen.append(tag)
            return
        self.in_title = tag == "title"
        if tag in _BLOCKS:
            self.pieces.append("\n")
        self.pieces.append(_STARTS.get(tag, ""))
        if tag == "a" and len(self.links) < _DEEPEST:
            self.links.append(_web_link(given.get("href") or "", self.url).replace("(", "%28").replace(")", "%29"))
            self.pieces.append("[" if self.links[-1] else "")

    def handle_endtag(self, tag: str) -> None:
        if self.unseen:
            if tag in self.unseen:
                while self.unseen.pop() != tag:
                    pass
            return
        self.in_title = False
        if tag in _BLOCKS:
            self.pieces.append("\n")
        if tag == "a" and self.links:
            link = self.links.pop()
            self.pieces.append(f"]({link})" if link else "")

    def handle_data(self, data: str) -> None:
        if self.in_title:
            self.title = f"{self.title} {data}"[:500].strip()
        elif not self.unseen:
            self.pieces.append(re.sub(r"\s+", " ", data))


def _plain_text(html: str, url: str) -> tuple[str, str]:
    """Return the title and all text of a page, in the order it stands there."""
    reader = _Plain(url)
    reader.feed(html)
    reader.close()
    text = "".join(reader.pieces)
    text = re.sub(r"\[\s*\]\([^()]{0,2000}\)", "", text)
    lines = (line.strip() for line in text.split("\n"))
    return reader.title, "\n".join(line for line in lines if line.strip("|- #"))


if __name__ == "__main__":
    sys.exit(main())
