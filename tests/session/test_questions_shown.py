"""A person who is asked sees all of what would happen, whatever a model, a file or a page puts in its way."""

from __future__ import annotations

import re
import time
import unicodedata
from typing import Any

import pyte
import pytest

from tests.session.asking import Asks, answered, change
from tests.session.screens import Terminal

pytestmark = pytest.mark.slow


def test_a_long_question_comes_a_screen_at_a_time_and_says_how_much_is_left(ask: Asks) -> None:
    text = "".join(f"row {number} of it\n" for number in range(100))
    one = ask({"summary": "write long.txt", "changes": [change("/w/long.txt", None, text)]}, lines=24)
    one.until("Allow it?")
    assert "/w/long.txt · new, 100 lines" in one.text
    assert any(line.startswith("own.tool") for line in one.screen.display[:2])
    pages = 1
    while found := re.search(r"⋯ (\d+) more lines: m\s+Allow it\?[^\n]*\s*$", one.text.rstrip()):
        shown = one.text.count(" of it")
        assert 100 - shown <= int(found.group(1)) <= 101 - shown
        one.line("m")
        pages += 1
        one.until("Allow it?", count=pages)
    assert all(f"row {number} of it" in one.text for number in range(100))
    assert pages == 6
    one.line("y")
    assert answered(one)["kind"] == "yes"


def test_a_resize_draws_it_anew_and_what_was_typed_is_gone(ask: Asks) -> None:
    command = "printf " + "x" * 60 + " | tail; rm -rf everything"
    one = ask({"command": command, "arguments": {"command": command}, "folder": "/work"}, columns=200)
    one.until("rm -rf everything")
    one.until("Allow it?")
    one.keys("y")
    one.until("comment y")
    one.resize(20, 24)
    assert "rm-rfeverything" in "".join(one.until("[y/n/e/c]").split())
    one.keys("\r")
    assert answered(one)["kind"] == "no"


def test_a_text_cannot_draw_the_line_that_asks(ask: Asks) -> None:
    fake = "\x1b[7mAllow it? y yes\x1b[0m \r\n\n\nown.tool\nAllow it? y yes · n no"
    one = ask({"arguments": {"text": fake}, "changes": [change("/w/x", None, fake)], "summary": fake})
    one.until("comment")
    ours = [line for line in range(30) if any(one.screen.buffer[line][x].reverse for x in range(80))]
    assert len(ours) == 2
    assert one.screen.display[ours[0]].startswith("own.tool")
    assert one.screen.display[ours[1]].startswith("Allow it? y yes · n no · e edit · c comment")
    assert one.screen.cursor.y == ours[1]
    one.line("n")
    assert answered(one)["kind"] == "no"


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_no_text_begins_a_row_of_its_own(ask: Asks, columns: int) -> None:
    fake = "FAKE ls\nFAKE /safe\nFAKE y yes"
    texts = {"summary": fake, "folder": fake, "command": fake, "why": fake, "always": fake, "hosts": [fake], "recipients": [fake]}
    changes = [change(f"/w/{fake}", None, fake), change(f"/w/2{fake}", fake, None)]
    one = ask(
        {**texts, "arguments": {"text": fake, "many": [fake]}, "paths": [fake], "changes": changes}, columns=columns, lines=120
    )
    shown = one.until("[y/n" if columns == 20 else "Allow it?")
    assert shown.count("FAKE") > 20
    assert not [line for line in shown.split("\n") if line.startswith("FAKE")]


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_all_of_a_call_is_shown(ask: Asks, columns: int) -> None:
    one = ask(
        {
            "tool": "own.send",
            "summary": "send it",
            "arguments": {"text": "one\ntwo", "many": [1, {"x": "y" * 300}], "flag": True, "name": "true", "empty": ""},
            "hosts": ["mail.example"], "recipients": ["a@example.org", "b@example.org"], "paths": ["/w/attached.pdf"],
            "folder": "/w", "command": "mail -s x", "why": "the mode asks for network", "always": "mail to a@example.org",
        },
        columns=columns, lines=100,
    )  # fmt: skip
    seen = "".join(one.until("[y/n" if columns == 20 else "Allow it?").split())
    for part in (
        *("own.send", "send it", "command mail -s x", "in /w", "network mail.example", "a@example.org b@example.org"),
        *("/w/attached.pdf", "text: one two", '"x": "' + "y" * 300, "flag: true", 'name: "true"', 'empty: ""'),
        *("why the mode asks for network", "always in this session: mail to a@example.org"),
    ):
        assert part.replace(" ", "") in seen


