"""doctor: this machine, the ways to a model and the agents, each finding with what mends it; nothing of an agent's is run."""

from __future__ import annotations

import os
import secrets as chance
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

from foundry import processes
from foundry.agent import installer, secrets, trash, venv
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.health import Health, look_at
from foundry.agent.wheel import runtime_hash
from foundry.console import Block, Table, one_line
from foundry.errors import FoundryError
from foundry.plugins.foundry_core.agent_env import variables_of
from foundry.settings import Settings

Status = Literal["ok", "warn", "bad"]
_ROOM_NEEDED = 200_000_000
_ROOM_WANTED = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` is the command or deed that helps where it is not ok."""

    name: str
    status: Status
    what: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """All findings; `ready` unless something needed is missing."""

    ready: bool
    findings: tuple[Finding, ...]

    def shown(self) -> Sequence[Block]:
        rows = [(one.status, one.name, _told(one)) for one in self.findings]
        styles = {"ok": "green", "warn": "yellow", "bad": "red"}
        end = "All that is needed is there." if self.ready else "Something needed is missing."
        return [Table(("", "WHAT", "FINDING"), rows, styles=styles, last="broken"), end]


def _told(one: Finding) -> str:
    """Return what was found and, on a line of its own, what mends it."""
    end = "" if one.what.endswith((".", "?")) else "."
    return f"{one.what}{end}\nTry: {one.mend}" if one.mend else one.what


def validate_environment(
    home: Home,
    name: str | None = None,
    *,
    settings: Settings,
    probe: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Validation:
    """Return what was found on this machine, of the providers and of every agent, or of the agent `name` alone.

    `probe` asks the providers that have a key or an address of their own. Raises NotFoundError for an unknown agent.
    """
    environment = os.environ if environment is None else environment
    found = [*_machine(home), *_models(home, settings, environment, probe and not settings["offline"])]
    folders = [home.agent(name)] if name else []
    try:
        folders = folders or [AgentFolder(home.agents / one) for one in home.names()]
    except FoundryError as error:
        found.append(Finding("agents", "bad", error.message, error.hint))
    runtime = runtime_hash()
    for folder in folders:
        found += _agent(folder, home, look_at(folder, runtime), settings, environment)
    return Validation(all(one.status != "bad" for one in found), tuple(found))


# the machine ------------------------------------------------------------------------------------------------------------


def _machine(home: Home) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}")
    yield _uv()
    git = _version(shutil.which("git"))
    yield Finding("git", "ok", git) if git else Finding("git", "warn", "not found; agents work without it", "install git")
    yield _jail()
    place = next((one for one in (home.path, *home.path.parents) if one.is_dir()), Path("/"))
    yield from _filesystem(place)
    free = shutil.disk_usage(place).free
    told = f"{trash.size_told(free)} free at {place}"
    status: Status = "ok" if free >= _ROOM_WANTED else "warn" if free >= _ROOM_NEEDED else "bad"
    yield Finding("disk", status, told, "" if status == "ok" else "make room; foundry trash empty removes deleted agents")


def _jail() -> Finding:
    """Tell which level of the jail holds, found out by running something in it."""
    from foundry.sandbox import jail

    found = jail.probe()
    lacks = f" ({'; '.join(found.findings)})" if found.findings else ""
    if found.level == "none":
        return Finding("jail", "warn", f"none holds here{lacks}: commands and code not yet accepted are not run", jail.HOW)
    mend = "install bubblewrap" if found.level == "kernel" else ""
    return Finding("jail", "ok" if found.level == "strong" else "warn", f"level {found.level}{lacks}", mend)


def _uv() -> Finding:
    try:
        program = installer.find_uv()
    except FoundryError as error:
        return Finding("uv", "bad", error.message, error.hint)
    version = _version(program)
    return Finding("uv", "ok", version) if version else Finding("uv", "bad", f"{program} does not start", "pip install uv")


def _version(program: str | None) -> str:
    """Return what a program says of its version, or an empty text when it does not start."""
    if not program:
        return ""
    with suppress(OSError):
        finished = processes.run([program, "--version"], cwd=Path("/"), timeout=10)
        return one_line(finished.out, 60) if finished.code == 0 else ""
    return ""


def _filesystem(place: Path) -> Iterator[Finding]:
    """Try what environments need of the home's filesystem: writing, and hard links from uv's cache."""
    mark = place / f".foundry-probe-{chance.token_hex(4)}"
    try:
        mark.touch(exist_ok=False)
    except OSError as error:
        yield Finding("home", "bad", f"{place} cannot be written: {error.strerror}", "choose another with --home or FOUNDRY_HOME")
        return
    try:
        yield Finding("home", "ok", f"{place} can be written")
        yield _links(mark)
    finally:
        mark.unlink(missing_ok=True)


def _links(mark: Path) -> Finding:
    cache = installer.cache_folder()
    near = next((one for one in (cache, *cache.parents) if one.is_dir()), Path("/"))
    target = (near if near.stat().st_dev == mark.stat().st_dev else mark.parent) / (mark.name + "-link")
    try:
        target.hardlink_to(mark)
    except OSError as error:
        return Finding("hard links", "warn", f"not possible here ({error.strerror}): each agent takes its full size on disk")
    target.unlink()
    apart = "" if target.parent == near else "; uv's cache lies on another filesystem, so this home gets a cache of its own"
    return Finding("hard links", "ok", f"environments share uv's cache{apart}")


# the models -------------------------------------------------------------------------------------------------------------


def _models(home: Home, settings: Settings, environment: Mapping[str, str], probe: bool) -> Iterator[Finding]:
    from foundry.models import catalog

    try:
        keys = secrets.resolve_keys(None, home, catalog.KEY_OF.values(), environment)
    except FoundryError as error:
        yield Finding("keys", "bad", error.message, error.hint)
        keys = {}
    for provider, variable in catalog.KEY_OF.items():
        has_address = settings.source(f"{provider}_base_url") != "default"
        if variable in keys or has_address:
            yield _provider(provider, keys.get(variable, ("", "")), settings, probe)
    yield from _ollama(settings)
    try:
        choice = catalog.choose("", {name: value for name, (value, _) in keys.items()}, settings)
    except FoundryError as error:
        yield from _embedded(settings, needed=False)
        yield Finding("model", "bad", error.message, error.hint)
        return
    yield from _embedded(settings, needed=choice.name.startswith("local:"))
    yield Finding("model", "ok", f"{choice.name}, for agents that name none ({choice.why})")


def _provider(provider: str, key: tuple[str, str], settings: Settings, probe: bool) -> Finding:
    value, source = key
    told = f"key set ({source})" if value else f"asked at {settings[f'{provider}_base_url']} without a key"
    if not probe:
        return Finding(provider, "ok", f"{told}, not asked")
    from foundry.models.probe import probe as ask

    if problem := ask(provider, value, settings):
        return Finding(provider, "warn", f"{told}, but it {problem}", "check the key, the connection and the proxy")
    return Finding(provider, "ok", f"{told}, answers")


def _ollama(settings: Settings) -> Iterator[Finding]:
    from foundry.models import ollama

    models = ollama.installed(settings["ollama_host"])
    if models is None:
        if settings.source("ollama_host") != "default":
            yield Finding("ollama", "warn", f"does not answer at {settings['ollama_host']}", "ollama serve")
    elif models:
        yield Finding("ollama", "ok", one_line(f"{len(models)} models: {', '.join(models)}", 200))
    else:
        yield Finding("ollama", "warn", "runs, but has no model", "ollama pull qwen3:8b")


def _embedded(settings: Settings, *, needed: bool) -> Iterator[Finding]:
    """Tell of the embedded model; lacking it is no fault while there is another way to a model, or a way to fetch it."""
    from importlib.util import find_spec

    from foundry.models import local, weights

    try:
        wanted = weights.needed(settings)
    except FoundryError as error:
        yield Finding("embedded model", "bad", error.message, error.hint)
        return
    running = [one.model for one in local.status()]
    if find_spec("xllamacpp") is None:
        status: Status = "bad" if needed else "warn"
        yield Finding("embedded model", status, "its engine is not installed", "pip install 'agent-foundry[local]'")
    elif weights.cached(wanted) is None:
        status = "bad" if needed and settings["offline"] else "warn"
        what = f"{wanted.name} ({trash.size_told(wanted.size)}) is not here yet"
        yield Finding("embedded model", status, what, "foundry model pull")
    else:
        yield Finding("embedded model", "ok", f"{wanted.name} is here" + (", loaded" if wanted.name in running else ""))


# the agents -------------------------------------------------------------------------------------------------------------


def _agent(
    folder: AgentFolder, home: Home, health: Health, settings: Settings, environment: Mapping[str, str]
) -> Iterator[Finding]:
    name = f"agent {folder.name}"
    if health.state != "ready":
        yield Finding(name, "warn" if health.starts else "bad", f"{health.state}: {health.why}", health.mend)
    troubles = list(_troubles(folder, home, health, settings, environment)) if health.definition else []
    yield from troubles
    if health.state == "ready" and not troubles:
        yield Finding(name, "ok", "ready")


def _troubles(
    folder: AgentFolder, home: Home, health: Health, settings: Settings, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield what a closer look finds at an agent whose config can be read."""
    name, known = f"agent {folder.name}", health.definition
    assert known
    if known.name != folder.name:
        what = f'its config calls it "{known.name}"; the folder\'s name counts'
        yield Finding(name, "warn", what, f'set "name" to "{folder.name}" in agent.config.json')
    from foundry.models.catalog import split
    from foundry.plugins.loader import list_tools

    try:
        if known.model:
            split(known.model)
        for one in variables_of(folder, home, known, settings, environment).missing:
            why = one_line(one.why, 200) or "needed"
            yield Finding(name, "bad", f"{one.name} is not set ({why})", f"foundry env {folder.name} set {one.name}")
    except FoundryError as error:
        yield Finding(name, "bad", error.message, error.hint)
    if folder.env_file.is_file() and folder.env_file.stat().st_mode & 0o077:
        yield Finding(name, "warn", ".env can be read by others", f"chmod 600 {quote(str(folder.env_file))}")
    for problem in dict.fromkeys(list_tools(folder, known).problems):
        what, _, mend = problem.partition(". Mend with: ")
        mend = mend or f"foundry tools {folder.name} shows what there is; edit {folder.config}"
        yield Finding(name, "warn", one_line(what, 300), mend)
    if os.path.lexists(folder.holders) and (folder.holders.is_symlink() or not folder.holders.is_file()):
        yield Finding(
            name,
            "bad",
            f"{folder.holders.name} is no plain file, so that nothing can hold it",
            f"rm -r {quote(str(folder.holders))}",
        )
    working = folder.path / known.folder
    if os.path.lexists(working) and not working.is_dir():
        yield Finding(name, "bad", f"{working}, where its tools work, is no folder", f"rm {quote(str(working))}")
    if health.state == "ready":
        try:
            venv.read_lock(folder)
        except FoundryError as error:
            yield Finding(name, "warn", error.message, error.hint)
