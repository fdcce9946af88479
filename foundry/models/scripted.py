"""One scripted model: a JSON file of steps, answered in order, for tests and demos.

    {"steps": [STEP, ...], "loop": false}

A STEP holds one of
    "text": "..."                          what it says; {result} is the last tool result, {user} the last thing the user said
    "calls": [{"name": "plugin.function", "arguments": {...} | "raw text", "id": "..."}]      beside "text" or alone
    "error": {"status": 429, "retry_after": 1, "message": "..."}
and may say how: "chunk" characters per delta, "delay" seconds per delta, "usage" false for a provider that counts nothing,
"finish" for another finish reason ("" for none), "progress" tokens of prompt to report, "cut" bytes after which the connection
drops, "write" bytes per packet, "done" false for no end mark, "fail" an error told inside the stream, after the text.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from foundry.errors import ProviderError
from foundry.files import BadFileError, nearest, read_json
from foundry.messages import Answered, Message, PromptProgress, TextDelta, ToolCall, ToolSpec, Usage
from foundry.models.model import ModelInfo, Piece

END = "the script has no further step"


@dataclass(frozen=True, slots=True)
class Step:
    """What the scripted model does once."""

    text: str = ""
    calls: tuple[Mapping[str, Any], ...] = ()
    error: Mapping[str, Any] | None = None
    chunk: int = 0
    delay: float = 0.0
    usage: bool = True
    finish: str | None = None
    progress: int = 0
    cut: int | None = None
    write: int = 0
    done: bool = True
    fail: Mapping[str, Any] | None = None

    @property
    def reason(self) -> str:
        """The finish reason a provider would give."""
        if self.finish is not None:
            return self.finish
        return "tool_calls" if self.calls else "stop"

    def deltas(self) -> list[str]:
        """Return the text in the pieces it is said in."""
        size = self.chunk or len(self.text) or 1
        return [self.text[i : i + size] for i in range(0, len(self.text), size)]


@dataclass
class Script:
    """The steps and how far they were played."""

    steps: Sequence[Step]
    loop: bool = False
    played: int = field(default=0)

    def next(self, messages: Sequence[tuple[str, str]]) -> Step:
        """Return the next step for a history of (role, content), its placeholders filled. Raises IndexError at the end."""
        if self.played >= len(self.steps) and not self.loop:
            raise IndexError(END)
        step = self.steps[self.played % len(self.steps)]
        self.played += 1
        last = {role: content for role, content in messages}
        return _filled(step, {"{result}": last.get("tool", ""), "{user}": last.get("user", "")})


def load_script(path: Path) -> Script:
    """Return the script in `path`. Raises BadFileError saying what in it is wrong."""
    try:
        return script(read_json(path))
    except ValueError as error:
        raise BadFileError(f"{path}: {error}", "The format is at the head of foundry/models/scripted.py.") from None


def script(data: Mapping[str, Any]) -> Script:
    """Return the script that JSON `data` means. Raises ValueError."""
    _known(data, ("steps", "loop"), "a script")
    steps = data.get("steps")
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        raise ValueError('"steps" must be a list of at least one step')
    return Script([_step(one, number) for number, one in enumerate(steps, 1)], bool(data.get("loop", False)))


def argument_text(call: Mapping[str, Any]) -> str:
    """Return a scripted call's arguments as the JSON text a model would write."""
    given = call.get("arguments", {})
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def tokens(text: str) -> int:
    """Return how many tokens `text` is taken for where nobody counted: four bytes each, rounded up."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


class ScriptedModel:
    """The model behind `scripted:FILE`: no process, no network, the same answer every time."""

    def __init__(self, script: Script, info: ModelInfo) -> None:
        self.info = info
        self._script = script
        self._calls = 0

    async def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncIterator[Piece]:
        """Yield the next step's answer. Raises ProviderError for a scripted error and, fault "answer", at the end."""
        import asyncio

        try:
            step = self._script.next([(message.role, message.content) for message in messages])
        except IndexError:
            hint = 'Add a step, or set "loop": true.'
            raise ProviderError(f"{self.info.name}: {END} ({self._script.played} were played)", hint, fault="answer") from None
        if step.error is not None:
            raise _scripted_error(self.info.name, step.error)
        if step.progress:
            yield PromptProgress(0, step.progress)
            yield PromptProgress(step.progress, step.progress)
        for delta in step.deltas():
            await asyncio.sleep(step.delay)
            yield TextDelta(delta)
        if not step.reason or step.cut is not None or step.fail:
            raise ProviderError(f"{self.info.name}: the answer was cut off", "Ask again.", fault="cut")
        truncated = step.reason == "length"
        calls = () if truncated else tuple(self._call(one) for one in step.calls)
        read = sum(tokens(message.content) for message in messages)
        yield Answered(Message("assistant", step.text, calls), Usage(read, tokens(step.text), not step.usage), truncated)

    def _call(self, call: Mapping[str, Any]) -> ToolCall:
        self._calls += 1
        return ToolCall(call.get("id") or f"call_{self._calls}", str(call["name"]), argument_text(call))

    async def close(self) -> None:
        """Nothing is held."""


def _scripted_error(name: str, error: Mapping[str, Any]) -> ProviderError:
    from foundry.models.faults import Door, from_status

    return from_status(Door(name), int(error.get("status", 500)), str(error.get("message", "scripted")), error.get("retry_after"))


def _step(data: Any, number: int) -> Step:
    where = f"step {number}"
    if not isinstance(data, Mapping):
        raise ValueError(f"{where} is no object")
    _known(data, [one.name for one in fields(Step)], where)
    if not {"text", "calls", "error"} & set(data):
        raise ValueError(f'{where} has none of "text", "calls" and "error"')
    calls = tuple(data.get("calls", ()))
    for call in calls:
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            raise ValueError(f'{where}: a call needs a "name"')
        _known(call, ("name", "arguments", "id"), f"{where}: a call")
    return Step(**{**data, "calls": calls})


def _known(data: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for key in data:
        if key not in names:
            close = nearest(key, names)
            raise ValueError(f'{where} has the unknown key "{key}"' + (f', did you mean "{close}"?' if close else ""))


def _filled(step: Step, words: Mapping[str, str]) -> Step:
    def fill(value: Any) -> Any:
        if isinstance(value, str):
            for word, meaning in words.items():
                value = value.replace(word, meaning)
            return value
        if isinstance(value, Mapping):
            return {key: fill(item) for key, item in value.items()}
        return [fill(item) for item in value] if isinstance(value, list) else value

    calls = tuple(call if isinstance(call.get("arguments"), str) else fill(call) for call in step.calls)
    return replace(step, text=fill(step.text), calls=calls)
