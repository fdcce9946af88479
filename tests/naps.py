"""Processes that sleep, found by how long: so a test tells its own from all others."""

from __future__ import annotations

from pathlib import Path


def naps(seconds: str) -> list[int]:
    """Return the processes that are `sleep SECONDS`."""
    found = []
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                words = (one / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"sleep") and seconds.encode() in words:
                found.append(int(one.name))
    return found
