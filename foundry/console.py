"""The only place that prints: results, tables, progress, questions, errors, as text or JSON; untrusted text is escaped here."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

from foundry.diff import Diff as Diff
from foundry.diff import drawn, told
from foundry.errors import FoundryError
from foundry.text import at_words, broken, json_text, named, shared_out
from foundry.text import fit as fit
from foundry.text import one_line as one_line
from foundry.text import spelled as spelled
from foundry.text import visible as visible
from foundry.text import width_of as width_of

_NARROWEST = 16  # columns below which text is left to the terminal to break
_WIDEST = 60  # columns that are lined up where nobody watches
_NUMBERED = 50  # columns from which a diff has room for line numbers
_SIGNS = {"+": "green", "-": "red", " ": "", "": "dim"}
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings, `styles` colouring a cell by its text.

    `last` says what becomes of last cells for which a terminal has no room: cut, broken into lines (their own line ends kept), or
    put below.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    empty: str = ""
    styles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    last: Literal["cut", "broken", "below"] = "cut"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with values beside them, under an optional title."""

    pairs: Sequence[tuple[str, str]]
    title: str = ""


Block = str | Table | Facts | Diff


class Shown(Protocol):
    """What a verb returns: a dataclass that says how it reads; its fields are the JSON."""

    def shown(self) -> Sequence[Block]: ...


class Progress(Protocol):
    """Where a verb says what it is doing."""

    def step(self, text: str) -> None:
        """A step that may take over a second begins."""

    def amount(self, text: str, done: int, total: int) -> None:
        """`done` of `total` bytes of the step `text` are there; total 0 is not known."""

    def note(self, text: str) -> None:
        """One line the person should keep."""


class Silent:
    """Progress that nobody watches."""

    def step(self, text: str) -> None: ...
    def amount(self, text: str, done: int, total: int) -> None: ...
    def note(self, text: str) -> None: ...