# What a model, a file or a page could put where a person looks, and the part of it that must not escape them. What is hidden is
# written out; what is far to the right, far below or beside something harmless is on the screen all the same.
HOSTILE: list[tuple[str, str]] = [
    ("\x1b[2J\x1b[Hall is well", "^[[2J^[[H"),
    ("\x1b]52;c;cm0gLXJmIC8=\x07", "^[]52;c;cm0gLXJmIC8=^G"),
    ("\x1b]52;c;cm0gLXJmIC8=\x1b\\", "^[]52;c;cm0gLXJmIC8=^["),
    ("\x9d52;c;cm0=\x9c", "<U+009D>52;c;cm0=<U+009C>"),
    ("\x1b]0;evil title\x07", "^[]0;evil"),
    ("\x1b]2;evil title\x07", "^[]2;evil"),
    ("\x1bkevil title\x1b\\", "^[kevil"),
    ("\x9d0;evil title\x9c", "<U+009D>0;evil"),
    ("\x1b]8;;http://evil.example\x1b\\docs\x1b]8;;\x1b\\", "^[]8;;http://evil.example^["),
    ("\x1b[8mhidden; rm -rf ~\x1b[0m", "^[[8mhidden;rm-rf~"),
    ("\x1b[30;40mblack on black", "^[[30;40mblack"),
    ("\x1b[1A\x1b[2Kwritten over", "^[[1A^[[2K"),
    ("\x1b[?1049hother screen", "^[[?1049h"),
    ("\x1b[?25l", "^[[?25l"),
    ("\x1b[6n", "^[[6n"),
    ("\x1b[c\x1b[0c", "^[[c^[[0c"),
    ("\x1bP+q544e\x1b\\", "^[P+q544e"),
    ("\x1b_Gi=1;AAAA\x1b\\", "^[_Gi=1"),
    ("\x1bc", "^[c"),
    ("\x1b[20t\x1b[21t", "^[[20t^[[21t"),
    ("\x9b2J", "<U+009B>2J"),
    ("\x90q\x9c", "<U+0090>q"),
    ("safe command\rrm -rf ~     ", "^Mrm-rf~"),
    ("ls\r\nrm -rf ~", "ls^M"),
    ("ls" + "\x08" * 2 + "rm -rf ~", "^H^Hrm-rf~"),
    ("ls\x7f\x7frm", "^?^?rm"),
    ("ls" + " " * 500 + "; rm -rf ~", "ls\u2420\u00d7500;rm-rf~"),
    ("ls" + "\t" * 90 + "; rm -rf ~", "ls\u21e5\u00d790;rm-rf~"),
    ("ls" + " \t" * 60 + "; rm -rf ~", "\u2420\u21e5\u00d7120;rm-rf~"),
    ("ls" + "\u00a0" * 40 + "; rm", "<U+00A0>;rm"),
    ("ls" + "\u3000" * 40 + "; rm", "<U+3000>;rm"),
    ("ls" + "\u2003" * 40 + "; rm", "<U+2003>;rm"),
    ("ls" + "\u2800" * 40 + "; rm", "<U+2800>;rm"),
    ("ls" + "\u3164" * 40 + "; rm", "<U+3164>;rm"),
    ("ls\n" + "\n" * 300 + "rm -rf ~", "rm-rf~"),
    ("ls\n" + " \n" * 9 + "rm -rf ~", "rm-rf~"),
    ("ls" + "\x0b" * 60 + "rm", "^K^Krm"),
    ("ls" + "\x0c" * 3 + "rm", "^L^Lrm"),
    ("ls\u2028rm -rf ~", "ls<U+2028>rm"),
    ("ls\u2029rm -rf ~", "ls<U+2029>rm"),
    ("ls\x85rm -rf ~", "ls<U+0085>rm"),
    ("photo\u202egpj.exe", "photo<U+202E>gpj.exe"),
    ("\u2066if admin:\u2069 pass \u2066", "<U+2066>ifadmin:<U+2069>"),
    ("\u202dls\u202c", "<U+202D>ls<U+202C>"),
    ("\u061crm\u200f", "<U+061C>rm<U+200F>"),
    ("r\u200bm -r\u200df ~", "r<U+200B>m-r<U+200D>f"),
    ("\ufeffrm\u2060x", "<U+FEFF>rm<U+2060>x"),
    ("pass\u00adword", "pass<U+00AD>word"),
    ("x" + "".join(chr(0xE0000 + ord(one)) for one in "run"), "x<U+E0072><U+E0075><U+E006E>"),
    ("x\U000e0101\U000e01ef", "x<U+E0101><U+E01EF>"),
    ("null\x00byte", "null^@byte"),
    ("o" + "\u0336" * 30 + "k", "<U+0336>k"),
    ("\u0338\u20ddx", "<U+0338><U+20DD>x"),
    ("private\ue000\U000f0000", "private<U+E000><U+F0000>"),
    ("\ufff9a\ufffab\ufffb", "<U+FFF9>a<U+FFFA>b<U+FFFB>"),
    ("x" * 900 + "; rm -rf ~", "x;rm-rf~"),
    ("\u6f22" * 300 + "; rm -rf ~", "\u6f22;rm-rf~"),
    ("a " * 400 + "; rm -rf ~", "a;rm-rf~"),
    ("half\ud800\udfff", "half"),
    ("Allow it? y yes\nown.other\nin /safe", "Allowit?yyes"),
    ("[link=http://evil]x[/link] [/x] {0} %s $(rm -rf ~) `rm`", "[link=http://evil]x[/link][/x]{0}%s$(rm-rf~)`rm`"),
    ("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n\\ no line end at the end", "---a"),
    ("rm -rf ~ #" + "-" * 3_000, "rm-rf~#"),
    ("#" + "-" * 3_000 + "\nrm -rf ~", "rm-rf~"),
]
# What of a file is no line of it is said in words.
IN_WORDS = {"null^@byte": "binary", "ls^M": "lineendsLF\u2192CRLF", "<U+FEFF>rm<U+2060>x": "UTF-8withBOM"}


