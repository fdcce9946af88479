"""Asking a process of its own for what a hostile file, text or pattern could hang or burst: one request, then it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foundry.processes import Finished, run

_LIMIT = 4 * 1024 * 1024


def command(name: str) -> list[str]:
    """Return what starts the worker: a module beside this one that begins with `worker_bounds.begun`."""
    return [sys.executable, "-P", "-m", f"{__package__}.{name}"]


def ask(
    name: str,
    request: Mapping[str, Any],
    seconds: float,
    *,
    data: bytes = b"",
    grace: float = 0.0,
    limit: int = _LIMIT,
    handles: Sequence[int] = (),
) -> Finished:
    """Return how the worker ended that was given the request, `seconds` in it, and `data`; it inherits `handles`.

    It is ended `grace` seconds after the `seconds` that it is told; `limit` bytes of what it says are kept.
    """
    told = json.dumps({**request, "seconds": seconds}).encode() + b"\n" + data
    return run(command(name), stdin=told, timeout=seconds + grace, limit=limit, pass_fds=handles)


def answers(out: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines that a worker wrote, up to where it was cut off."""
    for line in out.splitlines():
        if line.startswith("{") and line.endswith("}"):
            try:
                yield json.loads(line)
            except ValueError:
                return


def last_words(err: str, otherwise: str) -> str:
    """Return the last line that a worker wrote on standard error, `otherwise` for none."""
    return (err.strip().splitlines() or [otherwise])[-1][:300]
