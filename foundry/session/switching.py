"""Another model for the rest of a session: which names make sense here, and the same conversation going on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from foundry.errors import NotReadyError
from foundry.session.approvals import Ask
from foundry.session.opening import Opening, Ready, get_ready


def switched(opening: Opening, ask: Ask | None, ready: Ready, name: str) -> Ready:
    """Return the session with the model `name`: its history and usage go on, the tools are opened anew for its window.

    Raises FoundryError when the model cannot be had, and then nothing has changed.
    """
    try:
        new = get_ready(opening, ask, name)
    except NotReadyError as error:
        hint = error.for_agent(opening.folder.name).hint
        if "foundry env" in hint:  # what is set for this agent now is read at the next /model
            hint += ", in another terminal; then the same /model again."
        raise NotReadyError(error.message, hint) from None
    new.session.history[:] = ready.session.history
    new.session.usage = ready.session.usage
    return replace(new, started=replace(new.started, run=ready.started.run))


def suggestions(opening: Opening, ready: Ready) -> Sequence[str]:
    """Return the models that can be had here without more ado: the current one, one for each key, Ollama's, the embedded one."""
    from foundry.models import ollama
    from foundry.models.catalog import default_models
    from foundry.models.weights_table import MODELS

    names = [ready.started.model, *default_models(ready.keys)]
    names += [f"ollama:{name}" for name in ollama.installed(ready.settings["ollama_host"]) or ()]
    if opening.handoff and opening.handoff.python:
        names += [f"local:{name}" for name in MODELS]
    return list(dict.fromkeys(names))
