"""Whether anything of an agent may run: this user made it, or was shown it and trusted it as it is now; what decides only looks.

An agent that this user made stays his, whatever he changes in it by hand. One from elsewhere (a cloned repository, an unpacked
archive) runs nothing before it was trusted, and asks again when anything of it changed, be it code, .env or its environment: all
of its folder counts but what its tools write (workspace/, the working folder) and what Foundry keeps there itself.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from foundry.agent.definition import load_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.record import AgentRecord, load_record, now
from foundry.agent.standing import Standing, change_standing, decisions_file, forget_standing, logins_file, standing_of
from foundry.errors import FoundryError, NotReadyError

TrustState = Literal["own", "trusted", "changed", "unknown"]
ENVIRONMENT = "venv/"  # stands in `files` for all of the environment
_HASHED_WHOLE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Trust:
    """How this user stands to an agent, since when (ISO 8601); `files` are those that changed since it was trusted."""

    state: TrustState
    files: tuple[str, ...] = ()
    at: str = ""

    @property
    def holds(self) -> bool:
        """Whether the agent may run."""
        return self.state in ("own", "trusted")

    def why(self) -> str:
        """Return in words why it may not run, or an empty text."""
        if self.state == "changed":
            named = ", ".join(self.files[:5]) + (f" and {len(self.files) - 5} more" if len(self.files) > 5 else "")
            return f"not trusted any more: {named} changed since"
        return "" if self.holds else "not trusted: you did not make it here"


def check(folder: AgentFolder, record: AgentRecord | None = None) -> Trust:
    """Return how this user stands to the agent, whose `record` may be known, as it lies there now; reads, and runs nothing."""
    known = standing_of(folder)
    if known.origin == "made":
        return Trust("own" if _is_same(folder, known, record) else "unknown", at=known.at)
    if known.origin != "elsewhere":
        return Trust("unknown")
    there = content_of(folder)
    names = {*there, *known.files}
    changed = tuple(sorted(name for name in names if there.get(name) != known.files.get(name)))
    return Trust("changed" if changed else "trusted", changed, known.at)


def require(folder: AgentFolder) -> None:
    """Raise NotReadyError, code "not_trusted", for an agent of which nothing may run."""
    found = check(folder)
    if not found.holds:
        raise not_trusted(folder, found)


def not_trusted(folder: AgentFolder, found: Trust) -> NotReadyError:
    """Return as an error that nothing of the agent may run."""
    return NotReadyError(
        f"nothing of {folder.name!r} is run: it is {found.why()}", f"See what it is and decide: foundry trust {folder.name}",
        code="not_trusted",
    )  # fmt: skip


def made(folder: AgentFolder, place: AgentFolder, accepted: Mapping[str, str]) -> None:
    """Record, before it is renamed to `place`, that this user makes the agent in `folder`, with plugins' code he accepts."""
    code = dict(accepted)
    fresh = Standing("", "made", at=now(), accepted=code, id=_id(folder), inode=folder.path.stat().st_ino)
    change_standing(place, lambda _: fresh)


def trust(folder: AgentFolder, shown: Mapping[str, str], accepted: Mapping[str, str]) -> None:
    """Trust the agent as it was when `content_of` gave what was `shown`, with the environment and lock it has by now.

    `accepted` are the hashes of its plugins' code. Grants that an agent from elsewhere was given before end.
    """
    there = content_of(folder)
    files = {**shown, **{name: there[name] for name in (ENVIRONMENT, folder.lock.name) if name in there}}
    code = hashlib.sha256("\n".join(f"{name}\t{files[name]}" for name in sorted(files)).encode()).hexdigest()

    def change(old: Standing) -> Standing:
        if old.origin == "made" and _is_same(folder, old):
            return old.accepting(accepted)
        return Standing(old.path, "elsewhere", code, now(), dict(accepted), id=_id(folder), files=files)

    change_standing(folder, change)


@contextmanager
def own_change(folder: AgentFolder, place: AgentFolder | None = None) -> Iterator[None]:
    """Let this user's own command change the agent: what was trusted before stays so after, under `place` if it moved there.

    A crash in between, or an error, means that a trusted agent from elsewhere asks again.
    """
    before = check(folder)
    if place:
        _copy(folder, place)
    try:
        yield
    except BaseException:
        if place and place.path != folder.path and folder.path.is_dir():
            forget_standing(place)
        raise
    there = place or folder
    if before.state == "trusted":
        files = content_of(there)
        change_standing(there, lambda old: replace(old, files=files))
    elif before.state == "own" and standing_of(there).id != (found := _id(there)):
        change_standing(there, lambda old: replace(old, id=found))  # a lost record was made anew
    if place:
        _forget(folder, place)


