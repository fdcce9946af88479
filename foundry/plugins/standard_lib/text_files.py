"""What is text and what is worth reading: encodings, line ends, kinds of binary files, folders that tools made, name patterns."""

from __future__ import annotations

import codecs
import os
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate

from foundry.plugins.api import ToolError

LARGEST = 16 * 1024 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CODECS = {
    **{codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be"},
    **{codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"},
}
_KINDS = (
    (b"\x89PNG\r\n", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"%PDF-", "PDF document"),
    (b"\x7fELF", "ELF program"),
    (b"MZ\x90\x00", "Windows program"),
    (b"PK\x03\x04", "zip archive"),
    (b"PK\x05\x06", "zip archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ\x00", "xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (b"\x28\xb5\x2f\xfd", "zstd archive"),
    (b"SQLite format 3\x00", "SQLite database"),
    (b"\xca\xfe\xba\xbe", "Java class or Mach-O program"),
    (b"\xcf\xfa\xed\xfe", "Mach-O program"),
    (b"OggS", "Ogg media"),
    (b"ID3", "MP3 audio"),
    (b"wOFF", "font"),
    (b"wOF2", "font"),
    (b"GGUF", "model weights"),
)
SKIP_MARKS = ("pyvenv.cfg", "CACHEDIR.TAG")
_SKIPPED = {"__pycache__", "node_modules", ".venv", ".tox", ".nox", ".hg", ".svn", ".hypothesis", ".cache", ".eggs"}


def decode(raw: bytes) -> tuple[str, str]:
    """Return the text in `raw` and its encoding; an encoding of "" means binary, and the text is what kind of."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, "replace"), encoding.removesuffix("-sig")
    for magic, kind in _KINDS:
        if raw.startswith(magic):
            return kind, ""
    if b"\0" in raw[:8192]:
        return "binary file", ""
    try:
        return raw.decode(), "utf-8"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "latin-1"


@dataclass(frozen=True, slots=True)
class Text:
    """A file's text with every line end as \\n, and what is needed to write it back as it was: encoding, mark, line ends.

    `pairs` are the places in `text` whose \\n is \\r\\n in the file; `end` is the line end that most lines have.
    """

    text: str
    exact: str
    encoding: str
    mark: bytes
    end: str
    pairs: tuple[int, ...]

    def rewritten(self, text: str) -> bytes:
        """Return the file's bytes with `text` as all of its text, in its encoding and with its line ends. Raises UnicodeError."""
        return self._bytes(_unified(text.removeprefix("\ufeff") if self.mark else text).replace("\n", self.end))

    def replaced(self, spans: list[tuple[int, int]], new: str) -> bytes:
        """Return the file's bytes with `new` in the place of each span of `text`, all else byte for byte.

        Raises UnicodeError, and ValueError where the ends of two lines, \\r and \\n, would become one.
        """
        parts: list[str] = []
        wanted: list[str] = []
        at = before = 0
        for start, stop in spans:
            first, last = self._place(start), self._place(stop)
            taken = self.exact[first:last]
            here = _most_used_end(taken) if "\n" in taken or "\r" in taken else self.end
            parts += [self.exact[at:first], _unified(new).replace("\n", here)]
            wanted += [self.text[before:start], _unified(new)]
            at, before = last, stop
        made = "".join([*parts, self.exact[at:]])
        if _unified(made) != "".join([*wanted, self.text[before:]]):
            raise ValueError("two line ends would become one")
        return self._bytes(made)

    def _place(self, at: int) -> int:
        return at + bisect_left(self.pairs, at)

    def _bytes(self, text: str) -> bytes:
        return self.mark + text.encode(self.encoding)


def text_of(raw: bytes) -> Text | None:
    """Return the text in `raw`, ready to be changed; None for what is binary or would not come back byte for byte."""
    encoding = decode(raw)[1]
    if not encoding:
        return None
    mark = next((one for one, _ in _MARKS if raw.startswith(one)), b"")
    codec = _CODECS.get(mark, encoding)
    try:
        exact = raw[len(mark) :].decode(codec)
        if mark + exact.encode(codec) != raw:
            return None
    except UnicodeError:
        return None
    pairs = tuple(match.start() - number for number, match in enumerate(re.finditer("\r\n", exact)))
    return Text(_unified(exact), exact, codec, mark, _most_used_end(exact), pairs)


def check_whole(name: str, text: str) -> None:
    """Raise ToolError for text with half of a character in it, which no file, mail or process can be given."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ToolError(f"{name} holds half a character (\\u{ord(text[error.start]):04x}); send the whole one.") from None


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _most_used_end(text: str) -> str:
    both = text.count("\r\n")
    counts = {"\n": text.count("\n") - both, "\r\n": both, "\r": text.count("\r") - both}
    return max(counts, key=lambda one: counts[one])


def is_skipped(folder: os.DirEntry[str]) -> bool:
    """Return whether a folder is a virtual environment, a cache, or something else that a tool made."""
    return is_skipped_name(folder.name) or any(os.path.exists(os.path.join(folder.path, mark)) for mark in SKIP_MARKS)  # noqa: PTH110, PTH118


def is_skipped_name(name: str) -> bool:
    """Return whether a folder's name alone says that a tool made it."""
    return name in _SKIPPED or (name.startswith(".") and name.endswith("_cache"))


def lines_of(text: str) -> list[str]:
    """Return the lines as editors and compilers count them: a form feed or U+2028 ends none."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def wanted(pattern: str) -> Callable[[str], bool] | None:
    """Return what tells a wanted path, None for all: a pattern with a slash is for the path, one without for the name."""
    pattern = pattern.removeprefix("./")
    if pattern in ("", "*"):
        return None
    if "/" not in pattern:
        name = re.compile(translate(pattern)).match
        return lambda path: name(path[path.rfind("/") + 1 :]) is not None
    whole, short = re.compile(translate(pattern)).match, re.compile(translate(pattern.replace("**/", ""))).match
    return lambda path: whole(path) is not None or short(path) is not None  # no folder at all is some folders too
