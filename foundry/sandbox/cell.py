"""The vocabulary of the jail: what jailed code may touch, within which bounds, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Level = Literal["strong", "kernel", "macos", "none"]
Ended = Literal["itself", "time", "memory", "output", "disk", "processes", "interrupted"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much jailed code may use: wall and CPU seconds, bytes of memory, processes, bytes of one file and of all, open files.

    `memory` is what the whole tree holds; `address_space` bounds each process besides (0: not, as Go, Java and Node reserve far
    more than they use). `output` bytes are kept of each stream, its beginning and its end; 64 times as many end the command.
    `look` is how many seconds lie between two looks at what the kernel does not bound.
    """

    seconds: float = 60.0
    cpu: int = 60
    memory: int = 1 << 30
    address_space: int = 0
    processes: int = 64
    file_size: int = 64 << 20
    disk: int = 256 << 20
    files: int = 256
    output: int = 1 << 20
    look: float = 0.03


@dataclass(frozen=True, slots=True)
class Cell:
    """What jailed code may touch: one writable folder, which is where it starts (None: a scratch of its own), and what it reads.

    `readable` stands beside the system; an environment in it brings its interpreter. Of what lies in `writable`, `fixed` paths
    can be read only, `masked` ones are empty, and `pinned` folders, outer ones first, cannot be renamed or removed. `env` is
    added to a clean environment.
    """

    writable: Path | None = None
    readable: tuple[Path, ...] = ()
    fixed: tuple[Path, ...] = ()
    masked: tuple[Path, ...] = ()
    pinned: tuple[Path, ...] = ()
    network: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    bounds: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Jailed:
    """How a jailed command ended: exit code (128 + n: the signal), output, the level that held, what ended it, its seconds."""

    code: int
    out: str
    err: str
    level: Level
    ended: Ended
    seconds: float


@dataclass(frozen=True, slots=True)
class Probe:
    """The best level that holds on this machine, and in words what it or a better one lacks."""

    level: Level
    findings: tuple[str, ...] = ()
