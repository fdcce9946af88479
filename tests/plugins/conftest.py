"""An agent to put plugins into, and a way to call its tools."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.definition import AgentDefinition
from foundry.agent.folder import AgentFolder
from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.loader import Listing, list_tools, load_tools
from foundry.plugins.standard_lib.read_write_code import ReadWriteCode
from foundry.plugins.strict import BoundTool

GOOD = """
from typing import Annotated
from foundry.plugins.api import effects, kernel_function

class Greeter:
    @kernel_function(description="Greet someone.")
    @effects("reads")
    def greet(self, name: Annotated[str, "Who"]) -> str:
        return f"Hello {name}"
"""


@dataclass
class Workshop:
    """An agent's folder with plugins and a working folder."""

    agent: AgentFolder
    folder: Path
    notices: list[str] = field(default_factory=list)
    tools: dict[str, BoundTool] = field(default_factory=dict)

    def plugin(self, name: str, source: str | bytes, file: str = "__init__.py") -> Path:
        path = self.agent.plugins / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return path

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def definition(self, *plugins: str, tools: tuple[str, ...] = ()) -> AgentDefinition:
        return AgentDefinition(name="Tester", plugins=plugins, tools=tools)

    def listed(self, *plugins: str, tools: tuple[str, ...] = ()) -> Listing:
        return list_tools(self.agent, self.definition(*plugins, tools=tools))

    def load(self, *plugins: str, tools: tuple[str, ...] = (), limit: int = 20_000, **more: Any) -> list[str]:
        """Load the tools and return their ids."""
        context = ToolContext(self.folder, limit=limit, **more)
        found, self.notices = load_tools(self.agent, self.definition(*plugins, tools=tools), context)
        self.tools = {tool.spec.id: tool for tool in found}
        return [tool.spec.id for tool in found]

    def call(self, tool: str, **arguments: Any) -> str:
        """Return a tool's result; an error's text with "error: " before it."""
        try:
            return asyncio.run(_awaited(self.tools[tool], arguments))
        except ToolError as error:
            return f"error: {error}"


async def _awaited(tool: BoundTool, arguments: dict[str, Any]) -> str:
    return await tool.call(arguments)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(AgentFolder(tmp_path / "agents" / "Tester"), tmp_path / "work")
    made.agent.plugins.mkdir(parents=True)
    made.folder.mkdir()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The working folder of the tools, beside things that are not theirs."""
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.fixture
def tools(folder: Path) -> ReadWriteCode:
    return ReadWriteCode(ToolContext(folder))
