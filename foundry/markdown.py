"""The part of the console that draws Markdown as it arrives: finished blocks once and for good, the open one live below them."""

from __future__ import annotations

import io
import re
import shutil
from typing import Any, ClassVar

from foundry.console import Console, visible, width_of

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_CODES = re.compile("\x1b\\[[0-9;]*m")
_LIVE_ROWS = 12


class MarkdownStream:
    """Feed it an answer in pieces; `end` draws what is left. Everything is escaped before it is drawn.

    With `apart`, a blank line keeps each answer from what stands above it.
    """

    def __init__(self, console: Console, *, apart: bool = False) -> None:
        self._console = console
        self._apart = apart
        self._open = ""
        self._rows: list[str] = []
        self._any = apart

    def feed(self, text: str) -> None:
        """Take the next piece and draw what changed."""
        finished: list[str] = []
        # A block can only end where a line begins, so that long code is not looked through again for every piece.
        begins = "\n" in text or self._open.endswith("\n")
        self._open += text
        if begins:
            finished, self._open = split_blocks(self._open)
        codes = self._erased(0) if finished else ""
        codes += "".join(map(self._block, finished))
        if codes := codes + self._live():
            self._console.drawn(codes)

    def end(self) -> None:
        """Draw the open block for good; the stream can be fed again."""
        blocks, rest = split_blocks(self._open)
        self._open = ""
        codes = self._erased(0) + "".join(map(self._block, [*blocks, rest]))
        if codes:
            self._console.drawn(codes)
        self._any = self._apart

    def _block(self, text: str) -> str:
        if not text.strip():
            return ""
        gap = "\n" if self._any else ""
        self._any = True
        return gap + rendered(text, self._console)

    def _live(self) -> str:
        """Return the codes that bring the open block's last rows from what is shown to what they are now."""
        most, columns = self._most(), self._console.columns() - 1
        tail = "\n".join(self._open.strip("\n").split("\n")[-most:])[-most * columns :]
        rows = wrapped(visible(tail), columns)[-most:] if tail.strip() else []
        if rows and self._any:
            rows = ["", *rows]
        same = 0
        while same < min(len(rows), len(self._rows)) and rows[same] == self._rows[same]:
            same += 1
        if same == len(rows) == len(self._rows):
            return ""
        codes = self._erased(same) + "".join(row + "\n" for row in rows[same:])
        self._rows = rows
        return codes

    def _erased(self, kept: int) -> str:
        """Return the codes that take away the live rows from number `kept` on; a narrowed terminal has broken them up."""
        columns = self._console.columns()
        up = sum(max(-(-width_of(row) // columns), 1) for row in self._rows[kept:])
        self._rows = self._rows[:kept]
        return f"\x1b[{up}A\r\x1b[J" if up else ""

    def _most(self) -> int:
        return max(min(_LIVE_ROWS, shutil.get_terminal_size((100, 24)).lines - 3), 1)


def split_blocks(text: str) -> tuple[list[str], str]:
    """Return the blocks of `text` that are whole, and the rest; outside code, one starts after a blank line."""
    blocks: list[str] = []
    fence, blank, start, place = "", False, 0, 0
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\n")
        found = _FENCE.match(bare)
        if not fence and blank and bare and not bare[0].isspace():
            blocks.append(text[start:place])
            start = place
        if found and not fence:
            fence = found.group(1)
        elif found and found.group(1).startswith(fence) and not found.group(2).strip():
            fence = ""
        blank = not bare.strip()
        place += len(line)
    return blocks, text[start:]


def wrapped(text: str, width: int) -> list[str]:
    """Return `text` as rows of at most `width` columns, broken after a space where there is one."""
    rows = []
    for line in text.expandtabs(4).split("\n"):
        row, used = "", 0
        for one in line:
            columns = width_of(one)
            while used + columns > max(width, 2):
                words = row.rfind(" ") + 1 or len(row)
                rows.append(row[:words])
                row = row[words:]
                used = width_of(row)
            row += one
            used += columns
        rows.append(row)
    return rows


def rendered(text: str, console: Console) -> str:
    """Return a Markdown block drawn for the terminal, with a newline at its end."""
    from rich.console import Console as Drawer

    target = io.StringIO()
    colours = console.colours(console.out)
    drawer = Drawer(
        file=target,
        width=max(console.columns(), 10),
        force_terminal=colours,
        no_color=not colours,
        color_system="standard" if colours else None,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    drawer.print(_markdown(visible(text)))
    # Rich pads tables and code with blank rows, in colour too; one blank line between blocks is ours to draw.
    lines = [line if _CODES.sub("", line).strip() else "" for line in map(str.rstrip, target.getvalue().split("\n"))]
    return "\n".join(lines).strip("\n") + "\n"


def _markdown(text: str) -> Any:
    from markdown_it import MarkdownIt
    from rich.markdown import CodeBlock, Heading, ListItem, Markdown
    from rich.segment import Segment
    from rich.syntax import Syntax

    class LeftHeading(Heading):
        """A heading where the text is, without a box."""

        def __rich_console__(self, *_: Any) -> Any:
            self.text.justify = "left"
            self.text.stylize("bold underline" if self.tag == "h1" else "bold")
            yield self.text

    class DottedItem(ListItem):
        """A list's item with its number as it was written: 1. and not 1."""

        def render_number(self, console: Any, options: Any, number: int, last_number: int) -> Any:
            wide = len(str(last_number)) + 2
            text = console.render_lines(self.elements, options.update(width=max(options.max_width - wide, 1)))
            style = console.get_style("markdown.item.number", default="none")
            for place, line in enumerate(text):
                yield Segment(" " * wide if place else f"{number}.".rjust(wide - 1) + " ", style)
                yield from line
                yield Segment.line()

    class Code(CodeBlock):
        """Code without empty rows above and below."""

        def __rich_console__(self, *_: Any) -> Any:
            code = str(self.text).rstrip()
            yield Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True, padding=(0, 1))

    class Plain(Markdown):
        elements: ClassVar = {
            **Markdown.elements,
            "heading_open": LeftHeading,
            "list_item_open": DottedItem,
            "fence": Code,
            "code_block": Code,
        }

    drawn = Plain("", code_theme="ansi_dark", hyperlinks=False)
    # HTML and pictures stay as they are written: a model that says <input> means it, and Rich would leave it out.
    parser = MarkdownIt().enable(["strikethrough", "table"]).disable(["image", "html_inline", "html_block"])
    drawn.markup, drawn.parsed = text, parser.parse(text)
    return drawn
