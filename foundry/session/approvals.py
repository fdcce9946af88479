"""The gate: whether a call may run, who decides it, and how a person is asked."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from foundry.console import visible
from foundry.errors import UsageError
from foundry.messages import Decision

Mode = Literal["plan", "run", "edit", "auto"]
MODES: tuple[Mode, ...] = ("plan", "run", "edit", "auto")
_READY: tuple[Mode, ...] = ("plan", "run")


class Judged(Protocol):
    """What the gate needs to know of a tool: where it is from and what it does to the world."""

    @property
    def origin(self) -> str: ...
    @property
    def effects(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Question:
    """A call that a person is asked about; what runs is exactly these arguments."""

    tool: str
    arguments: Mapping[str, Any]

    def text(self) -> str:
        """Return the call as a person reads it: every argument whole and escaped, nothing cut."""
        lines = [f"{visible(self.tool)} wants to run" + ("" if self.arguments else ", without arguments")]
        for name, value in self.arguments.items():
            shown = visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            lines.append(f"  {visible(name)}: " + shown.replace("\n", "\n    "))
        return "\n".join(lines)


Ask = Callable[[Question], Awaitable[bool]]


def check_mode(mode: str) -> Mode:
    """Return `mode` if this version has it. Raises UsageError saying which are there."""
    ready = " and ".join(_READY)
    for known in MODES:
        if mode == known:
            if mode in _READY:
                return known
            raise UsageError(f"--mode {mode} is not there yet", f"There are {ready}.", code="mode_not_there")
    raise UsageError(f"{mode!r} is no mode", f"There are {ready}.")


class Approvals:
    """Decides calls one at a time; without `ask` nobody is there, which is a denial."""

    def __init__(self, mode: Mode, ask: Ask | None = None) -> None:
        self.mode = mode
        self._ask = ask

    def could_allow(self, judged: Judged) -> bool:
        """Return whether a call of this tool could be allowed at all in this session."""
        decided = self._without_asking(judged)
        return decided is None or decided.allowed

    async def decide(self, tool: str, judged: Judged, arguments: Mapping[str, Any]) -> Decision:
        """Return whether the call may run: a built-in that only reads may, the rest a person decides."""
        if decided := self._without_asking(judged):
            return decided
        if self._ask and await self._ask(Question(tool, arguments)):
            return Decision(True, "person", "approved")
        return Decision(False, "person", "The user declined this call.")

    def _without_asking(self, judged: Judged) -> Decision | None:
        if judged.origin == "built-in" and judged.effects <= {"reads"}:
            return Decision(True, "mode", "a built-in tool that only reads")
        if self.mode == "plan":
            return Decision(False, "mode", "Plan mode only reads; this tool may do more.")
        if self._ask is None:
            return Decision(False, "nobody", "This tool needs a person's approval and nobody is there to ask.")
        return None
