"""Asking a model in a test: everything it yields, in a list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from foundry.messages import Answered, Message, TextDelta, ToolSpec
from foundry.models.faults import Door
from foundry.models.kernel_chat import KernelChat, Options
from foundry.models.model import Model, ModelInfo, Piece, Tier

T = TypeVar("T")
KEY = "sk-canary-0123456789abcdef"
HELLO = (Message("system", "Be kind."), Message("user", "Hello!"))
ADD = ToolSpec(
    "calc.add",
    "Adds two numbers.",
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]},
)
READ = ToolSpec("files.read", "Reads a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
TOOLS = (ADD, READ)


def chat(url: str, tier: Tier = "full", provider: str = "openai", **options: object) -> KernelChat:
    door = Door(f"{provider}:scripted", url, "OPENAI_API_KEY", KEY)
    return KernelChat(ModelInfo(door.name, 8192, tier), door, Options(**options))  # type: ignore[arg-type]


def with_model(model: Model, use: Callable[[Model], Awaitable[T]]) -> T:
    """Use a model inside one event loop and close it."""

    async def run() -> T:
        try:
            return await use(model)
        finally:
            await model.close()

    return asyncio.run(run())


async def pieces(model: Model, messages: Sequence[Message] = HELLO, tools: Sequence[ToolSpec] = ()) -> list[Piece]:
    return [piece async for piece in model.stream(messages, tools)]


def asked(model: Model, messages: Sequence[Message] = HELLO, tools: Sequence[ToolSpec] = ()) -> list[Piece]:
    """Everything one request yields."""
    return with_model(model, lambda one: pieces(one, messages, tools))


def answer(yielded: Sequence[Piece]) -> Answered:
    """The one Answered, which is the last piece."""
    assert [isinstance(piece, Answered) for piece in yielded] == [False] * (len(yielded) - 1) + [True]
    last = yielded[-1]
    assert isinstance(last, Answered)
    return last


def said(yielded: Sequence[object]) -> str:
    return "".join(piece.text for piece in yielded if isinstance(piece, TextDelta))
