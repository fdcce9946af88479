"""The one adapter behind every provider: our messages through Semantic Kernel's chat completion, pieces and one answer back."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from foundry.errors import ProviderError
from foundry.messages import Answered, Message, Notice, PromptProgress, TextDelta, ToolCall, ToolSpec
from foundry.models import history, kernel_service, recover
from foundry.models.answer import REPEATS, Answer
from foundry.models.faults import Door, cut, from_exception
from foundry.models.model import ModelInfo, Piece
from foundry.models.scripted import tokens

SMALL: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 512}
_FIRST, _FINE = 3, ("boolean", "integer", "number")
_REPEATED = "The model began to say the same over and over, so it was stopped."
_REFUSED_FORMAT = "does not match the expected"


@dataclass(frozen=True, slots=True)
class Options:
    """How a provider is asked: seconds of silence allowed, sampling settings, whether the server reports its reading."""

    timeout: float = 120.0
    sampling: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    progress: bool = False


class KernelChat:
    """A model behind an OpenAI-compatible address."""

    def __init__(self, info: ModelInfo, door: Door, options: Options | None = None) -> None:
        self.info = info
        self._door = door
        self._options = options or Options()
        self._service = kernel_service.Service(door, self._options.timeout, dict(self._options.headers))

    async def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncIterator[Piece]:
        """Yield deltas and, last, Answered. Raises ProviderError; nothing of a call comes out unless all of it arrived."""
        whole = history.repaired(messages)
        told = [_without_fine_tuning(one) for one in tools] if self.info.tier == "small" else tools
        offered: Sequence[ToolSpec] = told
        for again in (False, True):
            sent = _told_in_text(whole, told) if again else whole
            answer = Answer()
            try:
                async with aclosing(self._pieces(sent, offered, tools, answer)) as pieces:
                    async for piece in pieces:
                        yield piece
                break
            except ProviderError as error:
                # The engine's parser may refuse what its model wrote: asked once more, and we read the call ourselves.
                if again or not tools or self.info.tier != "small" or _REFUSED_FORMAT not in error.message:
                    raise
                offered = ()
        for last in self._ending(whole, tools, answer):
            yield last

    async def _pieces(
        self, messages: list[Message], offered: Sequence[ToolSpec], tools: Sequence[ToolSpec], answer: Answer
    ) -> AsyncGenerator[Piece, None]:
        small = self.info.tier == "small"
        watch = small and bool(tools)
        shown = 0
        try:
            async with aclosing(self._service.ask(messages, offered, self._settings(offered), answer)) as stream:
                async for piece in stream:
                    if isinstance(piece, PromptProgress):
                        yield piece
                        continue
                    if not watch:
                        yield TextDelta(piece)
                    elif (until := recover.held_back(answer.text)) > shown:
                        yield TextDelta(answer.text[shown:until])
                        shown = until
                    if small and answer.repeats:
                        answer.finish = REPEATS
                        yield Notice(_REPEATED)
                        break
        except ProviderError:
            raise
        except Exception as error:
            # After the finish reason nothing of the answer is missing: what broke then is only the goodbye.
            if not answer.finish:
                raise from_exception(self._door, error) from error
        if not answer.finish:
            raise cut(self._door)
        answer.shown = shown if watch else len(answer.text)

    def _settings(self, offered: Sequence[ToolSpec]) -> dict[str, Any]:
        settings = {**(SMALL if self.info.tier == "small" else {}), **self._options.sampling}
        if self._options.progress:
            settings["extra_body"] = {"return_progress": True}
        return settings

    def _ending(self, messages: Sequence[Message], tools: Sequence[ToolSpec], answer: Answer) -> list[Piece]:
        """What is still to be said: text that was held back and turned out to be text, and the answer as a whole."""
        text, calls = answer.text, () if answer.truncated else tuple(answer.calls())
        if self.info.tier == "small" and tools and not answer.truncated:
            if not calls:
                text, calls = recover.recover(text, tools)
            calls = _fitting(calls, tools)
        pieces: list[Piece] = []
        if text[answer.shown :] and text == answer.text:
            pieces.append(TextDelta(text[answer.shown :]))
        if answer.finish == "content_filter" and not text and not calls:
            message = f"{self.info.name}: the provider's content filter withheld the answer"
            raise ProviderError(message, "Put it differently, or use another model.", fault="answer")
        ids = history.tool_ids(tools)
        named = [ToolCall(call.id, ids.get(call.name, call.name), call.arguments) for call in calls]
        final = history.fresh_ids(named, (call.id for message in messages for call in message.calls))
        usage = answer.usage(_size(messages, tools), tokens(text) + sum(tokens(call.arguments) + 8 for call in final))
        pieces.append(Answered(Message("assistant", text, final), usage, answer.truncated))
        return pieces

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()


def _without_fine_tuning(tool: ToolSpec) -> ToolSpec:
    """Return the tool without optional numbers and flags behind its first parameters: a small model would fill them in."""
    properties, required = tool.schema.get("properties", {}), tool.schema.get("required", ())
    kept = {
        name: one
        for at, (name, one) in enumerate(properties.items())
        if at < _FIRST or name in required or one.get("type") not in _FINE
    }
    return replace(tool, schema={**tool.schema, "properties": kept})


def _fitting(calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> tuple[ToolCall, ...]:
    ids, specs = history.tool_ids(tools), {spec.id: spec for spec in tools}
    return tuple(
        ToolCall(call.id, call.name, recover.fitting(call.arguments, specs[ids[call.name]])) if call.name in ids else call
        for call in calls
    )


def _told_in_text(messages: list[Message], tools: Sequence[ToolSpec]) -> list[Message]:
    """The same conversation with the tools described in the system text, in the words of the embedded model's own template."""
    lines = ["", "", "You can call these tools:", *(json.dumps(kernel_service.function(tool)["function"]) for tool in tools)]
    lines += [
        "To call a tool, reply only with a json code block:",
        "```json",
        '{"name": "tool-name", "arguments": {"key": "value"}}',
    ]
    lines += ["```", "If no tool is needed, reply with normal text."]
    told = "\n".join(lines)
    if messages and messages[0].role == "system":
        return [Message("system", messages[0].content + told), *messages[1:]]
    return [Message("system", told.strip()), *messages]


def _size(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
    words = sum(tokens(one.content) + 4 + sum(tokens(call.arguments) + 8 for call in one.calls) for one in messages)
    return words + sum(tokens(json.dumps(tool.schema, default=str) + tool.description) + 16 for tool in tools)
