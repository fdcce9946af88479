"""A small model that says the same over and over is stopped, and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.messages import Notice, ToolSpec
from foundry.models.answer import Answer
from tests.model_server import model_server
from tests.models.asking import TOOLS, answer, asked, chat, said

LINE = "- `.github/ISSUE_TEMPLATE/whats-not-working.md`\n"
KINDS = "".join(f"- `tests/models/test_{name}.py`: what {name} does\n" for name in ("answer", "faults", "retry", "history"))
TABLE = "| file | lines |\n|------|-------|\n" + "".join(f"| `foundry/{at}.py` | {at * 7} |\n" for at in range(40))


@pytest.mark.parametrize("tools", [TOOLS, ()])
def test_a_loop_of_a_small_model_is_cut_and_said(tools: Sequence[ToolSpec]) -> None:
    with model_server([{"text": "The files:\n" + LINE * 400, "chunk": 4}, {"text": "next"}]) as server:
        small = chat(server.url, tier="small")
        yielded = asked(small, tools=tools)
        done = answer(yielded)

    assert done.truncated
    assert done.message.content == said(yielded)
    assert 3 < done.message.content.count(LINE.strip()) < 9
    assert [piece.text for piece in yielded if isinstance(piece, Notice)] == [
        "The model began to say the same over and over, so it was stopped."
    ]


def test_a_large_model_is_let_speak() -> None:
    with model_server([{"text": LINE * 40, "chunk": 40}]) as server:
        done = answer(asked(chat(server.url)))

    assert not done.truncated
    assert done.message.content == LINE * 40


@pytest.mark.parametrize("text", [KINDS * 2, TABLE, "-" * 100, "0, " * 50, LINE * 3, "", "x", "a b " * 30])
def test_what_only_looks_alike_is_let_through(text: str) -> None:
    assert not any(Answer(texts=[text[:end]]).repeats for end in range(len(text) + 1))


@given(st.text(max_size=300), st.text(min_size=1, max_size=160))
def test_any_period_is_found_however_it_begins(before: str, period: str) -> None:
    assert Answer(texts=[before, period * (640 // len(period) + 1)]).repeats


@given(st.lists(st.integers(0, 10**6), min_size=60, max_size=60, unique=True))
def test_lines_that_differ_are_no_loop(numbers: list[int]) -> None:
    assert not Answer(texts=[f"- file {number}\n" for number in numbers]).repeats
