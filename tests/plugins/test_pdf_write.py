"""PDFs of Markdown: what stands on the pages, what leads where, and that a text can do no more than be set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foundry.plugins.api import Changed, ToolContext, ToolError
from foundry.plugins.standard_lib.pdf import Pdf
from tests.plugins.pdf_worlds import PARAGRAPH, Press, ink_outside, press, pypdf

__all__ = ["press"]

LONG = "".join(f"## Part {number}\n\n" + (PARAGRAPH + "\n\n") * 4 for number in range(1, 13))


def test_the_plan_shows_the_change_and_writes_exactly_it(press: Press) -> None:
    plan = press.tool.write("sub/a.pdf", "# Tides\n\nHello.")

    [change] = plan.preview.changes
    assert plan.preview.summary == f"Write the new PDF sub/a.pdf: 1 page, {len(change.after or b'') / 1000:.0f} kB"
    assert (change.before, plan.preview.paths) == (None, (press.folder / "sub/a.pdf",))
    assert not (press.folder / "sub").exists()
    assert plan.do().startswith("Wrote sub/a.pdf: 1 page")
    assert (press.folder / "sub/a.pdf").read_bytes() == change.after


def test_an_existing_pdf_is_replaced_and_one_changed_since_is_not(press: Press) -> None:
    old = press.write("One.").raw
    plan = press.tool.write("a.pdf", "Two.")
    assert plan.preview.changes[0].before == old
    assert plan.preview.summary.startswith("Write anew the PDF a.pdf")
    (press.folder / "a.pdf").write_bytes(b"%PDF-other")

    with pytest.raises(Changed):
        plan.do()
    assert (press.folder / "a.pdf").read_bytes() == b"%PDF-other"


def test_the_same_text_makes_the_same_bytes(press: Press) -> None:
    text = "# Tides\n\nमानक **fi** שלום `x`\n\n" + LONG
    one, two = press.tool.write("a.pdf", text), press.tool.write("b.pdf", text)

    assert one.preview.changes[0].after == two.preview.changes[0].after
    one.do()
    with pytest.raises(ToolError, match="nothing would change"):
        press.tool.write("a.pdf", text)


def test_nothing_of_the_machine_stands_in_the_file(press: Press) -> None:
    made = press.write("# Tides & *moons*\n\nHello.")

    told = dict(made.reader.metadata or {})
    assert told["/Title"] == "Tides & moons"
    assert told["/CreationDate"].startswith("D:20000101")
    assert (told["/Author"], told["/Creator"]) == ("", "Agent Foundry")
    for name in (str(press.folder), str(Path.home()), os.environ.get("USER", "no-such-user")):
        assert name.encode() not in made.raw


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a.txt", "does not end in .pdf"),
        ("../a.pdf", "outside the folder"),
        (".git/a.pdf", "protected"),
        ("a\u202efdp.pdf", "nobody sees"),
        ("folder.pdf", "a folder, a link or a device"),
        ("link.pdf", "a folder, a link or a device"),
        ("text.pdf", "is no PDF"),
    ],
)
def test_only_a_pdf_of_the_folder_is_written(press: Press, path: str, said: str) -> None:
    (press.folder / "folder.pdf").mkdir()
    (press.folder / "link.pdf").symlink_to("elsewhere.pdf")
    (press.folder / "text.pdf").write_text("mine")

    with pytest.raises(ToolError, match=said):
        press.tool.write(path, "Hello.")


def test_what_looks_like_markup_comes_out_as_text(press: Press) -> None:
    hostile = '<img src="file:///etc/passwd"/> <para> </para> <font color="red"> &lt;b> <!-- x --> %s \\n'
    made = press.write(f"{hostile}\n\n`<para>`\n\n| <a> | <b> |\n|--|--|\n| </td> | {{x}} |\n\n<div>\nblock\n</div>")

    text = made.text()
    for one in (
        '<img src="file:///etc/passwd"/>',
        "<para> </para>",
        '<font color="red"> <b> <!-- x --> %s \\n',
        "</td>",
        "<div>",
    ):
        assert one in text
    assert not made.reader.pages[0].images


def test_links_lead_out_by_http_and_mail_only_and_inside_by_anchors(press: Press) -> None:
    made = press.write(
        "# T\n\n[a](https://example.org/ä?q=1&b=(2)) <mailto:x@example.org> [in](#part-1) [gone](#nowhere)\n\n"
        "[b](javascript:alert(1)) [c](file:///etc/passwd) [d](notes.md) [e](ftp://x/y) [f](data:text/html,x)\n\n## Part 1\n"
    )

    assert made.links() == ["https://example.org/%C3%A4?q=1&b=(2)", "mailto:x@example.org", "#"]
    assert "javascript:alert" in made.text()
    assert "JavaScript" not in made.raw.decode("latin-1")


def test_headings_make_the_outline_and_long_documents_get_contents(press: Press) -> None:
    made = press.write("# Tides\n\nIntroduction.\n\n" + LONG + "### Deep\n\nEnd.")

    pages = len(made.reader.pages)
    outline = made.reader.outline
    assert [one["/Title"] for one in outline if not isinstance(one, list)] == [f"Part {one}" for one in range(1, 13)]
    assert [one["/Title"] for one in outline[-1]] == ["Deep"]
    first = made.text(1)
    assert "Tides\nIntroduction.\nContents\nPart 1" in first
    for one in (entry for entry in outline if not isinstance(entry, list)):
        page = made.reader.get_destination_page_number(one) + 1
        assert f"{one['/Title']}\n{page}\n" in first.replace(" \n", "\n") or f"{one['/Title']} {page}" in first
        assert one["/Title"] in made.text(page)
    assert made.links(1) == ["#"] * 26  # title and page of each
    assert [made.text(one).splitlines()[-1] for one in (1, pages)] == [f"1 / {pages}", f"{pages} / {pages}"]


def test_contents_can_be_had_and_left_out(press: Press) -> None:
    assert "Contents" in press.write("# T\n\n## A\n\nx", contents="yes").text()
    assert "Contents" not in press.write("# T\n\n" + LONG, contents="no").text()
    assert "Contents" not in press.write("# T\n\n## A\n\nx", path="b.pdf").text()
    with pytest.raises(ToolError, match="one of auto, yes, no"):
        press.tool.write("a.pdf", "x", contents="maybe")


def test_a_title_stands_at_the_head_once(press: Press) -> None:
    assert press.write("# Tides\n\nx", title="Tides").text() == "Tides\nx"
    assert press.write("# Chapter\n\nx", title="Tides").text() == "Tides\nChapter\nx"


def test_nothing_lies_beyond_the_margins(press: Press) -> None:
    made = press.write(
        f"# {'Long title ' * 12}\n\n{'x' * 900}\n\n<https://example.org/{'a/b-c=d&' * 60}>\n\n```\n{'y' * 500}\n```\n\n"
        + ("|" + "column|" * 30 + "\n|" + "-|" * 30 + "\n" + ("|" + "someword|" * 30 + "\n") * 3)
        + "\n"
        + "".join("  " * depth + "- deep in a list\n" for depth in range(40))
        + "\n"
        + "> " * 30
        + "deep in quotes\n\n"
        + f"ש{'לום' * 300}\n\n"
        + f"| a | b |\n|--|--|\n| {'word ' * 1500} | {'z' * 300} |\n"
    )

    assert len(made.shown) >= 4
    for page in range(1, len(made.shown) + 1):
        assert ink_outside(made.picture(page), 69, 66, 527, 769) == 0


def test_a_tables_head_comes_again_and_rows_stay_whole(press: Press) -> None:
    rows = "".join(f"| row{number} | {'some words ' * 12}end{number} |\n" for number in range(80))
    made = press.write(f"Before.\n\n| Name | Text |\n|:--|--:|\n{rows}")

    count = len(made.shown)
    assert count >= 3
    for page in range(1, count + 1):
        text = made.text(page)
        assert "Name Text" in text.replace("\n", " ")
        assert text.count("row") == text.count("end")


def test_code_is_kept_whole_where_it_fits_and_wrapped(press: Press) -> None:
    code = "\n".join(f"line_{number} = {number}" for number in range(30))
    made = press.write((PARAGRAPH + "\n\n") * 8 + f"```python\n{code}\n{'    indented' + ' and long' * 20}\n```\n")

    page = next(one for one in (1, 2) if "line_0 =" in made.text(one))
    assert "line_29 = 29" in made.text(page)
    assert made.text().replace("\n", " ").count("and long") == 20


@pytest.mark.slow
def test_no_line_of_a_paragraph_stands_alone_and_no_heading_ends_a_page(press: Press) -> None:
    for filler in range(36, 44):
        lines = "\n".join(f"- {one}" for one in range(filler - 4))
        made = press.write(f"{lines}\n\n## Heading\n\n{PARAGRAPH}", path=f"{filler}.pdf")
        body = [line for line in made.text(1).splitlines() if " / " not in line]
        assert body[-1] != "Heading"
        if "Heading" in body and body[-1] not in ("Heading", PARAGRAPH.split()[-1]):
            assert len(body) - body.index("Heading") != 2


@pytest.mark.parametrize("text", [">" * 1000 + " x", "".join("  " * one + "- x\n" for one in range(1000)), "[" * 20_000])
def test_what_is_nested_too_deep_is_refused(press: Press, text: str) -> None:
    with pytest.raises(ToolError, match="nested too deep"):
        press.tool.write("a.pdf", text)


def test_what_takes_too_long_is_ended(folder: Path) -> None:
    with pytest.raises(ToolError, match=r"was not made in 1 s.*Split it"):
        Pdf(ToolContext(folder), seconds=1).write("a.pdf", "[a](" * 400_000)


def test_too_much_is_refused(press: Press) -> None:
    cells = "|a|b|\n|-|-|\n" + "|1|2|\n" * 16_000
    with pytest.raises(ToolError, match="more than 30000 cells"):
        press.tool.write("a.pdf", cells)
    with pytest.raises(ToolError, match="more than 500 pages"):
        press.tool.write("a.pdf", "```\n" + "x\n" * 40_000 + "```")
    with pytest.raises(ToolError, match="more than 2,000,000 characters"):
        press.tool.write("a.pdf", "x" * 2_000_001)
    with pytest.raises(ToolError, match="half a character"):
        press.tool.write("a.pdf", "x\ud800")


def test_a_word_without_end_is_cut_in_time(press: Press) -> None:
    made = press.write("x" * 100_000)

    assert made.text().count("x") == 100_000
    assert isinstance(made.reader, pypdf.PdfReader)
