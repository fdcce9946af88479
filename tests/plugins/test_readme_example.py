"""The plugin that README teaches is one: it loads, its bounds are checked, its errors reach the model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import Workshop

README = Path(__file__).parents[2] / "README.md"


def example() -> str:
    found = re.search(r"<!-- example: plugins/dice/__init__\.py -->\n```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


def test_it_is_loaded_and_throws(workshop: Workshop) -> None:
    workshop.plugin("dice", example())

    assert workshop.load("dice") == ["dice.throw"]
    assert workshop.notices == []
    thrown = json.loads(workshop.call("dice.throw", count="3", sides=6))
    assert len(thrown) == 3
    assert set(thrown) <= set(range(1, 7))


@pytest.mark.parametrize(
    ("given", "told"), [({"count": 99}, "count"), ({"sides": 1}, "at least 2 sides"), ({"size": 3}, "sides")]
)
def test_what_it_cannot_do_is_told_to_the_model(workshop: Workshop, given: dict[str, int], told: str) -> None:
    workshop.plugin("dice", example())
    workshop.load("dice")

    answer = workshop.call("dice.throw", **given)

    assert answer.startswith("error: ")
    assert told in answer
