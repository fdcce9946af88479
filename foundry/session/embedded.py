"""The embedded model in a session: connected to where it was handed over, started again when its process has gone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from foundry.console import Silent
from foundry.errors import NotReadyError, ProviderError
from foundry.messages import Message, Notice, ToolSpec
from foundry.models.model import Model, Piece

if TYPE_CHECKING:
    from foundry.agent.handoff import Handoff
    from foundry.models.catalog import Choice
    from foundry.models.local import LocalAddress
    from foundry.settings import Settings

_GONE = "The embedded model has stopped; it is started again."


class Revived:
    """A model whose process may end under it: when nobody answers, `again` brings another connection, once a request."""

    def __init__(self, model: Model, again: Callable[[], Model]) -> None:
        self.info = model.info
        self._model = model
        self._again = again

    async def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncGenerator[Piece, None]:
        """Yield the model's answer. Raises ProviderError, or what `again` raises."""
        import asyncio

        pieces: Any = self._model.stream(messages, tools)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
                return
        except ProviderError as error:
            if error.fault != "connection":
                raise
        yield Notice(_GONE)
        await self._model.close()
        self._model = await asyncio.to_thread(self._again)
        second: Any = self._model.stream(messages, tools)
        async with aclosing(second):
            async for piece in second:
                yield piece

    async def close(self) -> None:
        """Let go of the connection."""
        await self._model.close()


def connected(
    name: str, choice: Choice, keys: Mapping[str, str], settings: Settings, handoff: Handoff | None, *, later: bool
) -> Model:
    """Return the chosen model ready to be asked; the embedded one is started where it was not handed to the agent `name`.

    `later` in a session the address that was handed over may hold no more.

    Raises FoundryError for whatever is missing.
    """
    from foundry.models.catalog import connect

    if not choice.name.startswith("local:"):
        return connect(choice, keys, settings, None)
    if handoff is None or not handoff.python:
        raise NotReadyError("the embedded model is started by Foundry's own command", f"Use: foundry run {name}")

    def again() -> Model:
        return connect(choice, keys, settings, _started(choice, settings, handoff.python))

    handed = None if later else _handed(choice, settings, handoff)
    return Revived(connect(choice, keys, settings, handed) if handed else again(), again)


def _handed(choice: Choice, settings: Settings, handoff: Handoff) -> LocalAddress | None:
    """Return the address that was handed over, if it is that of the model chosen."""
    from foundry.models.local import LocalAddress
    from foundry.models.weights import needed

    given = handoff.local
    return LocalAddress(**given) if given and given.get("model") == needed(_for(choice, settings)).name else None


def _started(choice: Choice, settings: Settings, python: str) -> LocalAddress:
    """Return the embedded model run by `python`, which has its engine; the lease is this process's. Nothing is downloaded."""
    from foundry.models.local import ensure

    return ensure(_for(choice, settings), Silent(), lambda _: False, python)


def _for(choice: Choice, settings: Settings) -> Settings:
    return settings.over("flag", {"local_model": choice.name.partition(":")[2] or None})
