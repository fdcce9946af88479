"""uv, driven and understood: offline first, wheels only, and its failures told in a line or two."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foundry import processes
from foundry.console import Progress, Silent, one_line
from foundry.errors import FoundryError, NotReadyError, UsageError

# The only packages of the runtime that exist as source alone. Everything else, also what a user depends on, must be a wheel:
# building runs the package's code at install time.
_SOURCE_ONLY = ("pybars4", "pymeta3")
WHEELS_ONLY = ("--only-binary", ":all:", *(part for name in _SOURCE_ONLY for part in ("--no-binary", name)))

_NO_NETWORK = ("error sending request", "Request failed after", "client error (Connect)", "dns error", "operation timed out")
_NOT_CACHED = ("network was disabled", "not found in the cache", "etwork connectivity is disabled", "offline mode", "--offline")
_NO_ROOM = ("No space left on device", "os error 28", "os error 27", "Disk quota exceeded", "os error 122")


@dataclass(frozen=True, slots=True)
class Uv:
    """uv as it is run for environments near `beside`; `held` are locks that must outlive us while it still writes."""

    beside: Path
    spare_cache: Path
    offline: bool = False
    progress: Progress = field(default_factory=Silent)
    held: Sequence[int] = ()

    @property
    def apart(self) -> bool:
        """Whether uv's cache lies on another filesystem, so that the spare one serves: hard links cannot cross."""
        return _device(cache_folder()) != _device(self.beside)

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run uv once and return its stdout. Raises a FoundryError that says what failed."""
        finished = self._started(argv, stdin)
        return _told(finished)

    def run_cached_first(self, *argv: str, stdin: str = "") -> str:
        """Run uv on what is cached and, where that is not enough and the network is allowed, once more with it."""
        finished = self._started((*argv, "--offline"), stdin)
        if finished.code and not self.offline and not any(one in finished.err for one in _NO_ROOM):
            self.progress.step("Not all of it is cached: asking the package index")
            finished = self._started(argv, stdin)
        return _told(finished)

    def _started(self, argv: Sequence[str], stdin: str) -> processes.Finished:
        program = find_uv()
        cache = {"UV_CACHE_DIR": str(self.spare_cache)} if self.apart else {}
        environment = processes.clean_environment({**cache, "NO_COLOR": "1"}, installer=True)
        # From / no uv.toml or pyproject.toml of a folder nobody asked about can change what is installed from where.
        return processes.run(
            [program, *argv], cwd=Path("/"), env=environment, stdin=stdin, on_line=self._heard, pass_fds=self.held
        )

    def _heard(self, line: str) -> None:
        if line.lstrip().startswith(("Downloading ", "Building ")):
            self.progress.step(one_line(line.strip(), 100))


def find_uv() -> str:
    """Return the path of uv. Raises NotReadyError."""
    from uv import find_uv_bin

    try:
        return os.fspath(find_uv_bin())
    except FileNotFoundError:
        raise NotReadyError("uv, which makes the environments, is not installed", "pip install 'uv>=0.13,<0.14'") from None


def cache_folder() -> Path:
    """Return where uv keeps its cache if nobody tells it otherwise."""
    named = processes.installers_environment().get("UV_CACHE_DIR")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"


def _device(path: Path) -> int:
    for one in (path, *path.parents):
        try:
            return one.stat().st_dev
        except OSError:
            continue
    return -1


def _told(finished: processes.Finished) -> str:
    """Return what uv wrote on stdout; raise its failure, with all it said as the cause."""
    if finished.code:
        said = finished.err.strip() or f"error: it ended with code {finished.code} and said nothing"
        raise failure(said) from RuntimeError(said)
    return finished.out


def failure(told: str) -> FoundryError:
    """Return what uv wrote on failing as one of our errors."""
    lines = [line.strip() for line in told.splitlines()]
    cause = _cause(lines)
    if any(one in told for one in _NO_ROOM):
        return FoundryError(
            "the disk is full (or a quota is)", "Make room and do it again; no half agent was left behind.", code="disk_full"
        )
    if found := re.search(r"No interpreter found for (Python [^\s]+)", told):
        hint = "Install it, or leave out --python." + (" It can be fetched when online." if "offline" in told else "")
        return NotReadyError(f"{found[1]} is not on this machine", hint, code="no_python")
    if any(one in told for one in _NOT_CACHED):
        missing = re.search(r"Because ([A-Za-z0-9._-]+) was not found in the cache", told)
        what = f"the package {missing[1]!r} is" if missing else "some packages are"
        return FoundryError(
            f"{what} not in the cache and the network is switched off",
            "Do it once with a network (without FOUNDRY_OFFLINE and UV_OFFLINE), or leave the dependency out.",
            code="offline",
        )
    if fetched := re.search(r"/cpython-(\d+\.\d+)[^\s/]*\.tar", told):
        hint = "Install it, or leave out --python; fetching it failed: check the connection and the proxy (HTTPS_PROXY)."
        return NotReadyError(f"Python {fetched[1]} is not on this machine", hint, code="no_python")
    if any(one in told for one in _NO_NETWORK):
        where = re.search(r"Failed to (?:fetch|download):? `?(\S+?)`?$", told, re.MULTILINE)
        return FoundryError(
            f"the package index cannot be reached ({where[1] if where else cause})",
            "Check the connection and the proxy (HTTPS_PROXY), or name another index with UV_DEFAULT_INDEX.",
            code="no_network",
        )
    return _unsolvable(told, cause)


def _unsolvable(told: str, cause: str) -> FoundryError:
    if found := re.search(r"Because ([A-Za-z0-9._-]+) was not found in the package registry", told):
        return UsageError(
            f"no package is called {found[1]!r}", "Check how it is spelt on the package index.", code="unknown_package"
        )
    if found := re.search(r"Because there (?:is|are) no versions? of (\S+)", told):
        return UsageError(f"there is no such version: {found[1]}", "Ask for one that exists.", code="unknown_version")
    if found := re.search(r"Wheels are required for `([^`]+)`", told):
        return UsageError(
            f"the package {found[1]!r} has no wheel for this Python; building it would run its code here",
            "Ask for a version that has wheels, or for another package.",
            code="no_wheel",
        )
    if "No solution found" in told:
        return UsageError(f"the dependencies contradict each other: {cause}", "Loosen or drop one of them.", code="conflict")
    if "Hash mismatch" in told:
        return FoundryError(
            f"a package is not what the lock says: {cause}", "Do not use it before you know why.", code="hash_mismatch"
        )
    return FoundryError(f"uv failed: {cause}", "foundry doctor", code="installer")


def _cause(lines: Sequence[str]) -> str:
    """Return the sentence that explains: the first cause with the lines that go on with it, else the error itself."""
    start = next((at for at, line in enumerate(lines) if line.startswith("cause:")), None)
    if start is None:
        start = next((at for at, line in enumerate(lines) if line.startswith("error:")), 0)
    taken: list[str] = []
    for line in lines[start:]:
        if not line or (taken and line.startswith(("cause:", "hint:"))):
            break
        taken.append(line.removeprefix("cause:").removeprefix("error:").strip())
    text = " ".join(taken).replace("we can conclude that ", "")
    text = re.sub(r"agent-foundry(\[[a-z,]+\])?(==[\w.]+)?", "Agent Foundry", text)
    return one_line(text, 400) or "it said nothing"
