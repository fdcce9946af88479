"""Text set in lines: fonts chosen by character, directions, line breaks, and each line as pieces ready to be drawn."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from foundry.plugins.standard_lib.setting.bidi import EXPLICIT, direction, levels, visual
from foundry.plugins.standard_lib.setting.fonts import REPLACEMENT, AnyFace, Fonts, Glyph, script_of, scripts

Colour = tuple[float, float, float]
INK: Colour = (0.13, 0.15, 0.19)


@dataclass(frozen=True, slots=True)
class Style:
    """How characters look; `link` is where they lead: a URL, or # and an anchor's name."""

    size: float = 10.5
    bold: bool = False
    italic: bool = False
    mono: bool = False
    colour: Colour = INK
    struck: bool = False
    shaded: bool = False
    tabular: bool = False  # figures as wide as one another
    link: str = ""


class Span(NamedTuple):
    """Some text in one style."""

    text: str
    style: Style


class Run(NamedTuple):
    """Characters of one style, font, script and direction, shaped."""

    text: str
    style: Style
    face: AnyFace
    level: int
    glyphs: tuple[Glyph, ...]
    width: float


class Line(NamedTuple):
    """A line as it is drawn: its runs with how far from its left end each begins."""

    runs: tuple[tuple[float, Run], ...]
    width: float
    from_right: bool


class _Word(NamedTuple):
    """What stays together on a line, and the spaces behind it."""

    start: int
    end: int
    after: int


_LONGEST = 500  # characters of a line; only what nobody sees makes more of them fit
_BREAKS_AFTER = frozenset("-\u2013\u2014\u2010\u200b\u00ad")
_IN_ADDRESSES = re.compile(r"[/?&=._:#%,;+-]")
_NOT_FIRST = frozenset("、。，．・：；！？）］｝」』】〕〉》”’…ーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ々゛゜!?,.:;)]}%")  # noqa: RUF001
_NOT_LAST = frozenset("（［｛「『【〔〈《“‘([{¥￥")  # noqa: RUF001
_SPACES = " \u2002\u2003\u2009\u200a\u3000"
# Drawn by nobody: joins, variants, marks of direction. They take the font of the character before.
_UNSEEN = frozenset("\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufeff\u00ad" + "".join(map(chr, range(0xFE00, 0xFE10))))


def clean(text: str, spaces: bool = True) -> str:
    """Return the text as it can be set: no control characters and, unless `spaces` says to keep them, no runs of spaces."""
    kept = "".join(
        char
        for char in text.replace("\t", "    ")
        if char == "\n" or (unicodedata.category(char) != "Cc" and char not in EXPLICIT)
    )
    return unicodedata.normalize("NFC", kept if spaces else re.sub(r"[ \n]+", " ", kept))


class Composer:
    """Sets spans in lines of a width with a document's fonts."""

    def __init__(self, fonts: Fonts) -> None:
        self.fonts = fonts

    def lines(self, spans: Sequence[Span], width: float, side: int | None = None) -> list[Line]:
        """Return the lines of spans; a newline ends one. `side` is 0 from the left, 1 from the right, None as the text says."""
        text = "".join(span.text for span in spans)
        base = direction(text) if side is None else side
        found: list[Line] = []
        for part in _at_newlines(spans):
            paragraph = _Paragraph(self, part, base)
            found += paragraph.lines(width)
        return found

    def widths(self, spans: Sequence[Span]) -> tuple[float, float]:
        """Return the width of the longest word and that of the longest line when nothing is wrapped."""
        words = longest = 0.0
        for part in _at_newlines(spans):
            paragraph = _Paragraph(self, part, direction("".join(span.text for span in part)))
            measured = [(paragraph.width(one.start, one.end), paragraph.width(one.end, one.after)) for one in paragraph.words]
            words = max([words, *(word for word, _ in measured)])
            longest = max(longest, sum(word + space for word, space in measured) - (measured[-1][1] if measured else 0))
        return words, longest


def _at_newlines(spans: Sequence[Span]) -> Iterator[list[Span]]:
    part: list[Span] = []
    for span in spans:
        *ended, rest = span.text.split("\n")
        for text in ended:
            yield [*part, Span(text, span.style)]
            part = []
        part.append(Span(rest, span.style))
    yield part


