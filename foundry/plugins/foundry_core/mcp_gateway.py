"""Several agents as one MCP server: each is served by its own process, and this one passes messages between them and the client.

It reads no more of a message than where it goes, so that it needs no library and each agent answers for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from foundry.console import Progress
from foundry.processes import Running, TimedOut, end_group, start
from foundry.settings import VERSION

_LONGEST = 16 * 1024 * 1024
_PATIENCE = 60.0  # seconds until an agent that does not answer is left out
_ENDS_WITHIN = 5.0
_NO_METHOD, _BAD_PARAMS, _FAILED = -32601, -32602, -32603
Message = dict[str, Any]


@dataclass(slots=True, eq=False)
class _Child:
    """One agent's process; `waiting` are the requests sent to it, by the number they were sent with."""

    name: str
    process: Running
    waiting: dict[int, asyncio.Future[Message]] = field(default_factory=dict)
    gone: bool = False


def serve_together(names: Sequence[str], words: Sequence[str], progress: Progress) -> int:
    """Serve these agents until standard input ends; `words` are the options each is served with."""
    return asyncio.run(_Gateway(names, words, progress).run())


class _Gateway:
    def __init__(self, names: Sequence[str], words: Sequence[str], progress: Progress) -> None:
        self._names = names
        self._words = words
        self._progress = progress
        self._children: list[_Child] = []
        self._tools: dict[str, _Child] = {}
        self._calls: dict[Any, tuple[_Child, int]] = {}  # the client's open calls, by its own ids
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, _settle, ended, 128 + number)
        lines: asyncio.Queue[bytes] = asyncio.Queue()
        threading.Thread(target=_reading, args=(loop, lines), name="stdin", daemon=True).start()
        try:
            for name in self._names:
                self._begin(name)
            heard = asyncio.ensure_future(self._hear(lines))
            await asyncio.wait((heard, ended), return_when=asyncio.FIRST_COMPLETED)
            heard.cancel()
            return ended.result() if ended.done() else 0
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*(loop.run_in_executor(None, _end, one.process) for one in self._children))

    def _begin(self, name: str) -> None:
        argv = [sys.executable, "-P", "-m", "foundry.foundry_cli", "mcp", "serve", name, *self._words]
        child = _Child(name, start(argv, env=os.environ))
        self._children.append(child)
        loop = asyncio.get_running_loop()
        for stream, heard in ((child.process.stdout, self._answered), (child.process.stderr, self._said)):
            work = partial(_lines, loop, stream, partial(heard, child))
            threading.Thread(target=work, name=name, daemon=True).start()

    # the client ----------------------------------------------------------------------------------------------------------

    async def _hear(self, lines: asyncio.Queue[bytes]) -> None:
        while line := await lines.get():
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict):
                self._spawn(self._handled(message))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handled(self, message: Message) -> None:
        method, number = message.get("method"), message.get("id")
        params = message.get("params") if isinstance(message.get("params"), dict) else {}
        assert isinstance(params, dict)
        if not isinstance(method, str):
            return
        if not isinstance(number, str | int | float | None):
            error = {"code": _BAD_PARAMS, "message": "A request's id is a text or a number."}
            _send({"jsonrpc": "2.0", "id": None, "error": error})
            return
        if number is None:
            self._noticed(method, params, message)
            return
        try:
            answer = await self._answer(method, params, number)
        except LookupError as error:
            answer = {"error": {"code": _BAD_PARAMS, "message": str(error.args[0])}}
        _send({"jsonrpc": "2.0", "id": number, **answer})

    def _noticed(self, method: str, params: Mapping[str, Any], message: Message) -> None:
        if method == "notifications/cancelled":
            asked = params.get("requestId")
            found = self._calls.get(asked) if isinstance(asked, str | int | float) else None
            if found:
                self._tell(found[0], {**message, "params": {**params, "requestId": found[1]}})
        elif method == "notifications/initialized":
            for child in self._there():
                self._tell(child, message)

    async def _answer(self, method: str, params: Mapping[str, Any], number: Any) -> Message:
        if method == "initialize":
            return await self._initialized(params)
        if method == "ping":
            return {"result": {}}
        if method == "tools/list":
            return {"result": {"tools": await self._listed()}}
        if method == "tools/call":
            return await self._called(params, number)
        return {"error": {"code": _NO_METHOD, "message": f"There is no method {method}."}}

    async def _initialized(self, params: Mapping[str, Any]) -> Message:
        answers = await self._all("initialize", params)
        results = [one["result"] for one in answers.values() if isinstance(one.get("result"), dict)]
        if not results:
            return {"error": {"code": _FAILED, "message": "None of the agents can be served; what they said is on stderr."}}
        version = min(str(one.get("protocolVersion", "")) for one in results)
        said = "\n\n".join(str(one["instructions"]) for one in results if one.get("instructions"))
        about = {"name": "agent-foundry", "version": VERSION}
        return {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about, "instructions": said}}

    async def _listed(self) -> list[Any]:
        tools: list[Any] = []
        for child, answer in (await self._all("tools/list", {})).items():
            for tool in answer.get("result", {}).get("tools", ()):
                self._tools[tool["name"]] = child
                tools.append(tool)
        return tools

    async def _called(self, params: Mapping[str, Any], number: Any) -> Message:
        name = params.get("name")
        if name not in self._tools:
            await self._listed()
        child = self._tools.get(str(name))
        if child is None or child.gone:
            raise LookupError(f"There is no tool {name!r}.")
        sent, future = self._ask(child, "tools/call", params)
        self._calls[number] = (child, sent)
        try:
            return await future
        finally:
            del self._calls[number]

    # the agents ----------------------------------------------------------------------------------------------------------

    def _there(self) -> list[_Child]:
        return [one for one in self._children if not one.gone]

    async def _all(self, method: str, params: Mapping[str, Any]) -> dict[_Child, Message]:
        """Return what each agent answers; one that takes too long is left out from here on."""
        asked = {child: self._ask(child, method, params)[1] for child in self._there()}
        if asked:
            await asyncio.wait(asked.values(), timeout=_PATIENCE)
        for child, future in asked.items():
            if not future.done():
                self._left(child, f"gave no answer within {_PATIENCE:g} seconds")
        return {child: future.result() for child, future in asked.items()}

    def _ask(self, child: _Child, method: str, params: Mapping[str, Any]) -> tuple[int, asyncio.Future[Message]]:
        self._number += 1
        child.waiting[self._number] = future = asyncio.get_running_loop().create_future()
        self._tell(child, {"jsonrpc": "2.0", "id": self._number, "method": method, "params": dict(params)})
        return self._number, future

    def _tell(self, child: _Child, message: Message) -> None:
        """Send a message to an agent's process; it is always read at once there."""
        assert child.process.stdin
        try:
            child.process.stdin.write(json.dumps(message).encode() + b"\n")
            child.process.stdin.flush()
        except (OSError, ValueError):
            self._left(child, "has ended")

    def _answered(self, child: _Child, line: bytes) -> None:
        if not line:
            self._left(child, "has ended")
            return
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict):
            return
        if "method" in message:
            if "id" not in message:
                _send(message)
            return
        future = child.waiting.pop(message.get("id", 0), None)
        if future and not future.done():
            future.set_result({key: message[key] for key in ("result", "error") if key in message})

    def _said(self, child: _Child, line: bytes) -> None:
        if text := line.decode("utf-8", "replace").strip():
            self._progress.note(f"{child.name}: {text}")

    def _left(self, child: _Child, why: str) -> None:
        if not child.gone:
            child.gone = True
            self._progress.note(f"{child.name} {why} and is left out")
        for future in child.waiting.values():
            if not future.done():
                future.set_result({"error": {"code": _FAILED, "message": f"The agent {child.name} {why}."}})
        child.waiting.clear()


def _settle(future: asyncio.Future[int], code: int) -> None:
    if not future.done():
        future.set_result(code)


def _send(message: Message) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end(process: Running) -> None:
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()
    with contextlib.suppress(TimedOut):
        process.wait(_ENDS_WITHIN)  # its input is closed: it ends by itself, and what it started with it
    end_group(process)


def _reading(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[bytes]) -> None:
    _lines(loop, sys.stdin.buffer, lines.put_nowait)


def _lines(loop: asyncio.AbstractEventLoop, stream: Any, heard: Any) -> None:
    """Hand over the lines of a stream, and an empty one at its end."""
    with contextlib.suppress(RuntimeError, OSError, ValueError):  # the loop or the stream has gone
        while line := stream.readline(_LONGEST):
            loop.call_soon_threadsafe(heard, line)
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(heard, b"")
