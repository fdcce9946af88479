"""The embedded model that ends in the middle of a session."""

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


def at(url: str) -> Model:
    return KernelChat(ModelInfo("local:tiny", 8_000), Door("local:tiny", url))


def gone() -> str:
    with model_server([{"text": "x"}]) as server:
        return server.url


def talk(again: Callable[[], Model], *lines: str) -> list[Event]:
    """Say the lines to a model that has gone, and return what happens."""

    async def play() -> list[Event]:
        model = Revived(at(gone()), again)
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
        events = talk(lambda: at(server.url), "one", "two")

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

    failed = [event for event in talk(again, "one") if isinstance(event, Failed)]

    assert len(failed) == 1
    assert "foundry model" in failed[0].hint
