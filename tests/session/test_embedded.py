"""The embedded model that ends in the middle of a session, or is not there before it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from foundry.agent.secrets import Redactor
from foundry.errors import NotReadyError
from foundry.messages import Event, Failed, Notice, TurnEnded
from foundry.models.faults import Door
from foundry.models.kernel_chat import KernelChat
from foundry.models.model import Model, ModelInfo
from foundry.session.approvals import Approvals
from foundry.session.embedded import Revived
from foundry.session.limits import Limits
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.model_server import model_server

TINY = ModelInfo("local:tiny", 8_000)


def at(url: str) -> Model:
    return KernelChat(TINY, Door("local:tiny", url))


def gone() -> str:
    with model_server([{"text": "x"}]) as server:
        return server.url


def talk(again: Callable[[], Model], *lines: str, there: Model | None = None) -> list[Event]:
    """Say the lines to a model that is `there`, perhaps no more, and return what happens."""

    async def play() -> list[Event]:
        model = Revived(TINY, again, there)
        session = Session(model, Toolbox((), Redactor({})), Approvals("run"), limits=Limits(retries=0))
        events: list[Event] = []
        for line in lines:
            async with aclosing(session.turn(line)) as turn:
                events += [event async for event in turn]
        await model.close()
        return events

    return asyncio.run(play())


def test_it_is_started_again_once_and_that_is_said() -> None:
    with model_server([{"text": "Back: {user}"}], loop=True) as server:
        events = talk(lambda: at(server.url), "one", "two", there=at(gone()))

    assert [event.answer for event in events if isinstance(event, TurnEnded)] == ["Back: one", "Back: two"]
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "The embedded model has stopped; it is started again."
    ]


@pytest.mark.parametrize("fault", [True, False])
def test_where_it_cannot_be_had_again_the_turn_fails_with_what_to_do(fault: bool) -> None:
    def again() -> Model:
        if fault:
            raise NotReadyError("the weights are gone", "foundry model pull local")
        return at(gone())

    failed = [event for event in talk(again, "one", there=at(gone())) if isinstance(event, Failed)]

    assert len(failed) == 1
    assert "foundry model" in failed[0].hint


def test_the_first_request_starts_it_where_it_is_not_there() -> None:
    with model_server([{"text": "Here: {user}"}], loop=True) as server:
        starts = []

        def start() -> Model:
            starts.append(server.url)
            return at(server.url)

        assert not talk(start)
        assert not starts
        events = talk(start, "one", "two")

    assert [event.answer for event in events if isinstance(event, TurnEnded)] == ["Here: one", "Here: two"]
    assert len(starts) == 1
    assert not [event for event in events if isinstance(event, Notice)]
