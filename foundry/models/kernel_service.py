"""Semantic Kernel's OpenAI connector as we use it: our history in, text and pieces of calls out, each message converted once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from foundry.messages import Message, PromptProgress, ToolSpec
from foundry.models import history, lean_kernel
from foundry.models.answer import Answer
from foundry.models.faults import Door

CONNECT_SECONDS = 15.0
_FINISH = {"stop", "length", "content_filter", "tool_calls", "function_call"}


def function(tool: ToolSpec) -> dict[str, Any]:
    """Return a tool as a request carries it."""
    return {
        "type": "function",
        "function": {"name": history.wire_name(tool.id), "description": tool.description, "parameters": dict(tool.schema)},
    }


class Service:
    """One connection to one model through Semantic Kernel, which the first one imports. Raises NotReadyError."""

    def __init__(self, door: Door, timeout: float, headers: Mapping[str, str]) -> None:
        kernel = lean_kernel.load()
        from httpx2 import Timeout

        client = kernel.AsyncOpenAI(
            base_url=door.url,
            api_key=door.key or "none",
            max_retries=0,
            timeout=Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            default_headers=dict(headers),
        )
        if door.provider != "openai":
            client.organization = client.project = None  # the client takes them from OPENAI_* variables, for whatever address
        self._kernel = kernel
        self._client = client
        _ = client.chat.completions  # loads what the first request would wait for
        self._service = _completion()(ai_model_id=door.name.partition(":")[2], async_client=client)
        self._known: dict[int, tuple[Message, Any]] = {}
        self._tools: tuple[Sequence[ToolSpec], list[dict[str, Any]]] = ((), [])

    async def ask(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], settings: Mapping[str, Any], answer: Answer
    ) -> AsyncGenerator[str | PromptProgress, None]:
        """Yield text and progress as they come, filling `answer`; whatever the libraries below raise comes out as it is."""
        kernel = self._kernel
        request = kernel.OpenAIChatPromptExecutionSettings(**settings)
        if tools:
            request.tools, request.tool_choice = self._functions(tools), "auto"
        talk = kernel.ChatHistory(messages=self._converted(messages))
        stream = self._service.get_streaming_chat_message_contents(talk, request)
        try:
            async for (part,) in stream:
                progress = _progress(part.inner_content)
                if progress:
                    yield progress
                if text := _take(part, answer, kernel.FunctionCallContent):
                    yield text
        finally:
            await self._service.end()
            with suppress(RuntimeError):
                await stream.aclose()

    def _functions(self, tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
        if self._tools[0] is not tools:
            self._tools = (tools, [function(tool) for tool in tools])
        return self._tools[1]

    def _converted(self, messages: Sequence[Message]) -> list[Any]:
        """Semantic Kernel's messages for ours; those of the last request are taken again, a history only grows at its end."""
        known = {}
        for message in messages:
            held = self._known.get(id(message))
            known[id(message)] = held if held and held[0] is message else (message, self._convert(message))
        self._known = known
        return [known[id(message)][1] for message in messages]

    def _convert(self, message: Message) -> Any:
        kernel = self._kernel
        if message.role == "tool":
            item = kernel.FunctionResultContent(id=message.call_id, name=history.wire_name(message.name), result=message.content)
            return kernel.ChatMessageContent(role="tool", items=[item])
        items: list[Any] = [kernel.TextContent(text=message.content)] if message.content or not message.calls else []
        items += [
            kernel.FunctionCallContent(id=call.id, name=history.wire_name(call.name), arguments=history.sendable(call.arguments))
            for call in message.calls
        ]
        return kernel.ChatMessageContent(role=message.role, items=items)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


@cache
def _completion() -> Any:
    """Return our small subclass of Semantic Kernel's chat completion, made once its base is loaded."""
    base: Any = lean_kernel.load().OpenAIChatCompletion

    class Completion(base):  # type: ignore[misc]
        """Converts each history message once instead of three times a request, and knows the stream it reads."""

        _wire: Any = None
        _stream: Any = None

        def _prepare_chat_history_for_request(self, chat_history: Any, *_: Any, **__: Any) -> list[dict[str, Any]]:
            known: dict[int, tuple[Any, dict[str, Any]]] = {}
            before = self._wire or {}
            for message in chat_history.messages:
                held = before.get(id(message))
                known[id(message)] = held if held and held[0] is message else (message, _wire(message))
            self._wire = known
            return [known[id(message)][1] for message in chat_history.messages]

        async def _send_request(self, settings: Any) -> Any:
            self._stream = _tidy()(await super()._send_request(settings))
            return self._stream

        async def end(self) -> None:
            """Close the answer being read, if any, so that a server stops writing it."""
            stream, self._stream = self._stream, None
            if stream is not None:
                await stream.close()

    return Completion


def _wire(message: Any) -> dict[str, Any]:
    """A message as sent; Semantic Kernel drops the text beside calls, which the model needs to see it said."""
    sent: dict[str, Any] = message.to_dict()
    if "tool_calls" in sent and message.content:
        sent["content"] = message.content
    return sent


@cache
def _tidy() -> Any:
    """Return a stream class that makes right what Semantic Kernel cannot take or would skip."""
    from openai.types.chat.chat_completion_chunk import Choice, ChoiceDelta

    base: Any = lean_kernel.load().AsyncStream

    class Tidy(base):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            self.response, self._raw = stream.response, stream

        async def __aiter__(self) -> AsyncIterator[Any]:
            async for chunk in self._raw:
                choices = chunk.choices = (chunk.choices or [])[:1]
                if not choices and _progress(chunk):
                    chunk.choices = [Choice(index=0, delta=ChoiceDelta())]
                for choice in choices:
                    if choice.finish_reason and choice.finish_reason not in _FINISH:
                        choice.finish_reason = "stop"
                    if choice.delta and choice.delta.role:
                        choice.delta.role = "assistant"
                yield chunk

    return Tidy


def _progress(chunk: Any) -> PromptProgress | None:
    """What a local server says of its reading: llama.cpp's prompt_progress {total, cache, processed}."""
    said = (getattr(chunk, "model_extra", None) or {}).get("prompt_progress")
    if not isinstance(said, Mapping):
        return None
    done, total = said.get("processed"), said.get("total")
    return PromptProgress(done, total) if isinstance(done, int) and isinstance(total, int) else None


def _take(part: Any, answer: Answer, call_type: type) -> str:
    """Put one streamed part into the answer and return the text in it."""
    text = ""
    for item in part.items:
        if isinstance(item, call_type):
            call: Any = item
            answer.add_call(call.index, call.id, call.name, call.arguments)
        elif getattr(item, "text", None):
            text += item.text
    if text:
        answer.texts.append(text)
    if part.finish_reason:
        answer.finish = part.finish_reason.value
    if usage := part.metadata.get("usage"):
        answer.count(usage)
    return text
