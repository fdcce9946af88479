"""What /reload takes up is what was shown: nothing changed after it, and nothing accepted that nobody saw."""

from __future__ import annotations

import json

import pytest

from foundry.agent.folder import AgentFolder
from foundry.agent.history import History
from foundry.agent.standing import standing_of
from tests.edit.test_play import Plays, agent, left, play

__all__ = ["agent", "play"]
pytestmark = pytest.mark.slow
HELLO = '''from foundry.plugins.api import effects, kernel_function


class Hello:
    @kernel_function
    @effects()
    def greet(self) -> str:
        """Greet."""
        return "good day"
'''


def with_plugin(agent: AgentFolder) -> None:
    (agent.plugins / "hello").mkdir(parents=True)
    (agent.plugins / "hello" / "__init__.py").write_text(HELLO)
    (agent.plugins / "hello" / "words.py").write_text("WORD = 'quiet'\n")
    agent.config.write_text(json.dumps({**json.loads(agent.config.read_text()), "plugins": ["hello"]}))


def test_what_changes_while_it_is_shown_is_not_taken_up(agent: AgentFolder, play: Plays) -> None:
    one = play({"text": "hi"}, words=())
    one.line("/tools")
    one.until("clock.now")
    with_plugin(agent)
    one.line("/reload")
    one.until("Take this up?")
    (agent.plugins / "hello" / "words.py").write_text("WORD = 'unseen'\n")
    one.line("y")
    one.until("changed after they were shown")
    assert left(one) == 0
    assert [version.kind for version in History(agent).versions()] == ["made"]
    assert standing_of(agent).accepted == {}


def test_the_rest_of_a_plugin_that_nobody_accepted_is_shown_and_no_other_is_accepted(agent: AgentFolder, play: Plays) -> None:
    with_plugin(agent)
    other = agent.plugins / "other"
    other.mkdir()
    (other / "__init__.py").write_text(HELLO.replace("Hello", "Other"))
    agent.config.write_text(json.dumps({**json.loads(agent.config.read_text()), "plugins": ["hello", "other"]}))
    one = play({"text": "hi"}, words=())
    one.line("/tools")
    one.until("hello.greet")
    (agent.plugins / "hello" / "__init__.py").write_text(HELLO.replace("good day", "good night"))
    one.line("/reload")
    shown = one.until("Take this up?")
    assert "nobody accepted them yet" in shown
    assert "WORD = 'quiet'" in shown
    one.line("y")
    one.until("is version 2 now")
    assert left(one) == 0
    assert set(standing_of(agent).accepted) == {"hello"}
