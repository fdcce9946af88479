"""Whether a provider answers and takes the key: one small request to the provider's own address, and nowhere else."""

from __future__ import annotations

from foundry.models.catalog import KEY_OF
from foundry.settings import Settings

PATIENCE = 4.0
# Where each provider lists what the key opens, and how it wants the key.
_PATHS = {"openai": "/models", "openrouter": "/key", "anthropic": "/models"}


def probe(provider: str, key: str, settings: Settings) -> str:
    """Ask a provider that has a key or an address of its own; return what is wrong with it, an empty text for nothing."""
    import httpx

    url = settings[f"{provider}_base_url"].rstrip("/") + _PATHS[provider]
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if provider == "anthropic" and key:
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
    try:
        with httpx.Client(timeout=PATIENCE, follow_redirects=False) as client, client.stream("GET", url, headers=headers) as said:
            status = said.status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        # Never the error's own text: an invalid header's holds the key.
        return f"does not answer ({type(error).__name__})"
    if key and status in (401, 403):
        return f"refuses {KEY_OF[provider]} ({status})"
    return f"is in trouble ({status})" if status >= 500 else ""
