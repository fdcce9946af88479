"""Talk to an agent: its model chosen, then this process handed over to the agent's own Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from foundry.agent.definition import AgentDefinition, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.handoff import VARIABLE, Handoff, packed, with_env_file
from foundry.agent.intent import recover
from foundry.agent.options import RunOptions
from foundry.agent.secrets import read_env, resolve_keys
from foundry.console import Progress, Silent
from foundry.errors import NotReadyError, UsageError
from foundry.models.catalog import KEY_OF, Choice, choose
from foundry.plugins.foundry_core.sync_agent import ensure_current
from foundry.processes import clean_environment, replace
from foundry.settings import Settings

Consent = Callable[[str], bool]


def run_agent(
    home: Home,
    name: str,
    *,
    prompt: str | None = None,
    folder: str | None = None,
    mode: str | None = None,
    output: str | None = None,
    model: str | None = None,
    max_rounds: int | None = None,
    timeout: float | None = None,
    debug: bool = False,
    settings: Settings,
    progress: Progress | None = None,
    consent: Consent | None = None,
) -> int:
    """Become the agent: its Python on its main.py, whose exit code is this process's; returns only where there is no exec.

    Raises NotFoundError for no such agent, BadFileError for a broken config or .env, UsageError for a mode that is not there or a
    model's name that is none, NotReadyError for a missing model, key or environment, BusyError while a change holds the agent.
    """
    progress = progress or Silent()
    agent = home.agent(name)
    recover(agent)
    options = RunOptions(
        prompt or "", folder or "", mode or "run", output or "text", model or "", max_rounds or 0, timeout or 0.0, debug
    )
    if options.mode in {"edit", "auto"}:
        raise UsageError(f"--mode {options.mode} is not there yet", "There are plan and run.", code="mode_not_there")
    definition = load_definition(agent.config)
    ensure_current(agent, settings, progress)
    settings = with_env_file(settings, read_env(agent.env_file))
    settings = settings.over("agent", {"model": definition.model or None}).over("flag", {"model": model or None})
    keys = _keys(agent, home, definition)
    choice = choose("", keys, settings)
    local = _local(choice, settings, progress, consent)
    work = os.path.abspath(options.folder or agent.path / definition.folder)  # noqa: PTH100
    handoff = Handoff(_given(choice, definition, keys), local, sys.executable, choice.name, choice.why, work, packed(settings))
    main = agent.path / definition.entry_module
    if not main.is_file():
        raise NotReadyError(f"{main} is not there", f'It is the "entry_module" of {agent.config}; put it back or name another.')
    argv = [str(agent.python), "-P", str(main), *options.to_argv()]
    replace(argv, clean_environment({VARIABLE: str(handoff.send())}))


def _keys(agent: AgentFolder, home: Home, definition: AgentDefinition) -> dict[str, str]:
    """Return what has a value of the variables the agent declares and the keys of providers: its .env, the shell, the home."""
    found = resolve_keys(agent, home, {*definition.env, *KEY_OF.values()}, os.environ)
    return {name: value for name, (value, _) in found.items()}


def _local(choice: Choice, settings: Settings, progress: Progress, consent: Consent | None) -> dict[str, Any] | None:
    """Return the embedded model's address where it is the choice; its lease stays open in this process and its successor."""
    if not choice.name.startswith("local:"):
        return None
    from foundry.models.local import ensure

    named = choice.name.partition(":")[2]
    return asdict(ensure(settings.over("flag", {"local_model": named or None}), progress, consent))


def _given(choice: Choice, definition: AgentDefinition, keys: Mapping[str, str]) -> dict[str, str]:
    """Return what the agent's process is given: declared variables and the one key that its model needs, no other."""
    wanted = {*definition.env, KEY_OF.get(choice.name.partition(":")[0], "")}
    return {name: value for name, value in keys.items() if name in wanted}
