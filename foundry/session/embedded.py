"""The embedded model in a session: connected to where it was handed over, started when it is asked and not there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from foundry.console import Silent
from foundry.errors import NotReadyError, ProviderError
from foundry.messages import Message, Notice, ToolSpec
from foundry.models.model import Model, ModelInfo, Piece

if TYPE_CHECKING:
    from foundry.agent.handoff import Handoff
    from foundry.models.catalog import Choice
    from foundry.models.local import LocalAddress
    from foundry.settings import Settings

_GONE = "The embedded model has stopped; it is started again."


class Revived:
    """A model whose process may not be there yet or end under it: `start` brings a connection, once more a request at most."""

    def __init__(self, info: ModelInfo, start: Callable[[], Model], model: Model | None = None) -> None:
        self.info = info
        self._model = model
        self._start = start

    async def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncGenerator[Piece, None]:
        """Yield the model's answer. Raises ProviderError, or what `start` raises."""
        from foundry.plugins.strict import in_thread

        model: Model = self._model or await in_thread(self._start)
        self._model = model
        pieces: Any = model.stream(messages, tools)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
                return
        except ProviderError as error:
            if error.fault != "connection":
                raise
        yield Notice(_GONE)
        await model.close()
        model = self._model = await in_thread(self._start)
        second: Any = model.stream(messages, tools)
        async with aclosing(second):
            async for piece in second:
                yield piece

    async def close(self) -> None:
        """Let go of the connection."""
        if self._model:
            await self._model.close()


def connected(
    name: str,
    choice: Choice,
    keys: Mapping[str, str],
    settings: Settings,
    handoff: Handoff | None,
    *,
    later: bool = False,
    lazily: bool = False,
) -> Model:
    """Return the chosen model ready to be asked; the embedded one is started where it was not handed to the agent `name`.

    `later` in a session the address that was handed over may hold no more. `lazily` it is started by the first request alone.

    Raises FoundryError for whatever is missing.
    """
    from foundry.models.catalog import connect, describe

    if not choice.name.startswith("local:"):
        return connect(choice, keys, settings, None)
    if handoff is None or not handoff.python:
        raise NotReadyError("the embedded model is started by Foundry's own command", f"Use: foundry run {name}")

    def start() -> Model:
        return connect(choice, keys, settings, _started(choice, settings, handoff.python))

    if lazily:
        return Revived(describe(choice.name, settings), start)
    handed = None if later else _handed(choice, settings, handoff)
    model = connect(choice, keys, settings, handed) if handed else start()
    return Revived(model.info, start, model)


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
