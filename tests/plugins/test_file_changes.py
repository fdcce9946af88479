"""Files written and edited by a model: shown first, and done exactly so."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from foundry.plugins.api import ToolError
from foundry.plugins.standard_lib.read_write_code import ReadWriteCode
from tests.plugins.worlds import world

# write_file ----------------------------------------------------------------------------------------------------------


def test_a_new_file_is_shown_first_and_there_only_when_done(tools: ReadWriteCode, folder: Path) -> None:
    plan = tools.write_file("src/app.py", "print(1)\n")

    assert plan.preview.summary == "Write the new file src/app.py"
    assert [(one.path, one.before, one.after) for one in plan.preview.changes] == [(folder / "src/app.py", None, b"print(1)\n")]
    assert plan.preview.paths == (folder / "src/app.py",)
    assert plan.preview.scope == f"files in {folder}"
    assert not (folder / "src").exists()
    assert plan.do() == "Wrote src/app.py."
    assert (folder / "src/app.py").read_bytes() == b"print(1)\n"


def test_a_new_file_gets_the_mode_of_any_new_file_and_a_replaced_one_keeps_its_own(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "run.sh").write_text("echo 1\n")
    (folder / "run.sh").chmod(0o750)
    (folder / "ordinary").write_text("")

    tools.write_file("run.sh", "echo 2\n").do()
    tools.write_file("new.txt", "x").do()

    assert stat.S_IMODE((folder / "run.sh").stat().st_mode) == 0o750
    assert (folder / "new.txt").stat().st_mode == (folder / "ordinary").stat().st_mode
    assert sorted(one.name for one in folder.iterdir()) == ["new.txt", "ordinary", "run.sh"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_replaced_file_keeps_its_owner(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "a.txt").write_text("1")
    os.chown(folder / "a.txt", 12345, 54321)

    tools.write_file("a.txt", "2").do()

    assert ((folder / "a.txt").stat().st_uid, (folder / "a.txt").stat().st_gid) == (12345, 54321)


@pytest.mark.parametrize(
    ("before", "content", "after"),
    [
        (b"a\r\nb\r\n", "x\ny\n", b"x\r\ny\r\n"),
        (b"a\r\nb\r\n", "x\r\ny\r\n", b"x\r\ny\r\n"),
        (b"a\nb\n", "x\r\ny\r\n", b"x\ny\n"),
        (b"a\rb\r", "x\ny\n", b"x\ry\r"),
        (b"a\r\nb\nc\r\n", "x\ny\n", b"x\r\ny\r\n"),
        (b"\xef\xbb\xbfa\n", "x\n", b"\xef\xbb\xbfx\n"),
        (b"\xef\xbb\xbfa\n", "\ufeffx\n", b"\xef\xbb\xbfx\n"),
        ("grün\n".encode("latin-1"), "blau für alle\n", "blau für alle\n".encode("latin-1")),
        ("a\r\n".encode("utf-16"), "ö\n", b"\xff\xfe" + "ö\r\n".encode("utf-16-le")),
        (b"\xfe\xff" + "a\n".encode("utf-16-be"), "ö\n", b"\xfe\xff" + "ö\n".encode("utf-16-be")),
        ("a\n".encode("utf-32"), "ö\n", "ö\n".encode("utf-32")),
        (b"", "x\r\n", b"x\n"),
        (b"x", "", b""),
    ],
)
def test_encoding_mark_and_line_ends_of_the_file_are_kept(
    tools: ReadWriteCode, folder: Path, before: bytes, content: str, after: bytes
) -> None:
    (folder / "t.txt").write_bytes(before)

    plan = tools.write_file("t.txt", content)
    plan.do()

    assert (plan.preview.changes[0].before, plan.preview.changes[0].after) == (before, after)
    assert (folder / "t.txt").read_bytes() == after


def test_a_new_file_has_the_line_ends_it_was_given(tools: ReadWriteCode, folder: Path) -> None:
    tools.write_file("dos.bat", "echo 1\r\n").do()

    assert (folder / "dos.bat").read_bytes() == b"echo 1\r\n"


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("", "x", "The path is empty"),
        (".", "x", "working folder itself"),
        ("sub", "x", "sub is a folder"),
        ("image.png", "x", "image.png is no text: PNG image"),
        ("latin.txt", "5 €", "latin-1, which has no '€'"),
        ("broken16.txt", "x", "not clean utf-16"),
        ("same.txt", "same\n", "says exactly that already"),
        ("fixed.txt", "x", "read-only"),
        ("link.txt", "x", "link.txt is a link"),
        ("dangling", "x", "dangling is a link"),
        ("pipe", "x", "no regular file"),
        ("new.txt", "a\0b", "NUL"),
        ("new.txt", "half \ud83d", "half a character"),
        ("new.txt", "x" * (4 * 1024 * 1024 + 1), "more than 4 MiB"),
        ("same.txt/below", "x", "same.txt"),
        ("a\nb", "x", "U+000A"),
        ("inv\u200bisible", "x", "U+200B"),
        ("gpj.\u202eexe", "x", "U+202E"),
        ("x" * 256, "x", "name too long"),
        ("../out.txt", "x", "outside"),
        ("out/new.txt", "x", "outside"),
    ],
)
def test_what_is_not_written_says_why(tools: ReadWriteCode, folder: Path, path: str, content: str, said: str) -> None:
    (folder / "sub").mkdir()
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "latin.txt").write_bytes("grün".encode("latin-1"))
    (folder / "broken16.txt").write_bytes(b"\xff\xfea\0\0\xd8")
    (folder / "same.txt").write_text("same\n")
    (folder / "fixed.txt").write_text("x\n")
    (folder / "fixed.txt").chmod(0o444)
    (folder / "link.txt").symlink_to("same.txt")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "out").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe")
    before = world(folder.parent)

    with pytest.raises(ToolError) as raised:
        tools.write_file(path, content).do()

    assert said.lower() in str(raised.value).lower()
    assert world(folder.parent) == before


# edit_file -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a = 1\nb = 2\n", "b = 2", "b = 3", b"a = 1\nb = 3\n"),
        (b"a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz", b"x\r\ny\r\nz\r\nc\r\n"),
        (b"a\r\nb\r\nc\r\n", "b\n", "", b"a\r\nc\r\n"),
        (b"a\nb\r\nc\n", "b\nc", "B\nC", b"a\nB\r\nC\n"),
        (b"a\nb\r\nc\n", "a", "A\nA", b"A\nA\nb\r\nc\n"),
        (b"10%\r50%\rdone\n", "done", "over", b"10%\r50%\rover\n"),
        (b"\xef\xbb\xbfkey\n", "key", "value", b"\xef\xbb\xbfvalue\n"),
        ("grün \x85\n".encode("latin-1"), "grün", "gelb", "gelb \x85\n".encode("latin-1")),
        (b"end", "end", "end\n", b"end\n"),
    ],
)
def test_only_the_text_named_is_changed(
    tools: ReadWriteCode, folder: Path, before: bytes, old: str, new: str, after: bytes
) -> None:
    (folder / "t.txt").write_bytes(before)

    tools.edit_file("t.txt", old, new).do()

    assert (folder / "t.txt").read_bytes() == after


LINES = st.lists(
    st.tuples(st.text(st.sampled_from("abc é\t\x0c\u2028"), max_size=4), st.sampled_from(["\n", "\r\n", "\r"])), max_size=8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, ends=st.tuples(st.integers(0, 40), st.integers(0, 40)), new=st.text(st.sampled_from("xyz\n"), max_size=3))
def test_all_that_surrounds_an_edit_stays_byte_for_byte(
    tools: ReadWriteCode, folder: Path, lines: list[tuple[str, str]], ends: tuple[int, int], new: str
) -> None:
    text = "".join(line + end for line, end in lines)
    marked = "".join(f"{line}<{n}>{end}" for n, (line, end) in enumerate(lines))  # so that every part is there once
    unified = marked.replace("\r\n", "\n").replace("\r", "\n")
    start, stop = sorted(min(one, len(unified)) for one in ends)
    assume(text and start < stop and unified.count(unified[start:stop]) == 1)
    (folder / "t.txt").write_bytes(marked.encode())

    try:
        tools.edit_file("t.txt", unified[start:stop], new).do()
    except ToolError as error:
        assert "two line ends would become one" in str(error) and "\r" in marked.replace("\r\n", "")  # noqa: PT017, PT018
        assert (folder / "t.txt").read_bytes() == marked.encode()
        return

    after = (folder / "t.txt").read_bytes().decode()
    assert after.replace("\r\n", "\n").replace("\r", "\n") == unified[:start] + new + unified[stop:]
    first, last = unified.count("\n", 0, start), unified.count("\n", 0, stop)
    kept = [f"{line}<{n}>{end}" for n, (line, end) in enumerate(lines)]
    assert after.startswith("".join(kept[:first]))
    assert after.endswith("".join(kept[last + 1 :]))


def test_several_places_are_named_and_changed_only_on_request(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "t.py").write_text("x = 1\ny = 1\nz = 1\n")

    with pytest.raises(ToolError, match=r"3 times, at lines 1, 2, 3\. Give a line before or after it too.*or all=true"):
        tools.edit_file("t.py", "= 1", "= 2")
    plan = tools.edit_file("t.py", "= 1", "= 2", all=True)

    assert plan.preview.summary == "Change t.py at lines 1, 2, 3"
    assert plan.do() == "Changed t.py at lines 1, 2, 3."
    assert (folder / "t.py").read_text() == "x = 2\ny = 2\nz = 2\n"


CODE = 'def greet(name):\n    if name:\n\t\treturn "Hello " + name\n    return "Nobody"\n\n\ndef leave():\n    pass\n'


@pytest.mark.parametrize(
    ("old", "said"),
    [
        ("if name:\n", None),
        ("  if name:\n    return", "The nearest is this"),
        ('if name:\nreturn "Hello " + name', "another indentation"),
        ('    if name:\n        return "Hello " + name', "tabs where old has blanks"),
        ("    if name:  ", "blanks at the ends of lines"),
        ("    if  name:", "other blanks in its lines"),
        ("    return \u201cNobody\u201d", "other quotes, dashes or blanks"),
        ('    Return "nobody"', "upper and lower case"),
        ("7: def leave():\n8:     pass", "without the line numbers"),
        ("def leaves(self):", "7: def leave():"),
        ("the quick brown fox", "nor anything like it"),
        ("", "old is empty"),
    ],
)
def test_a_miss_says_what_is_there_instead(tools: ReadWriteCode, folder: Path, old: str, said: str | None) -> None:
    (folder / "t.py").write_text(CODE)

    if said is None:
        tools.edit_file("t.py", old, "if True:\n").do()
        return
    with pytest.raises(ToolError) as raised:
        tools.edit_file("t.py", old, "new")

    assert said in str(raised.value)


def test_a_change_made_before_is_recognised(tools: ReadWriteCode, folder: Path) -> None:
    (folder / "t.py").write_text(CODE)

    with pytest.raises(ToolError, match="new is there already, at line 7"):
        tools.edit_file("t.py", "def go_away():", "def leave():")
    with pytest.raises(ToolError, match="nothing would change"):
        tools.edit_file("t.py", "pass", "pass")
    with pytest.raises(ToolError, match="There is no absent"):
        tools.edit_file("absent", "a", "b")


@pytest.mark.parametrize("many", [3, 20_000])
def test_a_miss_is_short_and_quick_also_in_a_large_file(tools: ReadWriteCode, folder: Path, many: int) -> None:
    (folder / "t.txt").write_text("".join(f"this is line number {n} of the file\n" for n in range(many)))

    with pytest.raises(ToolError) as raised:
        tools.edit_file("t.txt", "this is a line numbered 2 of the file\n" * 50, "x")

    assert "this is line number 2 of the file" in str(raised.value)
    assert len(str(raised.value)) < 2000
