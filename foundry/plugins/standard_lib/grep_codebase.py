"""Finding one's way in the working folder: search inside its files, and the outline of one of them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from foundry.plugins.api import ToolContext, ToolError, effects, kernel_function
from foundry.plugins.confined import read_up_to
from foundry.plugins.results import fitting
from foundry.plugins.standard_lib import outline
from foundry.plugins.standard_lib.grep_engines import WORKER, Answer, Places, Question, answer
from foundry.plugins.standard_lib.grep_ripgrep import ripgrep
from foundry.plugins.standard_lib.grep_tree import Limits, Listing, Tree
from foundry.plugins.standard_lib.text_files import decode, wanted
from foundry.plugins.standard_lib.worker_spare import Spare

_SECONDS = 10.0
_MOST = 60
_MOST_ASKED = 1000
_MOST_AROUND = 20
_MOST_OTHERWISE = 5
_LONGEST_PATTERN = 2000
_PLAIN = re.compile(r"(?:[^][.^$*+?{}\\|()]|\\[^\w\s])+")


class GrepCodebase:
    """Searches the working folder's text files and outlines them."""

    def __init__(
        self, context: ToolContext, seconds: float = _SECONDS, program: str | None = None, limits: Limits | None = None
    ) -> None:
        """Make the tool; a search may take so many seconds; `program` is the ripgrep to use, "" none, None the one there is."""
        self.context = context
        self.seconds = seconds
        self._program = program
        self._tree = Tree(context, limits)
        self._spare = Spare(WORKER)

    @kernel_function(
        description="Search inside all files for a text: where it is written, "
        "which file defines a function or class or raises an error."
    )  # fmt: skip
    @effects("reads")
    def search(
        self,
        pattern: Annotated[str, "Text or regular expression"],
        path: str = ".",
        glob: Annotated[str, "Only files named so"] = "*",
        literal: Annotated[bool, "No regular expression"] = False,
        context: Annotated[int, "Lines around each"] = 0,
        most: int = _MOST,
    ) -> str:
        """Return the matching lines by file, the first ones when there are many. Raises ToolError saying what to do instead."""
        if not pattern:
            raise ToolError("The pattern is empty.")
        if len(pattern) > _LONGEST_PATTERN:
            raise ToolError(f"The pattern is longer than {_LONGEST_PATTERN} characters.")
        top = self.context.path(path or ".")
        if not top.exists():
            raise ToolError(f"There is no {path!r}. Search in '.' or use list_files to see what is there.")
        deadline = time.monotonic() + self.seconds
        compiled, why = _compiled(pattern, literal)
        plain = literal or bool(why) or _PLAIN.fullmatch(pattern) is not None
        asked = Question(compiled, plain, min(max(most, 1), _MOST_ASKED), min(max(context, 0), _MOST_AROUND))
        takes = wanted(glob)
        places = Places(self._tree, top, takes, glob if takes else "", self._spare)
        found, listing = answer(asked, places, self._ripgrep(), deadline)
        said = []
        if takes and found.is_nothing and (others := self._named_otherwise(asked, places, deadline)):
            found, listing = others
            said = [f"no match in files named {glob!r}, these are named otherwise"]
        notes = [*said, *_notes(pattern, why, found, listing, self.seconds)]
        return self._fitting([line for one in found.shown for line in _lines(one)], notes, "narrow the search")

    @kernel_function(description="Outline of one source file: its classes, functions and headings, with their lines.")
    @effects("reads")
    def outline(self, path: str) -> str:
        """Return the symbols of a file, nested, with the numbers of their lines. Raises ToolError saying what to do instead."""
        target = self.context.path(path)
        name = self.context.name(target)
        if not target.is_file():
            raise ToolError(f"{name} is no file. Use list_files to see what is there.")
        lines, note = outline.outlined(name, _text(self.context, target, name))
        if not lines:
            return f"{name} has no classes, functions or headings. {note}".strip()
        return self._fitting(lines, [note] if note else [], "read the file from the last line on for more")

    def _named_otherwise(self, asked: Question, places: Places, deadline: float) -> tuple[Answer, Listing] | None:
        """Return the first few matches in files of any name, None where there are none."""
        few = replace(asked, most=min(asked.most, _MOST_OTHERWISE))
        found, listing = answer(few, replace(places, wanted=None, glob=""), self._ripgrep(), deadline)
        return (found, listing) if found.matches else None

    def _ripgrep(self) -> str:
        """Return ripgrep's path, "" without one: on a busy machine it may not answer for once, so then it is looked for again."""
        if self._program is None:
            self._program = ripgrep(self.context.folder) or None
        return self._program or ""

    def _fitting(self, lines: list[str], notes: list[str], advice: str) -> str:
        """Return the lines that fit and the notes below them."""
        note = f"({'; '.join(notes)})" if notes else ""
        taken = fitting(lines, self.context.limit - len(note) - 100)
        if len(taken) < len(lines):
            note = f"({len(taken)} of {len(lines)} shown; {advice})\n{note}".strip()
        return "\n".join([*taken, note] if note else taken)


def _text(context: ToolContext, target: Path, name: str) -> str:
    raw = read_up_to(context, target, outline.MOST_BYTES)
    if len(raw) > outline.MOST_BYTES:
        raise ToolError(f"{name} is larger than {outline.MOST_BYTES // 1024 // 1024} MiB. Use search in it.")
    text, encoding = decode(raw)
    if not encoding:
        raise ToolError(f"{name} is no text: {text}.")
    return text


def _compiled(pattern: str, literal: bool) -> tuple[re.Pattern[str], str]:
    """Return the pattern compiled, and why it is taken literally though it was not meant to be."""
    if literal:
        return re.compile(re.escape(pattern)), ""
    try:
        return re.compile(pattern), ""
    except (re.error, RecursionError, OverflowError) as error:
        return re.compile(re.escape(pattern)), str(error) or "too deeply nested"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one file as grep writes them."""
    lines: list[tuple[int, str, bool]] = found["lines"]
    before = 0
    for number, text, is_match in lines:
        if before and number > before + 1 and not all(one[2] for one in lines):
            yield "--"
        sign = ":" if is_match else "-"
        yield f"{found['file']}{sign}{number}{sign} {text}"
        before = number


def _notes(pattern: str, why: str, found: Answer, listing: Listing, seconds: float) -> list[str]:
    """Return what must be said below the matches: nothing found, more than shown, what was left out, taken literally."""
    said = []
    shown = sum(is_match for one in found.shown for _, _, is_match in one["lines"])
    if found.stopped:
        left = f"; {found.done} of {listing.files} files searched"
        return [f"stopped after {seconds:g} s: the pattern is too slow or the folder too large{left}"]
    if why:
        said.append(f"not a valid regular expression ({why}), so taken literally")
    if not found.matches:
        said.insert(0, f"no match for {pattern!r} in {found.searched} files")
        if listing.ignored:
            said.append("what .gitignore names was not searched; give its path to search it")
    elif shown < found.matches:
        about = "about " if found.about else ""
        said.append(f"{shown} of {about}{found.matches} matches in {about}{found.files} files shown; narrow the search")
    if found.any_case and found.matches:
        said.append("upper and lower case ignored, as nothing matched exactly")
    if found.late:
        named = ", ".join(found.late[:3]) + (f" and {len(found.late) - 3} more files" if len(found.late) > 3 else "")
        said.append(f"left out, as the pattern takes too long there: {named}")
    if listing.cut:
        said.append(f"only the first {listing.files} files were searched; give a folder or a glob")
    return said
