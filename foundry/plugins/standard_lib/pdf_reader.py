"""The process behind pdf.read: reads a request on stdin, says pages as JSON lines; a hostile file can only end this."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.confined import is_name_of_protected
from foundry.plugins.standard_lib.worker_bounds import begun
from foundry.text import counted

LARGEST = 200 * 1024 * 1024
_MEMORY = 1536 * 1024**2


def asked_pages(text: str, count: int) -> list[int]:
    """Return the numbers that a text such as "3", "4-7" or "1, 5-" names, all for "". Raises ToolError."""
    numbers: dict[int, None] = {}
    for part in text.replace("\u2013", "-").split(",") if text.strip() else ["1-"]:
        first, dash, last = (one.strip() for one in part.partition("-"))
        if not all(one.isascii() and one.isdigit() and len(one) < 8 for one in (first, last or "1")) or not first:
            raise ToolError(f'{part.strip()[:40]!r} names no pages. Say it as "3", "4-7" or "1, 5-9".')
        start, end = int(first), min(int(last), count) if last else count if dash else int(first)
        if not 1 <= start <= count:
            raise ToolError(f"There is no page {start}: the document has {counted(count, 'page')}.")
        if end < start:
            raise ToolError(f'{part.strip()!r} ends before it begins. Say it as "4-7".')
        numbers.update(dict.fromkeys(range(start, end + 1)))
    return list(numbers)


def said(context: ToolContext, path: Path, pages: str, room: int) -> Iterator[dict[str, Any]]:
    """Yield what is known of the document, then the text of each page asked for until `room` characters are full.

    Raises ToolError.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    with context.open(path) as file:
        found = os.fstat(file.fileno())
        if is_name_of_protected(context, found):
            raise ToolError("it is another name of a protected file.")
        if found.st_size > LARGEST:
            raise ToolError(f"it is larger than {LARGEST // 1024 // 1024} MiB.")
        if b"%PDF-" not in file.read(1024):
            raise ToolError("it is no PDF: it does not begin as one. read_write_code.read_file reads text files.")
        file.seek(0)
        try:
            reader = PdfReader(file)
            if reader.is_encrypted and not reader.decrypt(""):
                raise ToolError("it is encrypted, and a password is needed to read it. Ask for a copy without one.")
            count = len(reader.pages)
        except DependencyError:
            raise ToolError("it is encrypted in a way that is not supported. Ask for a copy without a password.") from None
        except PyPdfError as error:
            raise ToolError(f"it is damaged: {error}.") from None
        if not count:
            raise ToolError("it has no pages: it is damaged or empty.")
        numbers = asked_pages(pages, count)
        yield {"count": count, "title": _title(reader), "asked": len(numbers)}
        for number in numbers:
            one = {"page": number, **_page(reader.pages[number - 1])}
            yield one
            room -= len(one["text"]) + 40
            if room < 0:
                return


def _title(reader: Any) -> str:
    with suppress(Exception):  # what stands there is anybody's
        return " ".join(str((reader.metadata or {}).get("/Title") or "").split())[:300]
    return ""


def _page(page: Any) -> dict[str, Any]:
    """Return a page's text; for one without, whether there are pictures on it."""
    try:
        text = "\n".join(line.rstrip() for line in page.extract_text().replace("\0", "").splitlines()).strip()
    except (MemoryError, RecursionError) as error:
        return {"text": "", "failed": type(error).__name__}
    except Exception as error:  # a damaged page raises whatever its parser stumbled over
        return {"text": "", "failed": str(error)[:200] or type(error).__name__}
    if text:
        return {"text": text.encode("utf-8", "replace").decode()}
    with suppress(Exception):
        things = page["/Resources"]["/XObject"].get_object()
        return {"text": "", "pictures": any(one.get_object().get("/Subtype") in ("/Image", "/Form") for one in things.values())}
    return {"text": "", "pictures": False}


def main() -> None:
    """Answer the one request on stdin."""
    asked, _ = begun(_MEMORY)
    logging.disable()
    context = ToolContext(Path(asked["folder"]), closed=tuple(map(Path, asked["closed"])))
    try:
        for one in said(context, Path(asked["path"]), asked["pages"], asked["room"]):
            print(json.dumps(one), flush=True)  # noqa: T201 a page that hangs must not take the others with it
    except ToolError as error:
        print(json.dumps({"error": str(error)}))  # noqa: T201
    except OSError as error:
        print(json.dumps({"error": f"it cannot be read: {error.strerror}."}))  # noqa: T201
    except MemoryError:
        print(json.dumps({"error": "it needs more memory than is given: it is damaged or made to harm."}))  # noqa: T201
    except RecursionError:
        print(json.dumps({"error": "its parts contain one another without end: it is damaged or made to harm."}))  # noqa: T201
    except Exception as error:
        print(json.dumps({"error": f"it is damaged: {type(error).__name__}: {str(error)[:200]}."}))  # noqa: T201


if __name__ == "__main__":
    main()
