"""A change of an agent's code as one step that a crash cannot halve: files, environment and the version that tells of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from foundry.agent import intent, trust
from foundry.agent.folder import AgentFolder
from foundry.agent.history import History, State, Version, code_of, is_code
from foundry.agent.record import AgentRecord
from foundry.agent.versions import LARGEST
from foundry.errors import FoundryError
from foundry.files import write_json

Environment = Callable[[Path], AgentRecord]


def apply(
    folder: AgentFolder,
    put: Mapping[str, State | None],
    *,
    kind: str = "accepted",
    said: str = "",
    environment: Environment | None = None,
    at: int = 0,
    redo: tuple[int, ...] = (),
) -> Version:
    """Make the files `put` the agent's code, None taking one away, and return the version they are; want the agent held alone.

    `environment` makes the agent's new environment at the path it is given and returns the record of it. With `at` no version
    is made: the files lead to that one, and `redo` are those that a redo then goes to. Raises FoundryError, nothing changed.
    """
    _refuse_foreign(folder, put)
    with trust.own_change(folder):
        return _applied(folder, put, kind, said, environment, at, redo)


def _applied(
    folder: AgentFolder,
    put: Mapping[str, State | None],
    kind: str,
    said: str,
    environment: Environment | None,
    at: int,
    redo: tuple[int, ...],
) -> Version:
    history = History(folder)
    history.observe()
    _refuse_unrecorded(folder, put)
    try:
        version = _journalled(folder, history, put, kind, said, environment, at, redo)
    except OSError as error:
        begun = intent.pending(folder)
        raise FoundryError(
            f"the code of {folder.name!r} could not be changed{' whole' if begun else ''}: {error.strerror or error}",
            f"Mend that; the next command ends it: foundry history {folder.name}" if begun else "Nothing was changed.",
        ) from None
    finally:
        history.settle()
    _prune(folder, put)
    return version


def _journalled(
    folder: AgentFolder,
    history: History,
    put: Mapping[str, State | None],
    kind: str,
    said: str,
    environment: Environment | None,
    at: int,
    redo: tuple[int, ...],
) -> Version:
    place = intent.begin(folder)
    try:
        for name, state in put.items():
            if state is not None:
                _stage(place.new / name, state)
        names = [name for name, state in put.items() if state is not None]
        if environment:
            record = environment(place.new / folder.venv.name)
            write_json(place.new / folder.made.name, asdict(record))
            names += [folder.venv.name, folder.made.name]
        version = history.prepare(kind, said, put, at, redo)
        intent.announce(folder, kind, put=names, drop=[name for name, state in put.items() if state is None])
    finally:
        intent.roll(folder)
    return version


def _stage(path: Path, state: State) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(state[0])
        file.flush()
        os.fchmod(handle, state[1])
        os.fsync(handle)


def _refuse_foreign(folder: AgentFolder, put: Mapping[str, State | None]) -> None:
    """Refuse what is no code of the agent, or leaves its folder by a link or by its words."""
    for name, state in put.items():
        above = _above(folder, name)
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or any(one.is_symlink() for one in above):
            raise FoundryError(
                f"{name} does not lie in the folder of {folder.name!r}", "Look for a link on the way; nothing was changed."
            )
        if not is_code(name):
            raise FoundryError(
                f"{name} is no code of {folder.name!r}",
                "Code is its config, lock, README, main.py and plugins/; nothing was changed.",
            )
        if state and (len(state[0]) > LARGEST or state[1] & ~0o777):
            raise FoundryError(f"{name} is too large to be code, or of a mode that code has not", "Nothing was changed.")


def _refuse_unrecorded(folder: AgentFolder, put: Mapping[str, State | None]) -> None:
    """Refuse to replace what no version holds and nothing would bring back: a large file, a link, what else a folder holds."""
    there = code_of(folder)
    for name in put:
        path, above = folder.path / name, _above(folder, name)
        if path.is_dir() and not path.is_symlink():
            lost = _below(folder, path, put)
        else:
            lost = name if os.path.lexists(path) and name not in there else ""
        blocking = (_inside(folder, one) for one in above if one.is_file())
        lost = lost or next((one for one in blocking if not _goes(put, one)), "")
        if lost:
            raise FoundryError(
                f"{lost} would be lost: no version of {folder.name!r} holds what lies there now",
                "It is a link, larger than 1 MiB or unreadable; move it away first. Nothing was changed.",
            )
        nearest = next(one for one in reversed(above) if one.is_dir())
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise FoundryError(f"{nearest} must not be written to", f"Nothing was changed; see: ls -ld {nearest}")


def _below(folder: AgentFolder, path: Path, put: Mapping[str, State | None]) -> str:
    """Return a file below `path` that is not taken away anyway, else an empty text."""
    for top, folders, files in os.walk(path):
        folders[:] = [one for one in folders if one != "__pycache__"]
        for one in (Path(top, name) for name in [*files, *(name for name in folders if Path(top, name).is_symlink())]):
            if not _goes(put, _inside(folder, one)):
                return _inside(folder, one)
    return ""


def _goes(put: Mapping[str, State | None], name: str) -> bool:
    return name in put and put[name] is None


def _above(folder: AgentFolder, name: str) -> list[Path]:
    parts = PurePosixPath(name).parts
    return [folder.path.joinpath(*parts[:depth]) for depth in range(len(parts))]


def _inside(folder: AgentFolder, path: Path) -> str:
    return path.relative_to(folder.path).as_posix()


def _prune(folder: AgentFolder, put: Mapping[str, State | None]) -> None:
    """Remove the folders below plugins/ that the change left empty but for compiled copies."""
    for name in sorted((name for name, state in put.items() if state is None), reverse=True):
        for above in (folder.path / name).parents:
            if above in (folder.plugins, folder.path) or not above.is_relative_to(folder.plugins):
                break
            if not above.is_dir() or any(one.name != "__pycache__" for one in above.iterdir()):
                break
            intent.remove(above)
