"""Calls a small model wrote into its text, and text that is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.models.recover import fitting, held_back, recover
from tests.models.asking import ADD, READ, TOOLS

VALUES = st.dictionaries(st.sampled_from(["a", "b"]), st.integers() | st.text(max_size=20), max_size=2)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="{[`<"), max_size=60)


def calls(text: str) -> list[tuple[str, object]]:
    return [(call.name, json.loads(call.arguments)) for call in recover(text, TOOLS)[1]]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "calc-add", "arguments": {"a": 1}}',
        '```json\n{"name": "calc-add", "arguments": {"a": 1}}\n```',
        '```\n{"name": "calc.add", "parameters": {"a": 1}}\n```',
        '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
        '<tool_call>{"name": "calc-add", "arguments": "{\\"a\\": 1}"}',
        'I will add.\n\n{"function": {"name": "calc-add", "arguments": {"a": 1}}}',
        '[{"name": "calc-add", "arguments": {"a": 1}}]',
        '```json\n{"tool": "calc-add", "args": {"a": 1, "unheard": 2}}\n``` and then more',
    ],
)
def test_the_forms_a_call_is_written_in(text: str) -> None:
    assert calls(text) == [("calc.add", {"a": 1})]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        '{"name": "calc-subtract", "arguments": {}}',
        '{"name": "calc-add", "arguments": 7}',
        '{"name": "calc-add", "arguments": "nonsense"}',
        'The call {"name": "calc-add", "arguments": {}} is how it is written.',
        '{"name": "calc-add", "arguments": {"a": 1}',
        '{"answer": 42}',
        "[" * 100_000,
        '```json\n{"name": ["calc-add"], "arguments": {}}\n```',
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert recover(text, TOOLS) == (text, ())


def test_a_call_leaves_the_text_before_it_and_not_the_invented_result_after_it() -> None:
    text, found = recover('Before.\n```json\n{"name": "calc-add", "arguments": {}}\n```\nThe sum is 7.', TOOLS)

    assert (text, len(found)) == ("Before.", 1)


def test_no_more_than_four_calls_are_taken() -> None:
    assert len(calls('{"name": "calc-add", "arguments": {}}\n' * 9)) == 4


def test_a_function_name_alone_is_enough_only_where_it_is_unique() -> None:
    other = type(ADD)("sums.add", "", ADD.schema)

    assert recover('{"name": "add", "arguments": {}}', [ADD, other])[1] == ()


@given(TEXTS, st.sampled_from(["```json\n%s\n```", "<tool_call>%s</tool_call>", "\n%s"]), VALUES)
def test_a_call_is_found_after_any_text(before: str, form: str, arguments: dict[str, object]) -> None:
    body = json.dumps({"name": "calc-add", "arguments": arguments})

    assert calls(before + "\n" + form % body) == [("calc.add", arguments)]


@given(st.text())
def test_any_text_is_kept_or_holds_an_offered_call(text: str) -> None:
    left, found = recover(text, TOOLS)

    assert found or left == text
    assert 0 <= held_back(text) <= len(text)


@given(st.text(alphabet='{}[]"`:,\\ \nname-calcdarguments1<tol_>/', max_size=200))
def test_anything_like_json_is_survived(text: str) -> None:
    recover(text, TOOLS)


@given(st.text(alphabet="ab`<{tol_c >\n", max_size=40))
def test_what_was_shown_is_never_taken_back(text: str) -> None:
    places = [held_back(text[:end]) for end in range(len(text) + 1)]

    assert places == sorted(places)


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [('{"path": "x", "mode": "r"}', {"path": "x"}), ('{"path": "x"}', {"path": "x"}), ("", {})],
)
def test_arguments_a_tool_does_not_have_are_dropped(given_text: str, kept: dict[str, str]) -> None:
    assert json.loads(fitting(given_text, READ)) == kept


@pytest.mark.parametrize("text", ["{bad", "[1]", "7"])
def test_arguments_that_are_no_object_are_left_for_the_gate(text: str) -> None:
    assert fitting(text, READ) == text
