"""Asking a person: what each answer does, what is kept, what is recorded, and that what was shown is what runs."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from typing import Any

import pytest

from foundry.agent.decisions import MOST_BYTES, record, recorded
from foundry.agent.definition import ApprovalRule
from foundry.agent.folder import AgentFolder
from foundry.agent.standing import change_standing, decisions_file, standing_of
from foundry.messages import ToolDecided, ToolReturned
from foundry.session.approvals import Answer
from tests.gate.conftest import Gates, Said, call


def test_always_in_this_session_covers_the_tool_and_scope_and_nothing_else(gate: Gates) -> None:
    person = Said(["always", "no"])
    one = gate(
        call("w.runs", command="make test"), call("w.runs", command="make test"), call("w.runs", command="make x"), ask=person
    )
    assert one.play() == ["runs", "runs"]
    assert [question.arguments["command"] for question in person.asked] == ["make test", "make x"]
    assert person.asked[0].always == "w.runs for the command: make test"
    assert person.asked[0].lasting
    assert [event.decision.by for event in one.room.of(ToolDecided)] == ["person", "grant", "person"]
    assert standing_of(one.folder).grants == ()


def test_always_for_this_agent_is_kept_in_the_state_folder_and_holds_in_the_next_session(gate: Gates) -> None:
    person = Said(["always_agent"])
    assert gate(call("w.writes"), ask=person).play() == ["writes a.txt"]
    later = gate(call("w.writes", path="b.txt"), call("w.protected"))
    assert later.play() == ["writes b.txt"]
    (grant,) = standing_of(later.folder).grants
    assert (grant.tool, grant.scope) == ("w.writes", f"files in {later.folder.workspace}")


@pytest.mark.parametrize(
    ("tool", "always", "lasting"),
    [
        ("w.writes", True, True),
        ("w.runs", True, True),
        ("w.network", True, False),
        ("w.outside", True, True),
        ("w.protected", False, False),
        ("own.look", False, False),
    ],
)
def test_always_is_offered_only_where_it_may_be(gate: Gates, tool: str, always: bool, lasting: bool) -> None:
    for answer, offered in (("always", always), ("always_agent", lasting)):
        person = Said([answer, "no"])
        one = gate(call(tool), call(tool), ask=person)
        done = one.play()
        assert (bool(person.asked[0].always), person.asked[0].lasting) == (always, lasting)
        assert len(done) == (2 if offered else 0), "an answer that was not offered is a no"


def test_always_for_a_host_is_not_always_for_another(gate: Gates) -> None:
    person = Said(["always"])
    calls = [call("w.network", host=host) for host in ("example.org", "example.org", "example.com")]
    assert gate(*calls, ask=person).play() == ["network", "network"]


def test_a_comment_goes_to_the_model_and_is_not_recorded(gate: Gates) -> None:
    one = gate(call("w.writes"), ask=Said([Answer("comment", "use the other file, plum")]))
    assert one.play() == []
    assert "The user says: use the other file, plum" in one.results()[0]
    assert "plum" not in decisions_file(one.folder).read_text()


def test_changed_arguments_are_checked_planned_and_asked_about_again(gate: Gates) -> None:
    changes = [
        Answer("edit", arguments={"path": 7, "x": 1}),
        Answer("edit", arguments={"path": "b.txt"}),
        "yes",
    ]
    person = Said(changes)
    one = gate(call("w.writes", path="a.txt"), ask=person)
    assert one.play() == ["writes b.txt"]
    assert [question.arguments["path"] for question in person.asked] == ["a.txt", "a.txt", "b.txt"]
    assert "not taken" in person.asked[1].why
    assert one.results()[0] == '[The user changed the arguments to {"path": "b.txt"}]\ndid writes'


def test_changed_arguments_go_through_the_rules_again(gate: Gates) -> None:
    person = Said([Answer("edit", arguments={"path": "private/b.txt"}), "yes"])
    one = gate(call("w.writes"), ask=person, rules=[ApprovalRule("deny", paths=("private/**",))])
    assert one.play() == []
    assert len(person.asked) == 1


def test_what_was_shown_is_planned_and_asked_about_anew_when_it_has_changed(gate: Gates) -> None:
    person = Said(["yes", "yes"])
    one = gate(call("w.writes"), ask=person)
    one.world.changed = 1
    assert one.play() == ["writes a.txt"]
    assert (len(person.asked), one.world.plans) == (2, 2)


def test_arguments_changed_when_it_is_asked_about_anew_are_told_to_the_model(gate: Gates) -> None:
    person = Said(["yes", Answer("edit", arguments={"path": "b.txt"}), "yes"])
    one = gate(call("w.writes"), ask=person)
    one.world.changed = 1
    assert one.play() == ["writes b.txt"]
    assert one.results()[0] == '[The user changed the arguments to {"path": "b.txt"}]\ndid writes'


def test_what_changes_again_and_again_is_given_up(gate: Gates) -> None:
    person = Said(["yes"] * 20)
    one = gate(call("w.writes"), ask=person)
    one.world.changed = 99
    assert one.play() == []
    assert len(person.asked) < 6
    assert "again and again" in one.results()[0]


def test_a_no_to_what_has_changed_meanwhile_is_a_denial(gate: Gates) -> None:
    one = gate(call("w.writes"), ask=Said(["yes", "no"]))
    one.world.changed = 1
    assert one.play() == []
    assert one.end.stop == "denied"


def test_two_writes_in_one_answer_are_planned_one_after_the_other_was_done(gate: Gates) -> None:
    calls = [call("w.writes", path="a.txt"), call("w.writes", path="a.txt")]
    one = gate(steps=[{"calls": calls}], ask=Said(["yes", "yes"]))
    assert one.play() == ["writes a.txt", "writes a.txt"]
    order = [type(event).__name__ for event in one.room.events if isinstance(event, ToolDecided | ToolReturned)]
    assert order == ["ToolDecided", "ToolReturned"] * 2


@pytest.mark.parametrize("answer", [EOFError(), OSError("gone"), ValueError("renderer"), Answer("maybe"), 7, None])  # type: ignore[arg-type]
def test_whatever_is_no_answer_is_a_no(gate: Gates, answer: Any) -> None:
    class Odd(Said):
        async def __call__(self, question: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    assert gate(call("w.writes"), ask=Odd()).play() == []


def test_the_mode_may_change_in_a_session(gate: Gates) -> None:
    one = gate(call("w.writes"), mode="plan", steps=[{"calls": [call("w.writes")]}, {"text": "May I?"}])
    assert one.play() == []
    one.approvals.mode = "auto"
    assert one.play() == ["writes a.txt"]


def test_what_was_taken_back_asks_again_in_a_session_that_runs(gate: Gates) -> None:
    looks = [{"calls": [call("own.look")]}, {"text": "And again?"}, {"calls": [call("own.look")]}]
    one = gate(steps=looks, accepted=True)
    assert one.play() == ["look"]
    change_standing(one.folder, lambda old: replace(old, accepted={}))
    assert one.play() == ["look"]
    assert one.end.stop == "denied"


# the record -----------------------------------------------------------------------------------------------------------


def test_each_decision_is_recorded_without_what_was_said(gate: Gates) -> None:
    one = gate(call("w.reads"), call("w.writes", path="plum.txt"), call("w.runs", command="cat plum"), ask=Said(["yes"]))
    one.play("plum?")
    place = decisions_file(one.folder)
    lines = list(recorded(one.folder))
    assert [(line["tool"], line["allowed"], line["by"]) for line in lines] == [
        ("w.reads", True, "mode"),
        ("w.writes", True, "person"),
        ("w.runs", False, "person"),
    ]
    assert lines[0] | {"at": ""} == {
        "at": "", "run": "r1", "entrance": "test", "mode": "run", "tool": "w.reads", "columns": ["reads"], "scope": "",
        "allowed": True, "by": "mode", "reason": "Run mode allows: reads.", "rule": "",
    }  # fmt: skip
    assert "plum" not in place.read_text()
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o600  # noqa: PTH116
    assert not place.is_relative_to(one.folder.path.parent.parent)


def test_the_level_of_the_jail_is_recorded_with_a_command_that_runs(gate: Gates) -> None:
    one = gate(call("w.runs"), call("w.runs"), ask=Said(["yes", "no"]))
    one.play()
    ran, declined = recorded(one.folder)
    assert ran["level"] in ("strong", "kernel", "macos", "none")
    assert "level" not in declined


def test_what_cannot_be_recorded_is_denied(gate: Gates) -> None:
    one = gate(call("w.reads"))
    decisions_file(one.folder).mkdir(parents=True)
    assert one.play() == []
    assert "recorded" in one.results()[0]


def test_the_record_is_bounded_and_outlives_a_torn_line(gate: Gates, tmp_path: Any) -> None:
    folder = AgentFolder(tmp_path / "agents" / "x")
    place = decisions_file(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text('{"tool": "a"}\n{"tool": "b", "al')
    record(folder, {"tool": "c"})
    assert [one["tool"] for one in recorded(folder)] == ["a", "c"]
    line = json.dumps({"tool": "x" * 1000}) + "\n"
    place.write_text(line * (MOST_BYTES // len(line) + 2))
    record(folder, {"tool": "last"})
    assert MOST_BYTES // 3 < place.stat().st_size < MOST_BYTES
    assert list(recorded(folder))[-1] == {"tool": "last"}


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"path": 1}', '{"grants": [{"tool": "w.writes"}]}', "\0" * 100])
def test_a_broken_standing_allows_nothing(gate: Gates, broken: str) -> None:
    person = Said(["always_agent"])
    one = gate(call("w.writes"), ask=person)
    one.play()
    (place,) = [path for path in decisions_file(one.folder).parent.iterdir() if path.suffix == ".json"]
    place.write_text(broken)
    assert gate(call("w.writes")).play() == []
