"""Back to an earlier version of an agent and forward again: code and environment together, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foundry.agent import venv
from foundry.agent.change import Environment, apply
from foundry.agent.definition import AgentDefinition, parse_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.history import Change, Code, History, Version, code_of
from foundry.agent.record import AgentRecord, load_record
from foundry.console import Progress
from foundry.errors import FoundryError
from foundry.settings import Settings

ExtrasOf = Callable[[AgentDefinition], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Way:
    """From the version an agent is at to another: the files that change on it, and what a redo then goes to."""

    start: int
    target: int
    changes: tuple[Change, ...]
    redo: tuple[int, ...] = ()


def way_back(folder: AgentFolder, number: int | None = None) -> Way:
    """Return the way to the version before, or to `number`; a change by hand is recorded first. Raises FoundryError for none."""
    history = History(folder)
    history.observe()
    head = history.head()
    target = history.undo_target(number)
    return Way(head, target, tuple(history.diff(head, target)), (*history.redo_targets(), head))


def way_forward(folder: AgentFolder) -> Way:
    """Return the way to what was undone last. Raises FoundryError where nothing was, or something was changed since."""
    history = History(folder)
    history.observe()
    target = history.redo_target()
    head = history.head()
    return Way(head, target, tuple(history.diff(head, target)), history.redo_targets()[:-1])


def go(
    folder: AgentFolder, way: Way, *, extras: ExtrasOf, settings: Settings, progress: Progress, held: Sequence[int] = ()
) -> Version:
    """Go the way and return the version the agent is then at; want the agent held alone, by the handles `held`.

    Where lock, dependencies or extras differ, the environment is made from that version's lock, without the network. Raises
    FoundryError when that cannot be or the agent is not at the start of the way any more, and then nothing has changed.
    """
    history = History(folder)
    history.observe()
    if history.head() != way.start:
        raise FoundryError(
            f"{folder.name!r} was changed meanwhile: it is at version {history.head()}", "Look again, and decide anew."
        )
    put = {name: after for name, _, after in way.changes}
    environment = _environment(folder, history.files(way.target), extras, settings, progress, held)
    return apply(folder, put, kind="undo", environment=environment, at=way.target, redo=way.redo)


def _environment(
    folder: AgentFolder, code: Code, extras: ExtrasOf, settings: Settings, progress: Progress, held: Sequence[int]
) -> Environment | None:
    """Return what makes the environment of the version `code`; None where the one there is serves it."""
    made = load_record(folder)
    needs = _needs(made, code, folder, extras)
    there, then = (one.get(folder.lock.name, (b"", 0))[0] for one in (code_of(folder), code))
    if needs is None or (there == then and (needs.dependencies, needs.extras) == (made.dependencies, made.extras)):
        return None
    if not then.strip():
        raise FoundryError(
            f"that version of {folder.name!r} has no requirements.lock to make its environment of", "Nothing was changed."
        )
    lock = venv.checked_lock(then, f"{folder.lock.name} of that version", folder.name)

    def make(target: Path) -> AgentRecord:
        uv = venv.uv_for(folder, offline=True, progress=progress, held=held)
        try:
            plan = venv.make(target, needs, uv, lock=lock)
        except FoundryError as error:
            raise FoundryError(
                f"the environment of that version cannot be made without the network, so nothing was changed: {error.message}",
                error.hint,
            ) from None
        told = replace(venv.new_record(made.blueprint, needs, plan), created=made.created, id=made.id)
        # What the lock does not serve is not claimed, so that the next start says what a sync mends.
        if not venv.of_this_runtime(lock):
            told = replace(told, runtime_lock="")
        return told if venv.names_all(lock, needs.dependencies) else replace(told, dependencies=())

    return make


def _needs(made: AgentRecord, code: Code, folder: AgentFolder, extras: ExtrasOf) -> venv.Needs | None:
    """Return what the version's configuration asks of the environment; None where it cannot be read."""
    try:
        definition = parse_definition(json.loads(code[folder.config.name][0]))
    except (KeyError, ValueError):
        return None
    return venv.Needs(made.python, definition.dependencies, extras(definition))
