"""The agents of a home at a glance; nothing of theirs is executed, and a broken one is a row like any other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foundry.agent import lock
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.health import State, look_at
from foundry.agent.wheel import runtime_hash
from foundry.console import Block, Table, one_line
from foundry.text import local_time

STATE_STYLES = {"ready": "green", "needs sync": "yellow", "broken": "red", "not trusted": "yellow"}
_SAID_IN_FULL = 10
_NAMED = 5


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One agent: `why` and `mend` are empty where it is ready, `model` where it takes the one that is there."""

    name: str
    description: str
    model: str
    state: State
    why: str
    mend: str
    tools: tuple[str, ...]
    last_run: str


@dataclass(frozen=True, slots=True)
class AgentList:
    """All agents of a home, sorted by name."""

    home: str
    agents: tuple[AgentRow, ...]

    def shown(self) -> Sequence[Block]:
        rows = [
            (one.name, one.state, one.model or "default", ", ".join(one.tools) or "-", local_time(one.last_run), one.description)
            for one in self.agents
        ]
        columns = ("NAME", "STATE", "MODEL", "TOOLS", "LAST RUN", "DESCRIPTION")
        empty = f"No agents in {self.home} yet. Make one: foundry create NAME"
        return [Table(columns, rows, empty, STATE_STYLES), *self._troubles()]

    def _troubles(self) -> Iterator[str]:
        by_why: dict[str, list[AgentRow]] = {}
        for one in self.agents:
            if one.state != "ready":
                by_why.setdefault(one.why, []).append(one)
        if by_why:
            yield ""
        for why, alike in list(by_why.items())[:_SAID_IN_FULL]:
            named = ", ".join(one.name for one in alike[:_NAMED]) + (f" and {len(alike) - _NAMED} more" * (len(alike) > _NAMED))
            mend = alike[0].mend if len(alike) == 1 else re.sub(rf" {re.escape(alike[0].name)}$", " NAME", alike[0].mend)
            yield one_line(f"{named}: {why}", 300) + (f". Try: {one_line(mend, 300)}" if mend else "")
        if left := sum(map(len, list(by_why.values())[_SAID_IN_FULL:])):
            yield f"{left} more are not ready; see: foundry doctor"


def list_agents(home: Home) -> AgentList:
    """Return every agent of the home with its state, tools and last run."""
    names = home.names()
    runtime = runtime_hash() if names else ""
    return AgentList(str(home.path), tuple(_row(AgentFolder(home.agents / name), runtime) for name in names))


def _row(folder: AgentFolder, runtime: str) -> AgentRow:
    health = look_at(folder, runtime)
    known = health.definition
    return AgentRow(
        name=folder.name,
        description=known.description if known else "",
        model=known.model if known else "",
        state=health.state,
        why=health.why,
        mend=health.mend,
        tools=(*known.tools, *known.plugins) if known else (),
        last_run=lock.last_run(folder),
    )
