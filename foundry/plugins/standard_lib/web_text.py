"""Text of strangers: decoded whatever it claims to be, without what no reader sees, cut into parts at good places."""

from __future__ import annotations

import codecs
import re

# What acts on a terminal or hides from the eye: controls, bidi and zero-width characters, fillers, private use, tags. Joiners
# stay, as scripts and emoji need them, but one at a time.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)
_JOINERS = re.compile("([\u200c\u200d\ufe00-\ufe0f])[\u200c\u200d\ufe00-\ufe0f]+")
_ENDS = re.compile("\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_EMPTY = re.compile(r"\n{3,}")
_BLANKS = re.compile(r"[ \t]+$", re.MULTILINE)

# Python knows codecs that are no encodings of text, and some that take for ever: only what pages are written in is taken.
_ENCODINGS = frozenset(
    (
        *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp932", "euc_jp", "iso2022_jp", "gb18030", "big5hkscs"),
        *("euc_kr", "cp949", "koi8-r", "koi8-u", "cp866", "mac-roman", "mac-cyrillic", "cp874"),
        *(f"iso8859-{number}" for number in range(2, 17) if number != 12),
        *(f"cp125{number}" for number in range(9)),
    )
)
# As browsers do: what is called so is read as its larger sibling.
_SIBLINGS = {
    **{"ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874"},
    **{"shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "euc_kr": "cp949"},
}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_IN_PAGE = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_LOOKED_AT = 4096


def decoded(raw: bytes, content_type: str, cut: bool = False) -> str:
    """Return bytes as text: by their mark, by what the header or the page says if that can be, as UTF-8, as Windows-1252.

    A character that the cut of a `cut` text went through is left out.
    """
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return raw.decode(name, "replace").removeprefix("\ufeff")
    said = [found[1] for found in [_CHARSET.search(content_type)] if found]
    said += [found[1].decode() for found in [_IN_PAGE.search(raw[:_LOOKED_AT])] if found]
    for name in filter(None, [*map(_encoding, said), "utf-8"]):
        try:
            return codecs.getincrementaldecoder(name)().decode(raw, final=not cut)
        except UnicodeError:
            continue
    return raw.decode("cp1252", "replace")


def _encoding(label: str) -> str:
    """Return Python's name of an encoding that pages may be in, or ""."""
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return ""
    name = _SIBLINGS.get(name, name)
    return name if name in _ENCODINGS else ""


def clean(text: str) -> str:
    """Return text without characters that nobody sees or that act on a terminal, with at most one empty line in a row."""
    text = _JOINERS.sub(r"\1", _UNSEEN.sub("", _ENDS.sub("\n", text)))
    return _EMPTY.sub("\n\n", _BLANKS.sub("", text)).strip("\n")


def one_line(text: str, most: int) -> str:
    """Return cleaned text on one line of at most `most` characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def part_of(text: str, part: int, room: int) -> tuple[str, int]:
    """Return one part of a text, counted from 1, and how many there are; parts end at a paragraph, a line or a word."""
    starts = [0]
    while len(text) - starts[-1] > room:
        starts.append(_end(text, starts[-1], room))
    if part > len(starts):
        return "", len(starts)
    end = starts[part] if part < len(starts) else len(text)
    return text[starts[part - 1] : end].strip("\n"), len(starts)


def _end(text: str, start: int, room: int) -> int:
    for mark in ("\n\n", "\n", " "):
        place = text.rfind(mark, start + room // 2, start + room)
        if place > 0:
            return place + len(mark)
    return start + room
