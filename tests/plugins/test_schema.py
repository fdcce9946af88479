"""What a model is told of a tool's parameters, and what happens to the arguments it sends."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from foundry.plugins.api import ToolContext, ToolError, kernel_function
from foundry.plugins.cards import PluginProblem
from foundry.plugins.schema import parse_arguments
from foundry.plugins.strict import BoundTool, bind


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    y: int = 0


@dataclass
class Range:
    low: int
    high: int = 9


def tool_of(function: Callable[..., Any], context: ToolContext | None = None) -> BoundTool:
    """The function as the only tool of a plugin."""
    plugin = type("Plugin", (), {"use": staticmethod(kernel_function(name="use")(function))})
    return bind(plugin(), "p", "own", context or ToolContext(Path("/")))[0]


def seen(function: Callable[..., Any], **arguments: Any) -> Any:
    """What the function really gets for these arguments, or the error's text."""
    got: list[Any] = []

    def use(**given: Any) -> None:
        got.append(given)

    use.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    use.__annotations__ = function.__annotations__
    try:
        asyncio.run(_call(tool_of(use), arguments))
    except ToolError as error:
        return str(error)
    return got[0]


async def _call(tool: BoundTool, arguments: dict[str, Any]) -> str:
    return await tool.call(arguments)


def one(hint: Any, default: Any = ...) -> Callable[..., Any]:
    """A function with one parameter `it` of this type."""

    def required(it): ...  # type: ignore[no-untyped-def]
    def optional(it=default): ...  # type: ignore[no-untyped-def]

    chosen = required if default is ... else optional
    chosen.__annotations__ = {"it": hint}
    return chosen


