"""An agent with a plugin, a shadow of it, and a person whose answers are given beforehand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import code_of
from foundry.errors import FoundryError
from foundry.plugins.api import ToolError
from foundry.sandbox import jail
from foundry.session.edit.code_tools import EditSession
from foundry.session.edit.proposal import Proposal, Verdict
from foundry.session.edit.shadow import Shadow
from foundry.settings import load_settings

GREETER = '''\
"""Greets people."""

from foundry.plugins.api import effects, kernel_function


class Greeter:
    """Greets people."""

    @kernel_function(description="Greet someone.")
    @effects("reads")
    def greet(self, name: str) -> str:
        return f"Hello {name}"
'''
ADDER = '''\
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    >>> add(2, 3)
    5
    """
    return a + b
'''


@dataclass
class Bench:
    """The agent, an edit session over its shadow, what was shown to the person and what was accepted."""

    agent: AgentFolder
    shadow: Shadow
    level: jail.Level | None = None
    answers: list[Verdict | str] = field(default_factory=list)
    shown: list[Proposal] = field(default_factory=list)
    accepted: list[Proposal] = field(default_factory=list)
    refuse: FoundryError | None = None
    session: EditSession = field(init=False)

    def __post_init__(self) -> None:
        self.begin("full")

    def begin(self, tier: Any) -> None:
        self.session = EditSession(
            self.shadow,
            self.agent,
            settings=load_settings(None),
            tier=tier,
            decide=self._decide,
            accept=self._accept,
            level=self.level,
        )

    async def _decide(self, proposal: Proposal) -> Verdict:
        self.shown.append(proposal)
        answer = self.answers.pop(0) if self.answers else "n"
        if isinstance(answer, Verdict):
            return answer
        return Verdict("accept", tuple(one.name for one in proposal.files)) if answer == "y" else Verdict("reject")

    async def _accept(self, proposal: Proposal) -> str:
        """Put the files in place in the plainest way; the real one is proved with accept.py."""
        if self.refuse:
            raise self.refuse
        self.accepted.append(proposal)
        for name, state in proposal.put().items():
            path = self.agent.path / name
            if state is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(state[0])
            path.chmod(state[1])
        self.shadow.refresh()
        return "Accepted: version 2."

    def ids(self) -> list[str]:
        return [tool.spec.id.partition(".")[2] for tool in self.session.tools()]

    def call(self, tool: str, **arguments: Any) -> str:
        """Return a tool's result; an error's text with "error: " before it."""
        found = next(one for one in self.session.tools() if one.spec.id == f"agent_code.{tool}")
        try:
            return asyncio.run(_awaited(found.call, found.check(arguments)))
        except ToolError as error:
            return f"error: {error}"

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.shadow.folder.config.read_text())
        return found

    def code(self) -> dict[str, tuple[bytes, int]]:
        return code_of(self.agent)


async def _awaited(call: Callable[..., Any], arguments: dict[str, Any]) -> str:
    return str(await call(arguments))


def made_agent(home: Path, name: str = "bob", **config: Any) -> AgentFolder:
    """Make an agent with the plugin `greeter`, without an environment."""
    agent = AgentFolder(Home(home).agents / name)
    files = {
        "agent.config.json": json.dumps({"name": name, "plugins": ["greeter"], **config}, indent=2) + "\n",
        "main.py": "raise SystemExit('nothing here runs this')\n",
        "README.md": "# bob\n",
        "requirements.lock": "rich==14.0.0 \\\n    --hash=sha256:" + "0" * 64 + "\n",
        "plugins/greeter/__init__.py": GREETER,
        ".env": "TOKEN=very-secret-value\n",
        "workspace/notes.txt": "notes\n",
        "venv/pyvenv.cfg": "home = /nowhere\n",
    }
    for file, text in files.items():
        path = agent.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return agent


@pytest.fixture
def agent(home: Path) -> AgentFolder:
    return made_agent(home)


@pytest.fixture
def bench(agent: AgentFolder) -> Iterator[Bench]:
    made = Bench(agent, Shadow.open(agent, "run1"))
    yield made
    made.session.close()
