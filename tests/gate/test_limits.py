"""Limits of a turn and of a run: each is met before the next use, ends cleanly and keeps what there is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from foundry.messages import Notice
from tests.gate.conftest import Gates, call

READ = [call("w.reads", path=f"{number}.txt") for number in range(6)]


@pytest.mark.parametrize(
    ("limits", "done", "setting"),
    [
        ({"rounds": 2}, 2, "max_rounds"),
        ({"calls": 3}, 3, "max_calls"),
        ({"run_rounds": 2}, 2, "run_max_rounds"),
        ({"run_calls": 3}, 3, "run_max_calls"),
        ({"tokens": 1}, 0, "max_tokens"),
        ({"run_tokens": 1}, 0, "run_max_tokens"),
    ],
)
def test_each_limit_ends_the_turn_cleanly(gate: Gates, limits: dict[str, Any], done: int, setting: str) -> None:
    one = gate(*READ, **limits)
    assert len(one.play("a long question, so that it costs something")) == done
    assert one.end.stop == "limit"
    assert any(setting in notice.text for notice in one.room.of(Notice))
    if setting.startswith("run_max") and setting != "run_max_calls":
        before = len(one.world.done)
        assert one.room.say("more").stop == "limit"
        assert len(one.world.done) == before


def test_a_limit_of_tokens_keeps_what_was_said_beside_the_call(gate: Gates) -> None:
    one = gate(steps=[{"text": "Half an answer.", "calls": [READ[0]]}], tokens=1)
    one.play("a long question, so that it costs something")
    assert (one.end.stop, one.end.answer) == ("limit", "Half an answer.")


def test_no_limit_is_zero(gate: Gates) -> None:
    one = gate(*READ, calls=0)
    assert len(one.play()) == 6
    assert one.end.stop == "done"


def test_the_time_of_a_run_is_that_of_its_turns(gate: Gates) -> None:
    one = gate(steps=[{"text": "slow", "delay": 0.15}, {"text": "never", "delay": 9}, {"text": "never"}], run_timeout=1.5)
    assert one.room.say("a").stop == "done"
    time.sleep(1.4)  # the person thinks
    began = time.monotonic()
    assert one.room.say("b").stop == "limit"
    assert 1 < time.monotonic() - began < 5
    assert one.room.say("c").stop == "limit"
    assert any("run_timeout" in notice.text for notice in one.room.of(Notice))
