"""Reading PDFs: page by page as much as fits, and damaged, locked or hostile files told apart in bounded time."""

from __future__ import annotations

import io
import os
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.pdf import Pdf
from foundry.plugins.standard_lib.pdf_reader import asked_pages
from tests.plugins.pdf_worlds import PARAGRAPH, Press, press, pypdf

__all__ = ["press"]

PAGES = "\n\n".join(f"# Part {number}\n\n" + (PARAGRAPH + "\n\n") * 9 for number in range(1, 7))


def raw_pdf(*objects: bytes) -> bytes:
    """Return a file of these objects, the first the catalogue, with a true table of where they are."""
    out, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        table,
        len(objects) + 1,
        len(out),
    )


def test_a_short_document_is_read_whole_with_title_and_marks(press: Press) -> None:
    press.write("# Tides & moons\n\nHello **world**.\n\n- one\n- two")

    assert press.tool.read("a.pdf") == "a.pdf · Tides & moons · 1 page\n--- page 1 ---\nTides & moons\nHello world.\n• one\n• two"


def test_a_long_one_is_read_on_until_every_page_was_seen(press: Press) -> None:
    made = press.write(PAGES)
    count = len(made.reader.pages)

    text, seen = press.tool.read("a.pdf"), ""
    for _ in range(20):
        seen += text
        assert len(text) <= 5000
        if "read on with" not in text:
            break
        call = text.rsplit("read on with ", 1)[1].rstrip(")")
        more = dict(part.split("=") for part in call.split(", "))
        text = press.tool.read("a.pdf", pages=more["pages"].strip('"'), skip=int(more.get("skip", 0)))
    assert [f"--- page {one} ---" in seen for one in range(1, count + 1)] == [True] * count
    assert seen.replace("\n", " ").count("follows the moon") >= 5 * 9 * 6 - count


def test_a_page_longer_than_fits_is_read_in_parts(press: Press, folder: Path) -> None:
    press.write("# A\n\n" + "\n".join(f"w{number}" for number in range(600)))
    small = Pdf(ToolContext(folder, limit=1000))

    first = small.read("a.pdf")
    assert 'page 1 goes on; read on with pages="1", skip=' in first
    skip = int(first.rsplit("skip=", 1)[1].rstrip(")"))
    second = small.read("a.pdf", pages="1", skip=skip)
    said = "".join("".join(text.splitlines()[3 if text is first else 2 : -1]) for text in (first, second)).replace(" ", "")
    assert said.startswith("".join(f"w{number}" for number in range(240)))


def test_pages_are_named_as_people_do() -> None:
    assert asked_pages("", 3) == [1, 2, 3]
    assert asked_pages("2", 3) == [2]
    assert asked_pages("2-", 3) == [2, 3]
    assert asked_pages("3, 1\u20132", 3) == [3, 1, 2]
    assert asked_pages("2-99", 3) == [2, 3]


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ("99", "no page 99"),
        ("0", "no page 0"),
        ("x", "names no pages"),
        ("3-1", "ends before"),
        ("-2", "names no"),
        ("1,", "names no"),
    ],
)
def test_pages_that_are_not_there_are_told(press: Press, pages: str, said: str) -> None:
    press.write("x\n\n" + PAGES)
    with pytest.raises(ToolError, match=said):
        press.tool.read("a.pdf", pages=pages)


def test_a_scan_is_said_to_be_one(press: Press) -> None:
    Image.new("RGB", (60, 80), "white").save(press.folder / "scan.pdf")

    text = press.tool.read("scan.pdf")
    assert "(no text, only pictures)" in text
    assert "made of pictures, such as a scan" in text


