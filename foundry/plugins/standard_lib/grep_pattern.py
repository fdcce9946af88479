"""A regular expression in looser words: what a file must have for any line of it to match, as plain texts and for ripgrep.

Whatever passes is searched again with the expression itself, so looser is right where exact would be hard: characters beyond
ASCII are any one to four bytes, look-around is dropped, a back-reference is anything. Never may it be stricter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
_ENDS = {"\n", "\r"}  # no line has them
_ASCII = frozenset(range(128)) - {ord(one) for one in _ENDS}
_WORD = frozenset(one for one in _ASCII if chr(one).isalnum() or chr(one) == "_")
_DIGIT = frozenset(range(ord("0"), ord("9") + 1))
_SPACE = frozenset(one for one in _ASCII if chr(one).isspace())
_ODD_SPACE = frozenset(range(0x1C, 0x20))  # blanks to some flags and not to others
_CATEGORIES = {
    **{sre.CATEGORY_WORD: _WORD, sre.CATEGORY_DIGIT: _DIGIT, sre.CATEGORY_SPACE: _SPACE},
    **{sre.CATEGORY_NOT_WORD: _ASCII - _WORD, sre.CATEGORY_NOT_DIGIT: _ASCII - _DIGIT},
    **{sre.CATEGORY_NOT_SPACE: (_ASCII - _SPACE) | _ODD_SPACE},
}
# The letters beyond ASCII that Python takes for an ASCII letter when case is ignored, as UTF-8.
_ALSO = {"i": r"\xc4[\xb0\xb1]", "k": r"\xe2\x84\xaa", "s": r"\xc5\xbf"}
_BEYOND = r"\x80-\xff"
_MOST_REPEATS = 100
_MOST_NEEDLES = 20
_ONE_FOR_EACH = 4

_Chars = tuple[frozenset[int], bool]  # those of ASCII, and whether others may match too


@dataclass(frozen=True, slots=True)
class Sieve:
    """What must be in a file with a match: one of `needles`, () for none known, in any case if `folded`; what `looser` matches.

    `looser` is written for ripgrep, without Unicode: a superset on the bytes of a line, whatever their encoding.
    """

    needles: tuple[str, ...]
    folded: bool
    looser: str


def sieve_of(pattern: re.Pattern[str]) -> Sieve:
    """Return what every match of a compiled pattern has in common."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    folded = bool(pattern.flags & re.IGNORECASE or re.search(r"\(\?[a-zA-Z]*i", pattern.pattern))
    needles = _needles(tree, folded)
    return Sieve(needles, folded, f"(?-u){_Loose().sequence(tree, pattern.flags, True)}|{_wide(needles, folded)}")


# Texts that must be there -------------------------------------------------------------------------------------------


def _needles(items: Sequence[Any], folded: bool) -> tuple[str, ...]:
    """Return texts of which a match has at least one: the best such set in a sequence, () for none."""
    found: list[tuple[str, ...]] = []
    for plain, run in groupby(items, lambda one: one[0] is sre.LITERAL and _is_plain(one[1], folded)):
        if plain:
            text = "".join(chr(value) for _, value in run)
            found.append((text.lower() if folded else text,))
        else:
            found += [_inside(op, value, folded) for op, value in run]
    return max(found, key=lambda some: min(map(len, some), default=0), default=())


def _is_plain(value: int, folded: bool) -> bool:
    return value < 128 if folded else value != 0xFFFD and not 0xD800 <= value < 0xE000


def _inside(op: Any, value: Any, folded: bool) -> tuple[str, ...]:
    if op is sre.SUBPATTERN:
        return _needles(value[3], folded)
    if op is sre.ATOMIC_GROUP:
        return _needles(value, folded)
    if op in _REPEATS and value[0] >= 1:
        return _needles(value[2], folded)
    if op is sre.BRANCH:
        each = [_needles(one, folded) for one in value[1]]
        every = tuple(dict.fromkeys(text for some in each for text in some))
        return every if all(each) and len(every) <= _MOST_NEEDLES else ()
    return ()


def _wide(needles: tuple[str, ...], folded: bool) -> str:
    """Return the expression that finds files in UTF-32, which ripgrep does not read: needles with gaps, or how they begin."""
    told = []
    for needle in needles:
        # Of a letter that others beyond ASCII are taken for, these may stand in its place.
        some = next((one[0] for one in re.finditer(r"[ -hjl-rt-~]{1,3}" if folded else r"[ -~]{1,3}", needle)), "")
        if not some:
            return r"\A\x00"
        spelled = [_set({ord(one), ord(one.upper())} if folded else {ord(one)}, False) for one in some]
        told += ["".join(f"{one}\\x00" for one in spelled), "".join(rf"\x00\x00\x00{one}" for one in spelled)]
    return "|".join(told) or r"\A\x00"


# The expression in ripgrep's words ----------------------------------------------------------------------------------


class _Loose:
    """Writes a parsed expression as one that matches wherever it does, on the bytes of a line."""

    def sequence(self, items: Sequence[Any], flags: int, whole: bool) -> str:
        """Return the words for a sequence; `whole`: nothing stands before or after it."""
        told = []
        for at, (op, value) in enumerate(items):
            if op is sre.AT:
                told.append(self._place(items, at, flags, whole))
            elif (chars := _chars(op, value, flags)) is not None:
                told.append(_literal(value, flags) if op is sre.LITERAL else _one(chars))
            else:
                told.append(self._group(op, value, flags, whole and len(items) == 1))
        return "".join(told)

    def _group(self, op: Any, value: Any, flags: int, whole: bool) -> str:
        if op is sre.SUBPATTERN:
            _, added, dropped, inner = value
            return f"(?:{self.sequence(inner, (flags | added) & ~dropped, whole)})"
        if op is sre.ATOMIC_GROUP:
            return f"(?:{self.sequence(value, flags, whole)})"
        if op is sre.BRANCH:
            return f"(?:{'|'.join(self.sequence(one, flags, whole) for one in value[1])})"
        if op is sre.GROUPREF_EXISTS:
            return f"(?:{'|'.join(self.sequence(one or [], flags, False) for one in value[1:])})"
        if op in _REPEATS:
            return self._repeat(value[0], value[1], value[2], flags)
        if op is sre.GROUPREF:
            return r"[^\n]*"
        return ""  # look-around, and what never matches

    def _repeat(self, least: int, most: Any, inner: Sequence[Any], flags: int) -> str:
        chars = _chars(inner[0][0], inner[0][1], flags) if len(inner) == 1 else None
        if chars is not None:
            return _set(*chars) + _times(least, most, _ONE_FOR_EACH if chars[1] else 1, _MOST_REPEATS)
        # A repeat of repeats of repeats would grow without bound: what is large is taken for endless.
        return f"(?:{self.sequence(inner, flags, False)}){_times(least, most, 1, 3)}"

    def _place(self, items: Sequence[Any], at: int, flags: int, whole: bool) -> str:
        place = items[at][1]
        if place in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING) and whole and at == 0:
            return r"(?:^|\r|^\xef\xbb\xbf)"
        if place in (sre.AT_END, sre.AT_END_STRING) and whole and at == len(items) - 1:
            return r"(?:$|\r)"
        beside = [*items[max(at - 1, 0) : at], *items[at + 1 : at + 2]]
        # Next to an ASCII letter, ASCII's own idea of a word's edge takes in Unicode's.
        if place is sre.AT_BOUNDARY and any(op is sre.LITERAL and _is_sure(value, flags) for op, value in beside):
            return r"\b"
        return ""


