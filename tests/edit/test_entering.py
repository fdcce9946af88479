"""Edit mode is on from its first request to /run, whatever else was typed, and another model takes it up as it is."""

from __future__ import annotations

import pytest

from tests.edit.test_play import ASKS, BUILD, Plays, agent, left, play

__all__ = ["agent", "play"]
pytestmark = pytest.mark.slow


def test_a_command_typed_first_does_not_keep_edit_mode_off(play: Plays) -> None:
    one = play(*BUILD, {"text": "It said: {result}"})
    one.line("/history")
    one.until("made")
    one.line("go")
    one.until(ASKS, patience=40)
    one.line("n")
    one.until("It said: Not accepted")
    assert left(one) == 0


def test_edit_mode_that_was_left_stays_so_with_another_model(play: Plays) -> None:
    one = play(BUILD[0], {"text": "It said: {result}"})
    one.line("/edit")
    one.until("Edit mode: say")
    one.line("/run")
    one.until("Edit mode is left")
    one.line("/model scripted:script.json")
    one.until("a window of")
    one.line("go")
    assert "no tool" in one.until("It said:")
    assert left(one) == 0
