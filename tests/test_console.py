"""Whatever a model, a file or a config says, nothing of it acts on the terminal or hides from the eye."""

from __future__ import annotations

import io
import json
import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foundry.console import Block, Console, Diff, Facts, Table, fit, one_line, plain, visible, width_of
from foundry.errors import NotFoundError
from foundry.markdown import MarkdownStream

unhurried = settings(deadline=None)

HOSTILE = [
    "\x1b[2J\x1b[H",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31m",
    "\x9d0;title\x9c",
    "safe\rDANGER",
    "a\x08\x08b",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "zero\u200bwidth\u200d\ufeff",
    "soft\u00adhyphen",
    "tag\U000e0041\U000e007f",
    "line\u2028sep\u2029",
    "null\x00",
    "half\ud800",
    "\x7f",
    "a\ufe0fb",
    "1\ufe0f",
    "a\u200db",
    "smuggled\U000e0101\U000e01ef",
    "filler\u3164\uffa0\u115f",
    "\u2800\u034f",
    "\u061c",
    "\u180e",
    "\ufff9a\ufffab\ufffb",
]


def acts_or_hides(one: str) -> bool:
    # The joiner of emojis passes inside of one, which has a test of its own.
    return one not in "\n\t\u200d" and unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_written_out(text: str) -> None:
    shown = visible(text)

    assert not any(acts_or_hides(one) for one in shown)
    assert shown != text


def test_what_is_written_out_can_be_told_apart() -> None:
    assert visible("\x1b[m\x7f\x85\u202e\U000e0041") == "^[[m^?<U+0085><U+202E><U+E0041>"
    assert visible("ordinary täxt 漢字 😀\n\tindented\r\nnext") == "ordinary täxt 漢字 😀\n\tindented\nnext"