def _is_sure(value: int, flags: int) -> bool:
    return value in _WORD and not (flags & re.IGNORECASE and chr(value).lower() in _ALSO)


def _chars(op: Any, value: Any, flags: int) -> _Chars | None:
    """Return what an element for one character may match, None for one that is for more or less than one."""
    folds = bool(flags & re.IGNORECASE)
    if op is sre.ANY:
        return _ASCII, True
    if op is sre.LITERAL:
        return _members([(op, value)], folds)
    if op is sre.NOT_LITERAL:
        return _ASCII if folds else _ASCII - {value}, True
    if op is sre.IN:
        negated = value[0][0] is sre.NEGATE
        inside, beyond = _members(value[1:] if negated else value, folds)
        return (_ASCII if folds else _ASCII - _sure(value[1:]), True) if negated else (inside, beyond)
    return None


def _members(items: Iterable[Any], folds: bool) -> _Chars:
    found: set[int] = set()
    beyond = folds
    for op, value in items:
        if op is sre.CATEGORY:
            found |= _CATEGORIES[value]
            beyond = True
        else:
            first, last = value if op is sre.RANGE else (value, value)
            found |= _ASCII.intersection(range(first, last + 1))
            beyond |= last > 127
            if folds and last > 127:
                found |= {ord(one) for letter in _ALSO for one in (letter, letter.upper())}
    if folds:
        found |= {ord(case) for one in found for case in (chr(one).lower(), chr(one).upper())}
    return frozenset(found), beyond


def _sure(items: Iterable[Any]) -> frozenset[int]:
    """Return those of ASCII that the items of a class match under any flag."""
    plain = [one for one in items if one[0] is not sre.CATEGORY]
    blanks = [_CATEGORIES[value] - _ODD_SPACE for op, value in items if op is sre.CATEGORY]
    return _members(plain, False)[0].union(*blanks)


def _literal(value: int, flags: int) -> str:
    char = chr(value)
    if flags & re.IGNORECASE:
        if value > 127:
            return _one(_members([(sre.LITERAL, value)], True))
        both = _set({ord(char.lower()), ord(char.upper())}, False)
        return f"(?:{both}|{_ALSO[char.lower()]})" if char.lower() in _ALSO else both
    if value < 128:
        return _spelled(value)
    if not _is_plain(value, False):
        return _one((frozenset(), True))
    spelled = "".join(map(_spelled, char.encode()))
    return f"(?:{spelled}|{_spelled(value)})" if value < 256 else spelled


def _one(chars: _Chars) -> str:
    return _set(*chars) + (f"{{1,{_ONE_FOR_EACH}}}" if chars[1] else "")


def _set(chars: Iterable[int], beyond: bool) -> str:
    """Return a class of bytes; without any it matches nothing."""
    told = ""
    for _, run in groupby(enumerate(sorted(chars)), lambda one: one[1] - one[0]):
        values = [value for _, value in run]
        told += "-".join(_spelled(one) for one in dict.fromkeys((values[0], values[-1])))
    told += _BEYOND if beyond else ""
    return f"[{told}]" if told else r"[^\x00-\xff]"


def _spelled(value: int) -> str:
    return chr(value) if value < 128 and chr(value).isalnum() else f"\\x{value:02x}"


def _times(least: int, most: Any, each: int, limit: int) -> str:
    if most is sre.MAXREPEAT or most * each > limit:
        return f"{{{min(least, limit)},}}"
    return f"{{{least},{most * each}}}"
