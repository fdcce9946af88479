"""A diff shows every line that comes or goes, exactly, and says what of a file is no line."""

from __future__ import annotations

import io
import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foundry.console import Console, Diff, spelled, visible, width_of
from foundry.diff import drawn, told
from foundry.text import broken, written_out
from tests.test_console import HOSTILE, acts_or_hides

unhurried = settings(deadline=None)
LINES = st.lists(st.sampled_from(["a", "b", "c", "dd", "", "e f"]), max_size=30)


def shown(diff: Diff) -> list[str]:
    out = io.StringIO()
    Console(out=out).block(diff)
    return out.getvalue().splitlines()


def rebuilt(diff: Diff) -> list[str]:
    """Return the lines after the change as a reader of the diff who knows the old file would write them."""
    old, new = (diff.before or b"").decode().splitlines(), []
    for line in drawn(diff):
        texts = [""] * int(line.text[2:]) if line.text.startswith("↵") else [line.text]
        if line.sign:
            new += texts if line.sign in "+ " else []
            assert line.sign == "+" or texts == [old.pop(0) for _ in texts]
        elif line.text.startswith("⋯"):
            count = int(line.text.split()[1].replace(",", ""))
            new, old = new + old[:count], old[count:]
    assert old == []
    return new


@unhurried
@given(LINES, LINES)
def test_the_new_file_can_be_read_off_the_old_one_and_the_diff(old: list[str], new: list[str]) -> None:
    before, after = ("".join(f"{line}\n" for line in lines).encode() for lines in (old, new))
    if before != after:
        assert rebuilt(Diff("x", before, after)) == new


@pytest.mark.parametrize("seed", range(5))
def test_so_it_is_with_large_files_in_no_time(seed: int) -> None:
    chance = random.Random(seed)
    old = [chance.choice([f"{chance.random()}", "}", "", "    return None"]) for _ in range(20_000)]
    new = [line for line in old if chance.random() > 0.01]
    for _ in range(300):
        new.insert(chance.randrange(len(new)), chance.choice(["}", "new", f"{chance.random()}"]))
    before, after = ("".join(f"{line}\n" for line in lines).encode() for lines in (old, new))

    start = time.perf_counter()
    assert rebuilt(Diff("x", before, after)) == new
    assert sum(line.sign in {"+", "-"} for line in drawn(Diff("x", before, after))) < 2_000
    assert time.perf_counter() - start < 5


def test_two_files_with_nothing_unique_are_shown_whole() -> None:
    before, after = b"a\nb\n" * 5_000, b"c\nd\n" * 5_000
    assert sum(line.sign == "+" for line in drawn(Diff("x", before, after))) == 10_000


def test_how_it_looks() -> None:
    before = "".join(f"line {number}\n" for number in range(1, 21)).encode()
    after = before.replace(b"line 5\n", b"line five\nand more\n").replace(b"line 20\n", b"line 20")
    assert shown(Diff("notes.md", before, after)) == [
        "─ notes.md · changed, +3 -2",
        "⋯ 1 line as before",
        " 2  2   line 2",
        " 3  3   line 3",
        " 4  4   line 4",
        " 5    - line 5",
        "    5 + line five",
        "    6 + and more",
        " 6  7   line 6",
        " 7  8   line 7",
        " 8  9   line 8",
        "⋯ 8 lines as before",
        "17 18   line 17",
        "18 19   line 18",
        "19 20   line 19",
        "20    - line 20",
        "   21 + line 20",
        "      \\ no line end at the end",
    ]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (None, b"a\nb\n", "new, 2 lines"),
        (None, b"", "new, 0 bytes"),
        (b"a\n", None, "deleted, 1 line"),
        (b"a\n", b"a\n", "2 bytes, none changed"),
        (b"a\n", b"", "changed, +0 -1"),
        (b"a\r\nb\r\n", b"a\nb\n", "changed, 2 lines → 2 lines, line ends CRLF → LF"),
        (b"a\r\nb\r\n", b"a\r\nb\nc\r\n", "line ends CRLF → mixed CRLF and LF"),
        (None, b"a\r\n", "new, 1 line, CRLF line ends"),
        (b"\xef\xbb\xbfa\n", b"a\n", "changed, 1 line → 1 line, UTF-8 with BOM → UTF-8"),
        (b"a\n", b"\xef\xbb\xbfa\n", "UTF-8 → UTF-8 with BOM"),
        (b"a\n", "a\n".encode("utf-16"), "UTF-8 → UTF-16"),
        (b"a\n", b"a\xff\n", "changed, +1 -1, UTF-8 → not all of it UTF-8"),
        (b"\x00\x01", b"\x00\x01\x02", "changed, binary, 2 bytes → binary, 3 bytes"),
        (None, b"\x7fELF\x00", "new, binary, 5 bytes"),
        (b"a\n", b"a \x1b[2J\x1b[1m\n", "hidden characters written out: ^[ (2 times)"),
    ],
)  # fmt: skip
def test_what_is_no_line_is_said(before: bytes | None, after: bytes | None, words: str) -> None:
    assert words in told(Diff("x", before, after))


