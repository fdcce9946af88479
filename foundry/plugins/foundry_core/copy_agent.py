"""Copy an agent: the same files under another name, with an environment of its own; links stay links."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foundry.agent import building, record, trust, venv
from foundry.agent.definition import check_agent_name, load_definition
from foundry.agent.folder import Home
from foundry.agent.lock import hold_shared
from foundry.agent.secrets import read_env
from foundry.agent.standing import standing_of
from foundry.console import Block, Progress, Silent
from foundry.files import BadFileError, read_json, write_json, write_text
from foundry.plugins.built_ins import extras_of
from foundry.settings import Settings

# What belongs to the agent's place and not to the agent.
_LEFT_OUT = {"venv", ".foundry.lock", ".foundry.json", ".foundry-staged"}


@dataclass(frozen=True, slots=True)
class Copied:
    """The new agent, the one it was copied from, what is no file (pipes, sockets) and was left out, the secrets copied."""

    name: str
    source: str
    path: Path
    left_out: tuple[str, ...]
    secrets: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        told = [f"Left out, being no file: {one}" for one in self.left_out]
        if self.secrets:
            told.append(f"Its .env was copied too, with the values of: {', '.join(self.secrets)}")
        return [f"Copied {self.source} to {self.name}: {self.path}", *told]


def copy_agent(home: Home, name: str, new: str, *, settings: Settings, progress: Progress | None = None) -> Copied:
    """Copy the agent `name` to `new`, or, on any error, nothing; its .env is copied too, its environment made anew.

    Raises NotFoundError, UsageError for a bad name, BadFileError for a config or lock that cannot be read, BusyError while it is
    being changed, and what making an environment raises.
    """
    progress = progress or Silent()
    source = home.agent(name)
    trust.require(source)  # the copy would be this user's own
    check_agent_name(new)
    home.prepare()
    building.refuse_taken(home, new)
    with hold_shared(source, "copy"), building.building(home, new) as made:
        definition = load_definition(source.config)
        kept = record.load_record(source)
        progress.step(f"Copying the files of {name}")
        left_out = tuple(_copied(source.path, made.folder.path))
        secrets = _guarded(made.folder.env_file)
        write_json(made.folder.config, {**read_json(source.config), "name": new})
        uv = venv.uv_for(made.folder, offline=settings["offline"], progress=progress, held=(made.handle,))
        needs = venv.Needs(kept.python, definition.dependencies, extras_of(definition))
        lock = venv.read_lock(source) if source.lock.exists() else ""
        fits = not venv.stale(source, kept, needs)
        environment = venv.make(made.folder.venv, needs, uv, lock=lock if fits else "", kept=lock)
        write_text(made.folder.lock, environment.lock)
        progress.step(f"Putting {new} in place")
        record.save_record(made.folder, venv.new_record(kept.blueprint, needs, environment))
        folder = building.put_in_place(home, made, new, standing_of(source).accepted)
    return Copied(new, name, folder.path, left_out, secrets)


def _guarded(env_file: Path) -> tuple[str, ...]:
    """Close the copied .env to others and return the names of the values in it; of one that cannot be read, none."""
    if env_file.is_symlink() or not env_file.is_file():
        return ()
    env_file.chmod(0o600)
    with suppress(BadFileError):
        return tuple(name for name, value in read_env(env_file).items() if value)
    return ()


def _copied(source: Path, target: Path) -> Iterator[str]:
    """Copy what is in `source`, modes and times kept, and yield what is neither file, folder nor link."""
    waiting = [(source, target)]
    while waiting:
        here, there = waiting.pop()
        for entry in sorted(os.scandir(here), key=lambda one: one.name):
            path, goal = Path(entry.path), there / entry.name
            if (here == source and entry.name in _LEFT_OUT) or entry.name == "__pycache__":
                continue
            if entry.is_symlink():
                goal.symlink_to(path.readlink())
            elif entry.is_dir():
                goal.mkdir(mode=0o700)
                waiting.append((path, goal))
            elif entry.is_file():
                shutil.copy2(path, goal, follow_symlinks=False)
            else:
                yield str(path.relative_to(source))
        if here != source:
            there.chmod(stat.S_IMODE(here.stat().st_mode) | stat.S_IRWXU)