def moved(old: AgentFolder, new: AgentFolder) -> None:
    """Let the standing and the record of decisions follow a folder that was renamed from `old` to `new`."""
    _copy(old, new)
    _forget(old, new)


def forget(folder: AgentFolder) -> None:
    """Forget the agent that lay in `folder` and what was decided about its calls."""
    logins = logins_file(folder)
    for kept in (decisions_file(folder), logins, logins.with_suffix(".lock"), logins.with_suffix(".renewing")):
        kept.unlink(missing_ok=True)
    forget_standing(folder)


def settle(folder: AgentFolder) -> None:
    """Remember the id of an own agent that was made before it had one."""
    known = standing_of(folder)
    if known.origin == "made" and not known.id and (found := _id(folder)):
        change_standing(folder, lambda old: replace(old, id=found))


def content_of(folder: AgentFolder) -> dict[str, str]:
    """Return what of the agent counts for trust: relative path → what it is there, by hash; links by where they lead."""
    found = {}
    for path, kind in _walked(folder):
        found[path.relative_to(folder.path).as_posix()] = kind
    if os.path.lexists(folder.venv):
        found[ENVIRONMENT] = _environment(folder.venv)
    return found


# looking ----------------------------------------------------------------------------------------------------------------


def _walked(folder: AgentFolder) -> Iterator[tuple[Path, str]]:
    left_out = {folder.workspace, folder.venv, _working(folder)}
    waiting = [folder.path]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as found:
                entries = list(found)
        except OSError as error:
            yield here, f"unreadable {error.errno}"
            continue
        for entry in entries:
            path = Path(entry.path)
            if path in left_out or entry.name == "__pycache__" or (path.parent == folder.path and _is_ours(entry.name)):
                continue
            if entry.is_symlink():
                yield path, f"link {path.readlink()}"
            elif entry.is_dir():
                waiting.append(path)
            else:
                yield path, _told(path, entry.stat(follow_symlinks=False))


def _working(folder: AgentFolder) -> Path:
    """Return where its tools write: its working folder, unless code is kept there."""
    try:
        inside = (folder.path / load_definition(folder.config).folder).relative_to(folder.path)
    except (FoundryError, ValueError):
        return folder.workspace
    if not inside.parts or ".." in inside.parts or inside.parts[0] in (folder.plugins.name, folder.venv.name):
        return folder.workspace
    return folder.path / inside


def _is_ours(name: str) -> bool:
    """Return whether Foundry keeps a file of this name in an agent's folder: what stands there gives nothing a right."""
    return name.startswith(".foundry")


def _told(path: Path, found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return f"no file {stat.S_IFMT(found.st_mode):o}"
    if found.st_size > _HASHED_WHOLE:
        return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable {error.errno}"


def _environment(venv: Path) -> str:
    """Return what tells an environment from one in which a file was changed or added; compiled copies are never used."""
    if venv.is_symlink() or not venv.is_dir():
        return "no folder"
    told, waiting = hashlib.sha256(), [str(venv)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        waiting.append(entry.path)
                else:
                    one = entry.stat(follow_symlinks=False)
                    where = Path(entry.path).readlink() if entry.is_symlink() else f"{one.st_ino} {one.st_size} {one.st_mtime_ns}"
                    told.update(f"{os.path.relpath(entry.path, venv)}\t{where}\n".encode("utf-8", "surrogateescape"))
    return told.hexdigest()


# who it is ----------------------------------------------------------------------------------------------------------------


def _is_same(folder: AgentFolder, known: Standing, record: AgentRecord | None = None) -> bool:
    """Return whether the folder is the one that was made: of its id or, where a lost record has none, in its place on disk."""
    found = record.id if record else _id(folder)
    if found and known.id:
        return found == known.id
    return not known.id or folder.path.lstat().st_ino == known.inode


def known_id(folder: AgentFolder) -> str:
    """Return the id that this user's agent in `folder` was made with, for a record that was lost; else an empty text."""
    known = standing_of(folder)
    return known.id if known.origin == "made" and known.inode == folder.path.stat().st_ino else ""


def _id(folder: AgentFolder) -> str:
    try:
        return load_record(folder).id
    except FoundryError:
        return ""


def _copy(old: AgentFolder, new: AgentFolder) -> None:
    known = standing_of(old)
    if known.origin or standing_of(new).origin:  # what is known of an earlier folder there says nothing of this one
        change_standing(new, lambda _: known)


def _forget(old: AgentFolder, new: AgentFolder) -> None:
    for kept in (decisions_file, logins_file):
        if kept(old).exists():
            kept(old).replace(kept(new))
    forget_standing(old)
