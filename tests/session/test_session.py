"""The loop: from what the user says to an answer, whatever model and tools do on the way."""

from __future__ import annotations

from typing import Any

import pytest

from foundry.messages import Answered, Failed, HistoryTrimmed, Notice, TextDelta, ToolDecided, ToolReturned, Usage
from foundry.session.window import LEFT_OUT
from tests.session.conftest import Person, Sessions, call

SECRET = {"KEY": "hunter2-hunter2"}


def test_an_answer_without_a_tool_is_streamed_and_kept(room: Sessions) -> None:
    one = room({"text": "Good morning.", "chunk": 4})
    end = one.say("hello")
    assert (end.stop, end.answer, end.rounds) == ("done", "Good morning.", 1)
    assert "".join(event.text for event in one.of(TextDelta)) == "Good morning."
    assert one.roles() == "user assistant"
    assert end.usage == one.session.usage != Usage()


def test_a_tool_is_called_through_the_kernel_and_its_result_answered(room: Sessions) -> None:
    one = room({"text": "Let me see.", "calls": [call("desk.add", a=2, b=3)]}, {"text": "It is {result}."})
    end = one.say("2+3?")
    assert (end.stop, end.answer) == ("done", "It is 5.")
    assert one.roles() == "user assistant tool assistant"
    assert [event.result.ok for event in one.of(ToolReturned)] == [True]


def test_parallel_calls_run_together_and_are_answered_in_the_models_order(room: Sessions) -> None:
    calls = [call("desk.slow", seconds=0.15, word="late"), call("desk.slow", seconds=0.0, word="early")]
    one = room({"calls": calls}, {"text": "ok"})
    one.say("both")
    assert one.desk.done == ["early", "late"]
    assert [message.content for message in one.session.history if message.role == "tool"] == ["late", "early"]
    assert [event.result.content for event in one.of(ToolReturned)] == ["early", "late"]


def test_three_rounds_are_asked_one_after_another(room: Sessions) -> None:
    one = room(*({"calls": [call("desk.add", a=number)]} for number in range(3)), {"text": "2 at last: {result}"})
    end = one.say("go")
    assert (end.stop, end.answer, end.rounds) == ("done", "2 at last: 2", 4)


def test_a_model_that_never_stops_calling_is_asked_once_more_without_tools(room: Sessions) -> None:
    steps = [{"calls": [call("desk.add", a=number)]} for number in range(3)]
    one = room(*steps, {"text": "That is what I have.", "calls": [call("desk.add", a=9)]}, rounds=3)
    end = one.say("go")
    assert (end.stop, end.answer, end.rounds) == ("limit", "That is what I have.", 4)
    assert one.session.history[-1].calls == ()


def test_too_many_calls_in_a_turn_are_answered_but_not_run(room: Sessions) -> None:
    one = room({"calls": [call("desk.add", a=number) for number in range(5)]}, {"text": "done"}, calls=3)
    end = one.say("go")
    assert end.stop == "limit"
    assert len(one.desk.done) == 3
    assert "limit of 3 calls" in one.of(ToolReturned)[0].result.content + one.of(ToolReturned)[1].result.content


def test_going_round_in_circles_is_told_to_the_model_and_ended_when_it_insists(room: Sessions) -> None:
    one = room(*[{"calls": [call("desk.add", a=1)]}] * 5, {"text": "I stop."})
    end = one.say("go")
    results = [event.result.content for event in one.of(ToolReturned)]
    assert results[:2] == ["1", "1"]
    assert all("Answer with what you have" in result for result in results[2:])
    assert len(one.desk.done) == 3
    assert (end.stop, end.answer) == ("limit", "I stop.")


def test_a_person_may_let_the_same_call_run_again(room: Sessions) -> None:
    person = Person(True)
    one = room(*[{"calls": [call("desk.add", a=1)]}] * 5, {"text": "Done."}, ask=person)
    end = one.say("go")
    assert [question.tool for question in person.asked] == ["desk.add"] * 2
    assert "same result 3 times" in person.asked[0].why
    assert (end.stop, len(one.desk.done)) == ("done", 5)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"name": "desk.subtract", "arguments": {}}, "no tool 'desk.subtract'"),
        ({"name": "desk.add", "arguments": '{"a": 1'}, "not JSON"),
        ({"name": "desk.add", "arguments": "[1, 2]"}, "not an object"),
        ({"name": "desk.add", "arguments": "[" * 15_000}, "nested too deeply"),
        ({"name": "desk.add", "arguments": {"a": "many"}}, "a"),
        ({"name": "desk.add", "arguments": {"a": 1, "c": 2}}, "c"),
        ({"name": "desk.add", "arguments": ""}, "a"),
        ({"name": "desk.leave", "arguments": {}}, "SystemExit"),
    ],
)
def test_what_a_model_does_wrong_is_told_to_it(room: Sessions, asked: dict[str, Any], told: str) -> None:
    one = room({"calls": [asked]}, {"text": "Sorry."})
    end = one.say("go")
    (returned,) = one.of(ToolReturned)
    assert not returned.result.ok
    assert told in returned.result.content
    assert (end.stop, end.answer) == ("done", "Sorry.")


