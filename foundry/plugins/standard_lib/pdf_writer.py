"""The process behind pdf.write: reads a request on stdin and says the document as JSON; a hostile text can only end this."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.setting.blocks import Blocks, title_items
from foundry.plugins.standard_lib.setting.fonts import Fonts
from foundry.plugins.standard_lib.setting.markdown import tokens
from foundry.plugins.standard_lib.setting.pages import Page, TooMuch, broken, contents, painted
from foundry.plugins.standard_lib.setting.text import Composer, clean
from foundry.plugins.standard_lib.worker_bounds import begun

_MEMORY = 1536 * 1024**2


def written(context: ToolContext, markdown: str, title: str, with_contents: str) -> dict[str, Any]:
    """Return a document and what is to be said of it. Raises TooMuch, RecursionError."""
    fonts = Fonts()
    composer = Composer(fonts)
    parsed = tokens(markdown)
    title = clean(title, False).strip()
    if parsed and parsed[0].type == "heading_open" and parsed[0].tag == "h1":
        said = clean("".join(one.content for one in parsed[1].children or []), False).strip()
        if not title or title == said:
            title, parsed = said, parsed[3:]
    blocks = Blocks(composer, context)
    blocks.anchors.add("title")
    first = next((at for at, one in enumerate(parsed) if one.type == "heading_open" and one.level == 0), 0)
    blocks.add(parsed[:first])
    lead = len(blocks.items)
    blocks.add(parsed[first:])
    pages = _assembled(composer, blocks, title, with_contents, lead)
    for number, page in enumerate(pages, 1):
        anchors = {one.anchor for _, one, _ in page.items if one.anchor}
        for heading in blocks.headings:
            heading.page = number if heading.anchor in anchors else heading.page
    file = io.BytesIO()
    painted(file, fonts, title, pages, blocks.headings)
    return {
        "pdf": base64.b64encode(file.getvalue()).decode(),
        "pages": len(pages),
        "pictures": list(blocks.images),
        "notes": blocks.notes,
        "missing": fonts.missing,
        "brought": sorted(one.key for one in fonts.brought.values() if one.drawn),
    }


def _assembled(composer: Composer, blocks: Blocks, title: str, with_contents: str, lead: int) -> list[Page]:
    """Return the pages, with contents where they are wished for or the document is long; they follow `lead` items."""
    head = title_items(composer, title) if title else []
    items = [*head, *blocks.items]
    pages = broken(items)
    if with_contents == "no" or not blocks.headings:
        return pages
    if with_contents == "auto" and (len(pages) < 4 or len(blocks.headings) < 4):
        return pages
    items = [*head, *blocks.items[:lead], *contents(composer, blocks.headings, "Contents"), *blocks.items[lead:]]
    if blocks.items[lead:]:
        blocks.items[lead].new_page = True
    return broken(items)


def main() -> None:
    """Answer the one request on stdin."""
    asked, _ = begun(_MEMORY)
    context = ToolContext(Path(asked["folder"]), closed=tuple(map(Path, asked["closed"])))
    try:
        answer = written(context, asked["markdown"], asked["title"], asked["contents"])
    except TooMuch as error:
        answer = {"error": str(error)}
    except RecursionError:
        answer = {"error": "its lists or quotes are nested too deep. Write it flatter"}
    except MemoryError:
        answer = {"error": "it needs more memory than is given. Write it in several documents"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
