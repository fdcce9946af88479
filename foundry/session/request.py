"""The one request of a one-shot run: what -p says, what is piped in, or both; a silent pipe beside -p is not waited for."""

from __future__ import annotations

import os
import select
import stat
import sys
import time

from foundry.console import Console
from foundry.errors import UsageError

MAX_BYTES = 8 * 1024 * 1024
GRACE = 1.0  # seconds that a pipe beside -p has for its first byte: it may be one we inherited and nobody writes to

PATIENCE = 2.0  # seconds after which it is said that a pipe is waited for


def read_request(prompt: str, console: Console) -> str:
    """Return what the user asks: the pipe is the material, `prompt` the request. Raises UsageError when there is neither.

    What a pipe delivers is material to its very end: half a file would be answered as if it were the whole. A pipe that was
    begun and stays open is therefore waited for, and that is said.
    """
    piped = _piped(wait_for_it=not prompt.strip(), console=console)
    if prompt.strip() and piped.strip():
        return f"{prompt.strip()}\n\n<input>\n{piped.rstrip()}\n</input>"
    if not prompt.strip() and not piped.strip():
        raise UsageError("there is nothing to ask", "Give -p TEXT, pipe text in, or start it on a terminal to talk.")
    return prompt.strip() or piped.strip()


def _piped(*, wait_for_it: bool, console: Console) -> str:
    try:
        handle = sys.stdin.fileno()
        kind = os.fstat(handle).st_mode
    except (OSError, ValueError, AttributeError):
        return ""
    if stat.S_ISREG(kind):
        return _all(handle, console)
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return ""  # a terminal, /dev/null, a device
    if not wait_for_it and not select.select([handle], [], [], GRACE)[0]:
        console.note("Nothing came in on stdin; asked without it. To wait for a slow pipe, leave -p out.")
        return ""
    return _all(handle, console)


def _all(handle: int, console: Console) -> str:
    raw = bytearray()
    told_at: float | None = time.monotonic() + PATIENCE
    while True:
        if told_at is not None and not select.select([handle], [], [], max(told_at - time.monotonic(), 0))[0]:
            console.note(f"Waiting for the end of standard input ({len(raw):,} bytes so far); Ctrl+C ends this.")
            told_at = None
        if not (chunk := os.read(handle, 1 << 16)):
            break
        raw += chunk
        if len(raw) > MAX_BYTES:
            raise UsageError(f"more than {MAX_BYTES >> 20} MiB were piped in", "Pipe in only the part that matters.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"what was piped in is not UTF-8 text (byte {error.start})", "Convert it to text first.") from None