def test_parameters_may_be_called_like_those_of_semantic_kernel(room: Sessions) -> None:
    asked = call("desk.odd_names", arguments="a", kernel=1, settings="s", given="g")
    assert room({"calls": [asked]}, {"text": "{result}"}).say("go").answer == "a 1 s g"


def test_a_message_cut_at_its_length_limit_runs_no_tool(room: Sessions) -> None:
    one = room({"text": "I will", "calls": [call("desk.add", a=1)], "finish": "length"}, {"text": "ok"})
    end = one.say("go")
    assert one.desk.done == []
    assert (end.stop, end.answer) == ("limit", "I will")


def test_an_answer_cut_at_its_length_limit_is_said_to_be_and_the_next_turn_is_whole(room: Sessions) -> None:
    one = room({"text": "Once upon a", "finish": "length"}, {"text": "time."})
    assert one.say("tell").stop == "limit"
    (told,) = one.of(Notice)
    assert told.text == "The turn ends here: what the model wrote was cut off at its length limit."
    assert (one.say("go on").stop, one.of(Notice)) == ("done", [])


def test_secrets_are_taken_out_of_what_goes_to_the_model(room: Sessions) -> None:
    one = room({"calls": [call("desk.secret")]}, {"text": "{result}"}, secrets=SECRET)
    end = one.say("mine is hunter2-hunter2")
    assert end.answer == "the key is [KEY]"
    assert "hunter2" not in repr(one.session.history)


def test_a_cut_leaves_no_beginning_of_a_secret(room: Sessions) -> None:
    one = room({"calls": [call("desk.long_secret")]}, {"text": "ok"}, secrets=SECRET)
    one.say("go")
    assert "hunter" not in repr(one.session.history)
    assert "cut:" in one.of(ToolReturned)[0].result.content


# the gate --------------------------------------------------------------------------------------------------------------


def test_own_tools_ask_one_question_at_a_time_and_show_the_call(room: Sessions) -> None:
    person = Person(True)
    one = room({"calls": [call("own.touch", path="a\x1b[2J"), call("own.touch", path="b")]}, {"text": "{result}"}, ask=person)
    assert one.say("go").answer == "touched b"
    assert person.most_at_once == 1
    assert (person.asked[0].tool, person.asked[0].arguments) == ("own.touch", {"path": "a\x1b[2J"})


def test_a_denial_before_the_answer_ends_the_turn_as_denied(room: Sessions) -> None:
    one = room({"calls": [call("own.touch", path="a")]}, {"text": "I may not."}, ask=Person(False))
    end = one.say("go")
    assert (end.stop, end.answer) == ("denied", "I may not.")
    assert [event.decision.by for event in one.of(ToolDecided)] == ["person"]


def test_a_denial_that_was_worked_around_is_done(room: Sessions) -> None:
    one = room(
        {"calls": [call("own.touch", path="a")]}, {"calls": [call("desk.add", a=1)]}, {"text": "{result}"}, ask=Person(False)
    )
    assert one.say("go").stop == "done"


def test_without_a_person_own_tools_are_denied(room: Sessions) -> None:
    one = room({"calls": [call("own.touch", path="a")]}, {"text": "no"})
    assert one.say("go").stop == "denied"
    assert [event.decision.by for event in one.of(ToolDecided)] == ["nobody"]


def test_plan_mode_denies_own_tools_without_asking(room: Sessions) -> None:
    person = Person(True)
    one = room({"calls": [call("own.touch", path="a")]}, {"text": "no"}, ask=person, mode="plan")
    assert one.say("go").stop == "denied"
    assert person.asked == []


# ends before the answer ------------------------------------------------------------------------------------------------


