"""The machine's own fonts, likely ones first: opened only when the bundled fonts lack a character."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_PLACES = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"),
    *("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
)
_LATER = ("bold", "italic", "oblique", "light", "thin", "black", "medium", "condensed", "semi", "extra", "mono", "serif")
_MOST = 1500


def system_faces(places: tuple[str, ...] = _PLACES) -> Iterator[Any]:
    """Yield the machine's fonts with outlines as HarfBuzz faces, plain ones first; what cannot be read is passed over."""
    import uharfbuzz

    for path in sorted(_files(places), key=_rank)[:_MOST]:
        with suppress(Exception):  # a broken font of the machine is not this document's trouble
            face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(path)))
            if {"glyf", "CFF "}.intersection(face.table_tags):
                yield face


def _files(places: tuple[str, ...]) -> Iterator[Path]:
    for place in places:
        for folder, _, names in os.walk(Path(place).expanduser()):
            for name in names:
                if name.lower().endswith((".ttf", ".otf", ".ttc", ".otc")) and "lastresort" not in name.lower():
                    yield Path(folder, name)


def _rank(path: Path) -> tuple[int, bool, str]:
    name = path.name.lower()
    return sum(word in name for word in _LATER), not name.startswith(("dejavu", "noto")), str(path)
