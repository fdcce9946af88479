"""What becomes of a file, line by line: its text shown whole and exact, its bytes, line ends and mode said in words."""

from __future__ import annotations

import stat
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from foundry.text import EMPTY_LINES, TIMES, counted, spelled, written_out

_AROUND = 3  # lines that stay as they are, shown before and after a change
_PAIRS = 250_000  # pairs of lines compared one with another; beyond, only lines that are unique hold two texts together
_BOMS = {
    b"\xef\xbb\xbf": ("utf-8", "UTF-8 with BOM"),
    b"\xff\xfe": ("utf-16-le", "UTF-16"),
    b"\xfe\xff": ("utf-16-be", "UTF-16BE"),
}
_Place = tuple[int, int]  # a line's number in the one and in the other text
_Same = tuple[int, int, int]  # from there on, so many lines are the same


@dataclass(frozen=True, slots=True)
class Diff:
    """One file before and after, None where it is not there; `modes` are said where they differ."""

    name: str
    before: bytes | None
    after: bytes | None
    modes: tuple[int | None, int | None] = (None, None)


class Line(NamedTuple):
    """A line to draw: `lead` is ours, `text` the file's made harmless; `sign` is +, - or a blank, "" where `text` is ours too."""

    sign: str
    lead: str
    text: str


class _Text(NamedTuple):
    """A file's lines, each with its end, and what is to be said of them."""

    lines: tuple[str, ...] = ()
    encoding: str = ""
    ends: str = ""
    binary: bool = False


class _Compared(NamedTuple):
    old: _Text
    new: _Text
    same: tuple[_Same, ...]
    plus: int
    minus: int


def told(diff: Diff) -> str:
    """Return in a few words what becomes of the file, also what of it cannot be seen."""
    both = _compared(diff)
    words = [_becomes(diff, both)]
    words += _turned("", both.old.encoding, both.new.encoding, "UTF-8", "")
    words += _turned("line ends ", both.old.ends, both.new.ends, "LF", " line ends")
    was, will = (mode if mode is None else stat.S_IMODE(mode) for mode in diff.modes)
    if was is not None and will is not None and was != will:
        words.append(f"mode {was:o} → {will:o}")
    elif was is None and will is not None and will & 0o111:
        words.append(f"mode {will:o}: may be run")
    if not (both.old.binary or both.new.binary) and (odd := written_out("".join(_coming(both)))):
        words.append("hidden characters written out: " + " ".join(odd))
    return ", ".join(words)


def _becomes(diff: Diff, both: _Compared) -> str:
    binary = both.old.binary or both.new.binary
    was, will = _size(diff.before, len(both.old.lines), binary), _size(diff.after, len(both.new.lines), binary)
    if diff.before is None or diff.after is None:
        return "not there" if diff.before is diff.after else f"new, {will}" if diff.before is None else f"deleted, {was}"
    if diff.before == diff.after:
        return f"{was}, none changed"
    if both.plus or both.minus:
        return f"changed, +{both.plus:,} -{both.minus:,}"
    return f"changed, {was} → {will}"


def _size(data: bytes | None, lines: int, binary: bool) -> str:
    if data is None:
        return "nothing"
    if binary or not lines:
        return f"{'binary, ' if binary else ''}{counted(len(data), 'byte')}"
    return counted(lines, "line")


def _turned(before: str, was: str, will: str, usual: str, after: str) -> list[str]:
    if was and will and was != will:
        return [f"{before}{was} → {will}"]
    return [(will or was) + after] if (will or was) not in ("", usual) else []


def _coming(both: _Compared) -> Iterator[str]:
    place = 0
    for _, will, length in [*both.same, (0, len(both.new.lines), 0)]:
        yield from both.new.lines[place:will]
        place = will + length


def drawn(diff: Diff, *, numbered: bool = True) -> Iterator[Line]:
    """Yield the lines of a unified diff: each change and what stands around it, what is left out said in numbers."""
    both = _compared(diff)
    old, new = both.old.lines, both.new.lines
    wide = max(len(str(max(len(old), len(new)))), 2)

    def line(sign: str, text: str, *numbers: int | None) -> Iterator[Line]:
        lead = "".join(f"{'' if number is None else number + 1:>{wide}} " for number in numbers) if numbered else ""
        yield Line(sign, f"{lead}{sign} ", spelled(text.removesuffix("\n")))
        if not text.endswith("\n"):
            yield Line("", " " * len(lead), "\\ no line end at the end")

    def lines(sign: str, text: Sequence[str], start: int, end: int) -> Iterator[Line]:
        number = start
        while number < end:
            empty = _empty(text, number, end)
            place = (number, None) if sign == "-" else (None, number)
            if empty > EMPTY_LINES:
                yield from line(sign, f"↵{TIMES}{empty}\n", *place)
            else:
                yield from line(sign, text[number], *place)
            number += empty if empty > EMPTY_LINES else 1

    place = (0, 0)
    for was, will, length in [*both.same, (len(old), len(new), 0)]:
        yield from lines("-", old, place[0], was)
        yield from lines("+", new, place[1], will)
        place = (was + length, will + length)
        head = _AROUND if (was, will) != (0, 0) else 0
        tail = _AROUND if place != (len(old), len(new)) else 0
        for step in range(length):
            if step < head or step >= length - tail:
                yield from line(" ", old[was + step], was + step, will + step)
            elif step == head:
                count = length - head - tail
                yield Line("", "", f"⋯ {counted(count, 'line')} as before")