class _Paragraph:
    """A passage without line ends: every character's style, font, script and level, and its words."""

    def __init__(self, composer: Composer, spans: Sequence[Span], base: int) -> None:
        self.text = "".join(span.text for span in spans)
        self.base = base
        self.styles = [span.style for span in spans for _ in span.text]
        self.levels = levels(self.text, base)
        self.faces = _faces(composer.fonts, self.text, self.styles)
        self.scripts = scripts(self.text)
        self.words = list(_words(self.text))
        self._widths: dict[tuple[int, int], float] = {}

    def width(self, start: int, end: int) -> float:
        """Return the width of the characters from `start` to before `end`."""
        key = (start, end)
        if key not in self._widths:
            self._widths[key] = sum(run.width for run in self.runs(start, end))
        return self._widths[key]

    def runs(self, start: int, end: int) -> list[Run]:
        """Return the characters from `start` to before `end` as runs, in the order they are read."""
        found = []
        while start < end:
            stop = start + 1
            same = self._look(start)
            while stop < end and self._look(stop) == same:
                stop += 1
            text = "".join(char for _, char in self.faces[start:stop])
            style, face, level, _ = same
            glyphs = face.shaped(text, level % 2 == 1, "code" if style.mono else "table" if style.tabular else "")
            found.append(Run(text, style, face, level, glyphs, sum(one.advance for one in glyphs) * style.size / 1000))
            start = stop
        return found

    def _look(self, at: int) -> tuple[Style, AnyFace, int, str]:
        return self.styles[at], self.faces[at][0], self.levels[at], self.scripts[at]

    def lines(self, width: float) -> list[Line]:
        """Return the lines, each as full as it gets; a word wider than a line is cut where it must be."""
        found: list[Line] = []
        start = end = 0
        used = gap = 0.0
        for word in self._fitting(width):
            wide = self.width(word.start, word.end)
            if end > start and used + gap + wide > width + 0.01:
                found.append(self._line(start, end))
                start, used = word.start, wide
            else:
                used += gap + wide
            end, gap = word.end, self.width(word.end, word.after)
        if end > start or not found:
            found.append(self._line(start, end))
        return found

    def _fitting(self, width: float) -> Iterator[_Word]:
        """Yield the words, those wider than a line in pieces."""
        for word in self.words:
            start = word.start
            while word.end - start > 1 and (word.end - start > _LONGEST or self.width(start, word.end) > width):
                stop = self._cut(start, min(word.end, start + _LONGEST), width)
                yield _Word(start, stop, stop)
                start = stop
            yield _Word(start, word.end, word.after)

    def _cut(self, start: int, end: int, width: float) -> int:
        """Return where a piece of a long word ends that fits in a line: behind a sign of an address, else between letters."""
        low, high = start + 1, end - 1
        while low < high:
            middle = (low + high + 1) // 2
            if sum(run.width for run in self.runs(start, middle)) <= width:
                low = middle
            else:
                high = middle - 1
        for stop in range(low, max(start, low - 24), -1):
            if _IN_ADDRESSES.match(self.text[stop - 1]) and stop - start > 8:
                return stop
        while low > start + 1 and (_is_mark(self.text[low]) or self.text[low] in _UNSEEN):
            low -= 1
        return low

    def _line(self, start: int, end: int) -> Line:
        runs = self.runs(start, end)
        if end > start and self.text[end - 1] == "\u00ad":
            last = runs[-1]
            glyphs = (*last.glyphs, *last.face.shaped("-", False, ""))
            runs[-1] = last._replace(glyphs=glyphs, width=sum(one.advance for one in glyphs) * last.style.size / 1000)
        placed, at = [], 0.0
        for number in visual([run.level for run in runs]):
            placed.append((at, runs[number]))
            at += runs[number].width
        return Line(tuple(placed), at, self.base == 1)


def _faces(fonts: Fonts, text: str, styles: Sequence[Style]) -> list[tuple[AnyFace, str]]:
    """Return each character's font, and the character itself or what stands for one that no font has."""
    script = script_of(text)
    found: list[tuple[AnyFace, str]] = []
    for at, char in enumerate(text):
        style = styles[at]
        if at and styles[at - 1] == style and (char in _UNSEEN or (_is_mark(char) and found[-1][0].has(char))):
            found.append((found[-1][0], char))
            continue
        shown = " " if char in _SPACES[1:-1] or char == "\u00a0" else "\u200b" if char in _UNSEEN else char
        face = fonts.face_for(shown, style.bold, style.italic, style.mono, script)
        if face is None:
            if char not in _UNSEEN:
                fonts.missing[char] = fonts.missing.get(char, 0) + 1
            shown = REPLACEMENT if char not in _UNSEEN else " "
            face = fonts.face_for(shown, style.bold, style.italic, style.mono)
        assert face is not None
        found.append((face, shown))
    return found


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M"


def _words(text: str) -> Iterator[_Word]:
    start = at = 0
    while at < len(text):
        end = at
        while end < len(text) and text[end] not in _SPACES and not (end > start and _may_break(text, end)):
            end += 1
        after = end
        while after < len(text) and text[after] in _SPACES:
            after += 1
        yield _Word(start, end, after)
        start = at = after


def _may_break(text: str, at: int) -> bool:
    """Return whether a line may end before a character that no space stands before."""
    before, char = text[at - 1], text[at]
    if before in _BREAKS_AFTER:
        return char.isalpha() and at > 1 and text[at - 2].isalnum()
    if char in _NOT_FIRST or before in _NOT_LAST:
        return False
    return _is_ideograph(char) or _is_ideograph(before)


def _is_ideograph(char: str) -> bool:
    return char >= "\u2e80" and ("\u2e80" <= char <= "\ua4cf" or "\uac00" <= char <= "\ud7a3" or char >= "\U00020000")


def bolder(spans: Sequence[Span]) -> list[Span]:
    """Return the spans in bold."""
    return [Span(span.text, replace(span.style, bold=True)) for span in spans]
