"""Text on a screen: made harmless, exact where a person decides on it, measured in columns, cut and broken to fit."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

# C0 but tab and newline, DEL, C1, bidi controls, zero-width and other invisible characters, variation selectors, line
# separators, surrogates, tags.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# The two of them that make an emoji what it is pass inside one.
_IN_EMOJI = "\ufe0f\u200d"
# So many blanks, empty lines or combining marks in a row are shown as they are: enough to indent and line up, too few to push
# anything out of view or to draw over it.
EMPTY_LINES = 4
_BLANKS, _COMBINING = 32, 2
_LONG_BLANKS = re.compile(rf"[ \t]{{{_BLANKS + 1},}}")
_LAST_BLANKS = re.compile(r"[ \t]+$", re.MULTILINE)
_EMPTY = re.compile(rf"\n{{{EMPTY_LINES + 2},}}")
_UNSEEN = {"Zs", "Co", "Cn"}  # blanks beside the space, and what no font has
TIMES = "\u00d7"
_KINDS = 8  # kinds of written out characters that are named one by one


def visible(text: str) -> str:
    """Return `text` with every byte that could act on a terminal or hide from the eye written out, as in <U+202E> or ^[."""
    return _HIDDEN.sub(_written_out, text.replace("\r\n", "\n"))


def json_text(data: Any) -> str:
    """Return data as JSON on one line, with each character that could act on a terminal or hide from the eye as \\uXXXX."""
    return _HIDDEN.sub(lambda found: json.dumps(found.group())[1:-1], json.dumps(data, ensure_ascii=False))


def _written_out(found: re.Match[str]) -> str:
    one = found.group()
    if one in _IN_EMOJI and _inside_emoji(found.string, found.start()):
        return one
    point = ord(one)
    if point < 0x20:
        return "^" + chr(point + 64)
    return "^?" if point == 0x7F else f"<U+{point:04X}>"


def _inside_emoji(text: str, place: int) -> bool:
    """Return whether the selector or joiner there stands where an emoji has one: after a symbol, and a joiner before one too."""
    before, after = text[max(place - 2, 0) : place], text[place + 1 : place + 2]
    if text[place] == "\ufe0f":
        return _is_symbol(before[-1:]) or (before[-1:] in set("#*0123456789") and after == "\u20e3")
    return _is_symbol(before.removesuffix("\ufe0f")[-1:]) and _is_symbol(after)


def _is_symbol(one: str) -> bool:
    return one > "\x7f" and unicodedata.category(one) in {"So", "Sm", "Sk", "Po"} and not _HIDDEN.match(one)


def spelled(text: str) -> str:
    """Return `text` escaped with no blank of it hidden, for what a person decides on.

    ␠ and ⇥ stand for spaces and tabs, ↵ for empty lines, each with how many; ^M for a CR.
    """
    text = _HIDDEN.sub(_written_out, text)
    if not text.isascii():
        text = "".join(_odd_written_out(text))
    text = _LAST_BLANKS.sub(_blanks, _LONG_BLANKS.sub(_blanks, text))
    return _EMPTY.sub(lambda found: f"\n↵{TIMES}{len(found.group()) - 1}\n", text).replace("\t", "⇥   ")


def named(text: str) -> str:
    """Return a name `spelled` on one line: a line end in it would make two of it."""
    return spelled(text).replace("\n", "^J")


def _odd_written_out(text: str) -> Iterator[str]:
    marks = _COMBINING  # one that starts a line would be drawn over what stands before it
    for one in text:
        category = unicodedata.category(one) if one > "\x7f" else ""
        marks = marks + 1 if category in {"Mn", "Me"} else _COMBINING if one == "\n" else 0
        yield f"<U+{ord(one):04X}>" if category in _UNSEEN or marks > _COMBINING else one


def _blanks(found: re.Match[str]) -> str:
    run = found.group()
    mark = ("␠" if " " in run else "") + ("⇥" if "\t" in run else "")
    return f"{mark}{TIMES}{len(run)}" if len(run) > 1 else mark


def written_out(text: str) -> list[str]:
    """Return what `spelled` writes out of `text` beside blanks at a line's end: each kind once, with how often."""
    kinds = Counter(_written_out(found) for found in _HIDDEN.finditer(text))
    for one in _IN_EMOJI:
        kinds.pop(one, None)
    if not text.isascii():
        kinds.update(shown for one, shown in zip(text, _odd_written_out(text), strict=True) if one != shown)
    kinds.update(map(_blanks, _LONG_BLANKS.finditer(text)))
    kinds.update(f"↵{TIMES}{len(found.group()) - 1}" for found in _EMPTY.finditer(text))
    named = [f"{kind} ({count} times)" if count > 1 else kind for kind, count in kinds.items()]
    return named if len(named) <= _KINDS else [*named[: _KINDS - 1], f"and {len(named) - _KINDS + 1} more kinds"]


def counted(number: int, word: str) -> str:
    """Return a number with what it counts, as in "1 file" and "1,200 files"."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def one_line(text: str, width: int = 200) -> str:
    """Return `text` escaped, on one line, cut to `width` columns with an ellipsis."""
    return fit(" ".join(visible(text).split()), width)


def width_of(text: str) -> int:
    """Return how many terminal columns `text` takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def _columns_of(one: str) -> int:
    if unicodedata.combining(one) or one in "\ufe0f\u200d":
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def fit(text: str, width: int) -> str:
    """Return `text` cut to `width` columns, an ellipsis where something is missing."""
    if width_of(text) <= width:
        return text
    taken, columns = [], 0
    for one in text:
        columns += width_of(one)
        if columns > width - 1:
            break
        taken.append(one)
    return "".join(taken) + "…"


def at_words(line: str, width: int, *, whole: bool = True) -> Iterator[str]:
    """Yield a line in parts of at most `width` columns, broken at spaces; a longer word stays `whole`, or is broken too."""
    part = ""
    for word in line.split(" "):
        if part and width_of(part) + 1 + width_of(word) > width:
            yield part
            part = word
        else:
            part = f"{part} {word}" if part else word
        while not whole and width_of(part) > width:
            piece = fit(part, width + 1).removesuffix("…") if width_of(part) > width + 1 else part[:-1]
            yield piece or part[0]
            part = part[len(piece) or 1 :]
    yield part


def broken(line: str, width: int) -> Iterator[str]:
    """Yield a line in parts of at most `width` columns that are the line when put together.

    A part that begins with a blank begins a word; any other goes on with the word that was broken, so that nothing is in doubt.
    """
    part, columns = "", 0
    for one in line:
        wide = width_of(one)
        while part and columns + wide > width:
            blank = part.rfind(" ") if one != " " else 0
            kept = part[: blank if blank > len(part) // 2 else len(part)].rstrip(" ") or part
            yield kept
            part = part[len(kept) :]
            columns = width_of(part)
        part += one
        columns += wide
    yield part


def shared_out(wanted: Sequence[int], room: int, least: int) -> list[int]:
    """Return widths of at most `room` together: the widest give way first, none below `least`."""
    widths = [min(one, room) for one in wanted]
    while sum(widths) > room and max(widths) > least:
        widths[widths.index(max(widths))] -= 1
    return widths


def local_time(at: str) -> str:
    """Return an ISO time as the person's clock shows it, to the minute; "never" for none."""
    from datetime import datetime  # start-up: most commands show no time

    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M") if at else "never"
    except (ValueError, OverflowError):
        return at
