"""Stands where a model would, for an agent whose tools are served and that has none to think with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from foundry.errors import FoundryError
from foundry.messages import Message, ToolSpec
from foundry.models.model import ModelInfo, Piece

_WINDOW = 32_000  # tokens, by which results are bounded


class NoModel:
    """No model; asking it raises `why` there is none."""

    def __init__(self, why: FoundryError) -> None:
        self.info = ModelInfo("none", _WINDOW)
        self._why = why

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncIterator[Piece]:
        return _refused(self._why)

    async def close(self) -> None:
        """Nothing is open."""


async def _refused(why: FoundryError) -> AsyncIterator[Piece]:
    nothing: list[Piece] = []
    for piece in nothing:
        yield piece
    raise why
