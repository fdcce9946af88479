"""A history that providers accept, whatever happened to it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from foundry.messages import Message, ToolCall
from foundry.models.history import repaired, tool_ids, wire_name
from tests.models.asking import ADD, READ

IDS = st.sampled_from(["c1", "c2", "c3"])
MESSAGES = st.one_of(
    st.builds(Message, st.just("user"), st.text(max_size=5)),
    st.builds(Message, st.just("tool"), st.text(max_size=5), call_id=IDS),
    st.builds(
        Message,
        st.just("assistant"),
        st.text(max_size=5),
        st.lists(IDS, max_size=3, unique=True).map(lambda ids: tuple(ToolCall(one, "calc.add", "{}") for one in ids)),
    ),
)


@given(st.lists(MESSAGES, max_size=12))
def test_every_call_is_answered_once_right_after_it(messages: list[Message]) -> None:
    mended = repaired(messages)

    waiting: list[str] = []
    for message in mended:
        if message.role == "tool":
            assert message.call_id == waiting.pop(0)
        else:
            assert not waiting
            waiting = [call.id for call in message.calls]
    assert not waiting
    assert [one for one in mended if one.role != "tool"] == [one for one in messages if one.role != "tool"]


@given(st.lists(MESSAGES, max_size=12))
def test_a_mended_history_stays_as_it_is(messages: list[Message]) -> None:
    assert repaired(repaired(messages)) == repaired(messages)


@given(st.text(max_size=80))
def test_any_name_is_fit_for_the_wire(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", wire_name(name))


def test_a_tool_is_known_by_its_names() -> None:
    ids = tool_ids([ADD, READ])

    assert {ids["calc.add"], ids["calc-add"], ids["add"]} == {"calc.add"}
