"""What is asked again after a failure, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from foundry.errors import ProviderError
from foundry.messages import Answered, Retrying, TextDelta
from foundry.models.model import Model
from foundry.models.retry import ask, wait
from tests.model_server import Server, model_server
from tests.models.asking import HELLO, chat, said, with_model

SOON = {"status": 429, "retry_after": 0.01, "message": "slow down"}


def asked_with_retries(server: Server, retries: int, **options: Any) -> list[Any]:
    async def play(model: Model) -> list[Any]:
        return [piece async for piece in ask(model, HELLO, (), retries)]

    return with_model(chat(server.url, **options), play)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failure_that_passes_is_told_and_asked_again(status: int) -> None:
    with model_server([{"error": {**SOON, "status": status}}] * 2 + [{"text": "at last"}]) as server:
        pieces = asked_with_retries(server, 3)

    assert [(one.attempt, one.wait) for one in pieces if isinstance(one, Retrying)] == [(1, 0.01), (2, 0.01)]
    assert said(pieces) == "at last"
    assert len(server.bodies) == 3
    assert server.bodies[0] == server.bodies[2]


def test_a_failure_that_stays_is_raised_after_the_last_try() -> None:
    with model_server([{"error": SOON}], loop=True) as server, pytest.raises(ProviderError) as caught:
        asked_with_retries(server, 2)

    assert caught.value.fault == "rate"
    assert len(server.bodies) == 3


@pytest.mark.parametrize(("status", "message"), [(401, "key"), (400, "bad"), (400, "maximum context length"), (404, "no model")])
def test_a_failure_that_would_only_come_again_is_raised_at_once(status: int, message: str) -> None:
    with model_server([{"error": {"status": status, "message": message}}], loop=True) as server, pytest.raises(ProviderError):
        asked_with_retries(server, 3)

    assert len(server.bodies) == 1


def test_nothing_is_asked_again_after_text_was_shown() -> None:
    with model_server([{"text": "shown, then cut", "chunk": 5, "cut": 420}], loop=True) as server, pytest.raises(ProviderError):
        asked_with_retries(server, 3)

    assert len(server.bodies) == 1


def test_a_cut_before_anything_was_shown_is_asked_again() -> None:
    with model_server([{"text": "lost", "cut": 20}, {"text": "found"}]) as server:
        pieces = asked_with_retries(server, 1)

    assert [type(one) for one in pieces] == [Retrying, TextDelta, Answered]


def test_a_wait_of_more_than_a_minute_is_not_waited() -> None:
    with model_server([{"error": {**SOON, "retry_after": 3600}}]) as server, pytest.raises(ProviderError) as caught:
        asked_with_retries(server, 3)

    assert caught.value.retry_after == 3600


def test_waits_double_and_stay_short() -> None:
    error = ProviderError("x", fault="server")

    assert 0.3 < wait(error, 1) < 0.7
    assert 1.4 < wait(error, 3) < 2.6
    assert wait(error, 50) < 20
