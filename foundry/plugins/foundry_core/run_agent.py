"""Talk to an agent: its model chosen, then this process handed over to the agent's own Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from foundry.agent import trust
from foundry.agent.definition import AgentDefinition, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.handoff import DEPTH, VARIABLE, Handoff, packed, with_env_file
from foundry.agent.history import History
from foundry.agent.intent import recover
from foundry.agent.options import RunOptions
from foundry.agent.secrets import read_env, resolve_keys
from foundry.console import Progress, Silent
from foundry.errors import FoundryError, NotReadyError
from foundry.models.catalog import KEY_OF, Choice, choose
from foundry.plugins.built_ins import env_of
from foundry.plugins.foundry_core.sync_agent import ensure_current
from foundry.processes import clean_environment, installers_environment, replace
from foundry.settings import Settings, cache_folder
from foundry.text import local_time

if TYPE_CHECKING:
    from foundry.plugins.foundry_core.trust_agent import Confirm

Consent = Callable[[str], bool]
_NAMED = 5
_DESKTOP = (
    *("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"),
    *("XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE", "DESKTOP_SESSION", "WSL_DISTRO_NAME", "WSL_INTEROP"),
)


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
    mcp: str = "",
    settings: Settings,
    progress: Progress | None = None,
    consent: Consent | None = None,
    confirm: Confirm | None = None,
) -> int:
    """Become the agent: its Python on its main.py, whose exit code is this process's; returns only where there is no exec.

    An agent that is not trusted is shown to `confirm` first. Raises NotFoundError for no such agent, BadFileError for a broken
    config or .env, UsageError for a model's name that is none, NotReadyError for a missing model, key, environment or trust,
    BusyError while a change holds the agent.
    """
    progress = progress or Silent()
    agent = home.agent(name)
    recover(agent)
    options = RunOptions(
        prompt or "", folder or "", mode or "run", output or "text", model or "", max_rounds or 0, timeout or 0.0, debug, mcp
    )
    foreign = _trusted(home, agent, settings, progress, confirm)
    definition = load_definition(agent.config)
    ensure_current(agent, settings, progress)
    if not foreign:
        _note_changes_by_hand(agent, progress)
    settings = with_env_file(settings, read_env(agent.env_file))
    settings = settings.over("agent", {"model": definition.model or None}).over("flag", {"model": model or None})
    keys = _keys(agent, home, definition)
    choice = _choice(keys, settings, mcp)
    local = None if mcp else _local(choice, settings, progress, consent)  # served, it is started by the first who asks it
    work = os.path.abspath(options.folder or agent.path / definition.folder)  # noqa: PTH100
    handoff = Handoff(
        _given(choice, definition, keys),
        local,
        sys.executable,
        choice.name,
        choice.why,
        work,
        packed(settings),
        installers=installers_environment(),
        depth=int(depth) if (depth := os.environ.get(DEPTH, "")).isdigit() else 0,
    )
    main = agent.path / definition.entry_file
    if not main.is_file():
        raise NotReadyError(f"{main} is not there", f'It is the "entry_module" of {agent.config}; put it back or name another.')
    # Compiled copies in a folder from elsewhere were not looked at; Python keeps its own of them in another place.
    apart = ("-X", f"pycache_prefix={cache_folder() / 'pycache'}") if foreign else ()
    argv = [str(agent.python), *apart, "-P", str(main), *options.to_argv()]
    # What finds the person's browser; no run gets it.
    desktop = {one: os.environ[one] for one in _DESKTOP if mcp.startswith("login") and one in os.environ}
    replace(argv, clean_environment({**desktop, VARIABLE: str(handoff.send())}))


def _trusted(home: Home, agent: AgentFolder, settings: Settings, progress: Progress, confirm: Confirm | None) -> bool:
    """Return whether the agent is from elsewhere, trusted, perhaps only now. Raises NotReadyError where it is not."""
    found = trust.check(agent)
    if found.state == "own":
        trust.settle(agent)
        return False
    if not found.holds:
        if not confirm:
            raise trust.not_trusted(agent, found)
        from foundry.plugins.foundry_core.trust_agent import trust_agent

        trust_agent(home, agent.name, settings=settings, confirm=confirm, progress=progress)
    return True


def _note_changes_by_hand(agent: AgentFolder, progress: Progress) -> None:
    """Record what a person changed by hand since the last version as one of its own, and name the files."""
    history = History(agent)
    try:
        before = history.head()
        found = history.observe()
        if not found or not before:
            return
        since = local_time(history.version(before).at)
    except (FoundryError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = error.message if isinstance(error, FoundryError) else f"{type(error).__name__}: {error}"
        progress.note(f"The history of {agent.name} could not be kept: {told}")
        return
    names = [*found.files]
    files = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    progress.note(f"{agent.name} was changed by hand since {since}: {files}; version {found.number}; foundry diff {agent.name}")


def _keys(agent: AgentFolder, home: Home, definition: AgentDefinition) -> dict[str, str]:
    """Return what has a value of the variables the agent declares and the keys of providers: its .env, the shell, the home."""
    found = resolve_keys(agent, home, {*env_of(definition), *KEY_OF.values()}, os.environ)
    return {name: value for name, (value, _) in found.items()}


def _choice(keys: Mapping[str, str], settings: Settings, mcp: str) -> Choice:
    """Return the model chosen; an agent that is served can do without one. Raises NotReadyError otherwise."""
    if mcp not in ("", "serve"):
        return Choice("", "")
    try:
        return choose("", keys, settings)
    except NotReadyError:
        if not mcp:
            raise
        return Choice("", "")


def _local(choice: Choice, settings: Settings, progress: Progress, consent: Consent | None) -> dict[str, Any] | None:
    """Return the embedded model's address where it is the choice; its lease stays open in this process and its successor."""
    if not choice.name.startswith("local:"):
        return None
    from foundry.models.local import ensure

    named = choice.name.partition(":")[2]
    return asdict(ensure(settings.over("flag", {"local_model": named or None}), progress, consent))


def _given(choice: Choice, definition: AgentDefinition, keys: Mapping[str, str]) -> dict[str, str]:
    """Return what the agent's process is given: declared variables and the one key that its model needs, no other."""
    wanted = {*env_of(definition), KEY_OF.get(choice.name.partition(":")[0], "")}
    return {name: value for name, value in keys.items() if name in wanted}
