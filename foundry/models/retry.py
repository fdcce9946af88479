"""Asking again: what may be sent once more after a failure, and after which wait."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from foundry.errors import ProviderError
from foundry.messages import Answered, Message, Retrying, TextDelta, ToolSpec
from foundry.models.faults import MAX_WAIT
from foundry.models.model import Model, Piece

RETRIED = {"rate", "server", "connection", "timeout", "cut"}
FIRST_WAIT = 0.5


async def ask(
    model: Model, messages: Sequence[Message], tools: Sequence[ToolSpec], retries: int
) -> AsyncGenerator[Piece | Retrying, None]:
    """Yield the model's answer; a failure before anything was shown is followed by Retrying and another request.

    Raises ProviderError when `retries` are used up, the failure is none that passes, text was shown, or the provider asks for a
    wait of more than a minute.
    """
    import asyncio
    from contextlib import aclosing

    for attempt in range(1, retries + 2):
        shown = False
        try:
            stream: Any = model.stream(messages, tools)
            async with aclosing(stream):
                async for piece in stream:
                    shown = shown or isinstance(piece, TextDelta | Answered)
                    yield piece
            return
        except ProviderError as error:
            pause = wait(error, attempt)
            if shown or attempt > retries or error.fault not in RETRIED or pause > MAX_WAIT:
                raise
            yield Retrying(attempt, round(pause, 2), error.message)
        await asyncio.sleep(pause)


def wait(error: ProviderError, attempt: int) -> float:
    """Return the seconds before attempt number `attempt` + 1: what the provider asked for, else doubling from half a second."""
    if error.retry_after is not None:
        return error.retry_after
    return float(min(FIRST_WAIT * 2 ** (attempt - 1), MAX_WAIT / 4) * random.uniform(0.75, 1.25))
