"""The decision table, cell by cell, through real sessions: mode, what the call does, the agent's rule, who is there."""

from __future__ import annotations

from itertools import product

import pytest

from foundry.agent.definition import ApprovalRule
from foundry.agent.policy import COLUMNS, MODES
from foundry.messages import ToolDecided
from tests.gate.conftest import Gates, Said, call

# Written out here once more on purpose: the house plan's table, which the code must not drift from.
HOUSE = {
    "plan": {"reads": "allow", "writes": "deny", "runs": "deny", "network": "deny", "outside": "deny", "protected": "deny"},
    "run": {"reads": "allow", "writes": "ask", "runs": "ask", "network": "ask", "outside": "ask", "protected": "ask"},
    "edit": {"reads": "allow", "writes": "ask", "runs": "ask", "network": "ask", "outside": "ask", "protected": "ask"},
    "auto": {"reads": "allow", "writes": "allow", "runs": "allow", "network": "ask", "outside": "ask", "protected": "ask"},
}
RULES = {
    "none": (),
    "allow": (ApprovalRule("allow", "w.*"),),
    "allow paths": (ApprovalRule("allow", "w.*", paths=("/**", "**")),),
    "ask": (ApprovalRule("ask", "w.*"),),
    "deny": (ApprovalRule("deny", "w.*"),),
    "other tool": (ApprovalRule("allow", "other.*"), ApprovalRule("deny", "other.*")),
}
PEOPLE = {"nobody": None, "yes": "yes", "no": "no"}


def expected(mode: str, column: str, rule: str, person: str) -> tuple[bool, bool]:
    """Whether it is executed and whether somebody is asked, as the house plan says it."""
    verdict = HOUSE[mode][column]
    if column in {"outside", "protected"} and HOUSE[mode]["writes"] == "deny":
        verdict = "deny"
    loosened = {"allow": {"writes", "runs", "network"}, "allow paths": {"writes", "outside"}}.get(rule, set())
    if rule == "deny":
        verdict = "deny"
    elif rule == "ask" and verdict == "allow":
        verdict = "ask"
    elif verdict == "ask" and column in loosened:
        verdict = "allow"
    asked = verdict == "ask" and person != "nobody"
    return verdict == "allow" or (asked and person == "yes"), asked


@pytest.mark.parametrize(("mode", "column", "rule", "person"), [*product(MODES, COLUMNS, RULES, PEOPLE)])
def test_each_cell_of_the_table(gate: Gates, mode: str, column: str, rule: str, person: str) -> None:
    somebody = Said([PEOPLE[person]] * 9) if PEOPLE[person] else None
    one = gate(call(f"w.{column}"), mode=mode, ask=somebody, rules=RULES[rule])
    executed, asked = expected(mode, column, rule, person)
    done = [word.split()[0] for word in one.play()]
    assert done == ([column] if executed else [])
    assert bool(somebody and somebody.asked) == asked
    (decided,) = one.room.of(ToolDecided)
    assert decided.decision.allowed == executed
    assert one.end.stop == ("done" if executed else "denied")


@pytest.mark.parametrize(("mode", "accepted", "person"), [*product(MODES, (False, True), PEOPLE)])
def test_what_an_own_plugin_says_of_itself_counts_once_it_was_accepted(
    gate: Gates, mode: str, accepted: bool, person: str
) -> None:
    somebody = Said([PEOPLE[person]] * 9) if PEOPLE[person] else None
    allow_all = (ApprovalRule("allow"),)
    one = gate(call("own.look"), mode=mode, ask=somebody, rules=allow_all, accepted=accepted)
    executed = accepted or (mode != "plan" and person == "yes")
    assert one.play() == (["look"] if executed else [])
    assert bool(somebody and somebody.asked) == (not accepted and mode != "plan" and person != "nobody")
