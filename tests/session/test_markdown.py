"""Markdown drawn as it comes: whatever the pieces, every block stands there once."""

from __future__ import annotations

import io

import pyte
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foundry.console import Console, width_of
from foundry.markdown import MarkdownStream, split_blocks, wrapped

TEXT = """# Title

First *words*.

- one
- two

  more of two

```sh
echo a

~~~
echo b
```

| a | b |
|---|---|
| 1 | 2 |

End."""


class Screen(io.StringIO):
    """Standard output that is a terminal of 40 columns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = pyte.HistoryScreen(40, 24, history=1000, ratio=0.5)
        self.seen.set_mode(pyte.modes.LNM)
        self._stream = pyte.Stream(self.seen)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.feed(text)
        return len(text)

    def text(self) -> str:
        above = ["".join(row[x].data for x in range(40)).rstrip() for row in self.seen.history.top]
        return "\n".join([*above, *(line.rstrip() for line in self.seen.display)]).rstrip()


@pytest.fixture(autouse=True)
def forty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "24")


def drawn(*pieces: str) -> str:
    screen = Screen()
    stream = MarkdownStream(Console(out=screen, err=screen))
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    return screen.text()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pieces_of_any_size_draw_the_same(size: int) -> None:
    pieces = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert drawn(*pieces) == drawn(TEXT)


def test_long_code_is_whole_in_the_end() -> None:
    code = "```\n" + "".join(f"line {number}\n" for number in range(100)) + "```\n"
    shown = drawn(*code)
    assert all(shown.count(f"line {number}\n") == 1 for number in range(99))


def test_nothing_untrusted_acts_on_the_terminal() -> None:
    shown = drawn("a\x1b[2Jb [link](https://example.org/\x07) [bold]x[/bold]")
    assert "a^[[2Jb" in shown
    assert "https://example.org" in shown.replace("\n", "")
    assert "[bold]x[/bold]" in shown


@given(st.text(alphabet="a \n`~#-|1.\t字", max_size=200))
def test_splitting_loses_nothing_and_is_stable(text: str) -> None:
    finished, rest = split_blocks(text)
    assert "".join(finished) + rest == text
    assert split_blocks(rest)[0] == []


@given(st.text(max_size=300), st.integers(2, 30))
@example("000 字字", 3)
def test_rows_fit_and_lose_nothing(text: str, width: int) -> None:
    rows = wrapped(text, width)
    assert all(width_of(row) <= width for row in rows)
    assert "".join(rows) == text.expandtabs(4).replace("\n", "")


def test_tags_and_pictures_stay_as_they_are_written() -> None:
    shown = drawn("Use <input> or <b>this</b>: ![a picture](http://x/y.png)\n\n<div>\n\nend")
    assert [word in shown for word in ("<input>", "<b>this</b>", "!a picture", "<div>")] == [True] * 4
    assert shown.index("Use") < shown.index("picture")


def test_blocks_stand_one_line_apart_and_lists_keep_their_numbers() -> None:
    shown = drawn("First.\n\n```py\nx = 1\n\n\ny = 2\n```\n\n| a |\n|---|\n| b |\n\n1. one\n2. two\n")
    assert shown.splitlines()[:7] == ["First.", "", " x = 1", "", "", " y = 2", ""]
    assert shown.endswith("\n\n1. one\n2. two")
    assert shown.count("\n\n\n") == 1
