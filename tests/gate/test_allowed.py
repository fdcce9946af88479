"""What was always allowed to reach the network holds until the run could carry something away: then it is asked anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent.definition import ApprovalRule
from foundry.agent.policy import Action
from foundry.agent.standing import Grant
from foundry.messages import ToolDecided
from foundry.session.allowed import Allowed
from tests.gate.conftest import Gates, Said, call

FETCH, OTHER, READ, RUN, WRITE = (
    call("w.network"),
    call("w.network", host="other.example"),
    call("w.reads"),
    call("w.runs"),
    call("w.writes"),
)
TOLD = "This run has read what is here and what strangers wrote"


def by(gate: Gates, *calls: dict[str, Any], person: Said, **more: Any) -> list[str]:
    one = gate(*calls, ask=person, **more)
    one.play()
    return [event.decision.by for event in one.room.of(ToolDecided)]


@pytest.mark.parametrize("here", [READ, RUN])
def test_after_reading_here_and_there_an_always_is_asked_anew_and_then_holds(gate: Gates, here: dict[str, Any]) -> None:
    person = Said(["always", "yes", "always"] if here is RUN else ["always", "always"])
    decided = by(gate, FETCH, here, FETCH, FETCH, person=person)
    assert decided == ["person", "person" if here is RUN else "mode", "person", "grant"]
    assert TOLD not in person.asked[0].why
    assert TOLD in person.asked[-1].why
    assert person.asked[-1].always


def test_the_order_does_not_matter_and_each_host_is_asked_about_with_it(gate: Gates) -> None:
    person = Said(["always"] * 4)
    assert by(gate, READ, FETCH, FETCH, OTHER, OTHER, FETCH, person=person) == ["mode", *["person"] * 3, "grant", "grant"]
    assert [TOLD in question.why for question in person.asked] == [False, True, True]


@pytest.mark.parametrize(
    ("calls", "answers", "decided"),
    [
        pytest.param([FETCH, WRITE, FETCH], ["always", "yes"], ["person", "person", "grant"], id="only the network was read"),
        pytest.param([FETCH, FETCH, FETCH], ["always"], ["person", "grant", "grant"], id="nothing from here"),
        pytest.param([RUN, READ, RUN], ["always"], ["person", "mode", "grant"], id="nothing from there"),
        pytest.param([RUN, FETCH, RUN], ["always", "yes"], ["person", "person", "grant"], id="what stays here stays allowed"),
        pytest.param([FETCH, READ, FETCH], ["always", "no"], ["person", "mode", "person"], id="a no is a no"),
    ],
)
def test_what_is_taken_back_and_what_is_not(
    gate: Gates, calls: Sequence[dict[str, Any]], answers: Sequence[str], decided: Sequence[str]
) -> None:
    assert by(gate, *calls, person=Said(answers)) == decided


def test_a_call_that_was_denied_has_read_nothing(gate: Gates) -> None:
    person = Said(["no", "always"])
    assert by(gate, READ, FETCH, FETCH, FETCH, person=person) == ["mode", "person", "person", "person"]
    assert [TOLD in question.why for question in person.asked] == [False, False, True]


def test_a_rule_of_the_agent_goes_on_to_hold(gate: Gates) -> None:
    rules = (ApprovalRule("allow", "w.network"),)
    assert by(gate, FETCH, READ, FETCH, FETCH, person=Said(), rules=rules) == ["rule", "mode", "rule", "rule"]


def test_it_is_one_run_whatever_model_answers(gate: Gates) -> None:
    run = Allowed()
    assert by(gate, FETCH, READ, person=Said(["always"]), always=run) == ["person", "mode"]
    later = Said(["no"])
    assert by(gate, FETCH, person=later, always=run) == ["person"]
    assert TOLD in later.asked[0].why


def test_a_tool_of_an_mcp_server_is_a_stranger_and_reads_nothing_here() -> None:
    of_server = Action("docs.look", frozenset(("reads", "network")), scope="docs", host=True)
    run = Allowed()
    run.add(Grant("docs.look", "docs", "now"), of_server)
    for _ in range(3):
        run.note(of_server, frozenset(("reads", "network")), "mcp")
    assert run.grants
    run.note(Action("files.read", frozenset(("reads",))), frozenset(("reads",)), "built-in")
    assert run.grants == ()


def test_a_database_that_foundry_asks_is_from_here_and_no_stranger() -> None:
    asked = Action("database.query", frozenset(("reads", "network")), scope="db", host=True)
    run = Allowed()
    run.add(Grant("database.query", "db", "now"), asked)
    run.note(asked, frozenset(("reads",)), "built-in")
    assert run.grants
    run.note(Action("web_page.fetch", frozenset(("network",))), frozenset(("network",)), "built-in")
    assert run.grants == ()


def kinds() -> Iterator[tuple[frozenset[str], str]]:
    for origin in ("built-in", "own", "mcp"):
        for effects in ((), ("reads",), ("runs",), ("network",), ("reads", "network")):
            yield frozenset(effects), origin


@given(st.lists(st.sampled_from(list(kinds())), max_size=8), st.integers(0, 8))
def test_no_always_for_the_network_survives_the_moment(calls: list[tuple[frozenset[str], str]], at: int) -> None:
    run, given_knowing = Allowed(), False
    outward = Action("x.y", frozenset(("network",)), scope="s", host=True)
    for place, (effects, origin) in enumerate(calls):
        if place == at:
            run.add(Grant("x.y", "s", "now"), outward)
            run.add(Grant("x.z", "s", "now"), replace(outward, columns=frozenset(("writes",))))
            given_knowing = run.could_carry
        columns: Any = effects | ({"network"} if origin == "mcp" else set())
        run.note(Action("some.tool", frozenset(columns)), effects, origin)
    if at < len(calls):
        assert Grant("x.z", "s", "now") in run.grants
        assert (Grant("x.y", "s", "now") in run.grants) == (given_knowing or not run.could_carry)


def test_a_run_that_goes_on_in_another_process_counts_as_having_read_both(gate: Gates) -> None:
    run, person = Allowed(), Said(["always"])
    run.read_unknown()
    assert by(gate, FETCH, READ, FETCH, person=person, always=run) == ["person", "mode", "grant"]
    assert TOLD in person.asked[0].why
