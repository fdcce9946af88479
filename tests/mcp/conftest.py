"""Sessions whose tools are servers': an agent in a folder, its servers started for real, the scripted model, the real gate."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.definition import ApprovalRule, parse_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import Redactor
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.plugins.api import ToolContext
from foundry.session.approvals import Approvals
from foundry.session.limits import Limits
from foundry.session.mcp.connection import Patience
from foundry.session.mcp.servers import Entry, Servers
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.mcp.authority import Authority, served
from tests.session.conftest import Desk, Room

STRANGER = Path(__file__).with_name("stranger.py")
TIME = {"command": sys.executable, "args": ["-m", "mcp_server_time", "--local-timezone", "UTC"]}


def stranger(manner: str = "good", **more: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(STRANGER), manner], **more}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"Does {name}.", "inputSchema": {"type": "object"}, **more}


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    """Where a server that wants a login is, the authority that gives it beside it."""
    with served(authority) as there:
        yield there


def alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class World:
    """One agent with servers; `open` begins a session with them, as it stands on disk."""

    agent: AgentFolder
    entries: dict[str, Any] = field(default_factory=dict)
    sessions: list[Servers] = field(default_factory=list)
    patience: Patience | None = None

    def tools(self, *tools: Mapping[str, Any]) -> None:
        (self.agent.path / "tools.json").write_text(json.dumps(tools))

    def pid(self, name: str = "server") -> int:
        return int((self.agent.path / f"{name}.pid").read_text())

    def open(self, wait: float = 20.0, **values: str) -> Servers:
        definition = parse_definition({"name": "scout", "mcp_servers": self.entries})
        self.sessions.append(Servers(self.agent, definition, values, patience=self.patience))
        self.sessions[-1].start()
        self.sessions[-1].wait(wait)
        return self.sessions[-1]

    def accepted(self, wait: float = 20.0, **values: str) -> Servers:
        """Begin a session in which the person accepts everything there is."""
        servers = self.open(wait, **values)
        for entry in servers.waiting():
            accept(servers, entry, wait)
        return servers

    def play(
        self,
        servers: Servers,
        *calls: Mapping[str, Any],
        mode: Any = "run",
        ask: Any = None,
        rules: tuple[ApprovalRule, ...] = (),
        limit: int = 5_000,
    ) -> list[str]:
        """Play a session of these calls and return what the model was told of each."""
        redactor = Redactor({})
        toolbox = Toolbox([], redactor, ToolContext(self.agent.workspace, limit=limit))
        servers.attach(toolbox)
        approvals = Approvals(mode, ask, folder=self.agent, rules=rules, work=self.agent.workspace)
        steps = [*({"calls": [one]} for one in calls), {"text": "That is all."}]
        model = ScriptedModel(script({"steps": steps}), ModelInfo("scripted:test", 32_000))
        self.room = Room(Session(model, toolbox, approvals, limits=Limits(retries=0)), Desk())
        self.room.say("go")
        return [message.content for message in self.room.session.history if message.role == "tool"]


def accept(servers: Servers, entry: Entry, wait: float = 20.0) -> None:
    if entry.standing != "accepted":
        servers.accept_entry(entry)
        entry.settled.wait(wait)
    if unseen := entry.unseen():
        servers.accept_tools(entry, unseen)


def ids(servers: Servers, name: str = "s") -> list[str]:
    return [one.id for one in servers.entries[name].offered()]


Worlds = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Worlds]:
    """Make an agent with these servers."""
    made: list[World] = []

    def make(**entries: Any) -> World:
        agent = AgentFolder(tmp_path / "home" / "agents" / "scout")
        agent.workspace.mkdir(parents=True, exist_ok=True)
        made.append(World(agent, entries))
        return made[-1]

    yield make
    for one in made:
        for servers in one.sessions:
            servers.close()