@pytest.mark.parametrize(
    ("hint", "default", "schema"),
    [
        (str, ..., {"type": "string"}),
        (Annotated[str, "A city"], ..., {"type": "string", "description": "A city"}),
        (Annotated[int, Field(ge=1, le=5)], 3, {"type": "integer", "minimum": 1, "maximum": 5, "default": 3}),
        (int, Field(3, ge=1, description="How many"), {"type": "integer", "minimum": 1, "default": 3, "description": "How many"}),
        (Literal["a", "b"], ..., {"type": "string", "enum": ["a", "b"]}),
        (Optional[str], None, {"type": "string"}),  # noqa: UP045
        (Annotated[Optional[int], "Size"], None, {"type": "integer", "description": "Size"}),  # noqa: UP045
        (str | None, None, {"type": "string"}),
        (str, None, {"type": "string"}),
        (int | None, ..., {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (int | str, ..., {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (list[str], ..., {"type": "array", "items": {"type": "string"}}),
        (dict[str, int], ..., {"type": "object", "additionalProperties": {"type": "integer"}}),
        (date, ..., {"type": "string", "format": "date"}),
        (Path, ..., {"type": "string", "format": "path"}),
        (Colour, ..., {"type": "string", "enum": ["red", "blue"]}),
        (
            Point,
            ...,
            {
                "type": "object",
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
                "required": ["x"],
            },
        ),
        (
            list[Range],
            ...,
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"low": {"type": "integer"}, "high": {"type": "integer", "default": 9}},
                    "required": ["low"],
                },
            },
        ),
        (Any, ..., {}),
    ],
)
def test_the_schema_is_short_and_true(hint: Any, default: Any, schema: dict[str, Any]) -> None:
    spec = tool_of(one(hint, default)).spec

    assert spec.schema["properties"] == {"it": schema}
    assert spec.schema.get("required", []) == (["it"] if default is ... else [])
    assert "$ref" not in json.dumps(spec.schema)


@pytest.mark.parametrize(
    ("hint", "default", "sent", "received"),
    [
        (int, ..., "5", 5),
        (int, ..., 5.0, 5),
        (float, ..., "2.5", 2.5),
        (str, ..., 5, "5"),
        (bool, ..., "false", False),
        (Optional[str], None, None, None),  # noqa: UP045
        (Annotated[str | None, "x"], None, None, None),
        (date, ..., "2026-02-03", date(2026, 2, 3)),
        (Path, ..., "a/b", Path("a/b")),
        (Colour, ..., "blue", Colour.BLUE),
        (Point, ..., {"x": "1"}, Point(x=1)),
        (Point, ..., '{"x": 1}', Point(x=1)),
        (Range, ..., {"low": 1}, Range(1)),
        (list[str], ..., ["a"], ["a"]),
        (list[str], ..., '["a", "b"]', ["a", "b"]),
        (set[int], ..., [1, 1], {1}),
        (int | None, 7, None, None),
    ],
)
def test_good_arguments_arrive_as_their_type(hint: Any, default: Any, sent: Any, received: Any) -> None:
    assert seen(one(hint, default), it=sent) == {"it": received}


@pytest.mark.parametrize(
    ("hint", "sent", "said"),
    [
        (bool, "maybe", "it: should be a valid boolean"),
        (int, "2.7", "it: should be a valid integer"),
        (int, 2.7, "it: should be a valid integer"),
        (float, "inf", "it: should be a finite number"),
        (Literal["a", "b"], "c", "it: should be 'a' or 'b', not 'c'"),
        (Annotated[int, Field(ge=1)], 0, "it: should be greater than or equal to 1, not 0"),
        (Point, {"y": 1}, "it.x: missing"),
        (list[int], ["a"], "it.0: should be a valid integer"),
        (str, None, "it: should be a valid string, not None"),
    ],
)
def test_wrong_arguments_are_told_by_name(hint: Any, sent: Any, said: str) -> None:
    assert said in seen(one(hint), it=sent)


def test_missing_and_unknown_arguments_are_told_with_the_nearest() -> None:
    def read(path: str, start: int = 1) -> None: ...

    told = seen(read, pth="a", strt=2)

    assert "path: missing" in told
    assert "pth: unknown argument, did you mean path?" in told
    assert "strt: unknown argument, did you mean start?" in told


def test_null_for_an_argument_with_a_default_means_the_default() -> None:
    assert seen(one(int, 7), it=None) == {}


def test_parameters_may_be_called_anything() -> None:
    def use(_x: int, schema: str = "", model_config: str = "", self_: int = 0, title: str = "t") -> None: ...

    assert seen(use, _x=1, schema="s", model_config="m", title="u") == {"_x": 1, "schema": "s", "model_config": "m", "title": "u"}
    assert set(tool_of(use).spec.schema["properties"]) == {"_x", "schema", "model_config", "self_", "title"}


def test_a_default_inside_a_field_is_passed() -> None:
    assert seen(one(int, Field(4, ge=1))) == {"it": 4}


def test_a_tool_without_parameters_has_an_empty_object() -> None:
    assert tool_of(lambda: None).spec.schema == {"type": "object", "properties": {}}


def test_what_semantic_kernel_hides_from_the_model_is_hidden() -> None:
    def use(city: str, kernel: Annotated[Any, {"include_in_function_choices": False}] = None) -> None: ...

    assert list(tool_of(use).spec.schema["properties"]) == ["city"]


def test_check_returns_the_arguments_as_they_will_be_passed() -> None:
    def use(day: date, count: int = 1, where: Path = Path(".")) -> None: ...

    checked = tool_of(use).check({"day": "2026-02-03", "count": "5"})

    assert checked == {"day": "2026-02-03", "count": 5}


@pytest.mark.parametrize(
    ("hint", "said"),
    [(type(lambda: 0), "has no JSON schema"), ("Unknown", "is not known")],
)
def test_types_without_a_schema_are_refused_when_loading(hint: Any, said: str) -> None:
    with pytest.raises(PluginProblem, match=said):
        tool_of(one(hint))


@pytest.mark.parametrize(
    ("text", "arguments"),
    [("", {}), ("  ", {}), ("{}", {}), ('{"a": "x\ny"}', {"a": "x\ny"}), ('"{\\"a\\": 1}"', {"a": 1})],
)
def test_json_text_becomes_arguments(text: str, arguments: dict[str, Any]) -> None:
    assert parse_arguments(text) == arguments


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1', "not JSON: Expecting ',' delimiter at character 7"),
        ("[1]", "are a JSON list, not an object"),
        ("null", "are a JSON null, not an object"),
        ('{"a": 1, "a": 2}', 'the key "a" stands twice'),
        ('{"a": NaN}', "NaN is no JSON value"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "not usable JSON"),
        ('{"a": "\\ud800"}', "not usable JSON"),
        ('{"a": "' + "x" * 1_000_001 + '"}', "1000010 characters long"),
    ],
)
def test_bad_json_text_is_told_to_the_model(text: str, said: str) -> None:
    with pytest.raises(ToolError) as caught:
        parse_arguments(text)

    assert said in str(caught.value)


@given(st.text())
def test_any_text_is_arguments_or_a_clear_refusal(text: str) -> None:
    try:
        outcome: Any = parse_arguments(text)
    except ToolError as error:
        outcome = str(error)

    assert isinstance(outcome, dict) or outcome.startswith("The arguments are")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_a_model_sends_is_taken_or_told_field_by_field(sent: Any) -> None:
    def use(point: Point, names: list[str], count: int = 1) -> None: ...

    tool = tool_of(use)
    try:
        outcome: Any = tool.check({"point": sent, "names": sent, "count": sent})
    except ToolError as error:
        outcome = str(error)

    assert isinstance(outcome, dict) or outcome.startswith("Wrong arguments. ")
