"""The tools of one session: what the loader found, invoked through the kernel, their results without secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from foundry.agent.definition import AgentDefinition
from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import Redactor
from foundry.messages import ToolSpec
from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.loader import load_tools
from foundry.plugins.strict import BoundTool
from foundry.session.kernel import ToolKernel

CUT_MARK = "\n… cut: "  # as plugins/results.py writes it


class Toolbox:
    """Tools by id; while calls run, `on_emit` hears what tools say."""

    def __init__(self, tools: Sequence[BoundTool], redactor: Redactor) -> None:
        self.tools = tuple(tools)
        self.on_emit: Callable[[str], object] | None = None
        self.kernel = ToolKernel(self.tools)
        self._redactor = redactor
        self._specs = tuple(tool.spec for tool in self.tools)
        self._by_id = {tool.spec.id: tool for tool in self.tools}

    def specs(self) -> Sequence[ToolSpec]:
        """Return what the model is told of each tool, in the order of the agent's configuration."""
        return self._specs

    def offer_only(self, wanted: Callable[[BoundTool], bool]) -> None:
        """Tell the model only of the tools that are `wanted`: each costs a small model time and sureness of aim."""
        self._specs = tuple(tool.spec for tool in self.tools if wanted(tool))

    def find(self, name: str) -> BoundTool | None:
        """Return the tool with this id."""
        return self._by_id.get(name)

    def emit(self, text: str) -> None:
        """Pass on what a tool says beside its result."""
        if self.on_emit:
            self.on_emit(self._redactor.clean(text))

    async def invoke(self, tool: BoundTool, arguments: dict[str, Any]) -> str:
        """Return the result's text without secrets. Raises ToolError with what the model should know."""
        try:
            return self._clean(await self.kernel.invoke(tool, arguments))
        except ToolError as error:
            raise ToolError(self._clean(str(error))) from None

    def _clean(self, text: str) -> str:
        """Return a result without secrets, nor the beginning of one that the cut at the limit has left."""
        head, mark, note = text.rpartition(CUT_MARK)
        return (self._redactor.stream().feed(head) + mark if mark else "") + self._redactor.clean(note)


def open_toolbox(
    folder: AgentFolder, definition: AgentDefinition, work: Path, *, run: str, limit: int, redactor: Redactor
) -> tuple[Toolbox, list[str]]:
    """Return the agent's tools working in the folder `work`, and what is to be said of those left out."""
    said: list[Toolbox] = []

    def emit(text: str) -> None:
        for one in said:
            one.emit(text)

    tools, notices = load_tools(folder, definition, ToolContext(work, run, limit, emit, closed=(folder.path,)))
    toolbox = Toolbox(tools, redactor)
    said.append(toolbox)
    return toolbox, [redactor.clean(notice) for notice in notices]
