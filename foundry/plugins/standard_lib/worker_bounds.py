"""The beginning of a worker: bounds put around its own process, and its one request read; light, so that it starts quickly."""

from __future__ import annotations

import json
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

_GRACE = 5  # seconds


def begun(memory: int = 0) -> tuple[dict[str, Any], bytes]:
    """Return the request on standard input and the bytes behind it; this process may take `memory` bytes, 0 for no limit.

    macOS knows no such limit; there only time holds it.
    """
    if memory:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    line, _, data = sys.stdin.buffer.read().partition(b"\n")
    if not line:  # nothing was asked: whoever started this is gone
        sys.exit(0)
    request: dict[str, Any] = json.loads(line)
    signal.alarm(int(request["seconds"]) + _GRACE)  # whoever asked may be gone; the default action ends this whatever it does
    return request, data
