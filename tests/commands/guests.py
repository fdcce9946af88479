"""Agents from elsewhere, and people who look at what is shown before it is trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundry.agent import trust
from foundry.agent.folder import AgentFolder, Home
from foundry.console import Console
from foundry.plugins.foundry_core.trust_agent import Seen
from tests.commands.conftest import make_agent

PLUGIN = '''"""Say hello."""
from pathlib import Path
from foundry.plugins.api import effects, kernel_function

Path(__file__).parents[2].joinpath("workspace", "ran").touch()


class Hello:
    @kernel_function
    @effects("network")
    def say(self) -> str:
        """Say it."""
        return "hello"
'''
CODE = {"plugins/hello/__init__.py": PLUGIN}


def from_elsewhere(home: Home, name: str, files: dict[str, str] | None = None, **config: Any) -> AgentFolder:
    """An agent that lies there without this user having made it: as a clone or an archive leaves it."""
    folder = make_agent(home, name, {**CODE, **(files or {})}, plugins=["hello"], **config)
    trust.forget(folder)
    return folder


def trusted_by_hand(folder: AgentFolder) -> AgentFolder:
    """Trust the agent as it is, without building an environment for it."""
    trust.trust(folder, trust.content_of(folder), {})
    return folder


def text_of(seen: Seen) -> str:
    """What a person reads of it, without a terminal."""
    return "\n".join(Console().rows(seen.shown()))


def never(_: Seen) -> bool:
    return False


def keeping(seen: list[Seen], yes: bool = False) -> Callable[[Seen], bool]:
    """A person who looks at what is shown, and answers."""

    def confirm(what: Seen) -> bool:
        seen.append(what)
        return yes

    return confirm
