"""Foundry's own commands for the tools of a session: run by the Python that the person's `foundry` is, as the person would."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundry.agent.handoff import DEPTH, SHELL, send
from foundry.models.catalog import KEY_OF
from foundry.plugins.api import Foundry, ToolError
from foundry.plugins.strict import on_loop
from foundry.processes import clean_environment, run
from foundry.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from foundry.session.terminal import Asker

_DEEPEST = 3


class OwnCommands(Foundry):
    """`foundry …` for the home of this agent; keys go by a pipe, settings as the shell's variables gave them.

    `asks` is the person's terminal, None where nobody is there; `depth` is how many sessions started one another before this one.
    """

    def __init__(
        self,
        python: str,
        home: Path,
        settings: Settings,
        keys: Mapping[str, str],
        show: Callable[[str], None],
        asks: Asker | None,
        depth: int = 0,
    ) -> None:
        self.agents = home / "agents"
        self._start = (python, "-P", "-m", "foundry.foundry_cli")
        self._home = home
        self._keys = {name: value for name, value in keys.items() if name in KEY_OF.values()}
        self._settings = {
            one.variable: str(settings[one.name]).lower() if one.type is bool else str(settings[one.name])
            for one in SETTINGS
            if settings.source(one.name) == "environment"
        }
        self._show = show
        self._asks = asks
        self._depth = depth
        self._stopped = threading.Event()

    def run(self, *words: str, given: str = "", seconds: float = 60.0) -> Mapping[str, Any]:
        if self._depth >= _DEEPEST:
            raise ToolError("Agents have asked agents too many times over; this one does its work itself.")
        self._stopped.clear()
        keys = send(self._keys)
        try:
            ended = run(
                [*self._start, *words, "--home", str(self._home), "--json"],
                cwd=self._home,
                env=self._environment(keys),
                stdin=given,
                timeout=seconds,
                on_line=lambda line: self._show(line.removeprefix("· ")),
                pass_fds=(keys,),
                stop=self._stopped,
            )
        except OSError as error:
            raise ToolError(f"foundry {words[0]} could not be started: {error.strerror}") from None
        finally:
            os.close(keys)
        if ended.timed_out:
            raise ToolError(f"foundry {words[0]} was stopped: it took longer than {seconds:g} seconds.")
        try:
            return dict(json.loads(ended.out))
        except (ValueError, TypeError):
            raise ToolError(f"foundry {words[0]} ended with code {ended.code} and no answer.") from None

    def on_terminal(self, *words: str) -> int:
        if self._asks is None:
            return super().on_terminal(*words)
        keys = send(self._keys)
        try:
            argv = [*self._start, *words, "--home", str(self._home)]
            return on_loop(self._asks.program(argv, self._environment(keys), (keys,)))
        finally:
            os.close(keys)

    def stop(self) -> None:
        """End the command that runs: the call it runs for was cancelled."""
        self._stopped.set()

    def _environment(self, keys: int) -> dict[str, str]:
        return clean_environment({**self._settings, SHELL: str(keys), DEPTH: str(self._depth + 1)}, installer=True)
