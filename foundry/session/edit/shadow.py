"""A copy of an agent's code that edit mode writes freely: no workspace, no environment, no secrets; gone with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import code_of
from foundry.agent.trash import remove_tree
from foundry.errors import FoundryError
from foundry.files import write_bytes

State = tuple[bytes, int]  # a file's bytes and mode
_HELD = "held"


class Shadow:
    """One session's copy: `folder` holds it, laid out as an agent's folder is; `root` has room for what belongs to it."""

    def __init__(self, agent: AgentFolder, root: Path, held: int) -> None:
        self.agent = agent
        self.root = root
        self.folder = AgentFolder(root / agent.name)
        self._held = held
        self._parts = 0
        self._before: dict[str, State] = {}

    @classmethod
    def open(cls, agent: AgentFolder, run: str) -> Shadow:
        """Return a fresh copy of the agent's code; copies of sessions that are gone are removed. Raises FoundryError."""
        top = Home(agent.path.parent.parent).own / "shadow"
        try:
            top.mkdir(mode=0o700, parents=True, exist_ok=True)
            sweep(top)
            root = top / f"{agent.name}-{run}-{os.urandom(3).hex()}"
            root.mkdir(mode=0o700)
            shadow = cls(agent, root, _locked(root / _HELD))
            shadow.folder.path.mkdir(mode=0o755)  # only `root` above it is closed: jailed code may be another user
            shadow._before = code_of(agent)
            _lay_out(shadow.folder.path, shadow._before)
        except OSError as error:
            raise FoundryError(f"{agent.name}'s code could not be copied: {error.strerror or error}", "foundry doctor") from None
        return shadow

    def changes(self) -> dict[str, tuple[State | None, State | None]]:
        """Return each file that differs from the agent's when last looked at: before and after, None where it is not there."""
        now = code_of(self.folder)
        names = sorted({*self._before, *now})
        return {name: (self._before.get(name), now.get(name)) for name in names if self._before.get(name) != now.get(name)}

    def refresh(self, paths: Iterable[str] = ()) -> None:
        """Look at the agent anew, after an accept, an undo or a hand edit.

        Files that were not changed here, and those in `paths`, become as the agent has them; the rest stays as it is here.
        """
        before, here, there = self._before, code_of(self.folder), code_of(self.agent)
        forced = set(paths)
        taken = {
            name: there.get(name)
            for name in {*before, *here, *there}
            if here.get(name) != there.get(name) and (name in forced or here.get(name) == before.get(name))
        }
        _lay_out(self.folder.path, taken)
        self._before = there

    def write(self, path: str, text: bytes) -> None:
        """Replace a file of the copy, its mode kept."""
        target = self.folder.path / path
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_bytes(target, text, target.stat().st_mode & 0o777 if target.is_file() else 0o644)

    def part(self, paths: Iterable[str]) -> Shadow:
        """Return another copy, inside this one's room, in which only `paths` are changed; it is gone when this one is."""
        self._parts += 1
        part = Shadow(self.agent, self.root / f"part-{self._parts}", -1)
        part.folder.path.mkdir(mode=0o755, parents=True)
        changed, wanted = self.changes(), set(paths)
        part._before = dict(self._before)
        _lay_out(part.folder.path, {**self._before, **{name: after for name, (_, after) in changed.items() if name in wanted}})
        return part

    def close(self) -> None:
        """Remove the copy and all in its room."""
        with suppress(FoundryError, OSError):
            remove_tree(self.root)
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


def sweep(top: Path) -> int:
    """Remove the copies whose process is gone; return how many."""
    swept = 0
    for entry in os.scandir(top):
        with suppress(OSError, FoundryError):
            if not entry.is_dir(follow_symlinks=False) or not _is_free(Path(entry.path) / _HELD):
                continue
            remove_tree(Path(entry.path))
            swept += 1
    return swept


def _is_free(held: Path) -> bool:
    try:
        handle = os.open(held, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _is_old(held.parent)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


def _is_old(folder: Path) -> bool:
    """Return whether a copy without its lock was left so, and is not just being made."""
    import time

    return time.time() - folder.stat().st_mtime > 60


def _locked(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def _lay_out(folder: Path, files: Mapping[str, State | None]) -> None:
    """Make the files below `folder` as they are given, those that are None gone, and folders left empty gone too."""
    for name, state in files.items():
        path = folder / name
        if state is not None:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # it may be read-only
            path.write_bytes(state[0])
            path.chmod(state[1] & 0o777)
            continue
        path.unlink(missing_ok=True)
        for above in path.parents:
            if above == folder or any(above.iterdir()):
                break
            above.rmdir()