def _empty(text: Sequence[str], start: int, end: int) -> int:
    """Return how many empty lines there are from `start` on."""
    return next((number for number in range(start, end) if text[number] != "\n"), end) - start


@lru_cache(maxsize=4)
def _compared(diff: Diff) -> _Compared:
    old, new = _text(diff.before), _text(diff.after)
    if old.binary or new.binary or diff.before == diff.after:
        # Said in words only; the other side's lines would be noise.
        return _Compared(_Text((), old.encoding, old.ends, old.binary), _Text((), new.encoding, new.ends, new.binary), (), 0, 0)
    same: list[_Same] = []
    for was, will, length in _same(old.lines, new.lines, (0, 0), (len(old.lines), len(new.lines))):
        if same and (same[-1][0] + same[-1][2], same[-1][1] + same[-1][2]) == (was, will):
            same[-1] = (*same[-1][:2], same[-1][2] + length)
        else:
            same.append((was, will, length))
    kept = sum(length for _, _, length in same)
    return _Compared(old, new, tuple(same), len(new.lines) - kept, len(old.lines) - kept)


def _same(old: Sequence[str], new: Sequence[str], start: _Place, end: _Place) -> Iterator[_Same]:
    """Yield the stretches between two places that are the same, in order."""
    (a, b), (c, d) = start, end
    while a < c and b < d and old[a] == new[b]:
        a, b = a + 1, b + 1
    tail = 0
    while a < c - tail and b < d - tail and old[c - tail - 1] == new[d - tail - 1]:
        tail += 1
    c, d = c - tail, d - tail
    if a > start[0]:
        yield (*start, a - start[0])
    if (c - a) * (d - b) <= _PAIRS:
        from difflib import SequenceMatcher  # every command loads this module, few draw a diff

        blocks = SequenceMatcher(None, old[a:c], new[b:d], autojunk=False).get_matching_blocks()
        yield from ((a + was, b + will, length) for was, will, length in blocks if length)
    elif anchors := _anchors(old, new, (a, b), (c, d)):
        for was, will in anchors:
            yield from _same(old, new, (a, b), (was, will))
            yield was, will, 1
            a, b = was + 1, will + 1
        yield from _same(old, new, (a, b), (c, d))
    if tail:
        yield c, d, tail


def _anchors(old: Sequence[str], new: Sequence[str], start: _Place, end: _Place) -> list[_Place]:
    """Return the longest row of lines, in order in both, that are there once in each."""
    once_old, once_new = Counter(old[start[0] : end[0]]), Counter(new[start[1] : end[1]])
    where = {new[number]: number for number in range(start[1], end[1]) if once_new[new[number]] == 1}
    pairs = [(n, where[old[n]]) for n in range(start[0], end[0]) if once_old[old[n]] == 1 and old[n] in where]
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, (_, will) in enumerate(pairs):
        at = bisect_left(ends, will)
        before.append(last[at - 1] if at else -1)
        ends[at : at + 1], last[at : at + 1] = [will], [number]
    chain: list[_Place] = []
    number = last[-1] if last else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]


def _text(data: bytes | None) -> _Text:
    if not data:
        return _Text()
    bom = next((one for one in _BOMS if data.startswith(one)), b"")
    codec, encoding = _BOMS.get(bom, ("utf-8", "UTF-8"))
    if codec == "utf-8" and b"\x00" in data:
        return _Text(binary=True)
    try:
        text = data[len(bom) :].decode(codec)
    except UnicodeDecodeError:
        if codec != "utf-8":
            return _Text(binary=True)
        text, encoding = data[len(bom) :].decode(codec, "backslashreplace"), "not all of it UTF-8"
    returns, breaks = text.count("\r\n"), text.count("\n")
    ends = "" if not breaks else "CRLF" if returns == breaks else "mixed CRLF and LF" if returns else "LF"
    if ends == "CRLF":
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    last = (lines.pop(),) if lines[-1] else (lines.pop(),)[:0]
    return _Text((*(f"{line}\n" for line in lines), *last), encoding, ends)
