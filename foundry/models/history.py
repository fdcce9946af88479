"""The history as a provider takes it: names for the wire, every call answered once, arguments that parse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from foundry.messages import Message, ToolCall, ToolSpec

NOT_RUN = "Not run: the turn was interrupted."


def wire_name(tool: str) -> str:
    """Return a tool's id as providers allow it: `plugin.function` becomes `plugin-function`, at most 64 of their characters."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", tool.replace(".", "-", 1))[:64] or "unknown"


def tool_ids(tools: Iterable[ToolSpec]) -> dict[str, str]:
    """Return the offered tools' ids by every name a model may use: wire name, id, and function alone where unique."""
    specs = list(tools)
    alone: dict[str, list[str]] = {}
    for spec in specs:
        alone.setdefault(spec.id.partition(".")[2], []).append(spec.id)
    names = {function: ids[0] for function, ids in alone.items() if function and len(ids) == 1}
    for spec in specs:
        names |= {spec.id: spec.id, wire_name(spec.id): spec.id}
    return names


def repaired(messages: Sequence[Message]) -> list[Message]:
    """Return a history every provider accepts: each call followed by exactly one result, no result without its call.

    A turn that was interrupted between a call and its result otherwise makes every later request a 400.
    """
    return list(_repaired(messages))


def _repaired(messages: Sequence[Message]) -> Iterator[Message]:
    at = 0
    while at < len(messages):
        message = messages[at]
        at += 1
        if message.role == "tool":
            continue
        yield message
        if not message.calls:
            continue
        results: dict[str, Message] = {}
        while at < len(messages) and messages[at].role == "tool":
            results.setdefault(messages[at].call_id, messages[at])
            at += 1
        for call in message.calls:
            yield results.get(call.id) or Message("tool", NOT_RUN, call_id=call.id, name=call.name)


def fresh_ids(calls: Sequence[ToolCall], taken: Iterable[str]) -> tuple[ToolCall, ...]:
    """Return the calls with ids that nothing else in the conversation has; good ones are kept."""
    import secrets

    seen = set(taken)
    done = []
    for call in calls:
        given = call.id
        while not given or given in seen:
            given = f"call_{secrets.token_hex(6)}"
        seen.add(given)
        done.append(call if given == call.id else replace(call, id=given))
    return tuple(done)


def sendable(arguments: str) -> str:
    """Return a call's arguments as a provider takes them back: the text if it is a JSON object, else an empty object."""
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"
