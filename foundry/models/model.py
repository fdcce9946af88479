"""The port: what a session asks of any model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from foundry.messages import Answered, Message, Notice, PromptProgress, TextDelta, ToolSpec

Piece = TextDelta | PromptProgress | Notice | Answered
Tier = Literal["small", "full"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model: its name `provider:name`, its window in tokens, and whether it needs few, short tools."""

    name: str
    window: int
    tier: Tier = "full"


class Model(Protocol):
    """One model, ready to be asked; `stream` yields deltas and, last and exactly once, Answered. Raises ProviderError."""

    info: ModelInfo

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncIterator[Piece]: ...

    async def close(self) -> None: ...
