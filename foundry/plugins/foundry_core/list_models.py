"""Which models are at hand: the embedded ones, a running Ollama's, and the providers whose key is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from foundry.agent.folder import Home
from foundry.agent.secrets import resolve_keys
from foundry.console import Block, Table
from foundry.settings import Settings, load_settings

_STYLES = {"running": "green", "ready": "green", "to be downloaded": "dim", "no key": "dim", "no engine": "dim"}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model or provider: `name` as --model takes it, its state, and what to know or do."""

    name: str
    state: str
    about: str


@dataclass(frozen=True, slots=True)
class ModelList:
    """The models at hand; `chosen` is the one used where none is named, empty when there is no way to any."""

    models: tuple[ModelRow, ...]
    chosen: str
    why: str

    def shown(self) -> Sequence[Block]:
        rows = [(one.name, one.state, one.about) for one in self.models]
        used = f"Used where none is named: {self.chosen} ({self.why})." if self.chosen else self.why
        return [Table(("MODEL", "STATE", "ABOUT"), rows, styles=_STYLES, last="broken"), used]


def list_models(home: Home, *, settings: Settings | None = None) -> ModelList:
    """Return the models at hand; starts nothing and asks only Ollama. Raises BadFileError for a broken .env of the home."""
    from foundry.errors import FoundryError
    from foundry.models.catalog import KEY_OF, choose

    settings = settings or load_settings(home.path)
    found = {name: value for name, (value, _) in resolve_keys(None, home, KEY_OF.values(), os.environ).items()}
    try:
        choice = choose("", found, settings)
        chosen, why = choice.name, choice.why
    except FoundryError as error:
        chosen, why = "", f"There is no model to talk to. {error.hint}"
    return ModelList((*_embedded(settings), *_ollama(settings), *_providers(found)), chosen, why)


def _embedded(settings: Settings) -> list[ModelRow]:
    from importlib.util import find_spec

    from foundry.models import local, weights
    from foundry.models.weights_table import MODELS

    running = {one.model for one in local.status()}
    engine = find_spec("xllamacpp") is not None
    rows = []
    for one in MODELS.values():
        here = weights.cached(one) is not None
        state = "running" if one.name in running else "no engine" if not engine else "ready" if here else "to be downloaded"
        about = f"{one.title}, {one.size / 1e9:.1f} GB" + (" here" if here else f"; get it: foundry model pull local:{one.name}")
        rows.append(ModelRow(f"local:{one.name}", state, about if engine else f"{one.title}; install agent-foundry[local]"))
    return rows


def _ollama(settings: Settings) -> list[ModelRow]:
    from foundry.models import ollama

    host: str = settings["ollama_host"]
    names = ollama.installed(host)
    if names is None:
        return [ModelRow("ollama:NAME", "not running", f"no Ollama answers at {host}")]
    if not names:
        return [ModelRow("ollama:NAME", "no models", "get one: foundry model pull ollama:qwen3:8b")]
    return [ModelRow(f"ollama:{name}", "ready", "installed in Ollama") for name in names]


def _providers(keys: dict[str, str]) -> list[ModelRow]:
    from foundry.models.catalog import KEY_OF

    return [
        ModelRow(f"{provider}:NAME", "ready", f"{variable} is set")
        if variable in keys
        else ModelRow(f"{provider}:NAME", "no key", f"set {variable} in .env or the shell")
        for provider, variable in KEY_OF.items()
    ]
