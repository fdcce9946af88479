"""What a tool returned, as the text a model reads: text as it is, all else as JSON, never longer than the limit."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from foundry.plugins.api import ToolError

_NOTHING = "(nothing)"


def as_text(value: Any, limit: int) -> str:
    """Return `value` as text of at most `limit` characters. Raises ToolError for what has no text form."""
    return cut(_encodable(_whole(value)), limit)


def cut(text: str, limit: int) -> str:
    """Return `text`, or its beginning and how much is missing."""
    if len(text) <= limit:
        return text
    note = "\n… cut: {} of " + f"{len(text)} characters shown; ask for a smaller part"
    shown = max(limit - len(note.format(len(text))), 0)
    return text[:shown] + note.format(shown)


def fitting(lines: Iterable[str], room: int) -> list[str]:
    """Return the first lines that, one below the other, take at most `room` characters."""
    taken: list[str] = []
    for line in lines:
        room -= len(line) + bool(taken)
        if room < 0:
            break
        taken.append(line)
    return taken


def told(error: Exception, limit: int) -> str:
    """Return what a tool says went wrong as text of at most `limit` characters; a name that is no UTF-8 may stand in it."""
    return cut(_encodable(str(error) or "The tool failed."), limit)


def failure(error: BaseException) -> str:
    """Return an exception as one line, "type: text"."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    name = type(error).__name__
    return _encodable(cut(f"{name}: {text}" if text else name, 500))


def _whole(value: Any) -> str:
    if value is None or value == "":
        return _NOTHING
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes of binary data, not shown)"
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise ToolError("The tool returned a generator; a tool returns text or data.")
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    from pydantic_core import PydanticSerializationError, to_json

    unknown: list[str] = []

    def refuse(part: Any) -> Any:
        unknown.append(type(part).__name__)
        raise TypeError

    try:
        return to_json(value, inf_nan_mode="strings", bytes_mode="base64", fallback=refuse).decode()
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        if unknown:
            raise ToolError(f"The tool returned a {unknown[0]}, which is neither text nor data.") from None
        raise ToolError(f"The tool's result cannot be shown as JSON: {failure(error)}") from None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
