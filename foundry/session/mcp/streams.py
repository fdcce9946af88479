"""The two ways to a server, both bounded: a command's streams with its whole group ended, and streamable HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from foundry.processes import Running, TimedOut, clean_environment, end_group, start
from foundry.settings import VERSION

LARGEST_MESSAGE = 16 * 1024 * 1024
_MOST_GARBAGE = 1024 * 1024  # bytes on stdout that are no message
_GOODBYE = 0.5  # seconds in which a server may end by itself
_KEPT_LINES, _KEPT_LINE = 20, 500
# Beside the server, in its group: when this process ends, by whatever way, the pipe closes and the group is ended.
_GUARDED = """
import os, signal, sys, time
handle = int(sys.argv[1])
if os.fork() == 0:
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.read(handle, 1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    time.sleep(1)
    os.killpg(0, signal.SIGKILL)
os.wait()
os.close(handle)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]}: {error.strerror}")
"""
Streams = tuple[Any, Any]


class Lost(Exception):
    """The way to a server ended; the text says why."""


class Said:
    """The last lines that a server wrote beside its messages, for the error that names them."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    def add(self, line: bytes) -> None:
        if text := line[:_KEPT_LINE].decode("utf-8", "replace").strip():
            self._lines.append(text)

    def text(self) -> str:
        return "\n".join(self._lines)


@asynccontextmanager
async def command_streams(
    command: str, args: tuple[str, ...], env: Mapping[str, str], cwd: Path, said: Said, ended: asyncio.Event
) -> AsyncGenerator[Streams, None]:
    """Start a command and yield the streams of messages from and to it; its whole group is ended when this is left.

    What it writes beside its messages goes to `said`; `ended` is set once no more
    messages come. Raises Lost when it cannot be started.
    """
    import anyio

    environment = clean_environment(env)
    program = shutil.which(command, path=environment.get("PATH")) if os.sep not in command else str(cwd / command)
    if not program:
        raise Lost(f"there is no program {command!r} on the PATH")
    if not cwd.is_dir():
        raise Lost(f"there is no folder {cwd}")
    watched, alive = os.pipe()
    try:
        process = start(
            [sys.executable, "-I", "-S", "-c", _GUARDED, str(watched), program, *args],
            env=environment,
            cwd=cwd,
            pass_fds=(watched,),
        )
    except OSError as error:
        os.close(alive)
        raise Lost(f"{command} could not be started: {error.strerror}") from None
    finally:
        os.close(watched)
    incoming, read_stream = anyio.create_memory_object_stream[Any](0)
    write_stream, outgoing = anyio.create_memory_object_stream[Any](0)
    tasks: list[asyncio.Task[None]] = []
    pipes: list[asyncio.BaseTransport] = []
    try:
        reader, errors, writer = await _piped(process, pipes)
        reading = asyncio.ensure_future(_read(reader, incoming))
        reading.add_done_callback(lambda _: ended.set())
        hearing = asyncio.ensure_future(_heard(errors, said))
        tasks += [reading, hearing, asyncio.ensure_future(_write(writer, outgoing))]
        try:
            yield read_stream, write_stream
        finally:
            if ended.is_set():  # by itself: what it said last is wanted
                await asyncio.wait((hearing,), timeout=_GOODBYE)
    finally:
        for task in tasks:
            task.cancel()
        for pipe in pipes:
            pipe.close()
        for stream in (incoming, read_stream, write_stream, outgoing):
            stream.close()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, _end, process, alive))


def _end(process: Running, alive: int) -> None:
    try:
        with contextlib.suppress(TimedOut):
            process.wait(_GOODBYE)  # its stdin is closed, which is how a server is told to go
        end_group(process)
    finally:
        os.close(alive)


