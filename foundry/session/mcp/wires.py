"""Standard input and output as streams of messages, for a process that is a server: nothing else gets through to them."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from foundry.plugins.strict import in_thread
from foundry.session.mcp.streams import LARGEST_MESSAGE

_handles: list[int] = []


def only_messages() -> None:
    """Keep standard input and output for messages: what else writes there goes to stderr, what else reads finds nothing."""
    _handles[:] = [os.dup(0), os.dup(1)]
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)


@asynccontextmanager
async def own_streams() -> AsyncGenerator[tuple[Any, Any], None]:
    """Yield the streams of messages from and to whoever started this process; the first ends with its input."""
    import anyio

    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    incoming, read_stream = anyio.create_memory_object_stream[Any](0)
    write_stream, outgoing = anyio.create_memory_object_stream[Any](0)
    # A thread that nobody waits for: input may be a file, a pipe or a terminal, and may never come.
    threading.Thread(target=_reading, args=(_handles[0], loop, lines), name="stdin", daemon=True).start()
    tasks = [asyncio.ensure_future(_heard(lines, incoming)), asyncio.ensure_future(_said(outgoing, _handles[1]))]
    try:
        yield read_stream, write_stream
    finally:
        for task in tasks:
            task.cancel()
        for stream in (incoming, read_stream, write_stream, outgoing):
            stream.close()


def _reading(handle: int, loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[bytes]) -> None:
    with suppress(RuntimeError, OSError), os.fdopen(handle, "rb") as file:  # RuntimeError: the loop has gone
        while line := file.readline(LARGEST_MESSAGE):
            loop.call_soon_threadsafe(lines.put_nowait, line)
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(lines.put_nowait, b"")


async def _heard(lines: asyncio.Queue[bytes], incoming: Any) -> None:
    from mcp import types
    from mcp.shared.message import SessionMessage

    async with incoming:
        while line := await lines.get():
            if not line.strip():
                continue
            try:
                message: Any = SessionMessage(types.JSONRPCMessage.model_validate_json(line))
            except ValueError as error:
                message = error
            await incoming.send(message)


async def _said(outgoing: Any, handle: int) -> None:
    async with outgoing:
        async for message in outgoing:
            text = message.message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"
            try:
                await in_thread(partial(_written, handle, text))
            except OSError:
                return


def _written(handle: int, text: bytes) -> None:
    while text:
        text = text[os.write(handle, text) :]
