"""What to say when the text to replace is not in the file: where it nearly is, and what is different there."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import SequenceMatcher, get_close_matches

from foundry.plugins.standard_lib.text_files import lines_of

_COMPARED = 4000
_SHOWN = 12
_LONGEST = 300
_NUMBER = re.compile(r"^\s*\d+: ?")


def missed(name: str, text: str, old: str, new: str) -> str:
    """Return why `old` is not in `text` as far as can be seen, with the lines meant, numbered, to copy from."""
    if new and new in text:
        line = text.count("\n", 0, text.index(new)) + 1
        return f"{name} has no such text, but new is there already, at line {line}. Perhaps the change was made before."
    lines, wanted = lines_of(text), lines_of(old)
    unnumbered = "\n".join(_NUMBER.sub("", line, count=1) for line in wanted)
    if all(_NUMBER.match(line) for line in wanted) and unnumbered in text:
        return f"{name} has that text without the line numbers that read_file shows. Leave the numbers out."
    for said, alike in _LIKENESSES:
        if (at := _found(lines, wanted, alike)) is not None:
            return f"{name} has that text {said}. Copy it exactly, without the numbers:\n" + _shown(lines, at, len(wanted))
    at = _nearest(lines, wanted)
    if at is None:
        return f"{name} has no such text, nor anything like it. Read the file again; search finds text in other files."
    return f"{name} has no such text. The nearest is this; copy it exactly, without the numbers:\n" + _shown(
        lines, at, len(wanted)
    )


def _expanded(line: str) -> str:
    return line.expandtabs(4).rstrip()


def _folded(line: str) -> str:
    return " ".join(line.split())


def _caseless(line: str) -> str:
    return "".join(line.split()).casefold()


def _plain(line: str) -> str:
    return "".join(line.translate(_QUOTES).split())


_QUOTES = str.maketrans(
    {**dict.fromkeys("\u2018\u2019", "'"), **dict.fromkeys("\u201c\u201d", '"'), **dict.fromkeys("\u2013\u2014", "-")}
    | {"\u00a0": " ", "\u2026": "..."}
)
_LIKENESSES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("but for blanks at the ends of lines", str.rstrip),
    ("with tabs where old has blanks, or the other way round", _expanded),
    ("with another indentation", str.strip),
    ("with other blanks in its lines", _folded),
    ("with other quotes, dashes or blanks", _plain),
    ("in other upper and lower case", _caseless),
)


def _found(lines: list[str], wanted: list[str], alike: Callable[[str], str]) -> int | None:
    """Return the index of the first line from which on the lines are alike, if there is one."""
    have, want = [alike(one) for one in lines], [alike(one) for one in wanted]
    while len(want) > 1 and not want[-1]:
        want.pop()
    if not any(want):
        return None
    return next((at for at in range(len(have) - len(want) + 1) if have[at : at + len(want)] == want), None)


def _nearest(lines: list[str], wanted: list[str]) -> int | None:
    """Return the index of the line where the wanted ones would begin, judged by the one of them that says most."""
    sought = max(range(len(wanted)), key=lambda at: len(wanted[at].strip()))
    known: dict[str, int] = {}
    for at, line in enumerate(lines):
        if line.strip() and len(known) < _COMPARED:
            known.setdefault(line.strip()[:_LONGEST], at)
    word = wanted[sought].strip()[:_LONGEST]
    close = get_close_matches(word, known, n=3, cutoff=0.5)
    starts = [max(0, known[one] - sought) for one in close]
    if not starts and word:
        starts = [at for at, line in enumerate(lines[:_COMPARED]) if word in line][:1]
    joined = "\n".join(wanted)[:2000]
    return max(
        starts,
        key=lambda at: SequenceMatcher(None, "\n".join(lines[at : at + len(wanted)])[:2000], joined).ratio(),
        default=None,
    )


def _shown(lines: list[str], at: int, many: int) -> str:
    last = min(at + max(many, 1), len(lines), at + _SHOWN)
    shown = [f"{number + 1}: {lines[number][:_LONGEST]}" for number in range(at, last)]
    return "\n".join([*shown, *(["…"] if at + many > last and last < len(lines) else [])])
