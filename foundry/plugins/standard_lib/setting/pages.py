"""A column of items broken into pages: headings stay with what follows, no line stands alone, table heads come again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from foundry.plugins.standard_lib.setting.draw import RULE, SHADE, Drawing
from foundry.plugins.standard_lib.setting.fonts import Fonts
from foundry.plugins.standard_lib.setting.text import Composer, Span, Style

A4 = (595.276, 841.89)
LEFT, TOP, BOTTOM = 70.0, 68.0, 74.0
WIDTH = A4[0] - 2 * LEFT
HEIGHT = A4[1] - TOP - BOTTOM
MOST_PAGES = 500
_FAINT = (0.42, 0.45, 0.50)

# Draws an item whose left end is x and whose top is y.
Draw = Callable[[Drawing, float, float], None]


def nothing(drawing: Drawing, x: float, top: float) -> None:
    """Draw an item that is only space."""


class TooMuch(Exception):
    """The document has more than can be set; the text says what."""


@dataclass(eq=False, slots=True)
class Frame:
    """What stands behind or beside a run of items, `x` from the column's left end: a quote's bar, or the ground of code."""

    kind: str
    x: float
    width: float


@dataclass(slots=True)
class Item:
    """Something that is never cut: a line, a picture, a table's row. `before` is the space above it, not at a page's top.

    `keep` says that the next item follows on the same page; `head` are the items that come again above it on a new page.
    """

    height: float
    draw: Draw
    before: float = 0.0
    keep: bool = False
    frames: tuple[Frame, ...] = ()
    head: Sequence[Item] = ()
    anchor: str = ""
    new_page: bool = False


@dataclass(slots=True)
class Heading:
    """A heading as the outline and the contents have it."""

    title: str
    level: int
    anchor: str
    page: int = 0


@dataclass(slots=True)
class Page:
    """Items with the height of the top of each, from the page's lower edge."""

    items: list[tuple[float, Item, float]] = field(default_factory=list)
    left: float = HEIGHT


def broken(items: Sequence[Item]) -> list[Page]:
    """Return the items on pages. Raises TooMuch for more than MOST_PAGES."""
    pages = [Page()]
    for group in _groups(items):
        tall = sum(one.before + one.height for one in group)
        page = pages[-1]
        if page.items and (group[0].new_page or (tall > page.left and not (tall > HEIGHT and page.left > HEIGHT / 3))):
            _begin(pages, group[0])
        for one in group:
            if pages[-1].items and one.before + one.height > pages[-1].left + 0.01:
                _begin(pages, one)
            _place(pages[-1], one)
    return pages


def _groups(items: Sequence[Item]) -> list[list[Item]]:
    groups: list[list[Item]] = []
    joined = False
    for one in items:
        if joined and not one.new_page:
            groups[-1].append(one)
        else:
            groups.append([one])
        joined = one.keep
    return groups


def _begin(pages: list[Page], first: Item) -> None:
    if len(pages) >= MOST_PAGES:
        raise TooMuch(f"it has more than {MOST_PAGES} pages. Write it in several documents")
    pages.append(Page())
    for one in first.head:
        _place(pages[-1], one)


def _place(page: Page, one: Item) -> None:
    before = one.before if page.items else 0.0
    page.left -= before
    page.items.append((BOTTOM + page.left, one, before))
    page.left -= one.height


def painted(file: Any, fonts: Fonts, title: str, pages: Sequence[Page], headings: Sequence[Heading]) -> None:
    """Write the pages as a PDF with outline and page numbers."""
    drawing = Drawing(file, A4, fonts, title)
    drawing.anchors = {one.anchor for page in pages for _, one, _ in page.items if one.anchor}
    for number, page in enumerate(pages, 1):
        _paint(drawing, page)
        if len(pages) > 1:
            _footer(drawing, f"{number} / {len(pages)}")
        drawing.page()
    above: list[int] = []
    for one in headings:
        above = [level for level in above if level < one.level]
        drawing.canvas.addOutlineEntry(one.title, one.anchor, len(above), closed=len(above) >= 1)
        above.append(one.level)
    if headings:
        drawing.canvas.showOutline()
    drawing.save()


def _paint(drawing: Drawing, page: Page) -> None:
    below: tuple[Frame, ...] = ()
    for top, one, before in page.items:
        for frame in one.frames:
            _frame(drawing, frame, top + (before if frame in below else 0), top - one.height)
        below = one.frames
    for top, one, _ in page.items:
        if one.anchor:
            drawing.anchor(one.anchor, top + 6)
        one.draw(drawing, LEFT, top)


def _frame(drawing: Drawing, frame: Frame, top: float, bottom: float) -> None:
    if frame.kind == "code":
        drawing.box(LEFT + frame.x, bottom - 0.1, frame.width, top - bottom + 0.2, SHADE)
    else:
        drawing.box(LEFT + frame.x, bottom - 0.1, 2.2, top - bottom + 0.2, RULE)


def _footer(drawing: Drawing, text: str) -> None:
    line = Composer(drawing.fonts).lines([Span(text, Style(size=8.5, colour=_FAINT))], WIDTH, 0)[0]
    drawing.line(line, LEFT + (WIDTH - line.width) / 2, 40)


def contents(composer: Composer, headings: Sequence[Heading], word: str) -> list[Item]:
    """Return the lines of the contents, each leading to its heading; their pages are read when they are drawn."""
    strong = Style(size=13, bold=True)
    line = composer.lines([Span(word, strong)], WIDTH)[0]
    items = [Item(20, lambda drawing, x, top: drawing.line(line, x, top - 14), 14, keep=True)]
    shown = [one for one in headings if one.level <= 3]
    top = min((one.level for one in shown), default=1)
    for one in shown:
        depth = one.level - top
        style = Style(bold=depth == 0, link=f"#{one.anchor}")
        items += _entry(composer, one, style, depth * 16.0, 7 if depth == 0 else 1.5)
    return items


def _entry(composer: Composer, heading: Heading, style: Style, indent: float, before: float) -> list[Item]:
    lines = composer.lines([Span(heading.title, style)], WIDTH - indent - 44)
    made = []
    for number, line in enumerate(lines):

        def draw(drawing: Drawing, x: float, top: float, line: Any = line, last: bool = number == len(lines) - 1) -> None:
            y = top - 11
            drawing.line(line, x + indent, y)
            if last:
                page = composer.lines([Span(str(heading.page), replace(style, bold=False))], 44, 0)[0]
                drawing.line(page, x + WIDTH - page.width, y)
                _leader(drawing, x + indent + line.width + 6, x + WIDTH - page.width - 5, y)

        made.append(Item(15, draw, before if number == 0 else 0, keep=number < len(lines) - 1))
    return made


def _leader(drawing: Drawing, start: float, end: float, y: float) -> None:
    if end - start > 8:
        drawing.canvas.setDash(0.1, 4.2)
        drawing.canvas.setLineCap(1)
        drawing.rule(end, y + 0.6, start - end, _FAINT, 0.7)
        drawing.canvas.setDash()
        drawing.canvas.setLineCap(0)
