"""What a person sees of a call before it is decided: all of it, exact, what is short and weighs most first."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

from foundry.console import Block, Diff, Facts, spelled
from foundry.diff import told
from foundry.plugins.api import Preview
from foundry.session.approvals import Question
from foundry.text import named, written_out

_LONG_LINES, _LONG = 8, 600  # what is longer stands below what is short
_ABOVE = "as shown with the file"


def blocks(question: Question) -> list[Block]:
    """Return what the call would do: what it is, the facts and arguments, why it asks, what an always covers, the diffs."""
    preview = question.preview
    pairs = [
        ("does", spelled(preview.summary)),
        *_facts(preview),
        *((spelled(name), shown) for name, shown in _arguments(question)),
        *(("careful", text) for text in _careful(question)),
        ("why", spelled(question.why)),
        ("a", question.always and f"always in this session: {spelled(question.always)}"),
        ("A", "the same, kept for this agent" if question.always and question.lasting else ""),
    ]
    said = [(name, value) for name, value in pairs if isinstance(value, str) and value]
    short = [pair for pair in said if not _is_long(pair[1])]
    long = [Facts([pair]) for pair in said if _is_long(pair[1])]
    diffs = [Diff(str(change.path), change.before, change.after) for change in preview.changes]
    return [Facts(short), *long, *diffs]


def _is_long(text: str) -> bool:
    return len(text) > _LONG or text.count("\n") >= _LONG_LINES


def _facts(preview: Preview) -> Iterator[tuple[str, str]]:
    changed = {change.path for change in preview.changes}
    yield "command", _literal(preview.command) if preview.command else ""
    yield "in", named(preview.folder)
    yield "network", "\n".join(map(named, preview.hosts))
    yield "to", "\n".join(map(named, preview.recipients))
    yield "paths", "\n".join(named(str(path)) for path in preview.paths if path not in changed)
    if len(preview.changes) > 1:
        yield "files", "\n".join(f"{named(str(one.path))} · {told(Diff('', one.before, one.after))}" for one in preview.changes)


def _arguments(question: Question) -> Iterator[tuple[str, str]]:
    if not question.arguments:
        yield "arguments", "none"
    for name, value in question.arguments.items():
        if isinstance(value, str) and value == question.preview.command:
            continue
        yield f"{name}:", _ABOVE if _is_in_a_file(value, question.preview) else _literal(value)


def _literal(value: Any) -> str:
    """Return a value as it is read: text plainly, in quotes where it would look like something else, the rest as JSON."""
    if not isinstance(value, str):
        nested = isinstance(value, dict | list) and bool(value)
        return spelled(json.dumps(value, ensure_ascii=False, indent=2 if nested else None))
    if value.strip() and not _looks_like_data(value):
        return spelled(value)
    return spelled(json.dumps(value, ensure_ascii=False))


def _looks_like_data(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_in_a_file(value: Any, preview: Preview) -> bool:
    """Return whether a text of several lines is what a file has before or after, so that its diff shows it."""
    if not isinstance(value, str) or "\n" not in value:
        return False
    text = value.replace("\r\n", "\n")
    sides = (side for change in preview.changes for side in (change.before, change.after) if side)
    return any(side.decode("utf-8", "replace").replace("\r\n", "\n") == text for side in sides)


def _careful(question: Question) -> Iterator[str]:
    """Yield what the eye could miss: characters that are not drawn, letters that look like others, text drawn from the right."""
    preview = question.preview
    texts = [*_texts(question.arguments), preview.command, preview.folder, preview.summary, *preview.hosts, *preview.recipients]
    if odd := written_out("\n".join(dict.fromkeys(texts))):
        yield "hidden characters are written out: " + ", ".join(odd)
    exact = [preview.command, *preview.hosts, *preview.recipients, *map(str, preview.paths)]
    letters = sorted({one for text in exact for one in text if one > "\x7f" and unicodedata.category(one)[0] == "L"})
    if letters:
        named = ", ".join(f"{spelled(one)} <U+{ord(one):04X}>" for one in letters[:12])
        more = f" and {len(letters) - 12} more" if len(letters) > 12 else ""
        yield f"not all letters are ASCII: {named}{more}"
    if any(unicodedata.bidirectional(one) in {"R", "AL"} for text in texts for one in text):
        yield "some of it is written from right to left"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
