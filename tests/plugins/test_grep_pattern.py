"""The looser words for a regular expression: wherever Python's own finds a line, they let the file through."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from foundry.plugins.standard_lib.grep_pattern import sieve_of

ATOMS = st.sampled_from(
    [
        *(
            "a",
            "b",
            "s",
            "K",
            "foo",
            "é",
            "ß",
            "ж",
            "İ",
            "ſ",
            "\\.",
            " ",
            "_",
            "1",
            ".",
            r"\w",
            r"\W",
            r"\s",
            r"\S",
            r"\d",
            r"\D",
        ),
        *(
            "[a-c]",
            "[^a]",
            "[é-ü]",
            r"[\w.]",
            r"[^\s]",
            r"\b",
            r"\B",
            "^",
            "$",
            "(?=a)",
            "(?!b)",
            "(?<=a)",
            "(?<!s)",
            r"\A",
            r"\Z",
        ),
    ]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: f"(?:{'|'.join(some)})"),
        inner.map(lambda one: f"({one})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?", "*+", "{0,}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
        inner.map(lambda one: f"(?>{one})"),
        inner.map(lambda one: f"(?i:{one})"),
    ),
    max_leaves=8,
)
TEXTS = st.text(alphabet="abskKS foo_1.éüßжſİK—\t\r\x1c", max_size=12)


def lets_through(pattern: re.Pattern[str], raw: bytes) -> bool:
    sieve = sieve_of(pattern)
    looser = re.compile(sieve.looser.removeprefix("(?-u)").encode("ascii"), re.MULTILINE)
    return looser.search(raw) is not None


@settings(max_examples=400, deadline=None)
@given(PATTERNS, TEXTS, st.booleans(), st.sampled_from(["utf-8", "utf-8-sig", "latin-1"]))
def test_what_python_finds_in_a_line_the_looser_words_find_in_the_bytes(
    pattern: str, text: str, any_case: bool, encoding: str
) -> None:
    try:
        compiled = re.compile(pattern, re.IGNORECASE if any_case else 0)
        raw = f"x\n{text}\ny".encode(encoding)
    except (re.error, UnicodeEncodeError):
        assume(False)
    if not any(compiled.search(line) for line in re.split("\r|\n", f"x\n{text}\ny")):
        return

    assert lets_through(compiled, raw)
    assert lets_through(re.compile(pattern, re.IGNORECASE), raw)  # what ripgrep is asked, whatever the case


@settings(max_examples=400, deadline=None)
@given(PATTERNS, TEXTS, st.booleans())
def test_a_line_that_matches_has_one_of_the_needles(pattern: str, text: str, any_case: bool) -> None:
    try:
        compiled = re.compile(pattern, re.IGNORECASE if any_case else 0)
    except re.error:
        assume(False)
    sieve = sieve_of(compiled)
    if not sieve.needles or not compiled.search(text):
        return

    seen = text.lower() if sieve.folded else text
    assert any(one in seen for one in sieve.needles) or (sieve.folded and not text.isascii())


@pytest.mark.parametrize(
    ("pattern", "needles"),
    [
        (r"class \w+", ("class ",)),
        (r"^import|^from", ("import", "from")),
        (r"(?:raise|throw)\s+ValueError", ("ValueError",)),
        (r"x*", ()),
        (r"(?i)Sky", ("sky",)),
        (r"(ab)+c?", ("ab",)),
        (r"(?!secret)a", ("a",)),
    ],
)
def test_the_longest_text_that_must_be_there_is_the_needle(pattern: str, needles: tuple[str, ...]) -> None:
    assert sieve_of(re.compile(pattern)).needles == needles


def test_python_takes_no_other_letters_for_ascii_ones_than_those_that_are_known() -> None:
    """Every letter against every character there is: should a Python or Unicode to come add one, this says so."""
    every = "".join(map(chr, range(128, 0x110000)))
    beyond = {letter: set(re.findall(letter, every, re.IGNORECASE)) for letter in string.ascii_lowercase}

    assert {letter: found for letter, found in beyond.items() if found} == {
        "i": {"\u0130", "\u0131"},
        "k": {"\u212a"},
        "s": {"\u017f"},
    }


@pytest.mark.parametrize("pattern", ["foo$", "^foo", r"\bfoo\b", "class foo"])
def test_the_looser_words_still_tell_lines_apart(pattern: str) -> None:
    assert not lets_through(re.compile(pattern), b"class fo\nxfood x\n")
