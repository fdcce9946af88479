"""Delete an agent: shown first, then renamed into the trash in one step, where it can be restored from until it is swept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foundry.agent import trash
from foundry.agent.definition import check_agent_name
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.lock import hold_alone, hold_home
from foundry.agent.secrets import read_env
from foundry.console import Block, Facts, Progress, Silent
from foundry.errors import FoundryError
from foundry.files import BadFileError
from foundry.settings import Settings


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a delete would take: files and bytes without the venv, how many of the files are in the workspace, own plugins."""

    agent: str
    folder: str
    files: int
    bytes: int
    workspace_files: int
    plugins: tuple[str, ...]
    has_secrets: bool
    purge: bool
    trash_days: int

    def shown(self) -> Sequence[Block]:
        what = f"{self.files} files, {trash.size_told(self.bytes)}, and its environment"
        inside = f"{self.workspace_files} of them" if self.workspace_files else "empty"
        goes = "for good" if self.purge else f"into the trash, kept {self.trash_days} days (foundry restore {self.agent})"
        pairs = [("agent", self.agent), ("folder", self.folder), ("content", what), ("workspace", inside)]
        if self.plugins:
            pairs.append(("own plugins", ", ".join(self.plugins)))
        if self.has_secrets:
            pairs.append(("secrets", "its .env"))
        return [Facts([*pairs, ("goes", goes)])]


@dataclass(frozen=True, slots=True)
class Deleted:
    """An agent that is gone: `entry` is its name in the trash, empty after a purge; `swept` are old entries removed beside it."""

    agent: str
    purged: bool
    entry: str
    swept: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        told = f"Deleted {self.agent} for good." if self.purged else f"Deleted {self.agent}. Undo: foundry restore {self.agent}"
        swept = f"Also removed from the trash, its time being over: {', '.join(self.swept)}"
        return [told, swept] if self.swept else [told]


def delete_agent(
    home: Home,
    name: str,
    *,
    settings: Settings,
    purge: bool = False,
    confirm: Callable[[Deletion], bool] | None = None,
    progress: Progress | None = None,
) -> Deleted:
    """Move an agent into the trash, or with `purge` remove it for good; `confirm` is asked with what goes, None is a yes.

    No link is followed. Raises UsageError for a bad name, NotFoundError, BusyError naming who runs it, FoundryError when the
    answer was no or the filesystem refuses; the agent is then whole and in its place.
    """
    progress = progress or Silent()
    folder, trash_days = named(home, name), settings["trash_days"]
    with hold_alone(folder, "delete", settle=False):
        planned = plan_deletion(folder, purge=purge, trash_days=trash_days)
        if confirm and not confirm(planned):
            raise FoundryError(f"{folder.name} was not deleted: the answer was no", "Answer y to delete it.", code="declined")
        swept = sweep(home, trash_days, progress)
        progress.step(f"Moving {folder.name} to the trash")
        with hold_home(home):
            entry = trash.put_in(home, folder.path)
    if purge:
        progress.step(f"Removing {folder.name} for good")
        trash.purge(home, entry)
    return Deleted(folder.name, purge, "" if purge else entry.entry, swept)


def plan_deletion(folder: AgentFolder, *, purge: bool, trash_days: int) -> Deletion:
    """Return what deleting this agent would take; only looks."""
    venv, workspace = str(folder.venv), trash.count(folder.workspace)
    content = trash.count(folder.path, skip=lambda one: one.path == venv)
    plugins = folder.plugins.iterdir() if folder.plugins.is_dir() and not folder.plugins.is_symlink() else ()
    own = sorted(one.name for one in plugins if one.is_dir() and not one.name.startswith((".", "__")))
    return Deletion(
        agent=folder.name,
        folder=str(folder.path),
        files=content.files,
        bytes=content.bytes,
        workspace_files=0 if folder.workspace.is_symlink() else workspace.files,
        plugins=tuple(own),
        has_secrets=_has_secrets(folder),
        purge=purge,
        trash_days=trash_days,
    )


def _has_secrets(folder: AgentFolder) -> bool:
    try:
        return any(read_env(folder.env_file).values())
    except BadFileError:
        return True


def sweep(home: Home, trash_days: int, progress: Progress) -> tuple[str, ...]:
    """Remove entries whose retention is over, and what an interrupted purge left; return the entries removed."""
    trash.finish_purges(home)
    old = trash.older_than(home, trash_days)
    for one in old:
        progress.step(f"Removing {one.entry} for good: its time in the trash is over")
        trash.purge(home, one)
    return tuple(one.entry for one in old)


def named(home: Home, name: str) -> AgentFolder:
    """Return the folder of the agent called `name`, which is a name and no path. Raises UsageError, FoundryError for a link."""
    if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
        check_agent_name(name)
    path = home.agents / name
    if path.is_symlink():
        hint = f"Nothing was changed. To drop only the link: rm {path}"
        raise FoundryError(f"{path} is a link to {path.readlink()}, not an agent of this home", hint, code="link")
    return home.agent(name)
