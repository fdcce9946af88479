"""Tool calls that a small model wrote into its text instead of making them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foundry.messages import ToolCall, ToolSpec
from foundry.models.history import tool_ids

_START = re.compile(r"(?:^[ \t]*(?=[\[{])|(?=```|<tool_call>))", re.MULTILINE)
_NAMES = ("name", "tool", "tool_name", "function")
_ARGUMENTS = ("arguments", "parameters", "args", "input")
_WRAPPING = re.compile(r"(```[\w-]*\s*|<tool_call>\s*)$")
MAX_CALLS = 4


def held_back(text: str) -> int:
    """Return from where in `text` on it could still turn out to be a call, so that it is not shown yet; len(text) for nowhere."""
    found = _START.search(text)
    if found:
        return found.end()
    for mark in ("``", "`", *("<tool_call>"[:n] for n in range(10, 0, -1))):
        if text.endswith(mark):
            return len(text) - len(mark)
    return len(text)


def recover(text: str, tools: Sequence[ToolSpec]) -> tuple[str, tuple[ToolCall, ...]]:
    """Return the text before the calls it held, and those calls; only calls of an offered tool count, at most four.

    Arguments the tool does not have are dropped, and so is what follows the first call: it is a result the model made up. Without
    a call the text comes back as it was.
    """
    ids, specs = tool_ids(tools), {spec.id: spec for spec in tools}
    calls: list[ToolCall] = []
    before = text
    for start, value in _values(text):
        found = [call for one in (value if isinstance(value, list) else [value]) if (call := _call(one, ids, specs))]
        if found and not calls:
            before = text[:start].rstrip()
        calls.extend(found)
    return before, tuple(calls[:MAX_CALLS])


def fitting(arguments: str, spec: ToolSpec) -> str:
    """Return the arguments as JSON text without those that the tool does not have; text that is no object is left alone."""
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    if not isinstance(given, dict):
        return arguments
    known = spec.schema.get("properties")
    if not isinstance(known, Mapping) or spec.schema.get("additionalProperties"):
        return arguments or "{}"
    if set(given) <= set(known):
        return arguments or "{}"
    return json.dumps({key: value for key, value in given.items() if key in known}, ensure_ascii=False)


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """Each JSON object or list in the text that starts a line or a fence, with where it starts, wrapping included."""
    decoder, at = json.JSONDecoder(), 0
    for found in re.finditer(r"[\[{]", text):
        start = found.start()
        if start < at or not re.search(r"(^|\n|```[\w-]*|<tool_call>)\s*$", text[max(0, start - 40) : start]):
            continue
        try:
            value, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        wrapped = _WRAPPING.search(text, max(0, start - 40), start)
        yield (wrapped.start() if wrapped else start), value


def _call(value: Any, ids: Mapping[str, str], specs: Mapping[str, ToolSpec]) -> ToolCall | None:
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("function"), Mapping):
        value = value["function"]
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), "")
    if name not in ids:
        return None
    given: Any = next((value[key] for key in _ARGUMENTS if key in value), {})
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return None
    if not isinstance(given, Mapping):
        return None
    spec = specs[ids[name]]
    return ToolCall("", spec.id, fitting(json.dumps(given, ensure_ascii=False), spec))
