"""PDFs made through the tool and looked at: their text, their pictures, their fonts, what lies beyond the margins."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pypdf = pytest.importorskip("pypdf")
pypdfium2 = pytest.importorskip("pypdfium2")
pytest.importorskip("reportlab")

from foundry.plugins.api import Plan, ToolContext  # noqa: E402
from foundry.plugins.standard_lib.pdf import Pdf  # noqa: E402

PARAGRAPH = "The tide rises and falls twice a day along most coasts, and follows the moon. " * 5


@dataclass
class Made:
    """A PDF that was written."""

    raw: bytes
    told: str
    plan: Plan

    def __post_init__(self) -> None:
        self.reader = pypdf.PdfReader(io.BytesIO(self.raw))
        self.shown = pypdfium2.PdfDocument(self.raw)

    def text(self, page: int = 0) -> str:
        """Return a page's text, or with 0 all of it, as a reader's program copies it."""
        pages = range(len(self.shown)) if not page else [page - 1]
        return "\n".join(self.shown[one].get_textpage().get_text_range() for one in pages).replace("\r\n", "\n")

    def picture(self, page: int = 1, scale: float = 1.0) -> Any:
        return self.shown[page - 1].render(scale=scale).to_pil().convert("RGB")

    def links(self, page: int = 1) -> list[str]:
        found = [one.get_object() for one in self.reader.pages[page - 1].get("/Annots", [])]
        return [str(one["/A"]["/URI"]) if "/A" in one else "#" for one in found]

    def fonts(self) -> list[Any]:
        """Return the descriptors of the document's fonts, None for one that has none."""
        names: dict[str, Any] = {}
        for page in self.reader.pages:
            names.update(page["/Resources"]["/Font"])
        inner = [
            one.get_object()["/DescendantFonts"][0].get_object()
            for one in names.values()
            if "/DescendantFonts" in one.get_object()
        ]
        return [one.get("/FontDescriptor").get_object() if one.get("/FontDescriptor") else None for one in inner]


@dataclass
class Press:
    """A working folder and the tool in it."""

    folder: Path
    tool: Pdf

    def write(self, markdown: str, path: str = "a.pdf", **more: Any) -> Made:
        plan = self.tool.write(path, markdown, **more)
        told = plan.do()
        return Made((self.folder / path).read_bytes(), told, plan)


@pytest.fixture
def press(folder: Path) -> Press:
    return Press(folder, Pdf(ToolContext(folder, limit=5000)))


def ink_outside(picture: Any, left: float, top: float, right: float, bottom: float) -> int:
    """Return how many dark pixels a page's picture has outside a box of its points, the footer's line left out."""
    width, height = picture.size
    pixels = picture.load()
    count = 0
    for y in range(height):
        if 790 < y < 810:
            continue
        for x in range(width):
            if not (left <= x <= right and top <= y <= bottom) and min(pixels[x, y]) < 200:
                count += 1
    return count
