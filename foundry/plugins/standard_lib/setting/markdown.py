"""Markdown as tokens, and its running text as spans: what looks like markup or a harmful link stays plain text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from foundry.plugins.standard_lib.setting.text import Colour, Span, Style, clean

if TYPE_CHECKING:
    from markdown_it.token import Token

LINK: Colour = (0.08, 0.33, 0.60)
CODE: Colour = (0.32, 0.13, 0.22)
_GOOD_LINK = re.compile(r"(?:https?://[^\s]+|mailto:[^\s]+)", re.IGNORECASE)
_DEEPEST = 10_000


@dataclass(frozen=True, slots=True)
class Image:
    """A picture named in the text."""

    source: str
    alt: str
    title: str


def tokens(markdown: str) -> list[Token]:
    """Return the tokens of CommonMark with tables and strikethrough; HTML is text. Raises RecursionError for deep nesting."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable(["table", "strikethrough"])
    parser.disable(["html_block", "html_inline"])
    return parser.parse(markdown)


def slug(title: str, taken: set[str]) -> str:
    """Return the anchor of a heading, as code hosts make it, that no other has."""
    kept = "".join(one for one in title.lower().strip() if one.isalnum() or one in " -_" or unicodedata.combining(one))
    name = plain = kept.replace(" ", "-") or "section"
    number = 0
    while name in taken:
        number += 1
        name = f"{plain}-{number}"
    taken.add(name)
    return name


def inline(token: Token, style: Style) -> list[Span | Image]:
    """Return an inline token's text as spans and pictures, in order."""
    return _Inline(style).read(token.children or [])


def spans(token: Token, style: Style) -> list[Span]:
    """Return an inline token's text as spans, a picture as its alternative text."""
    return [one if isinstance(one, Span) else Span(one.alt or one.source, style) for one in inline(token, style)]


class _Inline:
    def __init__(self, style: Style) -> None:
        self.style = style
        self.outer: list[Style] = []
        self.found: list[Span | Image] = []

    def read(self, children: Sequence[Token]) -> list[Span | Image]:
        for one in children:
            if one.type.endswith("_open"):
                self.outer.append(self.style)
                self.style = self._opened(one)
            elif one.type.endswith("_close"):
                self.style = self.outer.pop() if self.outer else self.style
            else:
                self._leaf(one)
        return self.found

    def _opened(self, token: Token) -> Style:
        if token.type == "strong_open":
            return replace(self.style, bold=True)
        if token.type == "em_open":
            return replace(self.style, italic=True)
        if token.type == "s_open":
            return replace(self.style, struck=True)
        target = str(token.attrGet("href") or "")
        if _GOOD_LINK.fullmatch(target) and target.isascii():
            return replace(self.style, link=target, colour=LINK)
        if target.startswith("#") and len(target) > 1:
            return replace(self.style, link=f"#{_unquoted(target[1:])}", colour=LINK)
        return self.style

    def _leaf(self, token: Token) -> None:
        if token.type == "softbreak":
            self._text(" ", self.style)
        elif token.type == "hardbreak":
            self.found.append(Span("\n", self.style))
        elif token.type == "code_inline":
            colour = self.style.colour if self.style.link else CODE
            code = replace(self.style, mono=True, shaded=True, size=self.style.size * 0.9, colour=colour)
            self._text(token.content, code)
        elif token.type == "image":
            title = clean(str(token.attrGet("title") or ""), False)
            self.found.append(Image(_unquoted(str(token.attrGet("src") or "")), clean(token.content, False), title))
        else:
            self._text(token.content, self.style)

    def _text(self, text: str, style: Style) -> None:
        if text:
            self.found.append(Span(clean(text, False), style))


def _unquoted(target: str) -> str:
    from urllib.parse import unquote

    return unquote(target)
