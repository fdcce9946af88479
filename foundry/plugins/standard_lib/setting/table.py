"""Tables: columns as wide as their content asks, cells wrapped, the head on every page, long rows cut between lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from foundry.plugins.standard_lib.setting.draw import RULE, SHADE, Drawing
from foundry.plugins.standard_lib.setting.pages import HEIGHT, Item, TooMuch
from foundry.plugins.standard_lib.setting.text import Composer, Line, Span, bolder

MOST_CELLS = 30_000
_SIZES = (1.0, 0.9, 0.8, 0.7, 0.6)
_LONG_WORD = 90.0  # a longer one, such as an address, is cut before the text of its table shrinks
_DARK = (0.45, 0.49, 0.55)


@dataclass(slots=True)
class Cell:
    """A cell's text and where it stands: left, center, right, or "" as its text says."""

    spans: list[Span]
    side: str = ""


def table(composer: Composer, rows: Sequence[Sequence[Cell]], width: float, x: float, size: float) -> list[Item]:
    """Return the items of a table, its first row the head. Raises TooMuch for too many cells."""
    count = sum(map(len, rows))
    if count > MOST_CELLS:
        raise TooMuch(f"it has a table with more than {MOST_CELLS} cells. Take a part of it, or a spreadsheet")
    rows = [[Cell(bolder(cell.spans), cell.side) for cell in rows[0]], *rows[1:]]
    scale, widths = _fitted(composer, rows, width)
    setter = _Rows(composer, widths, x, size * scale, scale)
    head = setter.row(rows[0], True)
    items = list(head)
    for one in items:
        one.keep = True
    for row in rows[1:]:
        items += setter.row(row, False)
    for one in items[len(head) :]:
        one.head = head if sum(part.height for part in head) < HEIGHT / 2 else ()
    items[0].before = 8
    return items


def _fitted(composer: Composer, rows: Sequence[Sequence[Cell]], width: float) -> tuple[float, list[float]]:
    """Return by how much the text shrinks so that whole words fit in their columns, and the columns' widths."""
    columns = len(rows[0])
    least, most = [0.0] * columns, [0.0] * columns
    for row in rows:
        for number, cell in enumerate(row):
            word, line = composer.widths(cell.spans)
            line = max(word, line * 0.7) if row is rows[0] and line > word else line  # a head may wrap before its column grows
            word = min(word, max(width / columns, _LONG_WORD))
            least[number], most[number] = max(least[number], word), max(most[number], line)
    for scale in _SIZES:
        pad = 2 * _pad(columns)
        small = [one * scale + pad + 0.1 for one in least]
        large = [one * scale + pad + 0.1 for one in most]
        if sum(large) <= width:
            return scale, large
        if sum(small) <= width:
            return scale, _shared(small, large, width)
    fair = width / columns
    needed = [min(one, max(fair, width * 0.4)) for one in small]
    return _SIZES[-1], [one * width / sum(needed) for one in needed]


def _shared(small: Sequence[float], large: Sequence[float], width: float) -> list[float]:
    """Return widths between the least and the most that fill the table: what asks for little gets it, the rest share alike."""
    low, high = 0.0, width
    for _ in range(40):
        level = (low + high) / 2
        widths = [min(most, max(least, level)) for least, most in zip(small, large, strict=True)]
        low, high = (level, high) if sum(widths) <= width else (low, level)
    return [min(most, max(least, low)) for least, most in zip(small, large, strict=True)]


def _pad(columns: int) -> float:
    return 6.0 if columns <= 6 else 4.0 if columns <= 12 else 1.5


class _Rows:
    """Makes items of rows, whole or line by line, with columns of these widths."""

    def __init__(self, composer: Composer, widths: list[float], x: float, size: float, scale: float) -> None:
        self.composer = composer
        self.widths = widths
        self.x = x
        self.scale = scale
        self.leading = size * 1.36
        self.base = size * 1.05
        self.pad = _pad(len(widths))

    def row(self, cells: Sequence[Cell], head: bool) -> list[Item]:
        """Return a row as one item, or as one a line where it is taller than a third of a page."""
        lines = [self._lines(cell, width) for cell, width in zip(cells, self.widths, strict=True)]
        deep = max(map(len, lines))
        sides = [cell.side for cell in cells]
        if deep * self.leading <= HEIGHT / 3:
            return [self._item(lines, sides, head, True, True)]
        parts = [[column[at : at + 1] for column in lines] for at in range(deep)]
        made = [self._item(part, sides, head, at == 0, at == deep - 1) for at, part in enumerate(parts)]
        for one in (made[0], made[-2]):
            one.keep = True
        return made

    def _lines(self, cell: Cell, width: float) -> list[Line]:
        spans = [Span(span.text, replace(span.style, size=span.style.size * self.scale)) for span in cell.spans]
        return self.composer.lines(spans, max(width - 2 * self.pad, 4))

    def _item(self, lines: Sequence[Sequence[Line]], sides: Sequence[str], head: bool, first: bool, last: bool) -> Item:
        above, below = (4.0 if first else 0.0), (5.0 if last else 0.0)
        height = max(map(len, lines)) * self.leading + above + below

        def draw(drawing: Drawing, left: float, top: float) -> None:
            start = x = left + self.x
            if head:
                drawing.box(start, top - height, sum(self.widths), height, SHADE)
            for column, side, width in zip(lines, sides, self.widths, strict=True):
                for number, line in enumerate(column):
                    room = width - 2 * self.pad - line.width
                    shift = room if side == "right" or (not side and line.from_right) else room / 2 if side == "center" else 0
                    drawing.line(line, x + self.pad + max(shift, 0), top - above - number * self.leading - self.base)
                x += width
            if last:
                drawing.rule(start, top - height, sum(self.widths), _DARK if head else RULE, 0.8 if head else 0.5)

        return Item(height, draw)