def test_cancelled_in_the_text_keeps_it_marked_and_the_next_turn_is_valid(room: Sessions) -> None:
    one = room({"text": "One two three four five six", "chunk": 4, "delay": 0.03}, {"text": "Again."})
    end = one.say("go", until=lambda event: isinstance(event, TextDelta))
    assert end.stop == "interrupted"
    assert end.answer.startswith("One ")
    assert one.session.history[-1].content == f"{end.answer}\n[interrupted]"
    assert one.say("more").answer == "Again."
    assert one.roles() == "user assistant user assistant"


def test_cancelled_before_anything_came_leaves_a_valid_history(room: Sessions) -> None:
    one = room({"text": "never", "delay": 5}, {"text": "Again."})
    end = one.say("go", until=lambda _: True)
    assert (end.stop, end.answer) == ("interrupted", "")
    assert one.say("more").answer == "Again."


def test_cancelled_in_a_tool_answers_its_call_and_stops_it(room: Sessions) -> None:
    calls = [call("desk.add", a=1), call("desk.slow", seconds=30)]
    one = room({"calls": calls}, {"text": "Again."})
    end = one.say("go", until=lambda event: isinstance(event, ToolReturned))
    assert end.stop == "interrupted"
    assert [message.content for message in one.session.history if message.role == "tool"] == ["1", "Cancelled by the user."]
    assert one.desk.stopped == ["slow"]
    assert one.say("more").answer == "Again."


def test_time_running_out_in_a_tool_is_a_limit(room: Sessions) -> None:
    one = room({"calls": [call("desk.slow", seconds=30)]}, timeout=0.1)
    end = one.say("go")
    assert end.stop == "limit"
    assert "time for this turn" in one.session.history[-2].content


def test_a_refused_first_request_leaves_no_trace(room: Sessions) -> None:
    one = room({"error": {"status": 401, "message": "bad key"}}, {"text": "Again."})
    end = one.say("go")
    assert end.stop == "failed"
    assert [event.code for event in one.of(Failed)] == ["provider_auth"]
    assert one.session.history == []
    assert one.say("more").answer == "Again."


def test_a_failure_after_a_tool_keeps_what_was_done(room: Sessions) -> None:
    one = room({"calls": [call("desk.add", a=1)]}, {"error": {"status": 500}}, {"text": "Again."})
    assert one.say("go").stop == "failed"
    assert one.roles() == "user assistant tool assistant"
    assert one.say("more").answer == "Again."


def test_a_cut_stream_keeps_what_was_said_and_runs_nothing(room: Sessions) -> None:
    one = room({"text": "Half of", "calls": [call("desk.add", a=1)], "cut": 10}, {"text": "Again."})
    end = one.say("go")
    assert (end.stop, end.answer) == ("failed", "Half of")
    assert one.desk.done == []
    assert one.session.history[-1].content == "Half of\n[interrupted]"
    assert one.say("more").answer == "Again."


def test_an_empty_answer_is_said_and_kept_as_a_message_servers_take(room: Sessions) -> None:
    one = room({"text": ""}, {"text": "Again."})
    end = one.say("go")
    assert (end.stop, end.answer) == ("done", "")
    assert [event.text for event in one.of(Notice)] == ["The model's answer was empty."]
    assert one.say("more").answer == "Again."


# the window --------------------------------------------------------------------------------------------------------------


def test_whole_oldest_turns_are_dropped_when_the_window_fills(room: Sessions) -> None:
    one = room(*[{"text": "word " * 200, "usage": False}] * 12, window=2_000)
    trimmed = 0
    for _ in range(12):
        assert one.say("question " * 20).stop == "done"
        trimmed += sum(event.turns for event in one.of(HistoryTrimmed))
    assert trimmed == 12 - one.roles().count("user")
    assert one.session.window.weigh(one.session.history, ()) < 2_000


def test_a_context_the_provider_refuses_is_trimmed_once_and_asked_again(room: Sessions) -> None:
    too_long = {"error": {"status": 400, "message": "maximum context length is 10 tokens"}}
    one = room({"text": "one"}, {"text": "two"}, too_long, {"text": "three"}, too_long, too_long)
    one.say("a")
    one.say("b")
    assert one.say("c").answer == "three"
    assert [event.turns for event in one.of(HistoryTrimmed)] == [1]
    assert one.say("d").stop == "failed"


def test_one_long_turn_leaves_out_its_oldest_results(room: Sessions) -> None:
    steps = [{"calls": [call("desk.slow", seconds=0, word=f"{number} " * 700)]} for number in range(4)]
    one = room(*steps, {"text": "done"}, window=2_000)
    one.say("go")
    assert one.of(Answered)[-1].usage.input < 2_000
    assert LEFT_OUT not in repr(one.session.history)
