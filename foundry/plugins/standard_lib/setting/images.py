"""Pictures for a document: from the working folder alone, checked before they are unpacked, no larger than they are shown."""

from __future__ import annotations

import io
from typing import Any

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.confined import read_up_to

_LARGEST = 20 * 1024 * 1024
_MOST_PIXELS = 40_000_000
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
_DPI = 220
MOST_PICTURES = 200


def picture(context: ToolContext, given: str, width: float, height: float) -> tuple[Any, float, float]:
    """Return a picture as ReportLab takes it and its size in points, at most `width` by `height`. Raises ToolError."""
    from PIL import Image, ImageOps

    raw = _bytes(context, given)
    Image.MAX_IMAGE_PIXELS = None  # checked here, before anything is unpacked
    try:
        with Image.open(io.BytesIO(raw), formats=_FORMATS) as opened:
            if opened.width * opened.height > _MOST_PIXELS or min(opened.size) < 1:
                raise ToolError(f"it has {opened.width} by {opened.height} pixels, more than {_MOST_PIXELS // 1_000_000} million")
            kind = opened.format
            found = ImageOps.exif_transpose(opened)
            found.load()
    except ToolError:
        raise
    except Exception as error:  # whatever a broken picture makes its decoder raise
        raise ToolError(f"it is no picture that can be read ({type(error).__name__})") from None
    wide = min(found.width * 72 / 96, width)
    tall = found.height * wide / found.width
    if tall > height:
        wide, tall = wide * height / tall, height
    most = max(round(wide * _DPI / 72), 1)
    if found.width > most:
        found = _mode(found).resize((most, max(round(found.height * most / found.width), 1)), Image.Resampling.LANCZOS)
    return _reader(_mode(found), kind == "JPEG"), wide, tall


def _bytes(context: ToolContext, given: str) -> bytes:
    raw = read_up_to(context, context.path(given), _LARGEST)
    if len(raw) > _LARGEST:
        raise ToolError(f"it is larger than {_LARGEST // 1024 // 1024} MiB")
    return raw


def _mode(found: Any) -> Any:
    if found.mode in ("RGB", "L", "RGBA"):
        return found
    return found.convert("RGBA" if found.mode in ("LA", "PA") or "transparency" in found.info else "RGB")


def _reader(found: Any, photo: bool) -> Any:
    """Return the picture without anything else its file said, such as where it was taken; a photo packed as one."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    if photo and found.mode in ("RGB", "L"):
        packed = io.BytesIO()
        found.save(packed, "JPEG", quality=88)
        packed.seek(0)
        return ImageReader(packed)
    bare = Image.new(found.mode, found.size)
    bare.paste(found)
    return ImageReader(bare)