@pytest.mark.parametrize(
    "emoji", ["\u26a0\ufe0f", "1\ufe0f\u20e3", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f\u200d\U0001f525"]
)
def test_emojis_stay_whole(emoji: str) -> None:
    assert visible(f"so {emoji} it is") == f"so {emoji} it is"
    assert "<U+" in visible(emoji + "\ufe0f\ufe0f") + visible(emoji + "\u200dx")


@unhurried
@given(st.text())
@example("\r\n\r")
@example("\U0001d173\U00013430\U0001bca0\u0600\u08e2\U000110bd\U000e0001")
def test_no_text_acts_or_hides(text: str) -> None:
    assert not any(acts_or_hides(one) for one in visible(text))


@unhurried
@given(st.text() | st.text("a1#\u26a0\ufe0f\u200d\u20e3\U0001f468\u202e"))
def test_what_is_visible_stays_as_it_is(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@unhurried
@given(st.text(), st.integers(1, 40))
def test_one_line_is_one_line_that_fits(text: str, width: int) -> None:
    told = one_line(text, width)
    assert "\n" not in told
    assert width_of(told) <= width


@unhurried
@given(st.text(st.characters(exclude_categories=["Cc"]), max_size=30), st.integers(1, 20))
def test_a_cut_text_fits_and_says_that_it_was_cut(text: str, width: int) -> None:
    cut = fit(text, width)
    assert width_of(cut) <= width
    assert cut == text or cut.endswith("…")


def test_wide_and_combining_characters_count_as_the_terminal_counts_them() -> None:
    assert (width_of("漢字"), width_of("e\u0301"), width_of("abc")) == (4, 1, 3)
    assert fit("漢字漢字", 5) == "漢字…"


@dataclass(frozen=True, slots=True)
class Told:
    """A verb's result whose every text is hostile."""

    text: str
    where: Path = Path("/x")
    many: tuple[str, ...] = ()

    def shown(self) -> Sequence[Block]:
        table = Table(("A", "B"), [(self.text, self.text), ("c", "d")])
        return [self.text, Facts([(self.text, self.text)], self.text), table, Table(("A",), [], self.text)]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("colour", ["", "1"])
def test_no_way_of_printing_lets_it_through(text: str, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", colour)
    out, err = io.StringIO(), io.StringIO()
    console = Console(out=out, err=err)

    console.result(Told(text))
    console.text(text)
    for say in (console.note, console.warn, console.step):
        say(text)
    console.amount(text, 1, 2)
    console.error(NotFoundError(text, text))

    ours = ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[36m")
    told = out.getvalue() + err.getvalue()
    for code in ours:
        told = told.replace(code, "")
    assert not any(acts_or_hides(one) for one in told)


@unhurried
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_json_is_one_line_and_holds_the_text_exactly(text: str) -> None:
    out = io.StringIO()
    Console(as_json=True, out=out).result(Told(text, many=("a",)))

    line = out.getvalue()
    assert line.count("\n") == 1
    assert not any(acts_or_hides(one) for one in line.removesuffix("\n"))
    assert json.loads(line) == {"version": 1, "ok": True, "data": {"text": text, "where": "/x", "many": ["a"]}, "error": None}


def test_an_error_is_an_envelope_on_stdout_or_words_on_stderr() -> None:
    out, err = io.StringIO(), io.StringIO()
    Console(as_json=True, out=out, err=err).error(NotFoundError("no x", "try y"))
    assert json.loads(out.getvalue())["error"] == {"code": "not_found", "message": "no x", "hint": "try y"}
    assert err.getvalue() == ""

    out, err = io.StringIO(), io.StringIO()
    Console(out=out, err=err).error(NotFoundError("no x", "try y"))
    assert out.getvalue() == ""
    assert err.getvalue() == "error: no x\n  try: try y\n"


def test_without_a_terminal_every_answer_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    console = Console(out=io.StringIO(), err=io.StringIO())

    assert not console.can_ask()
    assert not console.yes("Delete everything?")
    assert console.hidden("Key") == ""


def test_a_table_lines_up_and_an_empty_one_says_so() -> None:
    out = io.StringIO()

    class Both:
        def shown(self) -> Sequence[Block]:
            return [Table(("NAME", "WHAT"), [("漢", "one\ntwo"), ("abc", "three")]), Table(("A",), [], "Nothing.")]

    Console(out=out).result(Both())

    assert out.getvalue() == "NAME  WHAT\n漢    one two\nabc   three\nNothing.\n"


def test_plain_data_is_json_data() -> None:
    assert plain({"a": (Path("/x"), frozenset({1}))}) == {"a": ["/x", [1]]}


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


CELLS = st.lists(
    st.text(st.sampled_from("ab -漢\n\t") | st.characters(exclude_categories=["Cs"]), max_size=120), min_size=3, max_size=3
)


@unhurried
@given(st.lists(CELLS, max_size=4), st.integers(30, 120), st.sampled_from(["cut", "broken", "below"]))
def test_no_line_of_a_table_is_wider_than_the_terminal(rows: list[list[str]], width: int, last: str) -> None:
    out = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("NO_COLOR", "1")
        Console(out=out).block(Table(("ONE", "TWO", "THREE"), [(one, two, three) for one, two, three in rows], "-", last=last))  # type: ignore[arg-type]

    assert all(width_of(line) <= width for line in out.getvalue().splitlines())


@pytest.mark.parametrize("width", [50, 70, 200])
def test_a_broken_or_lower_last_cell_loses_nothing(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for last in ("broken", "below"):
        out = Terminal()
        Console(out=out).block(Table(("A", "B"), [("x" * 20, "word " * 30 + "end")], last=last))

        assert out.getvalue().split().count("word") == 30
        assert out.getvalue().split()[-1] == "end"


def test_a_piped_table_is_whole_one_line_a_row() -> None:
    out = io.StringIO()
    Console(out=out).block(Table(("A", "B"), [("x" * 500, "y" * 500), ("a", "b")], last="broken"))

    first, long, short = out.getvalue().splitlines()
    assert long == "x" * 500 + "  " + "y" * 500
    assert len(first) < 100
    assert short.split() == ["a", "b"]


@unhurried
@given(st.text(max_size=200), st.text(max_size=60), st.integers(20, 120))
@example("x" * 100, "y" * 100, 20)
@example("\u6f22" * 100, "\u6f22" * 30, 21)
def test_rows_fit_the_terminal_and_lose_nothing(text: str, name: str, width: int) -> None:
    err = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("NO_COLOR", "1")
        after = text.encode("utf-8", "surrogatepass")
        console = Console(out=io.StringIO(), err=err)
        rows = console.rows([text, Facts([(name, text), ("b", name)], name), Diff(name, None, after)])
        console.put(rows)

    assert all(width_of(row) < width for row in rows)
    assert "".join(visible(text).split()) in "".join("".join(rows).split())
    assert err.getvalue() == "".join(f"{row}\n" for row in rows)


def test_only_what_asks_is_drawn_in_reverse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    out, err = Terminal(), Terminal()
    console = Console(out=out, err=err)
    code = (
        "\x1b[7m# Allow it?\x1b[0m **y** *n* `yes` ~~no~~ <b>a</b> [x](http://e)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> - c\n\n"
    )
    stream = MarkdownStream(console)
    for one in (
        code,
        *(f"```{language}\n{code}def x(): return 1 # \x1b[7m\n```\n\n" for language in ("python", "sh", "diff", "nosuch")),
    ):
        stream.feed(one)
    stream.end()
    console.result(Told(code))
    console.block(Diff(code, b"a\n", code.encode()))
    console.put(console.rows([code, Diff(code, b"a\n", code.encode())]))
    for say in (console.note, console.warn, console.step, console.aside, console.status):
        say(code)
    drawn = out.getvalue() + err.getvalue()
    assert not [codes for codes in re.findall(r"\x1b\[([0-9;]*)m", drawn) if "7" in codes.split(";")]

    console.banner("own.tool")
    console.ask("Allow it?")
    assert err.getvalue().count("\x1b[7m") == 2