async def _piped(
    process: Running, pipes: list[asyncio.BaseTransport]
) -> tuple[asyncio.StreamReader, asyncio.StreamReader, asyncio.StreamWriter]:
    """Return the process's three streams; what is to be closed of them is put into `pipes`."""
    loop = asyncio.get_running_loop()
    readers = []
    for pipe in (process.stdout, process.stderr):
        reader = asyncio.StreamReader(limit=1024 * 1024)
        protocol = asyncio.StreamReaderProtocol(reader)
        pipes.append((await loop.connect_read_pipe(lambda protocol=protocol: protocol, pipe))[0])  # type: ignore[misc]
        readers.append(reader)
    transport, control = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, process.stdin)
    pipes.append(transport)
    return readers[0], readers[1], asyncio.StreamWriter(transport, control, None, loop)


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a stream. Raises Lost for one that is longer than any message."""
    held = bytearray()
    while chunk := await reader.read(65536):
        held += chunk
        if b"\n" in chunk:
            *whole, rest = held.split(b"\n")
            held = rest
            for one in whole:
                yield bytes(one)
        if len(held) > LARGEST_MESSAGE:
            raise Lost(f"it sent a message of more than {LARGEST_MESSAGE >> 20} MiB")


async def _read(reader: asyncio.StreamReader, incoming: Any) -> None:
    """Pass on each message; what is none is left out, and too much of it is the end."""
    from mcp.shared.message import SessionMessage
    from mcp.types import JSONRPCMessage

    garbage = 0
    async with incoming:
        with contextlib.suppress(Lost):
            async for line in _lines(reader):
                try:
                    message = JSONRPCMessage.model_validate_json(line)
                except ValueError:
                    garbage += len(line) + 1
                    if garbage > _MOST_GARBAGE:
                        return
                    continue
                await incoming.send(SessionMessage(message))


async def _heard(reader: asyncio.StreamReader, said: Said) -> None:
    line = b""
    while chunk := await reader.read(65536):
        *whole, line = (line + chunk).split(b"\n")
        for one in whole[-_KEPT_LINES:]:
            said.add(one)
        line = line[:_KEPT_LINE]
    said.add(line)


async def _write(writer: asyncio.StreamWriter, outgoing: Any) -> None:
    with contextlib.suppress(OSError):
        async with outgoing:
            async for message in outgoing:
                writer.write(message.message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n")
                await writer.drain()


# streamable HTTP -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def http_streams(url: str, headers: Mapping[str, str], seconds: float, auth: Any = None) -> AsyncGenerator[Streams, None]:
    """Yield the streams of messages from and to the server at `url`; `seconds` is what it may take to be reached.

    `auth` is an httpx.Auth that every request goes through, None for none.
    """
    import httpx
    from mcp.client.streamable_http import streamable_http_client

    timeout = httpx.Timeout(seconds, read=None)  # how long an answer may take, who waits for it says
    # A compressed answer could grow beyond every bound.
    sent = {"Accept-Encoding": "identity", "User-Agent": f"agent-foundry/{VERSION}", **headers}
    async with (
        httpx.AsyncClient(headers=sent, timeout=timeout, auth=auth, event_hooks={"response": [bounded]}) as client,
        streamable_http_client(url, http_client=client) as (read, write, _),
    ):
        yield read, write


async def bounded(response: Any) -> None:
    """Let a response be no longer than a message may be; a stream of events, no longer between two of them."""
    import httpx

    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise httpx.DecodingError("it sent a compressed answer that was not asked for", request=response.request)
    events = "text/event-stream" in response.headers.get("content-type", "").lower()
    response.stream = _bounded_stream(response.stream, events)


def _bounded_stream(inner: Any, events: bool) -> Any:
    import httpx

    class Stream(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for chunk in inner:
                size += len(chunk)
                end = max(chunk.rfind(b"\n\n"), chunk.rfind(b"\r\n\r\n")) if events else -1
                if end >= 0:
                    size = len(chunk) - end
                if size > LARGEST_MESSAGE:
                    raise httpx.DecodingError(f"it sent a message of more than {LARGEST_MESSAGE >> 20} MiB")
                yield chunk

        async def aclose(self) -> None:
            await inner.aclose()

    return Stream()
