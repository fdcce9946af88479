"""The Python that waits in the jail: forks for each call, and the child, with fewer rights still, runs the function.

Runs alone, started by stage.py, and imports nothing of Foundry. Speaks frames on stdin and stdout: length in four bytes, JSON.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any, NoReturn

_LONGEST_RESULT = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Answer requests until stdin ends; the first frame holds the limits and the system calls of every call."""
    # So that a call cannot reach our streams through /proc and answer in our place.
    libc.prctl(4, 0, 0, 0, 0)
    settings = _read()
    _write({"ready": True})
    while settings and (request := _read()):
        _write(_called(settings, request))
    return 0


def _read() -> dict[str, Any] | None:
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        return None
    found: dict[str, Any] = json.loads(sys.stdin.buffer.read(int.from_bytes(head, "big")))
    return found


def _write(answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode()
    sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
    sys.stdout.buffer.flush()


def _called(settings: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Run one call in a child and return its answer, or what became of the child."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _answer(settings, request, writer)
    os.close(writer)
    said, ended = _heard(reader, time.monotonic() + request["seconds"])
    os.close(reader)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if ended:
        return {"error": ended}
    try:
        found = json.loads(said)
        if isinstance(found, dict):
            return found
    except (ValueError, RecursionError):
        pass
    code = os.waitstatus_to_exitcode(status)
    return {"error": f"the function ended its process ({signal.Signals(-code).name if code < 0 else f'exit {code}'})"}


def _heard(reader: int, deadline: float) -> tuple[bytes, str]:
    """Return what the child wrote until it closed its end, and why that was cut short, if it was."""
    said = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return bytes(said), "time: the function did not return in time"
        chunk = os.read(reader, 65536)
        if not chunk:
            return bytes(said), ""
        said += chunk
        if len(said) > _LONGEST_RESULT:
            return b"", "output: the result is longer than 1 MiB"


def _answer(settings: dict[str, Any], request: dict[str, Any], writer: int) -> NoReturn:
    """Be the child: take the remaining rights away, run the function, write what it returned or raised."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    try:
        for which, value in settings["limits"]:
            resource.setrlimit(which, (value, value))
        _seccomp(bytes.fromhex(settings["filter"]))
        said = _ran(request)
    except MemoryError:
        said = '{"error": "memory: the function needs more memory than it may have"}'
    except BaseException as error:
        line = _line_of(error)
        said = json.dumps({"error": f"{type(error).__name__}: {error}"[:2000], "line": line})
    data = said.encode("utf-8", "replace")
    while data:
        data = data[os.write(writer, data) :]
    os._exit(0)


def _ran(request: dict[str, Any]) -> str:
    space: dict[str, Any] = {"__name__": "function", "__builtins__": builtins}
    exec(compile(request["source"], "<function>", "exec"), space)  # noqa: S102 - in the jail, which is what it is for
    found = space.get(request["function"])
    if not callable(found):
        raise NameError(f"the source defines no function {request['function']!r}")
    return json.dumps({"result": found(**request["arguments"])})


def _line_of(error: BaseException) -> int:
    line, trace = getattr(error, "lineno", 0) or 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<function>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return int(line)


def _seccomp(program: bytes) -> None:
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    if libc.prctl(22, 2, ctypes.byref(Program(len(program) // 8, program)), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    sys.exit(main())
