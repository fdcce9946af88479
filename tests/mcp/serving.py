"""A client of the SDK's own that talks to `foundry mcp serve`, as an editor would."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.conftest import FOUNDRY

Value = TypeVar("Value")


def served(*words: str, env: dict[str, str], work: Callable[[ClientSession, Any], Awaitable[Value]]) -> Value:
    """Start `foundry mcp serve` with these words, do the work with it, and return what that returns."""

    async def talk() -> Value:
        parameters = StdioServerParameters(command=FOUNDRY[0], args=[*FOUNDRY[1:], "mcp", "serve", *words], env=env)
        async with (
            stdio_client(parameters) as (read, write),
            ClientSession(read, write) as session,
        ):
            return await work(session, await session.initialize())

    return asyncio.run(asyncio.wait_for(talk(), 90))


def text(result: Any) -> str:
    return "\n".join(one.text for one in result.content if one.type == "text")