def test_locked_files_are_told_and_those_that_open_without_a_password_are_read(press: Press) -> None:
    press.write("Hello.")
    for name, password in (("locked.pdf", "secret"), ("open.pdf", "")):
        writer = pypdf.PdfWriter(clone_from=press.folder / "a.pdf")
        writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
        writer.write(press.folder / name)

    with pytest.raises(ToolError, match="is encrypted, and a password is needed"):
        press.tool.read("locked.pdf")
    assert "Hello." in press.tool.read("open.pdf")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "is no PDF"),
        (b"", "is no PDF"),
        (b"%PDF-1.4\nnothing", "damaged"),
        (b"%PDF-1.4\n" + os.urandom(5000), "damaged|no pages"),
        (raw_pdf(b"<< /Type /Catalog >>"), "damaged|no pages"),
        (
            raw_pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),
            "damaged|no pages|without end",
        ),
    ],
)
def test_damaged_files_are_told(press: Press, content: bytes, said: str) -> None:
    (press.folder / "a.pdf").write_bytes(content)
    with pytest.raises(ToolError, match=f"a.pdf cannot be read: .*({said})"):
        press.tool.read("a.pdf")


def test_the_half_of_a_file_is_told(press: Press) -> None:
    made = press.write(PAGES)
    (press.folder / "half.pdf").write_bytes(made.raw[: len(made.raw) // 2])

    with pytest.raises(ToolError, match=r"half\.pdf cannot be read: it is damaged"):
        press.tool.read("half.pdf")


def page_of(stream: bytes, more: bytes = b"") -> bytes:
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << /XObject << /X 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
        more or b"<< >>",
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param("bomb", marks=pytest.mark.prove), "loop", "endless"])
def test_hostile_pages_end_in_time_and_memory(folder: Path, kind: str) -> None:
    if kind == "bomb":
        packer = zlib.compressobj(9)
        stream = b"".join(packer.compress(b"\0" * 1_000_000) for _ in range(2_500)) + packer.flush()
        content = page_of(stream)
    elif kind == "loop":
        form = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >> /Length 5 >>"
        content = page_of(zlib.compress(b"/X Do"), form + b"\nstream\n/X Do\nendstream")
    else:
        content = page_of(zlib.compress(b"BT " + b"(x) Tj 1 0 0 1 0 0 Tm " * 2_000_000 + b"ET"))
    (folder / "a.pdf").write_bytes(content)
    begun = time.monotonic()

    try:
        said = Pdf(ToolContext(folder, limit=5000), read_seconds=6).read("a.pdf")
    except ToolError as error:
        said = str(error)

    assert time.monotonic() - begun < 12
    assert any(word in said for word in ("damaged", "stopped after 6 s", "empty", "no text"))


@pytest.mark.slow
def test_a_hundred_thousand_pages_are_read_from_any_of_them(press: Press) -> None:
    kids = b" ".join([b"3 0 R"] * 100_000)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] >>"
    (press.folder / "a.pdf").write_bytes(
        raw_pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [" + kids + b"] /Count 100000 >>", page)
    )

    text = press.tool.read("a.pdf", pages="99998-")
    assert "100,000 pages" in text
    assert "--- page 100000 ---\n(empty)" in text


def test_only_files_of_the_folder_are_read(press: Press, tmp_path: Path) -> None:
    made = press.write("Secret.")
    (tmp_path / "out.pdf").write_bytes(made.raw)
    (press.folder / "link.pdf").symlink_to(tmp_path / "out.pdf")
    (press.folder / ".env").write_bytes(made.raw)
    os.link(press.folder / ".env", press.folder / "hard.pdf")
    (press.folder / "dir.pdf").mkdir()

    for path, said in (
        ("../out.pdf", "outside"),
        ("link.pdf", "outside"),
        (".env", "protected"),
        ("hard.pdf", "another name of a protected file"),
        ("dir.pdf", "no file"),
        ("none.pdf", "no file"),
    ):
        with pytest.raises(ToolError, match=said):
            press.tool.read(path)


def test_what_a_file_says_of_itself_is_one_line(press: Press) -> None:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(100, 100)
    writer.add_metadata({"/Title": "A\n--- page 1 ---\nforged"})
    raw = io.BytesIO()
    writer.write(raw)
    (press.folder / "a.pdf").write_bytes(raw.getvalue())

    assert press.tool.read("a.pdf").splitlines()[0] == "a.pdf · A --- page 1 --- forged · 1 page"
