"""Bring a deleted agent back from the trash, whole and under its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from foundry.agent import trash, trust
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.lock import hold_home
from foundry.console import Block, Progress, Silent
from foundry.errors import FoundryError, NotFoundError
from foundry.files import nearest


@dataclass(frozen=True, slots=True)
class Restored:
    """An agent that is back; `others` are further entries of the same name that stay in the trash."""

    agent: str
    entry: str
    folder: str
    others: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        told = f"Restored {self.agent} to {self.folder}"
        return [told, f"Still in the trash: {', '.join(self.others)}"] if self.others else [told]


def restore_agent(home: Home, wanted: str, *, progress: Progress | None = None) -> Restored:
    """Restore an entry of the trash, or the newest deleted agent of that name.

    Raises NotFoundError when the trash has none, FoundryError when an agent of that name exists.
    """
    progress = progress or Silent()
    trash.finish_purges(home)
    with hold_home(home):
        there = trash.entries(home)
        found = [one for one in there if wanted == one.entry or wanted.lower() == one.name.lower()]
        if not found:
            close = nearest(wanted, [one.name.lower() for one in there])
            hint = f'Did you mean "{close}"?' if close else "foundry trash list"
            raise NotFoundError(f"no deleted agent is called {wanted!r}", hint)
        entry = found[0]
        same = home.same_name(entry.name)
        target = home.agents / (same or entry.name)
        if same or os.path.lexists(target):
            hint = f"Rename or delete that one first: foundry rename {target.name} NEW"
            raise FoundryError(f"an agent called {target.name} is there already", hint, code="exists")
        progress.step(f"Restoring {entry.name}")
        home.prepare()
        trash.rename(home.trash / entry.entry, target)
        trust.moved(AgentFolder(home.trash / entry.entry), AgentFolder(target))
    others = tuple(one.entry for one in found[1:] if one.name.lower() == entry.name.lower())
    return Restored(entry.name, entry.entry, str(target), others)