class Console:
    """One per process: data to `out`, everything else to `err`, colour where the terminal has it. Is itself a Progress."""

    def __init__(self, *, as_json: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.as_json = as_json
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.asking = False  # while somebody is asked, no status is drawn over the question
        self._bar_until = 0.0
        self._bar_shown = False

    # data ------------------------------------------------------------------------------------------------------------

    def result(self, data: Shown) -> None:
        """Print what a verb returned: its blocks, or with --json the envelope."""
        if self.as_json:
            self.envelope({"ok": True, "data": plain(data), "error": None})
            return
        for block in data.shown():
            self.block(block)

    def block(self, block: Block) -> None:
        """Print one block as data."""
        self._clear_bar()
        self._write(self.out, self._rendered(block, self.out) + "\n")

    def envelope(self, body: Mapping[str, Any]) -> None:
        """Print one JSON envelope on a line of its own."""
        self._write(self.out, json_text({"version": 1, **body}) + "\n")

    def line(self, data: Mapping[str, Any]) -> None:
        """Print one JSON line at once, as `--output events` does."""
        self._write(self.out, json_text(data) + "\n")

    def text(self, text: str, end: str = "\n") -> None:
        """Print escaped text as data: an answer."""
        self._clear_bar()
        self._write(self.out, visible(text) + end)

    # beside the data ---------------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Say one line on stderr."""
        self._clear_bar()
        self._write(self.err, visible(text) + "\n")

    def warn(self, text: str) -> None:
        """Say one line on stderr that deserves a look."""
        self._clear_bar()
        self._write(self.err, self._styled("! " + self._flowing(text, self.err, 2), "yellow", self.err) + "\n")

    def step(self, text: str) -> None:
        """Say on stderr that a step begins."""
        self._clear_bar()
        self._write(self.err, self._styled("· " + self._flowing(text, self.err, 2), "dim", self.err) + "\n")

    def aside(self, text: str) -> None:
        """Say one line on stderr that need not catch the eye."""
        self._clear_bar()
        self._write(self.err, self._styled(visible(text), "dim", self.err) + "\n")

    def amount(self, text: str, done: int, total: int) -> None:
        """Draw how far a step is, in place on a terminal, every ten seconds elsewhere."""
        terminal = self.err.isatty()
        now = time.monotonic()
        if now < self._bar_until and done != total:
            return
        self._bar_until = now + (0.1 if terminal else 10.0)
        of = f" of {total / 1e6:,.0f} MB ({100 * done // total} %)" if total else " MB"
        line = f"· {visible(text)} {done / 1e6:,.0f}{of}"
        if terminal:
            self._write(self.err, "\r\x1b[2K" + fit(line, self.columns() - 1))
            self._bar_shown = True
            if total and done >= total:
                self._write(self.err, "\n")
                self._bar_shown = False
        else:
            self._write(self.err, line + "\n")

    def status(self, text: str) -> None:
        """Show on a terminal, in place, what is going on; the next line or `status("")` takes it away."""
        if self.asking or not self.err.isatty():
            return
        self._clear_bar()
        if text:
            self._write(self.err, self._styled(fit("· " + one_line(text), self.columns() - 1), "dim", self.err))
            self._bar_shown = True

    def drawn(self, codes: str) -> None:
        """Print text whose untrusted parts went through `visible` before it was drawn with terminal codes of ours."""
        self._clear_bar()
        self._write(self.out, codes)

    def error(self, error: FoundryError) -> None:
        """Show an error: what happened, to what, what to try; with --json as the envelope on stdout."""
        self._clear_bar()
        if self.as_json:
            told = {"code": error.code, "message": error.message, "hint": error.hint}
            self.envelope({"ok": False, "data": None, "error": told})
            return
        self._write(self.err, self._styled("error: ", "red", self.err) + self._flowing(error.message, self.err, 7) + "\n")
        if error.hint:
            self._write(self.err, self._styled("  try: ", "dim", self.err) + self._flowing(error.hint, self.err, 7) + "\n")

    def interrupted(self) -> None:
        """End the line on which Ctrl+C left a terminal's cursor."""
        self._clear_bar()
        if self.err.isatty():
            self._write(self.err, "\n")

    # questions ----------------------------------------------------------------------------------------------------------

    def can_ask(self) -> bool:
        """Return whether a person is there: a terminal to read from and one to show the question on."""
        try:
            return not self.as_json and sys.stdin.isatty() and self.err.isatty()
        except (ValueError, AttributeError):
            return False

    def yes(self, question: str) -> bool:
        """Ask on the terminal; only y or yes is a yes, and what was typed before the question does not count."""
        if not self.can_ask():
            return False
        self._clear_bar()
        forget_typed_ahead()
        self._write(self.err, visible(question) + " [y/N] ")
        answer = sys.stdin.readline()
        return answer.strip().lower() in {"y", "yes"}

    def ask(self, question: str) -> None:
        """Show a question on stderr in a look of ours, the cursor after it; whoever shows it reads the answer."""
        self._clear_bar()
        self._write(self.err, self._ours(visible(question)) + " ")

    def rows(self, blocks: Sequence[Block]) -> list[str]:
        """Return blocks as rows for the terminal behind stderr, none wider than it and nothing of them lost where they break."""
        return [row for block in blocks for row in self._rendered(block, self.err, exact=True).split("\n")]

    def put(self, rows: Sequence[str]) -> None:
        """Print on stderr what `rows` returned."""
        self._clear_bar()
        self._write(self.err, "".join(f"{row}\n" for row in rows))

    def banner(self, text: str) -> None:
        """Print on stderr a line in a look of ours over the terminal's whole width."""
        self._clear_bar()
        columns = self.columns(self.err) - 1
        for line in broken(" ".join(spelled(text).split()), columns):
            self._write(self.err, self._ours(line + " " * (columns - width_of(line))) + "\n")

    def _ours(self, text: str) -> str:
        """Return `text` in reverse, which no text of a model, a file or a tool is ever drawn in; it is not a colour."""
        plain = not self.err.isatty() or os.environ.get("TERM") == "dumb"
        return text if plain else f"\x1b[7m{text}\x1b[0m"

    def hidden(self, question: str) -> str:
        """Ask for a value that is not echoed; an empty string when nobody is there or nothing was given."""
        if not self.can_ask():
            return ""
        import getpass

        self._clear_bar()
        try:
            return getpass.getpass(visible(question) + ": ", stream=self.err)
        except EOFError:
            return ""

    # drawing --------------------------------------------------------------------------------------------------------------

    def columns(self, stream: TextIO | None = None) -> int:
        """Return the terminal's width, or that of the one behind `stream`."""
        return _size(stream).columns

    def lines(self) -> int:
        """Return the height of the terminal behind stderr."""
        return _size(self.err).lines

    def colours(self, stream: TextIO) -> bool:
        """Return whether `stream` wants colour: a terminal, no NO_COLOR, not a dumb one; FORCE_COLOR overrules."""
        if os.environ.get("FORCE_COLOR"):
            return True
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _styled(self, text: str, style: str, stream: TextIO) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and self.colours(stream) else text

    def _rendered(self, block: Block, stream: TextIO, *, exact: bool = False) -> str:
        if isinstance(block, str):
            return self._flowing(block, stream, 0, exact=exact)
        if isinstance(block, Table):
            return "\n".join(self._table(block, stream)) if block.rows else visible(block.empty)
        if isinstance(block, Diff):
            return "\n".join(self._diff(block, stream))
        pairs = [(visible(name), value) for name, value in block.pairs]
        wide = max((width_of(name) for name, _ in pairs), default=0) + 2
        wide = min(wide, max(self.columns(stream) // 3, 2)) if exact else wide
        title = [self._styled(self._flowing(block.title, stream, 0, exact=exact), "bold", stream)] if block.title else []
        lines = [
            self._styled(self._flowing(name, stream, 0, exact=exact), "cyan", stream)
            + (" " * (wide - width_of(name)) if width_of(name) < wide else "\n" + " " * wide)
            + self._flowing(value, stream, wide, exact=exact)
            for name, value in pairs
        ]
        return "\n".join(title + lines)

    def _flowing(self, text: str, stream: TextIO, indent: int, *, exact: bool = False) -> str:
        """Return escaped text whose further lines stand under its first, `indent` columns in; a terminal's are broken.

        They are broken at words, a longer word left whole; or `exact`, which loses no blank and lets nothing stand out.
        """
        room = self.columns(stream) - indent if stream.isatty() else 0
        lines = visible(text).split("\n")
        if exact and stream.isatty():
            lines = [part for line in lines for part in broken(line, max(room - 1, 1))]
        elif room >= _NARROWEST:
            lines = [part for line in lines for part in at_words(line, room)]
        return ("\n" + " " * indent).join(lines)

    def _diff(self, diff: Diff, stream: TextIO) -> Iterator[str]:
        terminal, columns = stream.isatty(), self.columns(stream) - 1
        title = f"{named(diff.name)} · {told(diff)}"
        for number, part in enumerate(broken(title, columns - 2) if terminal else [title]):
            yield self._styled(("  " if number else "─ ") + part, "bold", stream)
        for line in drawn(diff, numbered=not terminal or columns >= _NUMBERED):
            indent = width_of(line.lead)
            parts = list(broken(line.text, max(columns - indent, 4))) if terminal else [line.text]
            yield self._styled(line.lead + parts[0], _SIGNS[line.sign], stream)
            yield from (" " * indent + self._styled(part, _SIGNS[line.sign], stream) for part in parts[1:])

    def _table(self, table: Table, stream: TextIO) -> Iterator[str]:
        rows = [tuple(" ".join(visible(cell).split()) for cell in row) for row in table.rows]
        widths = [max(width_of(row[i]) for row in [table.columns, *rows]) for i in range(len(table.columns))]
        if not stream.isatty():
            # What is piped is whole, one line a row; only the blanks that line it up are limited.
            yield from (
                self._row(row, [min(one, _WIDEST) for one in widths], table, stream, whole=True) for row in (table.columns, *rows)
            )
            return
        room = self.columns(stream) - 2 * (len(widths) - 1)
        left, last = room - sum(widths[:-1]), table.last
        if last != "cut":
            last = "broken" if widths[-1] <= left or (last == "broken" and left >= 2 * _NARROWEST) else "below"
            widths[-1:] = [min(widths[-1], left)] if last == "broken" else []
        widths = shared_out(widths, room, _NARROWEST // 2)
        indent = 4 if last == "below" else sum(widths[:-1]) + 2 * (len(widths) - 1)
        yield self._row(table.columns, widths, table, stream)
        for row, given in zip(rows, table.rows, strict=True):
            lines = [] if last == "cut" else self._broken(given[-1], self.columns(stream) - indent)
            yield self._row((*row[:-1], lines.pop(0)) if last == "broken" else row, widths, table, stream)
            yield from (" " * indent + line for line in lines)

    @staticmethod
    def _broken(cell: str, width: int) -> list[str]:
        return [part for line in visible(cell).split("\n") for part in at_words(" ".join(line.split()), width, whole=False)]

    def _row(self, cells: Sequence[str], widths: Sequence[int], table: Table, stream: TextIO, *, whole: bool = False) -> str:
        parts = []
        for cell, width in zip(cells, widths, strict=False):
            cut = cell if whole else fit(cell, width)
            style = "bold" if cells is table.columns else table.styles.get(cell, "")
            parts.append(self._styled(cut, style, stream) + " " * (width - width_of(cut)))
        return "  ".join(parts).rstrip()

    def _clear_bar(self) -> None:
        if self._bar_shown:
            self._write(self.err, "\r\x1b[2K")
            self._bar_shown = False

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        stream.write(text)
        stream.flush()


def plain(value: Any) -> Any:
    """Return a verb's result as JSON data: dataclasses as objects, paths as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value) if isinstance(value, Path) else value


def _size(stream: TextIO | None) -> os.terminal_size:
    """Return how large the terminal behind `stream` is now; where it is none, what the environment and stdout say."""
    with suppress(OSError, ValueError, AttributeError):
        if stream and (size := os.get_terminal_size(stream.fileno())).columns:
            return size
    import shutil

    return shutil.get_terminal_size((100, 24))


def forget_typed_ahead() -> None:
    """Drop what was typed before a question was shown, so that it cannot answer it."""
    try:
        import termios
    except ImportError:
        return
    with suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


@contextmanager
def utf8_streams() -> Iterator[None]:
    """Make the standard streams speak UTF-8 whatever the locale, with a replacement for what cannot be written."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    yield
