"""A running Ollama, asked with short patience: which models it has, which of them call tools, how much they read at once."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from foundry.errors import UsageError

PATIENCE = 0.3
DEFAULT_WINDOW = 4096
SMALL_BILLIONS = 4.0
_LOOKED_AT = 12


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """What Ollama says of a model: the window it is run with, its size in billions (0: unknown), whether it calls tools."""

    name: str
    window: int
    billions: float
    tools: bool


def address(host: str) -> str:
    """Return OLLAMA_HOST, in any of the forms that Ollama takes, as the URL to ask. Raises UsageError for anything else."""
    text = host.strip().rstrip("/") or "127.0.0.1"
    if "//" not in text:
        text = "http://" + text
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UsageError(f"OLLAMA_HOST is {host!r}, which is no address", "For instance 127.0.0.1:11434") from None
    try:
        port = parts.port or {"https": 443}.get(parts.scheme, 80 if "//" in host else 11434)
    except ValueError:
        port = 11434
    name = parts.hostname or "127.0.0.1"
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)
    return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{port}{parts.path}"


def installed(host: str) -> list[str] | None:
    """Return the names of the installed models, newest first as Ollama lists them; None when none is running there."""
    said = _ask(host, "GET", "/api/tags")
    if said is None or not isinstance(said.get("models"), list):
        return None
    return [one["name"] for one in said["models"] if isinstance(one, Mapping) and isinstance(one.get("name"), str)]


def look_up(host: str, name: str) -> OllamaModel | None:
    """Return what is known of the model called `name`; None when Ollama or the model is not there."""
    said = _ask(host, "POST", "/api/show", {"model": name})
    if said is None:
        return None
    details = said.get("details")
    size = re.match(r"([\d.]+)\s*([BM])", str(details.get("parameter_size", "")) if isinstance(details, Mapping) else "")
    billions = float(size[1]) / (1000 if size[2] == "M" else 1) if size else 0.0
    capabilities = said.get("capabilities")
    return OllamaModel(name, _window(host, name, said), billions, isinstance(capabilities, list) and "tools" in capabilities)


def first_with_tools(host: str) -> str:
    """Return the first installed model that calls tools, or an empty string."""
    for name in (installed(host) or [])[:_LOOKED_AT]:
        found = look_up(host, name)
        if found and found.tools:
            return name
    return ""


def _window(host: str, name: str, said: Mapping[str, Any]) -> int:
    """What it is run with now, else what its own parameters say, else Ollama's default where the model can read that much."""
    running = (_ask(host, "GET", "/api/ps") or {}).get("models")
    for one in running if isinstance(running, list) else ():
        if isinstance(one, Mapping) and one.get("name") == name and isinstance(one.get("context_length"), int):
            return int(one["context_length"])
    if found := re.search(r"^num_ctx\s+(\d+)", str(said.get("parameters", "")), re.MULTILINE):
        return int(found[1])
    details = said.get("model_info")
    largest = [value for key, value in details.items() if key.endswith(".context_length")] if isinstance(details, Mapping) else []
    return min(DEFAULT_WINDOW, *(value for value in largest if isinstance(value, int)), DEFAULT_WINDOW)


def _ask(host: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Ask Ollama; None for no answer in time or one that cannot be read: an Ollama that is not there is no error."""
    parts = urlsplit(address(host))
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE)
    try:
        connection.request(method, parts.path + path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = json.loads(answer.read(8 * 1024 * 1024)) if answer.status == 200 else None
        return data if isinstance(data, dict) else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()
