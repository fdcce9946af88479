"""A stream that ends at any byte: a clear fault or the whole answer, never a part of a call, and the next request is valid."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from foundry.errors import ProviderError
from foundry.messages import Answered
from foundry.models.model import Model
from foundry.models.scripted import script
from tests.model_server import events, model_server
from tests.models.asking import HELLO, TOOLS, chat, pieces, said, with_model

TEXT: dict[str, Any] = {"text": "Grüße 🌍 aus der Ferne.", "chunk": 5}
CALLS: dict[str, Any] = {
    "text": "Both:",
    "calls": [{"name": "calc.add", "arguments": {"a": 1, "b": 2}}, {"name": "files.read", "arguments": {"path": "ä.txt"}}],
    "chunk": 6,
}
ASKED = {"model": "scripted", "stream_options": {"include_usage": True}}
WHOLE = {"text": [], "calls": [("calc.add", '{"a": 1, "b": 2}'), ("files.read", '{"path": "ä.txt"}')]}


def length(step: dict[str, Any]) -> int:
    return len(b"".join(events(script({"steps": [step]}).steps[0], ASKED)))


async def cut_at_each(model: Model, places: range, kind: str, step: dict[str, Any]) -> Counter[str]:
    """Ask once per place; return how often each outcome came."""
    outcomes = Counter[str]()
    for _ in places:
        got: list[Any] = []
        try:
            async for piece in model.stream(HELLO, TOOLS):
                got.append(piece)
        except ProviderError as error:
            outcomes[error.fault] += 1
        if not got or not isinstance(got[-1], Answered):
            assert step["text"].startswith(said(got))
            continue
        done = got[-1]
        assert [(call.name, call.arguments) for call in done.message.calls] == WHOLE[kind]
        assert done.message.content == step["text"] == said(got)
        outcomes["whole"] += 1
    return outcomes


def cut_everywhere(kind: str, step: dict[str, Any], stride: int, clean: bool) -> None:
    places = range(0, length(step), stride)
    with model_server([{**step, "cut": place} for place in places], clean_cut=clean) as server:

        async def play(model: Model) -> None:
            outcomes = await cut_at_each(model, places, kind, step)
            assert outcomes.keys() == {"cut", "whole"}
            assert outcomes.total() == len(places)
            server.play({"text": "valid"})
            assert said(await pieces(model)) == "valid"

        with_model(chat(server.url), play)


@pytest.mark.parametrize("clean", [False, True], ids=["dropped", "ended"])
@pytest.mark.parametrize(("kind", "step"), [("text", TEXT), ("calls", CALLS)])
def test_a_stream_cut_here_and_there(kind: str, step: dict[str, Any], clean: bool) -> None:
    cut_everywhere(kind, step, 23, clean)


@pytest.mark.prove
@pytest.mark.parametrize("clean", [False, True], ids=["dropped", "ended"])
@pytest.mark.parametrize(("kind", "step"), [("text", TEXT), ("calls", CALLS)])
def test_a_stream_cut_at_every_byte(kind: str, step: dict[str, Any], clean: bool) -> None:
    cut_everywhere(kind, step, 1, clean)
