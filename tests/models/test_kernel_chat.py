"""The adapter, asked over a real connection to a scripted server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from foundry.errors import ProviderError
from foundry.messages import Message, PromptProgress, ToolCall, ToolSpec, Usage
from foundry.models.model import Model
from tests.model_server import model_server
from tests.models.asking import ADD, HELLO, KEY, TOOLS, answer, asked, chat, pieces, said, with_model

CALL = {"name": "calc.add", "arguments": {"a": 2, "b": 3}}


def test_text_arrives_as_it_is_said_and_once_more_as_a_whole() -> None:
    with model_server([{"text": "Grüße, 世界 🌍!", "chunk": 3}]) as server:
        yielded = asked(chat(server.url))

    assert said(yielded) == answer(yielded).message.content == "Grüße, 世界 🌍!"
    assert len(yielded) > 3
    assert not answer(yielded).usage.estimated


@pytest.mark.parametrize("write", [1, 2, 3, 7])
def test_letters_split_over_packets_stay_whole(write: int) -> None:
    with model_server([{"text": "ä€🌍", "write": write}]) as server:
        assert said(asked(chat(server.url))) == "ä€🌍"


def test_a_call_comes_out_under_its_id_with_the_arguments_as_written() -> None:
    with model_server([{"text": "Let me see.", "calls": [CALL], "chunk": 2}]) as server:
        done = answer(asked(chat(server.url), tools=TOOLS))

    assert [(call.name, json.loads(call.arguments)) for call in done.message.calls] == [("calc.add", {"a": 2, "b": 3})]
    assert done.message.content == "Let me see."


def test_parallel_calls_keep_their_order() -> None:
    calls = [{"name": "calc.add", "arguments": {"a": n, "b": 0}} for n in range(3)] + [{"name": "files.read", "arguments": {}}]
    with model_server([{"calls": calls}]) as server:
        done = answer(asked(chat(server.url), tools=TOOLS)).message.calls

    assert [call.name for call in done] == ["calc.add"] * 3 + ["files.read"]
    assert [json.loads(call.arguments) for call in done] == [call["arguments"] for call in calls]
    assert len({call.id for call in done}) == 4


def test_three_rounds_of_calls_end_in_an_answer() -> None:
    steps: list[dict[str, Any]] = [{"calls": [CALL]}, {"calls": [CALL]}, {"calls": [CALL]}, {"text": "It says: {result}"}]

    async def rounds(model: Model) -> tuple[list[Message], str]:
        messages = list(HELLO)
        while True:
            done = answer(await pieces(model, messages, TOOLS)).message
            messages.append(done)
            if not done.calls:
                return messages, done.content
            messages += [Message("tool", "5", call_id=call.id, name=call.name) for call in done.calls]

    with model_server(steps) as server:
        messages, text = with_model(chat(server.url), rounds)

    assert text == "It says: 5"
    assert len({call.id for message in messages for call in message.calls}) == 3


def test_a_request_says_what_there_is_to_say() -> None:
    history = [
        *HELLO,
        Message("assistant", "One moment.", (ToolCall("c1", "calc.add", '{"a": 1}'),)),
        Message("tool", "1", call_id="c1"),
    ]
    with model_server([{"text": "ok"}]) as server:
        asked(chat(server.url), history, [ADD])

    (body,) = server.bodies
    assert body["model"] == "scripted"
    assert body["tools"][0]["function"] == {"name": "calc-add", "description": ADD.description, "parameters": ADD.schema}
    assert body["messages"][2]["content"] == "One moment."
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "calc-add", "arguments": '{"a": 1}'}
    assert body["messages"][3] == {"role": "tool", "content": "1", "tool_call_id": "c1"}
    assert "temperature" not in body
    assert "max_tokens" not in body


def test_a_request_without_tools_names_none() -> None:
    with model_server([{"text": "ok"}]) as server:
        asked(chat(server.url))

    assert not {"tools", "tool_choice"} & set(server.bodies[0])


def test_a_history_grows_without_changing_what_was_sent() -> None:
    async def talk(model: Model) -> None:
        messages = list(HELLO)
        for _ in range(3):
            messages += [answer(await pieces(model, messages)).message, Message("user", "More.")]

    with model_server([{"text": "ok"}], loop=True) as server:
        with_model(chat(server.url), talk)

    first, second, third = (body["messages"] for body in server.bodies)
    assert second[: len(first)] == first
    assert third[: len(second)] == second


def test_a_small_model_is_asked_without_chance_and_briefly() -> None:
    with model_server([{"text": "ok"}]) as server:
        asked(chat(server.url, "small"))

    assert server.bodies[0]["temperature"] == 0.0
    assert server.bodies[0]["max_tokens"] == 512


def test_reading_progress_is_told_where_the_server_tells_it() -> None:
    with model_server([{"text": "ok", "progress": 900}]) as server:
        yielded = asked(chat(server.url, "small", progress=True))

    assert yielded[:2] == [PromptProgress(0, 900), PromptProgress(900, 900)]
    assert said(yielded) == "ok"


def test_a_missing_count_is_estimated() -> None:
    with model_server([{"text": "twelve bytes", "usage": False}]) as server:
        usage = answer(asked(chat(server.url))).usage

    assert usage.estimated
    assert usage.output == 3
    assert usage.input > 0


def test_the_providers_count_is_taken() -> None:
    with model_server([{"text": "four"}]) as server:
        assert answer(asked(chat(server.url))).usage == Usage(server_count(server.bodies[0]), 1)


def server_count(body: dict[str, Any]) -> int:
    return (len(json.dumps(body["messages"])) + 3) // 4


def test_an_answer_cut_by_its_length_brings_no_calls() -> None:
    with model_server([{"text": "as far as", "calls": [CALL], "finish": "length"}]) as server:
        done = answer(asked(chat(server.url), tools=TOOLS))

    assert done.truncated
    assert done.message == Message("assistant", "as far as")


def test_an_end_without_a_finish_reason_is_a_cut() -> None:
    with model_server([{"text": "half", "calls": [CALL], "finish": ""}]) as server, pytest.raises(ProviderError) as caught:
        asked(chat(server.url), tools=TOOLS)

    assert caught.value.fault == "cut"


def test_an_end_without_the_end_mark_is_none() -> None:
    with model_server([{"text": "whole", "done": False}]) as server:
        assert said(asked(chat(server.url))) == "whole"


def test_an_unheard_of_finish_reason_ends_the_answer() -> None:
    with model_server([{"text": "well", "finish": "eos_token_found"}]) as server:
        assert answer(asked(chat(server.url))).message.content == "well"


def test_calls_with_the_reason_stop_are_calls() -> None:
    with model_server([{"calls": [CALL], "finish": "stop"}]) as server:
        assert len(answer(asked(chat(server.url), tools=TOOLS)).message.calls) == 1


def test_an_answer_that_was_filtered_away_is_said() -> None:
    with (
        model_server([{"text": "", "finish": "content_filter"}]) as server,
        pytest.raises(ProviderError, match="filter") as caught,
    ):
        asked(chat(server.url))

    assert caught.value.fault == "answer"


def test_missing_and_repeated_call_ids_are_made_unique() -> None:
    calls = [{**CALL, "id": ""}, {**CALL, "id": "same"}, {**CALL, "id": "same"}]
    with model_server([{"calls": calls}, {"calls": calls}]) as server:
        first = answer(asked(chat(server.url), tools=TOOLS)).message
        results = [Message("tool", "5", call_id=call.id) for call in first.calls]
        second = answer(asked(chat(server.url), [*HELLO, first, *results], TOOLS)).message

    ids = [call.id for call in (*first.calls, *second.calls)]
    assert len(set(ids)) == len(ids) == 6
    assert all(ids)


def test_unknown_tools_and_malformed_arguments_come_out_as_written() -> None:
    calls = [{"name": "made_up", "arguments": {}}, {"name": "calc.add", "arguments": '{"a": 1,'}]
    with model_server([{"calls": calls}]) as server:
        done = answer(asked(chat(server.url), tools=TOOLS)).message.calls

    assert [(call.name, call.arguments) for call in done] == [("made_up", "{}"), ("calc.add", '{"a": 1,')]


def test_malformed_arguments_in_the_history_are_not_sent_back() -> None:
    history = [
        *HELLO,
        Message("assistant", "", (ToolCall("c1", "no/such tool", '{"a": 1,'),)),
        Message("tool", "?", call_id="c1"),
    ]
    with model_server([{"text": "ok"}]) as server:
        asked(chat(server.url), history, TOOLS)

    assert server.bodies[0]["messages"][2]["tool_calls"][0]["function"] == {"name": "no_such_tool", "arguments": "{}"}


def test_a_dangling_call_is_answered_before_the_history_is_sent() -> None:
    calls = (ToolCall("c1", "calc.add", "{}"), ToolCall("c2", "calc.add", "{}"))
    history = [
        *HELLO,
        Message("assistant", "", calls),
        Message("tool", "5", call_id="c2"),
        Message("tool", "?", call_id="c9"),
        HELLO[1],
    ]
    with model_server([{"text": "ok"}]) as server:
        asked(chat(server.url), history)

    sent = server.bodies[0]["messages"][3:]
    assert [one.get("tool_call_id") for one in sent] == ["c1", "c2", None]
    assert "Not run" in sent[0]["content"]


def test_a_small_models_call_in_its_text_is_a_call_and_not_shown() -> None:
    text = 'Sure.\n```json\n{"name": "calc-add", "arguments": {"a": 1, "b": 2, "mood": "good"}}\n```'
    with model_server([{"text": text, "chunk": 4}]) as server:
        yielded = asked(chat(server.url, "small"), tools=TOOLS)

    assert said(yielded).strip() == "Sure."
    assert [(call.name, json.loads(call.arguments)) for call in answer(yielded).message.calls] == [("calc.add", {"a": 1, "b": 2})]


@pytest.mark.parametrize("text", ['```json\n{"name": "other", "arguments": {}}\n```', "Use `x` or ```y```.", "{1, 2}", "a <tool"])
def test_a_small_models_text_that_only_looks_like_a_call_is_shown(text: str) -> None:
    with model_server([{"text": text, "chunk": 1}]) as server:
        yielded = asked(chat(server.url, "small"), tools=TOOLS)

    assert said(yielded) == answer(yielded).message.content == text
    assert answer(yielded).message.calls == ()


def test_a_small_model_is_not_told_of_fine_tuning_and_may_give_it() -> None:
    kinds = dict(zip("abcdefg", ["integer", "string", "boolean", "number", "integer", "array", "boolean"], strict=True))
    properties = {name: {"type": kind} for name, kind in kinds.items()}
    tool = ToolSpec("calc.add", "Add.", {"type": "object", "properties": properties, "required": ["e"]})
    call = {"name": "calc.add", "arguments": {"a": 1, "e": 2, "g": True, "mood": 4}}
    with model_server([{"calls": [call]}] * 2) as server:
        done = answer(asked(chat(server.url, "small"), tools=(tool,))).message
        asked(chat(server.url), tools=(tool,))

    told = [list(body["tools"][0]["function"]["parameters"]["properties"]) for body in server.bodies]
    assert told == [[*"abcef"], [*"abcdefg"]]
    assert json.loads(done.calls[0].arguments) == {"a": 1, "e": 2, "g": True}


def test_a_large_models_json_is_text() -> None:
    text = '{"name": "calc-add", "arguments": {"a": 1, "b": 2}}'
    with model_server([{"text": text}]) as server:
        done = answer(asked(chat(server.url), tools=TOOLS)).message

    assert (done.content, done.calls) == (text, ())


def test_a_call_the_engine_could_not_parse_is_asked_for_again_in_text() -> None:
    refusal = {"error": {"status": 500, "message": "The model output does not match the expected peg-native format"}}
    call = {"text": '```json\n{"name": "calc-add", "arguments": {"a": 1, "b": 2}}\n```'}
    with model_server([refusal, call]) as server:
        done = answer(asked(chat(server.url, "small", provider="local"), tools=TOOLS))

    assert [call.name for call in done.message.calls] == ["calc.add"]
    assert "tools" not in server.bodies[1]
    assert "calc-add" in server.bodies[1]["messages"][0]["content"]


def test_leaving_an_answer_early_closes_the_connection_and_the_next_request_works() -> None:
    async def leave(model: Model) -> str:
        stream: Any = model.stream(HELLO, ())
        async for _ in stream:
            break
        await stream.aclose()
        return said(await pieces(model))

    with model_server([{"text": "x" * 4000, "chunk": 1, "delay": 0.002}, {"text": "next"}]) as server:
        assert with_model(chat(server.url), leave) == "next"


def test_cancelling_stops_at_once() -> None:
    async def cancel(model: Model) -> bool:
        task = asyncio.create_task(pieces(model))
        await asyncio.sleep(0.05)
        task.cancel()
        return (await asyncio.wait([task], timeout=2))[0] == {task} and task.cancelled()

    with model_server([{"text": "x" * 400, "chunk": 1, "delay": 0.05}]) as server:
        assert with_model(chat(server.url), cancel)


def test_the_key_goes_into_the_header_and_nowhere_else() -> None:
    with model_server([{"text": "ok"}]) as server:
        asked(chat(server.url))

    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(request.body)


def test_variables_of_openai_are_no_business_of_other_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    with model_server([{"text": "ok"}]) as server:
        asked(chat(server.url, provider="openrouter"))

    assert "org-secret" not in str(server.requests[0].headers)
