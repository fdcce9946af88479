"""What an accept puts in place and lets count: exactly what was shown, and nothing where that is not there any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.agent.folder import AgentFolder
from foundry.agent.history import History, code_of
from foundry.agent.lock import hold_shared
from foundry.agent.record import AgentRecord, now, save_record
from foundry.agent.standing import standing_of
from foundry.errors import FoundryError
from foundry.plugins.cards import plugin_code_hash
from foundry.session.edit.accept import accept, accept_plugins
from foundry.session.edit.proposal import Proposal, Verdict
from tests.edit.conftest import GREETER, Bench, made_agent
from tests.edit.test_proposal import screen

PLUGIN = "plugins/greeter/__init__.py"
BESIDE = "plugins/greeter/words.py"


@pytest.fixture
def agent(home: Path) -> AgentFolder:
    made = made_agent(home)
    save_record(made, AgentRecord("plain", "3.11", "0.1.0", "", created=now()))
    (made.path / BESIDE).write_text("WORD = 'Hello'\n")
    return made


@pytest.fixture
def proposal(bench: Bench) -> Proposal:
    """A change of one of the plugin's two files."""
    bench.call("edit_file", path=PLUGIN, old="Hello", new="Good day")
    bench.call("propose", summary="Politer")
    return bench.shown[0]


def accepted(agent: AgentFolder) -> bool:
    return standing_of(agent).accepts("greeter", plugin_code_hash(agent.plugins / "greeter"))


def test_what_was_shown_is_put_in_place_and_counts(agent: AgentFolder, proposal: Proposal) -> None:
    with hold_shared(agent, "run") as held:
        done = accept(agent, held, proposal)

    assert (agent.path / PLUGIN).read_text() == GREETER.replace("Hello", "Good day")
    assert done.version.number == History(agent).head() == 2
    assert accepted(agent)


@pytest.mark.parametrize("file", [PLUGIN, BESIDE, "plugins/greeter/new.py"])
def test_a_plugin_that_was_changed_since_it_was_shown_is_not_accepted(agent: AgentFolder, proposal: Proposal, file: str) -> None:
    (agent.path / file).write_text("WORD = 'unseen'\n")
    before = code_of(agent)

    with hold_shared(agent, "run") as held, pytest.raises(FoundryError, match=f"{file} was changed meanwhile") as caught:
        accept(agent, held, proposal)

    assert "/reload" in caught.value.hint
    assert code_of(agent) == before
    assert not accepted(agent)


def test_a_broken_env_file_is_noticed_before_anything_changes(agent: AgentFolder, proposal: Proposal) -> None:
    agent.env_file.unlink()
    agent.env_file.mkdir()
    before = code_of(agent)

    with hold_shared(agent, "run") as held, pytest.raises(FoundryError):
        accept(agent, held, proposal)

    assert code_of(agent) == before


def test_the_rest_of_a_plugin_that_nobody_accepted_is_shown_with_it(agent: AgentFolder, proposal: Proposal) -> None:
    shown = screen(proposal)

    assert "nobody accepted them yet" in shown
    assert "WORD = 'Hello'" in shown


def test_the_rest_of_an_accepted_plugin_is_not_shown_again(agent: AgentFolder, bench: Bench) -> None:
    accept_plugins(agent, ["greeter"])
    bench.call("edit_file", path=PLUGIN, old="Hello", new="Good day")
    bench.call("propose", summary="Politer")

    assert BESIDE not in screen(bench.shown[0])


def test_a_part_whose_tests_fail_without_the_rest_is_shown_anew(bench: Bench) -> None:
    bench.call("edit_file", path=PLUGIN, old="Hello", new="Good day")
    test = "from foundry_plugins.greeter import Greeter\n\n\ndef test_it():\n    assert Greeter().greet('x') == 'Good day x'\n"
    bench.call("write_file", path="plugins/greeter/tests/test_greeter.py", content=test)
    bench.answers = [Verdict("accept", ("plugins/greeter/tests/test_greeter.py",)), "n"]

    told = bench.call("propose", summary="Politer")

    assert [bool(one.failed) for one in bench.shown] == [False, True]
    assert told.startswith("Not accepted")
