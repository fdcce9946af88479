"""The vocabulary: messages, tool calls and the events of a run, with their JSON form."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
Stop = Literal["done", "limit", "denied", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call a model asked for; `name` is the tool id `plugin.function`, `arguments` the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call brought back, as the text the model reads; `ok` is false for an error or a denial."""

    call_id: str
    name: str
    content: str
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the history; `calls` only on an assistant's, `call_id` and `name` only on a tool's."""

    role: Role
    content: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written, as the provider counted them or, where it did not, as estimated."""

    input: int = 0
    output: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input + other.input, self.output + other.output, self.estimated or other.estimated)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a call may run, who said so and why."""

    allowed: bool
    by: Literal["mode", "rule", "grant", "person", "nobody"]
    reason: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model is told of a tool: id, one line of description, JSON schema of its arguments."""

    id: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run began; `window` is the model's context in tokens."""

    run: str
    agent: str
    model: str
    folder: str
    mode: str
    window: int


@dataclass(frozen=True, slots=True)
class UserSaid:
    text: str


@dataclass(frozen=True, slots=True)
class PromptProgress:
    """How much of the prompt a local model has read, in tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The model's whole next message; `truncated` when its own length limit cut it."""

    message: Message
    usage: Usage
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ToolRequested:
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolDecided:
    call_id: str
    name: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """Lines that a running call's command has written, as many as a person can follow; the result holds them too."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A call's result; `seconds` is the wall time it took."""

    result: ToolResult
    seconds: float


@dataclass(frozen=True, slots=True)
class Retrying:
    """A request failed before anything was shown and is sent again after `wait` seconds."""

    attempt: int
    wait: float
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryTrimmed:
    """The oldest `turns` whole turns were dropped because the model's window was full."""

    turns: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should know that is no error: a plugin left out, a model restarted."""

    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The turn ended by an error, told as errors are."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn is over and the history valid; `answer` is the text of its last message."""

    stop: Stop
    answer: str
    usage: Usage
    rounds: int


Event = (
    RunStarted
    | UserSaid
    | PromptProgress
    | TextDelta
    | Answered
    | ToolRequested
    | ToolDecided
    | ToolOutput
    | ToolReturned
    | Retrying
    | HistoryTrimmed
    | Notice
    | Failed
    | TurnEnded
)
EVENTS: dict[str, type] = {cls.__name__: cls for cls in typing.get_args(Event)}


def to_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON data: its class under "event", its fields beside it."""
    return {"event": type(event).__name__, **_plain(event)}


def from_json(data: Mapping[str, Any]) -> Event:
    """Return the event that `to_json` wrote. Raises KeyError, TypeError or ValueError when it is none."""
    rest = dict(data)
    event: Event = _build(EVENTS[rest.pop("event")], rest)
    return event


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _build(cls: Any, value: Any) -> Any:
    """Return `value` as `cls`, which is one of the few shapes that the fields above have."""
    if is_dataclass(cls):
        hints = typing.get_type_hints(cls)
        unknown = set(value) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown fields {sorted(unknown)}")
        return cls(**{key: _build(hints[key], item) for key, item in value.items()})  # type: ignore[operator]
    origin = typing.get_origin(cls)
    if origin is tuple:
        return tuple(_build(typing.get_args(cls)[0], item) for item in value)
    if origin is Literal:
        if value not in typing.get_args(cls):
            raise ValueError(f"{value!r} is not one of {typing.get_args(cls)}")
        return value
    if origin is types.UnionType:
        return value
    if cls is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, cls) or (cls is int and isinstance(value, bool)):
        raise TypeError(f"{value!r} is not {cls.__name__}")
    return value
