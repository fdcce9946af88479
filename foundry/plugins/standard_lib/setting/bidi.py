"""Which way text runs: the levels of the Unicode Bidirectional Algorithm for a paragraph, and the order its runs are drawn in."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_STRONG = ("L", "R", "AL")
_NEUTRAL = ("B", "S", "WS", "ON")
_OPENING = {"(": ")", "[": "]", "{": "}", "⟨": "⟩", "「": "」", "『": "』", "\uff08": "\uff09", "【": "】"}
# Marks that turn whole passages round are dropped: a text is drawn as its letters say, and nothing hides in them.
EXPLICIT = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def direction(text: str) -> int:
    """Return the paragraph's level: 1 where its first letter with a direction is written from the right, else 0."""
    for char in text:
        kind = unicodedata.bidirectional(char)
        if kind in _STRONG:
            return 0 if kind == "L" else 1
    return 0


def levels(text: str, base: int) -> list[int]:
    """Return the level of each character of a paragraph: even runs from the left, odd from the right."""
    kinds = [unicodedata.bidirectional(char) or "L" for char in text]
    if base == 0 and not {"R", "AL", "AN"}.intersection(kinds):
        return [0] * len(kinds)
    side = "R" if base else "L"
    _weak(kinds, side)
    _brackets(text, kinds, side)
    _neutral(kinds, side)
    if base:
        return [base + (kind in ("L", "EN", "AN")) for kind in kinds]
    return [1 if kind == "R" else 2 if kind in ("AN", "EN") else 0 for kind in kinds]


def visual(levels_of_runs: Sequence[int]) -> list[int]:
    """Return the numbers of a line's runs in the order they are drawn from left to right (rule L2)."""
    order = list(range(len(levels_of_runs)))
    odd = [one for one in levels_of_runs if one % 2]
    for level in range(max(levels_of_runs, default=0), min(odd, default=1) - 1, -1):
        start = 0
        while start < len(order):
            end = start
            while end < len(order) and levels_of_runs[order[end]] >= level:
                end += 1
            order[start:end] = order[start:end][::-1]
            start = max(end, start + 1)
    return order


def _weak(kinds: list[str], side: str) -> None:
    """Settle marks, digits and the signs around them in place (rules W1 to W7)."""
    _marks_and_digits(kinds, side)
    _terminators(kinds)
    strong = side
    for at, kind in enumerate(kinds):
        if kind in ("ES", "ET", "CS"):
            kinds[at] = "ON"
        elif kind == "EN" and strong == "L":
            kinds[at] = "L"
        elif kind in ("L", "R"):
            strong = kind


def _marks_and_digits(kinds: list[str], side: str) -> None:
    before = strong = side
    for at, kind in enumerate(kinds):
        if kind in ("NSM", "BN"):
            kinds[at] = before
        elif kind == "EN" and strong == "AL":
            kinds[at] = "AN"
        elif kind in _STRONG:
            strong = kind
        before = kinds[at]
    for at, kind in enumerate(kinds):
        if kind == "AL":
            kinds[at] = "R"
        elif kind in ("ES", "CS") and 0 < at < len(kinds) - 1:
            left, right = kinds[at - 1], kinds[at + 1]
            if left == right and (left == "EN" or (left == "AN" and kind == "CS")):
                kinds[at] = left


def _terminators(kinds: list[str]) -> None:
    """Make signs such as % and € part of the number they stand beside (rule W5)."""
    at = 0
    while at < len(kinds):
        end = at
        while end < len(kinds) and kinds[end] == "ET":
            end += 1
        if end > at and "EN" in (kinds[at - 1] if at else "", kinds[end] if end < len(kinds) else ""):
            kinds[at:end] = ["EN"] * (end - at)
        at = max(end, at + 1)


def _brackets(text: str, kinds: list[str], side: str) -> None:
    """Give a pair of brackets the direction of what stands in it (rule N0)."""
    strong = ["R" if kind in ("R", "AN", "EN") else kind if kind == "L" else "" for kind in kinds]
    open_ones: list[tuple[str, int]] = []
    pairs: list[tuple[int, int]] = []
    for at, char in enumerate(text):
        if kinds[at] != "ON":
            continue
        if char in _OPENING and len(open_ones) < 63:
            open_ones.append((_OPENING[char], at))
        else:
            match = next((place for place in range(len(open_ones) - 1, -1, -1) if open_ones[place][0] == char), -1)
            if match >= 0:
                pairs.append((open_ones[match][1], at))
                del open_ones[match:]
    for first, last in sorted(pairs):
        inside = set(strong[first + 1 : last])
        if side in inside:
            found = side
        elif inside - {""}:
            other = "L" if side == "R" else "R"
            before = next((one for one in reversed(strong[:first]) if one), side)
            found = other if before == other else side
        else:
            continue
        kinds[first] = kinds[last] = strong[first] = strong[last] = found


def _neutral(kinds: list[str], side: str) -> None:
    """Give spaces and punctuation the direction of both neighbours, or the paragraph's (rules N1 and N2)."""
    at = 0
    while at < len(kinds):
        end = at
        while end < len(kinds) and kinds[end] in _NEUTRAL:
            end += 1
        if end > at:
            left = _side(kinds[at - 1]) if at else side
            right = _side(kinds[end]) if end < len(kinds) else side
            kinds[at:end] = [left if left == right else side] * (end - at)
        at = max(end, at + 1)


def _side(kind: str) -> str:
    return "L" if kind == "L" else "R"
