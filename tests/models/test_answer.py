"""Pieces of calls as different servers send them."""

from __future__ import annotations

import pytest

from foundry.models.answer import Answer

Piece = tuple[int | None, str | None, str | None, str]


def put_together(pieces: list[Piece]) -> list[tuple[str, str]]:
    answer = Answer()
    for piece in pieces:
        answer.add_call(*piece)
    return [(call.name, call.arguments) for call in answer.calls()]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([(0, "a", "f", ""), (0, None, None, '{"x":'), (0, None, None, "1}"), (1, "b", "g", "{}")], id="by index"),
        pytest.param([(0, "a", "f", '{"x":1}'), (0, "b", "g", "{}")], id="one index, new ids"),
        pytest.param([(None, None, "f", '{"x":1}'), (None, None, "g", "{}")], id="neither index nor id"),
        pytest.param([(0, None, "f", '{"x":1}'), (0, None, "g", "{}")], id="one index, no ids"),
        pytest.param([(None, "a", "f", '{"x":'), (None, "b", "g", "{}"), (None, "a", None, "1}")], id="by id, interleaved"),
        pytest.param([(0, "a", "f", '{"x":'), (0, "a", "f", "1}"), (1, "b", "g", "{}")], id="name and id in every piece"),
        pytest.param([(0, "same", "f", '{"x":1}'), (1, "same", "g", "{}")], id="one id for two"),
    ],
)
def test_two_calls_come_out_as_two(pieces: list[Piece]) -> None:
    assert put_together(pieces) == [("f", '{"x":1}'), ("g", "{}")]


def test_fused_calls_of_one_tool_are_taken_apart() -> None:
    assert put_together([(0, "a", "f", '{"x":1}{"x":2} {"x":3}')]) == [("f", '{"x":1}'), ("f", '{"x":2}'), ("f", '{"x":3}')]


@pytest.mark.parametrize("arguments", ["", "{bad", '{"x":1}junk', "[1][2]"])
def test_other_arguments_stay_as_they_are(arguments: str) -> None:
    assert put_together([(0, "a", "f", arguments)]) == [("f", arguments)]
