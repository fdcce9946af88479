"""The macOS level, experimental: a sandbox-exec profile that denies all but the system, the given folders and a scratch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from foundry import processes
from foundry.sandbox import walls
from foundry.sandbox.cell import Cell, Probe

_PROGRAM = "/usr/bin/sandbox-exec"
_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/System",
    "/Library/Frameworks",
    "/opt/homebrew",
    "/private/etc/ssl",
    "/private/var/db/timezone",
)


def probe() -> Probe:
    """Return whether sandbox-exec runs a profile of ours here."""
    if not Path(_PROGRAM).is_file():
        return Probe("none", ("sandbox-exec is not there",))
    try:
        ended = processes.run([_PROGRAM, "-p", "(version 1)(allow default)", "/usr/bin/true"], timeout=10)
    except OSError as error:
        return Probe("none", (f"sandbox-exec does not start: {error}",))
    if ended.code:
        return Probe("none", (f"sandbox-exec does not work: {ended.err.strip()[:200]}",))
    return Probe("macos", ("the macOS profile is experimental: memory and processes are not bounded, the disk is only watched",))


def command(argv: Sequence[str], cell: Cell, cwd: Path, scratch: Path) -> list[str]:
    """Return `argv` behind sandbox-exec with the cell's profile."""
    return [_PROGRAM, "-p", profile(cell, cwd, scratch), *argv]


def profile(cell: Cell, cwd: Path, scratch: Path) -> str:
    """Return the cell as a profile; the last rule that matches decides."""
    reads = [*map(Path, _SYSTEM), *walls.readable(cell)]
    lines = [
        *("(version 1)", "(deny default)", "(allow process-fork)", "(allow process-exec)", "(allow signal (target children))"),
        *("(allow signal (target self))", "(allow sysctl-read)", "(allow file-read-metadata)"),
        '(allow file-read* file-write-data (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))',
        '(allow file-read* (literal "/") (literal "/dev/random") (literal "/dev/urandom"))',
        *(f"(allow file-read* (subpath {_quoted(one)}))" for one in reads),
        *(f"(allow file-read* file-write* (subpath {_quoted(one)}))" for one in {cwd, scratch}),
        *(f"(deny file-write* (subpath {_quoted(one)}))" for one in cell.fixed),
        *(f"(deny file-write-unlink (literal {_quoted(one)}))" for one in cell.pinned),
        *(f"(deny file-read* file-write* (subpath {_quoted(one)}))" for one in cell.masked),
    ]
    return "\n".join([*lines, "(allow network*)" if cell.network else "(deny network*)"])


def _quoted(path: Path) -> str:
    """Return a path as a string of the profile's language. Raises ValueError for one that cannot be written in it."""
    text = os.fspath(path)
    if any(ord(one) < 32 for one in text):
        raise ValueError(f"a path with control characters cannot be given to the jail: {text!r}")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
