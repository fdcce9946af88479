"""Which homes this user made or trusted: what stands in a home from elsewhere is not obeyed before.

A home is a folder with `.foundry/` or agents in it; a folder that is none yet has nobody else's word in it to obey. Known homes
are kept in the user's state folder, by absolute path, out of every tool's reach.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from foundry.files import BadFileError, read_bytes, read_json, write_json
from foundry.settings import state_folder

HomeState = Literal["own", "trusted", "changed", "unknown", "empty"]
OBEYED = (".foundry/settings.json", ".env")
_LONGEST = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HomeTrust:
    """How this user stands to a home; `files` are those in it that would be obeyed and, where it changed, did change."""

    state: HomeState
    files: tuple[str, ...] = ()

    @property
    def obeyed(self) -> bool:
        """Whether its settings and its .env count."""
        return not self.files or self.state in ("own", "trusted", "empty")


def home_trust(path: Path) -> HomeTrust:
    """Return how this user stands to the home at `path`; only looks."""
    there = {name: _digest(path / name) for name in OBEYED if os.path.lexists(path / name)}
    if not there:
        return HomeTrust("empty")  # nothing in it would be obeyed
    try:
        known = read_json(_file(path))
        if known["path"] == str(path.resolve()) and known["origin"] == "made":
            return HomeTrust("own", tuple(there))
        if known["path"] == str(path.resolve()):
            changed = tuple(name for name, digest in there.items() if known["files"].get(name) != digest)
            return HomeTrust("changed" if changed else "trusted", changed or tuple(there))
    except (BadFileError, KeyError, AttributeError, TypeError):
        pass
    return HomeTrust("unknown" if is_home(path) else "empty", tuple(there))


def is_home(path: Path) -> bool:
    """Return whether a folder is a home already: it holds `.foundry/` or agents."""
    if os.path.lexists(path / ".foundry"):
        return True
    try:
        with os.scandir(path / "agents") as entries:
            return any(one.is_dir(follow_symlinks=False) and one.name[0] != "." for one in entries)
    except OSError:
        return False


def home_made(path: Path) -> None:
    """Remember that this user made the home at `path`."""
    _remember(path, "made", {})


def trust_home(path: Path) -> None:
    """Trust the home at `path` with the settings and the .env that are in it now."""
    _remember(path, "elsewhere", {name: _digest(path / name) for name in OBEYED if os.path.lexists(path / name)})


def forget_home(path: Path) -> None:
    """Trust the home at `path` no longer, whoever made it."""
    _file(path).unlink(missing_ok=True)


def _remember(path: Path, origin: str, files: Mapping[str, str]) -> None:
    place = _file(path)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(place, {"path": str(path.resolve()), "origin": origin, "files": dict(files), "at": at}, 0o600)


def _digest(file: Path) -> str:
    try:
        return _sha256(read_bytes(file, _LONGEST))
    except BadFileError:
        return ""


def _file(path: Path) -> Path:
    return state_folder() / "homes" / f"{_sha256(str(path.resolve()).encode())[:24]}.json"


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
