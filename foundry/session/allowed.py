"""What a person allowed for as long as a run goes on, and what the run has read since, on which it depends whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from foundry.agent.policy import Action
from foundry.agent.standing import Grant


class Allowed:
    """Each always of one run.

    One that reaches the network was given for a run that could not yet carry anything away: as soon as the run has read both
    what is here and what strangers wrote there, it is taken back. Given after that it holds: whoever gave it was told.
    """

    def __init__(self, grants: Mapping[Grant, Action] = MappingProxyType({})) -> None:
        self._grants = dict(grants)
        self._read_here = False
        self._read_there = False

    @property
    def grants(self) -> tuple[Grant, ...]:
        """What holds now."""
        return tuple(self._grants)

    @property
    def could_carry(self) -> bool:
        """Whether what strangers wrote may have the model send away what it read here."""
        return self._read_here and self._read_there

    def read_unknown(self) -> None:
        """Take it that everything was read: the run goes on in a new process, which does not know."""
        self._read_here = self._read_there = True

    def add(self, grant: Grant, action: Action) -> None:
        """Keep what was given for this call."""
        self._grants[grant] = action

    def note(self, action: Action, effects: frozenset[str], origin: str) -> None:
        """Take account of a call that is about to run: a tool of this `origin`, with these declared effects."""
        before = self.could_carry
        # An MCP server's own data is nothing from here; a database that Foundry asks is no stranger.
        self._read_here |= origin != "mcp" and bool(effects & {"reads", "runs"})
        self._read_there |= "network" in action.columns and (origin != "built-in" or "reads" not in effects)
        if self.could_carry and not before:
            self._grants = {grant: about for grant, about in self._grants.items() if "network" not in about.columns}