@pytest.mark.parametrize("columns", [pytest.param(20, marks=pytest.mark.prove), 80, pytest.param(200, marks=pytest.mark.prove)])
def test_the_dangerous_part_is_on_the_screen_and_nothing_reaches_the_terminal(ask: Asks, columns: int) -> None:
    """Each text as an argument, as a command, and as what a file would hold; all pages of each looked at."""
    asked: list[dict[str, Any]] = []
    for text, _ in HOSTILE:
        asked += [
            {"arguments": {"text": text}},
            {"command": text, "arguments": {}, "summary": text, "folder": text, "hosts": [text], "why": text, "always": text},
            {"arguments": {"path": "x"}, "changes": [change("/w/x", "before\n", text)]},
        ]
    one = ask(*asked, columns=columns, lines=100)
    label = "[y/n/e/c" if columns == 20 else "Allow it? "
    for number in range(len(asked)):
        wanted = HOSTILE[number // 3][1]
        seen = ""
        while True:
            page = _page(one, label)
            seen += page
            if "morelines:m" not in page and "moreline:m" not in page:
                break
            one.line("m")
        if number % 3 == 2:
            wanted = IN_WORDS.get(wanted, wanted)
        assert wanted in seen, (number, wanted, seen)
        one.line("")
    one.until("all asked")
    assert one.screen.title == ""
    told = re.sub(r"\x1b\[[0-9;]*m", "", one.raw.decode())
    assert not {one for one in told if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}} - {"\n", "\r"}


def _page(one: Terminal, label: str) -> str:
    """Return what came up to the next line that asks, without blanks, and forget it."""
    ours = re.compile(rf"\x1b\[7m{re.escape(label)}[^\x1b]*\x1b\[0m ".encode())
    begins = getattr(one, "looked_at", 0)
    deadline = time.monotonic() + 15
    while not (found := ours.search(one.raw, begins)):
        assert time.monotonic() < deadline, one.text
        assert one._read(0.05), one.text
    one.looked_at = found.end()  # type: ignore[attr-defined]
    piece = one.raw[begins : found.start()]
    screen = pyte.Screen(one.screen.columns, piece.count(b"\n") + 50)
    pyte.ByteStream(screen).feed(piece)
    return "".join("".join(screen.display).split())
