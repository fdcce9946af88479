"""What `foundry run` hands to the agent's process beside its arguments: keys and settings, by a pipe only it can read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from foundry.errors import FoundryError
from foundry.settings import SETTINGS, Settings, load_settings

VARIABLE = "FOUNDRY_HANDOFF"
DEPTH = "FOUNDRY_DEPTH"  # how many sessions started one another before this command
SHELL = "FOUNDRY_SHELL"  # names the pipe with the keys that a session gives to a Foundry it starts
_LARGEST = 60_000  # a pipe nobody reads yet holds 64 KiB


@dataclass(frozen=True, slots=True)
class Handoff:
    """`keys` from the shell or the home, the embedded model's address, the CLI's python, the model chosen and why, settings.

    `installers` are the shell's variables that only package installers get.
    `depth` is how many sessions started one another before this one. `conversation` is the handle of an open file without a name
    that holds what was said before a restart; -1 is none.
    """

    keys: dict[str, str] = field(default_factory=dict)
    local: dict[str, Any] | None = None
    python: str = ""
    model: str = ""
    why: str = ""
    folder: str = ""
    settings: dict[str, list[Any]] = field(default_factory=dict)
    conversation: int = -1
    installers: dict[str, str] = field(default_factory=dict)
    depth: int = 0

    def send(self) -> int:
        """Return the inheritable read end of a pipe that holds all this. Raises FoundryError when it is too much for one."""
        return send(asdict(self))


def send(data: Any) -> int:
    """Return the inheritable read end of a pipe that holds `data` as JSON. Raises FoundryError when it is too much for one."""
    raw = json.dumps(data).encode()
    if len(raw) > _LARGEST:
        raise FoundryError(
            f"the agent's variables are too long together ({len(raw)} bytes)", "Keep long values in a file and name the file."
        )
    reader, writer = os.pipe()
    os.write(writer, raw)
    os.close(writer)
    os.set_inheritable(reader, True)
    return reader


def take_shell(environment: MutableMapping[str, str]) -> None:
    """Put what a session hands to a Foundry of its own, the keys it has, where the shell's variables are; see SHELL."""
    handle = environment.pop(SHELL, "")
    if handle.isdigit() and int(handle) > 2:
        with suppress(OSError, ValueError, TypeError), os.fdopen(int(handle), "rb") as pipe:
            environment.update({str(name): str(value) for name, value in json.loads(pipe.read()).items()})


def receive(environment: MutableMapping[str, str]) -> Handoff | None:
    """Return what was handed over and forget the way to it; None when this process was started by hand."""
    handle = environment.pop(VARIABLE, "")
    if not handle.isdigit() or int(handle) <= 2:
        return None
    try:
        with os.fdopen(int(handle), "rb") as pipe:
            data = json.loads(pipe.read())
        return Handoff(**data)
    except (OSError, ValueError, TypeError):
        return None


def keep(data: Any) -> int:
    """Return the inheritable handle of a nameless file that holds `data` as JSON; it is gone with its last holder."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(data).encode())
        file.flush()
        handle = os.dup(file.fileno())
    os.lseek(handle, 0, os.SEEK_SET)
    os.set_inheritable(handle, True)
    return handle


def kept(handle: int) -> Any:
    """Return what `keep` kept and close it; None when there is nothing that can be read."""
    if handle <= 2:
        return None
    try:
        with os.fdopen(handle, "rb") as file:
            return json.loads(file.read())
    except (OSError, ValueError):
        return None


def packed(settings: Settings) -> dict[str, list[Any]]:
    """Return the settings that differ from the defaults, with where each is from, as they are handed over."""
    return {name: [one.value, one.source] for name, one in settings.values.items() if one.source != "default"}


def unpacked(given: Mapping[str, list[Any]]) -> Settings:
    """Return the settings that `packed` packed."""
    settings = load_settings(None, {})
    for name, (value, source) in given.items():
        settings = settings.over(source, {name: value})
    return settings


def with_env_file(settings: Settings, values: Mapping[str, str]) -> Settings:
    """Return the settings with what the agent's .env says of them, which counts as its environment: a flag still goes first."""
    return settings.over("environment", {one.name: values[one.variable] for one in SETTINGS if values.get(one.variable)})
