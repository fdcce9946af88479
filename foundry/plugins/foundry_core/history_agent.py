"""The versions of an agent's code, and what differs between two of them or since the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import History, diffs
from foundry.agent.intent import recover
from foundry.console import Block, Diff, Table
from foundry.errors import FoundryError
from foundry.text import local_time

_NAMED = 4  # files of a version that are named in the list


@dataclass(frozen=True, slots=True)
class OneVersion:
    """A version as it is listed; `current` is where the agent is."""

    number: int
    parent: int
    at: str
    kind: str
    said: str
    files: tuple[str, ...]
    current: bool


@dataclass(frozen=True, slots=True)
class AgentHistory:
    """An agent's versions, newest first, and the files that were changed by hand since the one it is at."""

    agent: str
    versions: tuple[OneVersion, ...]
    by_hand: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        rows = [
            (
                f"{'*' if one.current else ' '} {one.number}",
                local_time(one.at),
                one.kind,
                one.said or "-",
                _named(one.files) or "-",
            )
            for one in self.versions
        ]
        table = Table(("VERSION", "WHEN", "WHAT", "WHAT FOR", "FILES"), rows, f"{self.agent} has no history yet.", last="broken")
        changed = f"Changed by hand since: {', '.join(self.by_hand)} (foundry diff {self.agent})"
        return [table, changed] if self.by_hand and self.versions else [table]


@dataclass(frozen=True, slots=True)
class CodeDiff:
    """The files that differ between two versions; `after` 0 is the folder as it lies there."""

    agent: str
    before: int
    after: int
    files: tuple[Diff, ...]

    def shown(self) -> Sequence[Block]:
        return self.files or [f"Nothing differs in the code of {self.agent}."]


def agent_history(home: Home, name: str) -> AgentHistory:
    """Return the agent's versions; runs nothing. Raises NotFoundError, BadFileError for a damaged history."""
    folder = home.agent(name)
    recover(folder)
    History(folder).settle()
    return history_of(folder)


def history_of(folder: AgentFolder) -> AgentHistory:
    """Return the versions of the agent in `folder`."""
    history = History(folder)
    head = history.head()
    versions = [
        OneVersion(one.number, one.parent, one.at, one.kind, one.said, tuple(one.files), one.number == head)
        for one in reversed(history.versions())
    ]
    by_hand = tuple(name for name, _, _ in history.by_hand()) if head else ()
    return AgentHistory(folder.name, tuple(versions), by_hand)


def diff_agent(home: Home, name: str, before: int | None = None, after: int | None = None) -> CodeDiff:
    """Return what differs: between two versions, from one to the folder now, or, with none, what the last change changed.

    Changes by hand since the last version come first where there are any. Raises NotFoundError for a version that is not there.
    """
    folder = home.agent(name)
    recover(folder)
    history = History(folder)
    history.settle()
    head = history.head()
    if not head:
        raise FoundryError(f"{name!r} has no history yet", f"Its first version is recorded when it runs: foundry run {name}")
    if before is None:
        if by_hand := history.by_hand():
            return CodeDiff(name, head, 0, tuple(diffs(by_hand)))
        before, after = history.version(head).parent, head
    if after is None:
        return CodeDiff(name, before, 0, tuple(diffs(history.by_hand(before))))
    for number in (one for one in (before, after) if one):
        history.version(number)
    return CodeDiff(name, before, after, tuple(diffs(history.diff(before, after))))


def _named(files: Sequence[str]) -> str:
    return ", ".join(files if len(files) <= _NAMED else (*files[: _NAMED - 1], f"and {len(files) - _NAMED + 1} more"))
