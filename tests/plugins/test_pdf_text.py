"""Text in PDFs: scripts and directions, fonts inside and missing, lists and tasks, and the order that runs are drawn in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.plugins.standard_lib.setting.bidi import direction, levels, visual
from foundry.plugins.standard_lib.setting.fonts import Fonts
from foundry.plugins.standard_lib.setting.text import Composer, Span, Style
from tests.plugins.pdf_worlds import Press, press

__all__ = ["press"]


def drawn(text: str) -> str:
    """Return a line's characters in the order they are drawn."""
    return "".join(text[one] for one in visual(levels(text, direction(text))))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abc", "abc"),
        ("car is אבג now", "car is גבא now"),
        ("אבג 123 דה", "הד 123 גבא"),
        ("אבג (abc) ד", "ד )abc( גבא"),  # the shaping turns the brackets round
        ("price א 12.50€ ב", "price ב 12.50€ א"),
        ("العدد 42%", "%42 ددعلا"),
        ("a (א) b", "a (א) b"),
        ("", ""),
    ],
)
def test_runs_are_drawn_as_the_bidirectional_algorithm_says(text: str, shown: str) -> None:
    assert drawn(text) == shown


@given(st.text(alphabet="abאבج1٢ +,.()%-\u0301\u200f\n", max_size=40), st.sampled_from([0, 1]))
def test_every_character_is_drawn_once_whatever_the_text(text: str, base: int) -> None:
    found = levels(text, base)

    assert len(found) == len(text)
    assert all(base <= one <= 2 for one in found)
    assert sorted(visual(found)) == list(range(len(text)))


LANGUAGES = {
    "English": "The quick brown fox offers first aid",
    "German": "Übergrößenträger aus Straßburg „grüßen“",
    "Greek": "Η παλίρροια ακολουθεί τη σελήνη",
    "Russian": "Прилив следует за луной",
    "Hebrew": "הגאות עוקבת אחר הירח",
    "Arabic": "يرتفع المد وينخفض مرتين في اليوم",
    "Hindi": "ज्वार दिन में दो बार उठता और गिरता है",
    "Thai": "ความแตกต่าง",
    "Georgian": "გამარჯობა",
}


def test_the_bundled_fonts_set_these_languages_and_lie_inside(press: Press) -> None:
    made = press.write("\n\n".join(f"{text}\n\n**{text}**\n\n*{text}*" for text in LANGUAGES.values()))

    assert "Note" not in made.told
    text = made.text()
    for one in LANGUAGES.values():
        assert text.count(one) == 3, one
    fonts = made.fonts()
    assert len(fonts) >= 3
    assert all(one is not None and ("/FontFile2" in one or "/FontFile3" in one) for one in fonts)
    assert len(made.raw) < 150_000


def test_text_from_the_right_stands_at_the_right(press: Press) -> None:
    made = press.write("שלום\n\n- אחת\n- שתיים")

    picture = made.picture(scale=2)
    columns = [x for x in range(picture.width) for y in range(120, 300) if min(picture.getpixel((x, y))) < 200]
    assert min(columns) > picture.width / 2
    assert max(columns) <= (595 - 69) * 2


def test_characters_that_no_font_has_are_told_and_stand_as_the_sign_for_it(press: Press) -> None:
    made = press.write("A \U00012000 and \U00016800\U00016800.")

    assert "no font here has \U00012000 (U+12000), \U00016800 (U+16800); \ufffd stands for them." in made.told
    assert "A \ufffd and \ufffd\ufffd." in made.text()


def test_signs_and_code_are_set_in_fonts_that_have_them(press: Press) -> None:
    made = press.write("→ ✓ ★ ∑ ½ € ♭ 𝄞 ☐\n\n```\n├── a │ café λ → ✓\n```")

    assert "Note" not in made.told
    assert "├── a │ café λ → ✓" in made.text()


def test_east_asian_text_is_set_and_told_where_no_font_lies_inside(press: Press) -> None:
    made = press.write("中文字符\n\n日本語のテキスト\n\n한국어")

    if "which the reader's program must have" in made.told:  # no such font on this machine
        names = {str(one.get_object()["/BaseFont"]) for one in made.reader.pages[0]["/Resources"]["/Font"].values()}
        assert any("STSong" in one for one in names)
        assert any("Heisei" in one for one in names)
    for one in ("中文字符", "日本語のテキスト", "한국어"):
        assert one in made.text()


def test_what_turns_text_round_or_commands_a_terminal_is_left_out(press: Press) -> None:
    text = press.write("safe \u202edesrever\u202c \x1b[31m \x07 end\u2066.").text()

    assert text == "safe desrever [31m end."


def test_lists_have_their_marks_and_numbers(press: Press) -> None:
    text = press.write("3. three\n4. four\n   - in\n     - deeper\n\n0. zero\n1. one\n\n- [x] done\n- [ ] open\n-\n").text()

    assert text == "3. three\n4. four\n– in\n• deeper\n5. zero\n6. one\ndone\nopen\n•"


def test_a_tick_is_drawn_for_a_done_task_only(press: Press) -> None:
    done, open_one = (press.write(f"- [{box}] x", path=f"{ord(box)}.pdf").picture(scale=4) for box in "x ")

    changed = [x for x in range(done.width) for y in range(240, 400) if done.getpixel((x, y)) != open_one.getpixel((x, y))]
    assert len(changed) > 20
    assert 70 * 4 < min(changed) < max(changed) < 90 * 4


@pytest.mark.parametrize("before", ["עברית, ", "Latin, ", "Ελληνικά, עברית, ", "1. "])
def test_letters_join_beside_any_other_script(before: str) -> None:
    def drawn(text: str) -> set[int]:
        line = Composer(Fonts()).lines([Span(text, Style())], 500)[0]
        return {glyph.number for _, run in line.runs for glyph in run.glyphs}

    assert drawn("العربية") <= drawn(f"{before}العربية")
