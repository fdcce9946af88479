"""What state an agent is in, found by looking only: nothing of it is executed, imported or changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foundry.agent import intent, trust, venv
from foundry.agent.definition import AgentDefinition, check_agent_name, load_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.record import AgentRecord, load_record
from foundry.errors import FoundryError, NotReadyError

State = Literal["ready", "needs sync", "broken", "not trusted"]
_PUT_BACK = "put the file back from a copy of the agent, or drop what is left: foundry delete {}"


@dataclass(frozen=True, slots=True)
class Health:
    """An agent's state, why it is not ready, and the command or deed that mends it; what could be read of it.

    `starts` says whether a run would begin all the same, as one of an agent made by another Foundry does after a sync.
    """

    state: State
    why: str = ""
    mend: str = ""
    starts: bool = False
    definition: AgentDefinition | None = None
    record: AgentRecord | None = None


def look_at(folder: AgentFolder, runtime: str) -> Health:
    """Return the agent's health; `runtime` is the hash of the running Foundry, which the agent's should equal."""
    try:
        check_agent_name(folder.name)
        definition = load_definition(folder.config)
    except FoundryError as error:
        return Health("broken", _short(error.message, folder), error.hint or _PUT_BACK.format(folder.name))
    if not (folder.path / definition.entry_file).is_file():
        return Health("broken", f"{definition.entry_file} is missing", _PUT_BACK.format(folder.name), definition=definition)
    sync = f"foundry sync {folder.name}"
    try:
        record = load_record(folder)
        found = _compared(folder, definition, record, runtime, sync)
    except NotReadyError as error:
        record, found = None, Health("broken", _short(error.message, folder), error.hint, definition=definition)
    except FoundryError as error:
        record, found = None, Health("needs sync", _short(error.message, folder), sync, definition=definition)
    trusted = trust.check(folder, record)
    if trusted.holds:
        return found
    return Health("not trusted", trusted.why(), f"foundry trust {folder.name}", definition=definition, record=record)


def _compared(folder: AgentFolder, definition: AgentDefinition, record: AgentRecord, runtime: str, sync: str) -> Health:
    if intent.pending(folder):
        return Health("needs sync", "a change of it was cut short", sync, definition=definition, record=record)
    if problems := venv.check(folder):
        return Health("needs sync", "; ".join(problems), sync, definition=definition, record=record)
    if record.dependencies != definition.dependencies:
        return Health("needs sync", "its dependencies were changed", sync, definition=definition, record=record)
    if record.runtime_hash != runtime:
        return Health("needs sync", "made by another Agent Foundry", sync, True, definition, record)
    return Health("ready", starts=True, definition=definition, record=record)


def _short(text: str, folder: AgentFolder) -> str:
    """Return the message with paths told from the agent's folder on."""
    return text.replace(f"{folder.path}/", "")
