"""What a person accepted, put in place as one step: files, environment, version, and the hash that makes effects count."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from foundry.agent import venv
from foundry.agent.change import Environment, apply
from foundry.agent.definition import load_definition, parse_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.history import State, Version, code_of
from foundry.agent.lock import alone_within
from foundry.agent.record import AgentRecord, load_record
from foundry.agent.secrets import read_env
from foundry.agent.standing import change_standing
from foundry.agent.wheel import runtime_wheel
from foundry.errors import FoundryError
from foundry.plugins.built_ins import extras_of
from foundry.plugins.cards import plugin_code_hash
from foundry.session.edit.proposal import Proposal


@dataclass(frozen=True, slots=True)
class Accepted:
    """What came of it: the version, the new tools, variables without a value and what for, and why a restart is needed."""

    version: Version
    tools: tuple[str, ...]
    missing: Mapping[str, str]
    restart: str = ""


def accept(folder: AgentFolder, held: int, proposal: Proposal) -> Accepted:
    """Make the proposal the agent's code. Raises FoundryError when it cannot be, and then nothing has changed."""
    with alone_within(folder, held):
        _unchanged_since(folder, proposal)
        lock = pinned(folder)
        values = {**os.environ, **read_env(folder.env_file)}
        missing = {name: why for name, why in proposal.env.items() if not values.get(name)}
        environment = _environment(folder, proposal)
        version = apply(folder, proposal.put(), kind="accepted", said=proposal.summary, environment=environment)
        accept_plugins(folder, proposal.plugins)
    tools = tuple(tool.id for tool in proposal.tools if tool.change == "new")
    return Accepted(version, tools, missing, why_restart(lock, pinned(folder)))


def accept_plugins(folder: AgentFolder, plugins: Iterable[str]) -> None:
    """Let the effects that these plugins declare count from now on, for exactly the code they have now."""
    named = load_definition(folder.config).plugins
    hashes = {name: plugin_code_hash(folder.plugins / name) for name in plugins if name in named}
    change_standing(folder, lambda one: one.accepting(hashes))


def _unchanged_since(folder: AgentFolder, proposal: Proposal) -> None:
    """Refuse what was shown against files that are not so any more: an approval is for the bytes that were seen."""
    shown = {**{one.name: one.before for one in proposal.files}, **proposal.beside}
    inside = tuple(f"plugins/{one}/" for one in proposal.plugins)
    there = {name: raw for name, (raw, _) in code_of(folder).items()}
    for name in sorted({*shown, *(one for one in there if one.startswith(inside))}):
        if there.get(name) != shown.get(name):
            raise FoundryError(
                f"{name} was changed meanwhile; nothing was accepted", "Take it up with /reload, then propose again."
            )


def _environment(folder: AgentFolder, proposal: Proposal) -> Environment | None:
    """Return what puts the environment that was made for the proposal in place; None where it needs no other."""
    made = proposal.venv
    if made is None:
        return None
    files = proposal.put()

    def put(target: Path) -> AgentRecord:
        before = load_record(folder)
        definition = parse_definition(json.loads(_text(folder, files, folder.config.name)))
        needs = venv.Needs(before.python, definition.dependencies, extras_of(definition))
        plan = venv.Plan(_text(folder, files, folder.lock.name), runtime_wheel(), before.python)
        made.rename(target)
        return replace(venv.new_record(before.blueprint, needs, plan), created=before.created, id=before.id)

    return put


def _text(folder: AgentFolder, files: Mapping[str, State | None], name: str) -> str:
    state = files.get(name)
    return state[0].decode() if state else (folder.path / name).read_text("utf-8")


def pinned(folder: AgentFolder) -> set[tuple[str, str]]:
    """Return the packages that the agent's lock pins, each with its version; none where it cannot be read."""
    try:
        return venv.pins(folder.lock.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return set()


def why_restart(before: set[tuple[str, str]], after: set[tuple[str, str]]) -> str:
    """Return which imported package has another version now: this process goes on with the old one until it begins anew."""
    other = {name for name, _ in before - after}
    if not other:
        return ""
    from importlib.metadata import packages_distributions

    for module, owners in packages_distributions().items():
        for owner in owners:
            name = re.sub(r"[-_.]+", "-", owner).lower()
            if name in other and module in sys.modules:
                return f"{owner} is another version now and was loaded already"
    return ""
