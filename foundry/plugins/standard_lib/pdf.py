"""PDF documents: set from Markdown, shown before they are written, and read as text; both in processes that can be ended."""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Annotated, Any

from foundry.plugins.api import Change, Plan, Preview, ToolContext, ToolError, effects, kernel_function, planned
from foundry.plugins.confined import Confined, is_name_of_protected
from foundry.plugins.standard_lib.text_files import check_whole
from foundry.plugins.standard_lib.worker import answers, ask, last_words
from foundry.processes import Finished
from foundry.text import counted

_SECONDS = 60.0
_READ_SECONDS = 30.0
_LONGEST = 2_000_000
_MOST_BYTES = 16 * 1024 * 1024
_CONTENTS = ("auto", "yes", "no")


class Pdf:
    """Writes and reads PDF documents in the working folder."""

    def __init__(self, context: ToolContext, seconds: float = _SECONDS, read_seconds: float = _READ_SECONDS) -> None:
        self.context = context
        self.seconds = seconds
        self.read_seconds = read_seconds

    @kernel_function(description="Make a PDF of a text in Markdown: a report, a letter, with pictures of the folder.")
    @effects("writes")
    @planned
    def write(
        self,
        path: Annotated[str, "Such as report.pdf"],
        markdown: Annotated[str, "The whole text"],
        title: Annotated[str, "Default: its first heading"] = "",
        contents: Annotated[str, "A table of contents: auto, yes or no"] = "auto",
    ) -> Plan:
        """Return the plan of a PDF that holds the text. Raises ToolError saying what to do instead."""
        place = _target(self.context, path)
        name = self.context.name(place)
        contents = contents.strip().lower() or "auto"
        if contents not in _CONTENTS:
            raise ToolError(f"contents is {contents!r}; it is one of {', '.join(_CONTENTS)}.")
        folder = Confined(self.context.folder, most_bytes=_MOST_BYTES)
        before = self._before(folder, place)
        made = self._made(name, _accepted("markdown", markdown), _accepted("title", title), contents)
        after = base64.b64decode(made["pdf"])
        if before == after:
            raise ToolError(f"{name} holds exactly that already: nothing would change.")
        what = f"{counted(made['pages'], 'page')}, {len(after) / 1000:.0f} kB"
        verb = "Write the new PDF" if before is None else "Write anew the PDF"
        pictures = tuple(self.context.path(one) for one in made["pictures"])
        preview = Preview(
            f"{verb} {name}: {what}",
            changes=(Change(place, before, after),),
            paths=(place, *pictures),
            scope=f"files in {folder.root}",
        )

        def do() -> str:
            folder.write(place, before, after)
            return "\n".join([f"Wrote {name}: {what}.", *_told(made)])

        return Plan(preview, do)

    @kernel_function(description="Read the text of a PDF, page by page.")
    @effects("reads")
    def read(
        self,
        path: str,
        pages: Annotated[str, "Such as 3 or 4-7; default: all"] = "",
        skip: Annotated[int, "Characters of the first page to leave out"] = 0,
    ) -> str:
        """Return the text of the pages, as much as fits, and how to read on. Raises ToolError saying what to do instead."""
        place = self.context.path(path)
        name = self.context.name(place)
        if not place.is_file():
            raise ToolError(f"There is no file {name}. Use list_files to see what is there.")
        room = max(self.context.limit - 400, 200)
        asked = {"path": str(place), "pages": pages[:500], "room": room + max(skip, 0)}
        ended = self._asked("pdf_reader", asked, self.read_seconds, 4 * self.context.limit + 4 * max(skip, 0) + 65536)
        lines = list(answers(ended.out))
        problem = next((one["error"] for one in lines if "error" in one), "")
        found = [one for one in lines if "page" in one]
        if problem and not found:
            raise ToolError(f"{name} cannot be read: {problem}")
        if not lines or "count" not in lines[0]:
            slow = f"it took longer than {self.read_seconds:g} s" if ended.timed_out else "its reader failed"
            raise ToolError(f"{name} cannot be read: {slow}; it is damaged, huge or made to harm.")
        stopped = f"stopped after {self.read_seconds:g} s" if ended.timed_out else problem
        return _shown(name, lines[0], found, pages, max(skip, 0), room, stopped)

    def _before(self, folder: Confined, place: Path) -> bytes | None:
        """Return what stands at the target. Raises ToolError for what is not to be replaced."""
        name = self.context.name(place)
        found = folder.look(place)
        if found is None:
            return None
        if is_name_of_protected(self.context, found):
            raise ToolError(f"{name} is another name of a protected file: it cannot be changed.")
        if not stat.S_ISREG(found.st_mode):
            raise ToolError(f"{name} is a folder, a link or a device. Choose another name.")
        if not found.st_mode & 0o222:
            raise ToolError(f"{name} is read-only: somebody wants it to stay as it is.")
        before = folder.tree(place)[""]
        if not isinstance(before, bytes) or (before and not before.startswith(b"%PDF-")):
            raise ToolError(f"{name} is there and is no PDF. Choose another name.")
        return before

    def _made(self, name: str, markdown: str, title: str, contents: str) -> Mapping[str, Any]:
        """Return the document and what is to be said of it, made in a process of its own. Raises ToolError."""
        asked = {"markdown": markdown, "title": title, "contents": contents}
        ended = self._asked("pdf_writer", asked, self.seconds, 2 * _MOST_BYTES)
        if ended.timed_out:
            raise ToolError(f"{name} was not made in {self.seconds:g} s: the text is too long or too deeply nested. Split it.")
        made = next(answers(ended.out), {})
        if "error" in made:
            raise ToolError(f"{name} cannot be made of this text: {made['error']}.")
        if "pdf" not in made or len(made["pdf"]) > _MOST_BYTES / 3 * 4:
            last = "it is too large" if ended.code == 0 else last_words(ended.err, "no reason given")
            raise ToolError(f"{name} could not be made: {last}")
        return made

    def _asked(self, worker: str, asked: Mapping[str, Any], seconds: float, limit: int) -> Finished:
        closed = [str(one) for one in self.context.closed]
        return ask(worker, {"folder": str(self.context.folder), "closed": closed, **asked}, seconds, limit=limit)


