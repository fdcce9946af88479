"""Every setting once: name, type, default, environment name, meaning; and where things lie on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from foundry.errors import UsageError
from foundry.files import nearest, read_json

VERSION = "0.1.0"
Source = Literal["flag", "environment", "agent", "home", "default"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One knob: `variable` is its environment name, `meaning` one line for README and `foundry settings`."""

    name: str
    type: type
    default: str | int | float | bool
    variable: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Value:
    """What a setting is in force and which layer gave it."""

    setting: Setting
    value: Any
    source: Source


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "model",
        str,
        "",
        "FOUNDRY_MODEL",
        "Model to think with, provider:name: before an agent's own as a variable, after it in the home's file. Empty: chosen.",
    ),
    Setting(
        "max_rounds",
        int,
        12,
        "FOUNDRY_MAX_ROUNDS",
        "How often a turn may ask the model before it ends with what it has.",
    ),
    Setting("max_calls", int, 60, "FOUNDRY_MAX_CALLS", "How many tool calls a turn may make; 0 is no limit."),
    Setting("max_tokens", int, 0, "FOUNDRY_MAX_TOKENS", "Tokens, read and written, that a turn may cost; 0 is no limit."),
    Setting("timeout", float, 0.0, "FOUNDRY_TIMEOUT", "Seconds a one-shot run may take; 0 is no limit."),
    Setting("run_max_rounds", int, 0, "FOUNDRY_RUN_MAX_ROUNDS", "How often a whole run may ask the model; 0 is no limit."),
    Setting("run_max_calls", int, 0, "FOUNDRY_RUN_MAX_CALLS", "How many tool calls a whole run may make; 0 is no limit."),
    Setting("run_max_tokens", int, 0, "FOUNDRY_RUN_MAX_TOKENS", "Tokens that a whole run may cost; 0 is no limit."),
    Setting(
        "run_timeout", float, 0.0, "FOUNDRY_RUN_TIMEOUT", "Seconds that the turns of a run may take together; 0 is no limit."
    ),
    Setting(
        "request_timeout",
        float,
        120.0,
        "FOUNDRY_REQUEST_TIMEOUT",
        "Seconds a provider may be silent before the request counts as dead.",
    ),
    Setting("retries", int, 3, "FOUNDRY_RETRIES", "How often a failed request is sent again before anything was shown."),
    Setting(
        "context_window",
        int,
        0,
        "FOUNDRY_CONTEXT_WINDOW",
        "Tokens of context to assume; 0 is what the catalogue says of the model.",
    ),
    Setting(
        "openai_base_url",
        str,
        "https://api.openai.com/v1",
        "OPENAI_BASE_URL",
        "Where openai: models are asked; any OpenAI-compatible server.",
    ),
    Setting(
        "openrouter_base_url",
        str,
        "https://openrouter.ai/api/v1",
        "OPENROUTER_BASE_URL",
        "Where openrouter: models are asked.",
    ),
    Setting(
        "anthropic_base_url",
        str,
        "https://api.anthropic.com/v1",
        "ANTHROPIC_BASE_URL",
        "Where anthropic: models are asked (its OpenAI-compatible endpoint).",
    ),
    Setting("ollama_host", str, "http://127.0.0.1:11434", "OLLAMA_HOST", "Where a running Ollama is looked for."),
    Setting(
        "local_model",
        str,
        "",
        "FOUNDRY_LOCAL_MODEL",
        "Embedded model: coder-1.5b or coder-0.5b. Empty: by the memory there is.",
    ),
    Setting(
        "local_idle",
        float,
        600.0,
        "FOUNDRY_LOCAL_IDLE",
        "Seconds the embedded model stays loaded after the last session.",
    ),
    Setting(
        "local_threads",
        int,
        0,
        "FOUNDRY_LOCAL_THREADS",
        "Threads the embedded model computes with; 0 is one per core, at most 8.",
    ),
    Setting("offline", bool, False, "FOUNDRY_OFFLINE", "Never ask a package index or a model hub; use what is cached."),
    Setting("python", str, "", "FOUNDRY_PYTHON", "Python of new agents, as X.Y; empty is the one Foundry runs on."),
    Setting(
        "trash_days",
        int,
        30,
        "FOUNDRY_TRASH_DAYS",
        "Days a deleted agent stays in the trash before the next delete removes it.",
    ),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force, each with its source; `settings["max_rounds"]` is the value."""

    values: Mapping[str, Value]

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    def source(self, name: str) -> Source:
        return self.values[name].source

    def over(self, source: Source, given: Mapping[str, Any]) -> Settings:
        """Return these settings with `given` laid over those that came from a lower layer; None means not given."""
        order: list[Source] = ["default", "home", "agent", "environment", "flag"]
        merged = dict(self.values)
        for name, value in given.items():
            setting = _known(name)
            if value is not None and order.index(source) >= order.index(merged[name].source):
                merged[name] = Value(setting, _typed(setting, value, source), source)
        return Settings(merged)


def load_settings(home: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from the home's file and the environment. Raises BadFileError or UsageError naming the culprit."""
    environment = os.environ if environment is None else environment
    settings = Settings({one.name: Value(one, one.default, "default") for one in SETTINGS})
    file = home / ".foundry" / "settings.json" if home else None
    if file and file.exists():
        settings = settings.over("home", read_json(file))
    found = {one.name: environment[one.variable] for one in SETTINGS if environment.get(one.variable)}
    return settings.over("environment", found)


def find_home(given: str | None = None, start: Path | None = None) -> Path:
    """Return the folder that holds agents/ and .foundry/: `given`, else FOUNDRY_HOME, else the nearest ancestor, else here."""
    if named := given or os.environ.get("FOUNDRY_HOME"):
        return Path(named).expanduser().absolute()
    here = (start or Path.cwd()).absolute()
    return next((one for one in (here, *here.parents) if (one / ".foundry").is_dir()), here)


def state_folder() -> Path:
    """Return the user's state folder (trust, the model server's key), made with mode 0700."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base) / "agent-foundry"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def cache_folder() -> Path:
    """Return the user's cache folder (weights, built wheels, plugin verdicts); losing it costs only time."""
    default = Path.home() / "Library" / "Caches" if sys.platform == "darwin" else Path.home() / ".cache"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or default) / "agent-foundry"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _known(name: str) -> Setting:
    if name not in BY_NAME:
        close = nearest(name, BY_NAME)
        raise UsageError(f'no setting is called "{name}"', f'Did you mean "{close}"?' if close else "foundry settings")
    return BY_NAME[name]


def _typed(setting: Setting, value: Any, source: Source) -> Any:
    where = setting.variable if source == "environment" else f'the setting "{setting.name}"'
    try:
        if setting.type is bool:
            return _boolean(value)
        if setting.type is str:
            if not isinstance(value, str):
                raise ValueError
            return value
        if isinstance(value, bool):
            raise ValueError
        number = setting.type(value)
        if not 0 <= number < 1e12:
            raise ValueError
        return number
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{where} ({source}) is {value!r}, not {_KINDS[setting.type]}", setting.meaning) from None


_KINDS = {bool: "true or false", str: "text", int: "a whole number from 0", float: "a number from 0"}


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ValueError
    return word in {"1", "true", "yes", "on"}
