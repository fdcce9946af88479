"""Every event survives the trip through JSON, and what is no event is refused."""

from __future__ import annotations

import json
import types
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.messages import EVENTS, Event, Usage, from_json, to_json

unhurried = settings(deadline=None)


def made(cls: Any) -> st.SearchStrategy[Any]:
    """Values of any type that a field of an event has, drawn from its annotation, so that a new event is tested too."""
    if cls is str:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    if cls is bool:
        return st.booleans()
    if cls is int:
        return st.integers()
    if cls is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    origin, inner = typing.get_origin(cls), typing.get_args(cls)
    if origin is typing.Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(made(inner[0]), max_size=3).map(tuple)
    if origin is types.UnionType:
        return st.one_of(*[made(one) for one in inner])
    if cls is type(None):
        return st.none()
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{name: made(hint) for name, hint in hints.items()})


@unhurried
@given(st.one_of(*[made(cls) for cls in EVENTS.values()]))
def test_an_event_reads_back_from_its_json_line(event: Event) -> None:
    line = json.dumps(to_json(event), ensure_ascii=False)

    assert "\n" not in line
    assert json.loads(line)["event"] == type(event).__name__
    assert from_json(json.loads(line)) == event


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"event": "Nothing"},
        {"event": "TextDelta"},
        {"event": "TextDelta", "text": 5},
        {"event": "TextDelta", "text": "x", "more": 1},
        {"event": "PromptProgress", "done": True, "total": 1},
        {"event": "TurnEnded", "stop": "tired", "answer": "", "usage": {"input": 1, "output": 1}, "rounds": 1},
        {"event": "ToolRequested", "call": {"id": "1", "name": "a.b"}},
        {"event": "ToolRequested", "call": "x"},
    ],
)
def test_what_is_no_event_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(data)


@unhurried
@given(
    st.dictionaries(st.sampled_from(["event", "text", "call", "stop", "usage"]), st.text(max_size=5) | st.integers(), max_size=4)
)
def test_any_object_is_an_event_or_refused_in_one_of_three_ways(data: dict[str, Any]) -> None:
    try:
        event = from_json(data)
    except (KeyError, TypeError, ValueError):
        return
    assert to_json(event) == data


def test_usage_adds_up_and_an_estimate_stays_one() -> None:
    assert Usage(1, 2) + Usage(3, 4, estimated=True) == Usage(4, 6, True)
    assert sum([Usage(1, 1), Usage(2, 2)], Usage()) == Usage(3, 3)
