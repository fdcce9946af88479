"""Pictures in PDFs: of the working folder alone, scaled to the page, and never more than their pixels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.pdf import Pdf
from tests.plugins.pdf_worlds import Press, ink_outside, press

__all__ = ["press"]


def test_pictures_are_set_with_their_caption_and_named_in_the_preview(press: Press) -> None:
    Image.new("RGB", (300, 200), (200, 30, 30)).save(press.folder / "red chart.png")
    made = press.write('Before.\n\n![A chart](<red chart.png> "Figure 1")\n\nAfter.')

    assert made.plan.preview.paths == (press.folder / "a.pdf", press.folder / "red chart.png")
    assert "Note" not in made.told
    assert made.text() == "Before.\nFigure 1\nAfter."
    red = _coloured(made.picture(), (200, 30, 30))
    assert abs(red - 225 * 150) < 800  # 96 pixels an inch


def _coloured(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    return sum(count for count, found in picture.getcolors(1_000_000) or [] if found == colour)


@pytest.mark.slow
def test_a_large_picture_is_scaled_to_the_page_and_made_smaller(press: Press) -> None:
    Image.effect_noise((4000, 5000), 80).save(press.folder / "noise.png")
    made = press.write("![](noise.png)")

    assert len(made.shown) == 1
    assert ink_outside(made.picture(), 69, 66, 527, 769) == 0
    [found] = made.reader.pages[0].images
    assert found.image is not None
    assert found.image.width < 1500
    assert len(made.raw) < 3_000_000


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_picture_is_set(press: Press, mode: str) -> None:
    name = "a.tiff" if mode in ("CMYK", "I;16") else "a.png"
    Image.new(mode, (40, 40)).save(press.folder / name)

    made = press.write(f"![]({name})")
    assert "Note" not in made.told
    assert len(made.reader.pages[0].images) >= 1


def test_a_photo_says_nothing_of_where_it_was_taken_and_stands_upright(press: Press) -> None:
    photo = Image.new("RGB", (200, 100), "blue")
    data = photo.getexif()
    data[0x0112] = 6  # turned by a quarter
    data[0x010E] = "taken at home"
    photo.save(press.folder / "a.jpg", exif=data)
    made = press.write("![](a.jpg)")

    assert b"taken at home" in (press.folder / "a.jpg").read_bytes()
    assert b"taken at home" not in made.raw
    image = made.reader.pages[0].images[0].image
    assert image is not None
    assert (image.width, image.height) == (100, 200)


def test_what_is_no_picture_of_the_folder_is_left_out_and_told(press: Press, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "out.png")
    (press.folder / "link.png").symlink_to(tmp_path / "out.png")
    (press.folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (press.folder / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')
    (press.folder / ".env").write_text("KEY=x")
    sources = {
        "https://example.org/x.png": "only pictures in the working folder are set",
        "//example.org/x.png": "only pictures in the working folder are set",
        "file:///etc/passwd": "",  # no link at all for Markdown: stays text
        "../out.png": "outside the folder",
        "link.png": "outside the folder",
        ".env": "protected",
        "none.png": "There is no file none.png",
        "broken.png": "no picture that can be read",
        "a.svg": "no picture that can be read",
    }
    made = press.write("\n\n".join(f"![alt {number}]({one})" for number, one in enumerate(sources)))

    for one, said in sources.items():
        if said:
            assert f"the picture '{one}' is left out" in made.told
            assert said in made.told
    assert "[Picture: alt 0]" in made.text()
    assert "![alt 2](file:///etc/passwd)" in made.text()
    assert not made.reader.pages[0].images


def test_a_picture_of_more_pixels_than_it_should_have_is_never_unpacked(press: Press) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"\0" * 10_000_000, 9)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    (press.folder / "bomb.png").write_bytes(bomb)

    assert "60000 by 60000 pixels, more than 40 million" in press.write("![x](bomb.png)").told


def test_closed_folders_stay_closed_to_pictures(folder: Path) -> None:
    (folder / "agent").mkdir()
    Image.new("RGB", (9, 9)).save(folder / "agent" / "a.png")
    tool = Pdf(ToolContext(folder, closed=(folder / "agent",)))

    assert "protected" in tool.write("a.pdf", "![x](agent/a.png)").do()
