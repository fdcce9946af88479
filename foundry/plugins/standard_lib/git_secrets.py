"""Secrets that stay here: what goes into a history or to a host must not hold the value of a variable."""

from __future__ import annotations

from collections.abc import Sequence

from foundry.agent.secrets import Redactor
from foundry.plugins.api import ToolError, Variables

# What a variable's name ends in whose value may well stand in a file: it is no secret.
_NO_SECRETS = ("_HOST", "_PORT", "_NAME", "_EMAIL", "_USER", "_FROM", "_BASE_URL")


def refuse_secrets(variables: Variables, contents: Sequence[tuple[bytes | None, bytes | None]]) -> None:
    """Refuse what would bring the value of a secret into the history, raw or encoded. Raises ToolError naming the variable."""
    values = {name: variables.get(name) for name in variables.names() if not name.endswith(_NO_SECRETS)}
    redactor = Redactor({name: value for name, value in values.items() if value})
    for old, new in contents:
        if new and redactor.names:
            text = new.decode("utf-8", "replace")
            name = next((name for form, name in redactor.names.items() if form in text), "")
            if name and not (old and redactor.clean(old.decode("utf-8", "replace")).count(f"[{name}]")):
                raise ToolError(f"This holds the value of {name}, a secret. Take it out first.")
