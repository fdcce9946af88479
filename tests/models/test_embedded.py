"""The embedded model itself: real engine, real weights, our template; it reads, calls a tool and answers from the result."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from foundry.console import Silent
from foundry.errors import FoundryError
from foundry.messages import Answered, Message, PromptProgress, TextDelta, ToolSpec
from foundry.models import local, weights
from foundry.models.catalog import Choice, connect
from foundry.models.local import LocalAddress
from foundry.models.model import Piece
from foundry.models.weights_table import MODELS
from foundry.settings import Settings, load_settings
from tests.conftest import REAL_HOME

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

WEATHER = ToolSpec(
    "weather.look_up",
    "Weather of a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "default": 1},
            "unit": {"enum": ["celsius", "fahrenheit"], "type": "string", "default": "celsius"},
        },
        "required": ["city"],
    },
)
BASKET = ToolSpec(
    "shop.order",
    "Order things.",
    {
        "type": "object",
        "properties": {"items": {"type": "array", "items": {"type": "string"}}, "note": {"type": "string", "default": ""}},
        "required": ["items"],
    },
)
SYSTEM = Message("system", f"You are a helpful assistant.\n{local.SMALL_TIER_GUIDANCE}")


def settings() -> Settings:
    return load_settings(None, {}).over("flag", {"local_model": "coder-1.5b"})


@pytest.fixture
def real_weights() -> Path:
    """The weights of this user's real cache, downloaded there when they are missing."""
    wanted = MODELS["coder-1.5b"]
    kept = REAL_HOME / ".cache" / "agent-foundry" / "models" / wanted.file
    here = weights.folder() / wanted.file
    if not kept.exists():
        fetched = weights.fetch(wanted, settings(), Silent(), None)
        kept.parent.mkdir(parents=True, exist_ok=True)
        fetched.replace(kept)
    here.symlink_to(kept)
    return here


@pytest.fixture
def address(real_weights: Path) -> Iterator[LocalAddress]:
    found = local.ensure(settings(), Silent(), None)
    yield found
    found.release()
    local.stop()


def pieces(address: LocalAddress, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[Piece]:
    async def gather() -> list[Piece]:
        model = connect(Choice(f"local:{address.model}", ""), {}, settings(), address)
        try:
            return [piece async for piece in model.stream(messages, tools)]
        finally:
            await model.close()

    return asyncio.run(gather())


def last(found: list[Piece]) -> Answered:
    answered = found[-1]
    assert isinstance(answered, Answered)
    return answered


def test_it_calls_a_tool_invents_no_arguments_and_answers_from_the_result(address: LocalAddress) -> None:
    history = [SYSTEM, Message("user", "What is the weather in Lisbon?")]

    asked = last(pieces(address, history, [WEATHER])).message
    (call,) = asked.calls
    result = Message("tool", "Hail, 4 degrees", call_id=call.id, name=call.name)
    found = pieces(address, [*history, asked, result], [WEATHER])

    assert call.name == "weather.look_up"
    assert {"days": 1, "unit": "celsius", **json.loads(call.arguments)} == {"city": "Lisbon", "days": 1, "unit": "celsius"}
    assert "hail" in last(found).message.content.lower()
    assert "".join(piece.text for piece in found if isinstance(piece, TextDelta)) == last(found).message.content


def test_a_parameter_may_be_a_list_and_have_a_name_that_templates_know(address: LocalAddress) -> None:
    history = [SYSTEM, Message("user", "Order apples and pears for me.")]

    (call,) = last(pieces(address, history, [BASKET])).message.calls

    assert sorted(json.loads(call.arguments)["items"]) == ["apples", "pears"]


def test_a_greeting_calls_no_tool(address: LocalAddress) -> None:
    answered = last(pieces(address, [SYSTEM, Message("user", "hi")], [WEATHER]))

    assert answered.message.calls == ()
    assert answered.message.content
    assert not answered.usage.estimated


def test_reading_a_long_prompt_is_told_and_a_known_beginning_is_not_read_again(address: LocalAddress) -> None:
    history = [SYSTEM, Message("user", "Say only yes. " + "The tide is late again today. " * 60)]

    first = [piece for piece in pieces(address, history, []) if isinstance(piece, PromptProgress)]
    second = pieces(address, [*history, Message("assistant", "yes"), Message("user", "Again.")], [])

    assert len(first) > 3
    assert [one.done for one in first] == sorted(one.done for one in first)
    assert first[-1].done == first[-1].total > 400
    assert len([piece for piece in second if isinstance(piece, PromptProgress)]) < len(first)


def test_nobody_without_the_key_is_answered(address: LocalAddress) -> None:
    for path in ("/v1/models", "/props", "/slots", "/v1/chat/completions"):
        request = urllib.request.Request(address.url.removesuffix("/v1") + path, headers={"Authorization": "Bearer wrong"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        with caught.value as refusal:
            assert refusal.code in (401, 404)


def test_weights_that_are_none_fail_with_the_reason(real_weights: Path) -> None:
    real_weights.unlink()
    with real_weights.open("wb") as file:
        file.truncate(MODELS["coder-1.5b"].size)

    with pytest.raises(FoundryError, match=r"did not start: .*[Ff]ailed"):
        local.ensure(settings(), Silent(), None)


def test_the_engine_ends_on_stop(address: LocalAddress) -> None:
    (running,) = local.status()
    assert running.model == "coder-1.5b"

    assert local.stop() == ["coder-1.5b"]

    assert local.status() == []
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address.url, timeout=5)
