"""End the embedded model's process, which frees its memory at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundry.agent.folder import Home
from foundry.console import Block


@dataclass(frozen=True, slots=True)
class Stopped:
    """The embedded models that were running and are not any more."""

    models: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        return [f"Stopped {', '.join(self.models)}." if self.models else "No embedded model is running."]


def stop_model(home: Home) -> Stopped:
    """End the embedded models of this user, of whatever home; a session that uses one starts it again with its next command."""
    from foundry.models import local

    return Stopped(tuple(local.stop()))
