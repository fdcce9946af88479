"""Blocks of Markdown as items of a column: headings, paragraphs, lists, quotes, code, tables, pictures and rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.setting.draw import Drawing
from foundry.plugins.standard_lib.setting.images import MOST_PICTURES, picture
from foundry.plugins.standard_lib.setting.markdown import Image, inline, slug, spans
from foundry.plugins.standard_lib.setting.pages import HEIGHT, WIDTH, Frame, Heading, Item, nothing
from foundry.plugins.standard_lib.setting.table import Cell, table
from foundry.plugins.standard_lib.setting.text import INK, Composer, Line, Span, Style, clean

if TYPE_CHECKING:
    from markdown_it.token import Token

BODY = Style()
LEADING = 15.6
_BASE = 11.6  # from the top of a line of the body to what its letters stand on
_GAP = 8.5  # above a block
_SIZES = {1: (19.0, 26, 12), 2: (14.5, 24, 7), 3: (12.0, 17, 5), 4: (10.5, 14, 3), 5: (10.5, 12, 3), 6: (10.5, 12, 3)}
_HEAD = (0.09, 0.15, 0.24)
_FAINT = (0.36, 0.40, 0.46)
_INDENT = 20.0
_NARROWEST = 130.0
_CODE_SIZE, _CODE_LEADING = 8.8, 12.2
_TASK = re.compile(r"\[([ xX])\] +")
_MARK_COLOUR = (0.30, 0.36, 0.44)
Marker = Callable[[Drawing, float, float, bool], None]


@dataclass(slots=True)
class _List:
    """An open list: its next number, -1 for bullets, how far it is moved in, how deep it is, whether nothing of it is set yet."""

    number: int
    indent: float
    depth: int
    first: bool = True


@dataclass
class Blocks:
    """Sets a document's tokens; afterwards `items` and `headings` are there, and `notes` on what could not be set."""

    composer: Composer
    context: ToolContext
    items: list[Item] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = 0.0
        self.frames: tuple[Frame, ...] = ()
        self.lists: list[_List] = []
        self.around: list[tuple[float, tuple[Frame, ...]]] = []  # of the open quotes
        self.marker: Marker | None = None
        self.first_in_item = False
        self.anchors: set[str] = set()
        self.heading: Item | None = None  # the last line of the last heading

    @property
    def width(self) -> float:
        """How wide the text is here."""
        return WIDTH - self.left

    def add(self, tokens: Sequence[Token]) -> None:
        """Set the tokens."""
        at = 0
        while at < len(tokens):
            token = tokens[at]
            if token.type == "table_open":
                end = next(place for place in range(at, len(tokens)) if tokens[place].type == "table_close")
                self._table(tokens[at:end])
                at = end
            elif token.type == "heading_open":
                self._heading(int(token.tag[1:]), tokens[at + 1])
                at += 2
            elif token.type == "inline":
                self._paragraph(token, tokens[at - 1].hidden)
            else:
                self._one(token)
            at += 1

    def _one(self, token: Token) -> None:
        kind = token.type
        if kind in ("bullet_list_open", "ordered_list_open"):
            self._open_list(token)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            self.left -= self.lists.pop().indent
        elif kind == "list_item_open":
            self._open_item()
        elif kind == "list_item_close":
            self._flush_marker()
        elif kind == "blockquote_open":
            self._open_quote()
        elif kind == "blockquote_close":
            self._flush_marker()
            self.left, self.frames = self.around.pop()
        elif kind in ("fence", "code_block"):
            self._code(token.content)
        elif kind == "hr":
            left, width = self.left, self.width
            self._push(Item(6, lambda drawing, x, top: drawing.rule(x + left, top - 3, width), 14))

    # items ---------------------------------------------------------------------------------------------------------------

    def _push(self, item: Item, from_right: bool = False) -> None:
        item.frames = self.frames
        if self.marker:
            mark, inner = self.marker, item.draw

            def draw(drawing: Drawing, x: float, top: float) -> None:
                mark(drawing, x, top, from_right and not item.frames)
                inner(drawing, x, top)

            item.draw, self.marker = draw, None
        self.items.append(item)

    def _gap(self, usual: float, hidden: bool = False) -> float:
        """Return the space above a block: less inside lists, least between the items of a tight one."""
        if self.first_in_item:
            self.first_in_item = False
            first, self.lists[-1].first = self.lists[-1].first, False
            usual = 6.5 if first and len(self.lists) == 1 else 3.0 if hidden else 5.5
        elif hidden:
            usual = 3.0
        return min(usual, 2.0) if self.items and self.items[-1] is self.heading else usual

    def _paragraph(self, token: Token, hidden: bool) -> None:
        style = replace(BODY, colour=_FAINT) if any(one.kind == "quote" for one in self.frames) else BODY
        self._task(token)
        part: list[Span] = []
        for one in inline(token, style):
            if isinstance(one, Image):
                self._text(part, hidden)
                self._image(one)
                part = []
            else:
                part.append(one)
        self._text(part, hidden)

    def _text(self, text: Sequence[Span], hidden: bool) -> None:
        if not "".join(one.text for one in text).strip():
            return
        lines = self.composer.lines(_trimmed(text), self.width)
        gap = self._gap(_GAP, hidden)
        for number, line in enumerate(lines):
            keep = len(lines) > 1 and number in (0, len(lines) - 2)
            self._push(Item(LEADING, self._line(line, _BASE), gap if number == 0 else 0.0, keep), line.from_right)

    def _line(self, line: Line, base: float) -> Callable[[Drawing, float, float], None]:
        """Return how a line is drawn; one from the right stands at the right, moved in from there by lists."""
        left = WIDTH - line.width - (0 if self.frames else self.left) if line.from_right else self.left
        return lambda drawing, x, top: drawing.line(line, x + left, top - base)

    def _heading(self, level: int, token: Token) -> None:
        size, before, after = _SIZES[level]
        style = Style(size=size, bold=True, italic=level >= 5, colour=_HEAD)
        text = _trimmed(spans(token, style))
        title = "".join(one.text for one in text).replace("\n", " ").strip()
        if not title:
            return
        name = slug(title, self.anchors)
        self.headings.append(Heading(title, level, name))
        lines = self.composer.lines(text, self.width)
        for number, line in enumerate(lines):
            last = number == len(lines) - 1
            item = Item(size * 1.3 + (after if last else 0), self._line(line, size), 0 if number else before, keep=True)
            item.anchor = "" if number else name
            self._push(item)
            self.heading = item

    # lists and quotes ------------------------------------------------------------------------------------------------------

    def _open_list(self, token: Token) -> None:
        self._flush_marker()
        ordered = token.type.startswith("ordered")
        start = token.attrGet("start")
        number = 1 if start is None else int(start)
        wish = _INDENT + (6.0 * max(len(str(number + 20)) - 2, 0) if ordered else 0.0)
        indent = wish if self.width - wish > _NARROWEST else 0.0
        self.lists.append(_List(number if ordered else -1, indent, len(self.lists)))
        self.left += indent

    def _open_item(self) -> None:
        self._flush_marker()
        self.first_in_item = True
        current = self.lists[-1]
        text = f"{current.number}." if current.number >= 0 else "•" if current.depth % 2 == 0 else "\u2013"
        current.number += current.number >= 0
        line = self.composer.lines([Span(text, replace(BODY, colour=_MARK_COLOUR))], 100, 0)[0]
        left = self.left - line.width - 6

        def mark(drawing: Drawing, x: float, top: float, from_right: bool) -> None:
            drawing.line(line, x + (WIDTH - left - line.width if from_right else left), top - _BASE)

        self.marker = mark

    def _flush_marker(self) -> None:
        """Set a list item that says nothing as an empty line with its mark."""
        if self.marker:
            self._push(Item(LEADING, nothing, self._gap(_GAP)))
        self.first_in_item = False

    def _task(self, token: Token) -> None:
        """Make "[x] " at the beginning of a list item a box with a tick."""
        first = token.children[0] if token.children else None
        match = _TASK.match(first.content) if first is not None and first.type == "text" and self.marker else None
        if match is None or first is None:
            return
        first.content = first.content[match.end() :]
        left, done = self.left - 14.5, match.group(1) != " "

        def mark(drawing: Drawing, x: float, top: float, from_right: bool) -> None:
            drawing.tick(x + (WIDTH - left - 8 if from_right else left), top - _BASE, 10.5, _MARK_COLOUR, done)

        self.marker = mark

    def _open_quote(self) -> None:
        self._flush_marker()
        self.around.append((self.left, self.frames))
        if self.width - 15 > _NARROWEST:
            self.frames = (*self.frames, Frame("quote", self.left + 2, 0))
            self.left += 15

    # code, tables, pictures ----------------------------------------------------------------------------------------------------

    def _code(self, content: str) -> None:
        style = Style(size=_CODE_SIZE, mono=True)
        width = self.width
        lines = [line for one in clean(content.rstrip("\n")).split("\n") for line in self._code_lines(one, style, width - 20)]
        outer, self.frames = self.frames, (*self.frames, Frame("code", self.left, width))
        whole = len(lines) * _CODE_LEADING + 14 <= HEIGHT * 0.6
        self._push(Item(7, nothing, self._gap(9), keep=True))
        for number, (shift, line) in enumerate(lines):
            left = self.left + 10 + shift
            keep = whole or number in (0, 1, len(lines) - 3, len(lines) - 2, len(lines) - 1)
            self._push(Item(_CODE_LEADING, _drawn(line, left, 9.2), 0, keep))
        self._push(Item(7, nothing))
        self.frames = outer
        self._push(Item(3, nothing))

    def _code_lines(self, text: str, style: Style, width: float) -> Iterator[tuple[float, Line]]:
        """Yield the lines of one line of code and how far each is moved in: what is wrapped stands deeper than its beginning."""
        lines = self.composer.lines([Span(text, style)], width, 0)
        yield 0.0, lines[0]
        if len(lines) > 1:
            shift = min(len(text) - len(text.lstrip(" ")) + 4, 24) * style.size * 0.6
            done = sum(len(run.text) for _, run in lines[0].runs)
            for line in self.composer.lines([Span(text[done:].lstrip(" "), style)], width - shift, 0):
                yield shift, line

    def _table(self, tokens: Sequence[Token]) -> None:
        style = Style(size=9.4, tabular=True)
        rows: list[list[Cell]] = []
        for at, token in enumerate(tokens):
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                side = str(token.attrGet("style") or "").removeprefix("text-align:")
                rows[-1].append(Cell(_trimmed(spans(tokens[at + 1], style)), side))
                if any(one.type == "image" for one in tokens[at + 1].children or []):
                    self._note("pictures inside tables are given as their text")
        items = table(self.composer, rows, self.width, self.left, style.size)
        items[0].before = self._gap(10)
        for one in items:
            self._push(one)
        self._push(Item(6, nothing))

    def _image(self, image: Image) -> None:
        source = image.source
        try:
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|//", source):
                raise ToolError("only pictures in the working folder are set; save it there first")
            if source not in self.images:
                if len(self.images) >= MOST_PICTURES:
                    raise ToolError(f"there are more than {MOST_PICTURES} pictures")
                self.images[source] = picture(self.context, source, WIDTH, HEIGHT * 0.75)
            found, width, height = self.images[source]
        except ToolError as error:
            self._note(f"the picture {source[:100]!r} is left out: {str(error).rstrip('.')}")
            missing = replace(BODY, italic=True, colour=_FAINT)
            self._text([Span(f"[Picture: {image.alt or source[:100]}]", missing)], False)
            return
        scale = min(1.0, self.width / width)
        width, height, left = width * scale, height * scale, self.left
        shift = left + (self.width - width) / 2 if not self.lists else left
        self._push(
            Item(
                height + 4,
                lambda drawing, x, top: drawing.picture(found, x + shift, top - height - 2, width, height),
                self._gap(10),
                keep=bool(image.title),
            )
        )
        for item in self._caption(image.title):
            self._push(item)

    def _caption(self, text: str) -> Iterator[Item]:
        if text:
            lines = self.composer.lines([Span(text, Style(size=9, italic=True, colour=_FAINT))], self.width)
            for number, line in enumerate(lines):
                shift = self.left + (0 if self.lists else (self.width - line.width) / 2)
                yield Item(13, _drawn(line, shift, 9.5), 3 if number == 0 else 0, keep=number < len(lines) - 1)

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < 20:
            self.notes.append(text)


def _drawn(line: Line, left: float, base: float) -> Callable[[Drawing, float, float], None]:
    return lambda drawing, x, top: drawing.line(line, x + left, top - base)


def _trimmed(text: Sequence[Span]) -> list[Span]:
    """Return the spans with no more than one space between words, none at the beginning and none around line ends."""
    found: list[Span] = []
    space = True
    for one in text:
        kept = re.sub(r" *\n *", "\n", re.sub(r" {2,}", " ", one.text))
        kept = kept.lstrip(" ") if space else kept
        if kept:
            found.append(Span(kept, one.style))
            space = kept[-1] in " \n"
    return found


def title_items(composer: Composer, title: str) -> list[Item]:
    """Return the block at the head of the document."""
    style = Style(size=25, bold=True, colour=_HEAD)
    lines = composer.lines([Span(title, style)], WIDTH)
    items = []
    for number, line in enumerate(lines):
        left = WIDTH - line.width if line.from_right else 0.0
        items.append(Item(31, _drawn(line, left, 24), 0, keep=True, anchor="" if number else "title"))
    items.append(Item(16, lambda drawing, x, top: drawing.rule(x, top - 8, WIDTH, INK, 1.1), 0, keep=True))
    return items