def test_a_changed_mode_is_said() -> None:
    assert told(Diff("x", b"", b"", (0o100644, 0o100755))) == "0 bytes, none changed, mode 644 → 755"
    assert told(Diff("x", None, b"a\n", (None, 0o755))) == "new, 1 line, mode 755: may be run"


def test_turned_line_ends_do_not_hide_what_changes_with_them() -> None:
    lines = shown(Diff("x", b"a\r\nb\r\n", b"a\nB\n"))
    assert [line.split()[-1] for line in lines if " - " in line or " + " in line] == ["b", "B"]


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_on_a_terminal_every_row_fits_and_none_looks_like_another_line(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    Console(out=out).block(Diff("x", b"", ("1 + " * 100 + "\n" + "漢" * 300 + "\n").encode()))

    rows = out.getvalue().splitlines()
    assert all(width_of(row) < columns for row in rows)
    lead = len("    1 ") if columns >= 80 else 0
    assert [row[lead] for row in rows[1:]].count("+") == 2


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("colour", ["", "1"])
def test_no_file_gets_through_to_the_terminal(text: str, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", colour)
    rows = "\n".join(shown(Diff(text, None, text.encode("utf-8", "surrogatepass"))))

    for code in ("0", "1", "2", "32"):
        rows = rows.replace(f"\x1b[{code}m", "")
    assert not any(acts_or_hides(one) for one in rows)


@unhurried
@given(st.text() | st.text(" \t\n\r\u3000a\u0301\x1b\u202e"))
@example("a" + " " * 500 + "b \t\r\n")
@example("\u0301" * 40)
def test_no_blank_is_hidden_in_spelled_text(text: str) -> None:
    told = spelled(text)
    assert visible(told) == told
    assert not any(acts_or_hides(one) or one == "\t" for one in told)
    assert " " * 40 not in told
    assert "\n" * 7 not in told
    assert all(line == line.rstrip(" ") or line.endswith("⇥   ") for line in told.split("\n"))
    assert told.count("a") >= text.count("a")


def test_blanks_are_written_out_with_how_many() -> None:
    assert spelled("ls" + " " * 500 + "x\r\n\ty  \n") == "ls␠×500x^M\n⇥   y␠×2\n"
    assert spelled("a" + "\n" * 90 + "b") == "a\n↵×89\nb"
    assert written_out("ls" + " " * 500 + "\x1b\u202e\u202e\u00a0") == ["^[", "<U+202E> (2 times)", "<U+00A0>", "␠×500"]
    assert len(written_out("".join(map(chr, range(0x202A, 0x202F))) + "".join(map(chr, range(1, 9))))) == 8


@unhurried
@given(st.text(st.sampled_from("ab  漢\u0301"), max_size=80), st.integers(2, 20))
def test_a_broken_line_is_whole_when_put_together_and_no_row_ends_in_a_blank(line: str, width: int) -> None:
    parts = list(broken(line, width))
    assert "".join(parts) == line
    assert all(width_of(part) <= width for part in parts)
    assert all(not part.endswith(" ") or not part.strip(" ") for part in parts[:-1])
