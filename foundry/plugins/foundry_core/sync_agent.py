"""Rebuild or repair an agent's environment from its lock; and, before a run, bring it to the Foundry that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from foundry.agent import building, intent, trust, venv
from foundry.agent.definition import load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import History
from foundry.agent.lock import hold_alone
from foundry.agent.record import AgentRecord, load_record
from foundry.agent.wheel import runtime_hash
from foundry.console import Block, Progress, Silent
from foundry.errors import BusyError, FoundryError, NotReadyError
from foundry.files import BadFileError, write_json, write_text
from foundry.plugins.built_ins import extras_of
from foundry.settings import VERSION, Settings


@dataclass(frozen=True, slots=True)
class Synced:
    """The agent whose environment is new, its Python, and whether its lock had to be resolved anew and why."""

    name: str
    python: str
    runtime_version: str
    resolved: str

    def shown(self) -> Sequence[Block]:
        return [f"The environment of {self.name} is ready (Python {self.python}, Agent Foundry {self.runtime_version})."]


def sync_agent(home: Home, name: str, *, settings: Settings, progress: Progress | None = None) -> Synced:
    """Build the agent's environment anew from requirements.lock and put it in place of the old one, all of it or nothing.

    Raises NotFoundError, BusyError naming who runs the agent, BadFileError for a config or lock that cannot be read,
    NotReadyError for an agent of a newer Foundry or one that is not trusted, FoundryError for an environment that cannot be made.
    """
    building.sweep(home)
    folder = home.agent(name)
    trust.require(folder)  # its packages, which the check of the new environment starts, are of its own choosing
    return renew(folder, settings, progress or Silent())


def ensure_current(folder: AgentFolder, settings: Settings, progress: Progress) -> None:
    """Before a run: bring an agent that another Foundry made to this one, saying so in one line.

    Raises NotReadyError for a broken environment, naming what mends it, and for an agent of a newer Foundry.
    """
    intent.recover(folder)
    mend = f"foundry sync {folder.name}"
    try:
        found = load_record(folder)
    except BadFileError as error:
        raise NotReadyError(error.message, mend, code="broken_venv") from None
    if problems := venv.check(folder):
        raise NotReadyError(f"the agent {folder.name!r} cannot start: {'; '.join(problems)}", mend, code="broken_venv")
    if load_definition(folder.config).dependencies != found.dependencies:
        raise NotReadyError(f"the dependencies of {folder.name!r} were changed", mend, code="needs_sync")
    if found.runtime_hash != runtime_hash():
        _brought_along(folder, found, settings, progress)


def _brought_along(folder: AgentFolder, made: AgentRecord, settings: Settings, progress: Progress) -> None:
    """Bring the agent to this Foundry; while sessions of it run, one of the same series goes on as it is."""
    version = made.runtime_version
    progress.note(f"{folder.name} was made by another Agent Foundry ({version}): bringing it to this one")
    try:
        renew(folder, settings, progress)
    except BusyError as error:
        if version.split(".")[:2] != VERSION.split(".")[:2]:
            raise
        progress.note(f"Not now: {error.message}. This run goes on with {version}; the next one brings it along.")


def renew(folder: AgentFolder, settings: Settings, progress: Progress) -> Synced:
    """Build the environment anew; raises as `sync_agent` does, but does not ask whether the agent is trusted."""
    with trust.own_change(folder), hold_alone(folder, "sync", settle=False) as handle:
        if kept := intent.give_up(folder):
            progress.note(f"A change of {folder.name} could not be understood; what it had staged is kept in {kept}")
        definition = load_definition(folder.config)
        made = _record(folder)
        progress.step(f"Preparing a new environment of {folder.name}")
        staged = intent.begin(folder).new
        try:
            venv.check_dependencies(definition.dependencies)
            needs = venv.Needs(venv.check_python(made.python if made else ""), definition.dependencies, extras_of(definition))
            why = venv.stale(folder, made, needs)
            lock = venv.read_lock(folder) if folder.lock.exists() else ""
            uv = venv.uv_for(folder, offline=settings["offline"], progress=progress, held=(handle,))
            if why:
                progress.note(f"The requirements.lock of {folder.name} is made anew: {why}")
            plan = venv.make(staged / folder.venv.name, needs, uv, lock="" if why else lock, kept=lock)
            fresh = venv.new_record(made.blueprint if made else "", needs, plan)
            told = replace(fresh, id=(made and made.id) or trust.known_id(folder) or fresh.id)
            told = replace(told, created=made.created) if made else told
            _put(folder, staged, plan, told, progress)
        except OSError as error:
            raise venv.full_disk(error, f"the environment of {folder.name} could not be made") from error
        finally:
            intent.roll(folder)
        with suppress(FoundryError, OSError):  # the environment is in place; where this fails, the next start does it
            History(folder).observe("foundry sync")
    return Synced(folder.name, plan.python, plan.wheel.version, why)


def _put(folder: AgentFolder, staged: Path, plan: venv.Plan, made: AgentRecord, progress: Progress) -> None:
    write_text(staged / folder.lock.name, plan.lock)
    write_json(staged / folder.made.name, asdict(made))
    for path in (folder.plugins, folder.workspace):
        path.mkdir(exist_ok=True)
    progress.step("Recording the change")
    intent.announce(folder, "sync", put=[folder.venv.name, folder.lock.name, folder.made.name])
    progress.step(f"Putting the new environment of {folder.name} in place")
    intent.roll(folder)


def _record(folder: AgentFolder) -> AgentRecord | None:
    """Return the agent's record; None where it is lost or says nothing, which a sync mends. Raises NotReadyError for a newer."""
    try:
        return load_record(folder)
    except BadFileError:
        return None
