"""What can go wrong, as data: every error says what happened, to what, and what to try."""

from __future__ import annotations

from typing import Literal

ProviderFault = Literal["auth", "rate", "server", "connection", "timeout", "context", "request", "cut", "answer"]


class FoundryError(Exception):
    """An expected failure: `message` says what happened and to what, `hint` what to try, `code` is stable for programs."""

    code = "failed"
    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def for_agent(self, name: str) -> FoundryError:
        """Return this error, its hint's commands naming the agent that they are for."""
        self.hint = self.hint.replace(" NAME", f" {name}")
        return self


class UsageError(FoundryError):
    """The command was given something it cannot mean; exit 2."""

    code = "usage"
    exit_code = 2


class NotFoundError(FoundryError):
    """The agent, plugin, tool or trash entry named is not there; exit 1."""

    code = "not_found"


class BusyError(FoundryError):
    """Another process holds the agent; exit 1."""

    code = "busy"


class NotReadyError(FoundryError):
    """Something needed is missing: a model, a key, a working venv; exit 4."""

    code = "not_ready"
    exit_code = 4


class ProviderError(FoundryError):
    """The model's provider failed; `fault` says how, `retry_after` is the wait it asked for in seconds; exit 5."""

    code = "provider"
    exit_code = 5

    def __init__(self, message: str, hint: str = "", *, fault: ProviderFault, retry_after: float | None = None) -> None:
        super().__init__(message, hint, code=f"provider_{fault}")
        self.fault = fault
        self.retry_after = retry_after
