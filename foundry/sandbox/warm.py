"""Functions in the jail within milliseconds: a Python that waits there and forks for each call."""

from __future__ import annotations

import json
import os
import resource
import selectors
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from foundry import processes
from foundry.errors import FoundryError, NotReadyError
from foundry.sandbox import filters, jail
from foundry.sandbox.cell import Bounds, Cell, Level
from foundry.sandbox.watch import end_tree

_RECYCLED_AFTER = 500
_STARTS_WITHIN = 30.0
_LONGEST_FRAME = 4 << 20


class CallError(FoundryError):
    """A function in the jail raised, was stopped, or returned what is no JSON; `line` is where in its source, if known."""

    code = "call_failed"

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class WarmPython:
    """A Python in the jail that keeps waiting: `call()` runs one function of a source, each in a process of its own.

    A function sees `cell.readable` and a scratch folder; it can start nothing, signal nothing and reach no network.
    """

    def __init__(self, python: Path | None = None, cell: Cell | None = None, *, level: Level | None = None) -> None:
        self.python = python or Path(sys.executable)
        self.cell = replace(cell or Cell(bounds=Bounds(seconds=10, memory=512 << 20)), writable=None, network=False)
        self.level: Level = level or jail.probe().level
        self._process: processes.Running | None = None
        self._stack = ExitStack()
        self._calls = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the waiting Python and all that it started."""
        process, self._process = self._process, None
        if process:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
            end_tree(process)
        self._stack.close()

    def call(self, source: str, function: str, arguments: Mapping[str, Any], *, seconds: float | None = None) -> Any:
        """Return what `function` of `source` returns for `arguments`, all JSON.

        Raises CallError for what it raised or was stopped for, NotReadyError (code "no_jail") where no level holds.
        """
        seconds = seconds or self.cell.bounds.seconds
        request = {"source": source, "function": function, "arguments": dict(arguments), "seconds": seconds}
        with self._lock:
            if self._process is None or self._process.poll() is not None or self._calls >= _RECYCLED_AFTER:
                self._start()
            self._calls += 1
            try:
                self._send(request)
                answer = self._receive(seconds + 2)
            except BaseException as error:
                self.close()
                if isinstance(error, (OSError, ValueError)):
                    raise CallError(f"the jail's Python ended: {error}") from None
                raise
        if "error" in answer:
            raise CallError(str(answer["error"]), int(answer.get("line") or 0))
        return answer.get("result")

    def _start(self) -> None:
        """Start the Python that waits. Raises NotReadyError where no level holds or it does not come up."""
        self.close()
        if self.level not in ("strong", "kernel"):
            raise NotReadyError("functions run only in a jail of level strong or kernel", jail.HOW, code="no_jail")
        zygote = Path(__file__).with_name("zygote.py")
        argv = [str(self.python), "-I", "-B", str(zygote)]
        cell = replace(self.cell, readable=(*self.cell.readable, _environment_of(self.python), zygote))
        ready = self._stack.enter_context(jail.prepared(argv, cell, self.level, ()))
        started = threading.Event()
        failed: list[OSError] = []

        def hold() -> None:
            # The kernel ends the jail when the thread that started it ends: this one lives as long as the jail.
            try:
                self._process = processes.start(ready.argv, env=ready.env, cwd=Path("/"), pass_fds=ready.handles)
            except OSError as error:
                failed.append(error)
            started.set()
            if self._process:
                self._process.wait()

        threading.Thread(target=hold, name="jail", daemon=True).start()
        started.wait()
        self._calls = 0
        try:
            if failed:
                raise failed[0]
            self._send({"limits": _limits(self.cell.bounds, self.level), "filter": filters.program("function").hex()})
            self._receive(_STARTS_WITHIN)
        except (OSError, ValueError) as error:
            self.close()
            raise NotReadyError(f"the jail's Python did not start: {error}", jail.HOW, code="no_jail") from None

    def _send(self, data: Mapping[str, Any]) -> None:
        assert self._process
        assert self._process.stdin
        frame = json.dumps(data).encode()
        self._process.stdin.write(len(frame).to_bytes(4, "big") + frame)
        self._process.stdin.flush()

    def _receive(self, seconds: float) -> dict[str, Any]:
        """Return one answer. Raises OSError when it does not come in time, ValueError for what is no answer."""
        assert self._process
        assert self._process.stdout
        deadline = time.monotonic() + seconds
        data = bytearray()
        wanted = 4
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while len(data) < wanted:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise TimeoutError("no answer in time")
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    raise ConnectionError(self._last_words())
                data += chunk
                if wanted == 4 and len(data) >= 4:
                    wanted = 4 + int.from_bytes(data[:4], "big")
                if wanted > _LONGEST_FRAME:
                    raise ValueError("an answer longer than any")
        found = json.loads(data[4:])
        if not isinstance(found, dict):
            raise ValueError("no answer")
        return found

    def _last_words(self) -> str:
        stream = self._process.stderr if self._process else None
        if stream is None:
            return "ended"
        os.set_blocking(stream.fileno(), False)
        return (stream.read(2000) or b"ended").decode("utf-8", "replace").strip()


def _environment_of(python: Path) -> Path:
    return python.parent.parent if (python.parent.parent / "pyvenv.cfg").exists() else python.resolve().parent.parent


def _limits(bounds: Bounds, level: Level) -> list[tuple[int, int]]:
    """Return a call's limits; where nothing bounds the scratch as a whole, it cannot be written at all."""
    space = bounds.address_space or bounds.memory
    writes = bounds.file_size if level == "strong" else 0
    return [(resource.RLIMIT_CPU, bounds.cpu), (resource.RLIMIT_AS, space), (resource.RLIMIT_FSIZE, writes)]