def _target(context: ToolContext, given: str) -> Path:
    """Return `given` as a real path whose last part is not followed where it is a link. Raises ToolError."""
    if "\0" in given or not PurePath(given).name.isprintable():
        raise ToolError("The path holds characters that nobody sees. Give one such as report.pdf.")
    asked = PurePath(given)
    if asked.suffix.lower() != ".pdf":
        raise ToolError(f"{given!r} does not end in .pdf. Give the PDF's name, such as {asked.stem or 'report'}.pdf.")
    path = context.path(str(asked.parent)) / asked.name
    if not context.allows(path):
        raise ToolError(f"{context.name(path)} is protected: it cannot be read or changed.")
    return path


def _accepted(name: str, text: str) -> str:
    if len(text) > _LONGEST:
        raise ToolError(f"{name} has more than {_LONGEST:,} characters. Write several documents.")
    check_whole(name, text)
    return text


def _told(made: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the model should know: what was left out, which characters no font had, which fonts are not inside."""
    for note in made["notes"]:
        yield f"Note: {note}."
    if missing := made["missing"]:
        listed = ", ".join(f"{char} (U+{ord(char):04X})" for char in list(missing)[:20])
        more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
        yield f"Note: no font here has {listed}{more}; � stands for {'it' if len(missing) == 1 else 'them'}."
    if brought := made["brought"]:
        yield (
            f"Note: East Asian text is set in {', '.join(brought)}, which the reader's program must have: "
            "no such font is installed here to put inside."
        )


def _shown(
    name: str, facts: Mapping[str, Any], found: list[dict[str, Any]], pages: str, skip: int, room: int, stopped: str
) -> str:
    """Return the pages' text under marks, as much as fits, and below it how to read on."""
    title = f" · {facts['title']}" if facts["title"] else ""
    parts = [f"{name}{title} · {counted(facts['count'], 'page')}"]
    rest = ""
    for place, one in enumerate(found):
        text = _page_text(one)[skip if place == 0 else 0 :]
        room -= len(text) + 30
        if room < 0 and (place or room + len(text) < 50):
            rest = f'read on with pages="{_from(one["page"], facts, pages)}"'
            break
        if room < 0:
            text = text[:room]
            done = (skip if place == 0 else 0) + len(text)
            rest = f'page {one["page"]} goes on; read on with pages="{_from(one["page"], facts, pages)}", skip={done}'
        parts.append(f"--- page {one['page']} ---\n{text}".rstrip())
        if rest:
            break
    if not rest and len(found) < facts["asked"]:
        last = found[-1]["page"] if found else 0
        after = f'read on with pages="{_from(last + 1, facts, pages)}"' if last < facts["count"] else ""
        rest = "; ".join(one for one in (stopped, after) if one)
    if rest:
        parts.append(f"({rest})")
    if found and not any(one["text"] for one in found):
        parts.append("(No page read has text: it is made of pictures, such as a scan. No tool here reads pictures.)")
    return "\n".join(parts)


def _page_text(one: Mapping[str, Any]) -> str:
    if one["text"]:
        return str(one["text"])
    if "failed" in one:
        return f"(this page is damaged: {one['failed']})"
    return "(no text, only pictures)" if one.get("pictures") else "(empty)"


def _from(page: int, facts: Mapping[str, Any], pages: str) -> str:
    """Return the pages still to be read, as the next call says it."""
    parts = [part.partition("-") for part in pages.replace("\u2013", "-").split(",")] if pages.strip() else [("1", "-", "")]
    ends = [int(last) if last.strip() else facts["count"] if dash else int(first) for first, dash, last in parts]
    last = min(max(ends), facts["count"])
    return f"{page}-{last}" if page < last else str(page)
