"""The tools of one session: what the loader found, invoked through the kernel, their results without secrets."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foundry.agent.definition import AgentDefinition
from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import Redactor
from foundry.messages import ToolSpec
from foundry.plugins.api import Changed, Foundry, Plan, ToolContext, ToolError, Variables
from foundry.plugins.loader import closed_to_tools, load_tools
from foundry.plugins.strict import BoundTool
from foundry.session.kernel import ToolKernel
from foundry.session.own_commands import OwnCommands

CUT_MARK = "\n… cut: "  # as plugins/results.py writes it


@dataclass(frozen=True, slots=True)
class _Offer:
    """Tools that belong together; one offer is put in another's place in one step, whatever thread looks."""

    tools: tuple[BoundTool, ...]
    kernel: ToolKernel
    specs: tuple[ToolSpec, ...]
    by_id: Mapping[str, BoundTool]


class Toolbox:
    """Tools by id; `context` is what the agent's tools are made with.

    While calls run, `on_emit` hears what tools say and `on_show` lines of what they run.
    """

    def __init__(self, tools: Sequence[BoundTool], redactor: Redactor, context: ToolContext | None = None) -> None:
        self.context = context or ToolContext(Path())
        self.on_emit: Callable[[str], object] | None = None
        self.on_show: Callable[[str], object] | None = None
        self._redactor = redactor
        self._changing = threading.Lock()
        self._own, self._joined, self._extra = tuple(tools), tuple[BoundTool, ...](), tuple[BoundTool, ...]()
        self._wanted: Callable[[BoundTool], bool] = lambda _: True
        self._offer = _offered(self._own, self._wanted)

    @property
    def tools(self) -> tuple[BoundTool, ...]:
        return self._offer.tools

    @property
    def kernel(self) -> ToolKernel:
        return self._offer.kernel

    def specs(self) -> Sequence[ToolSpec]:
        """Return what the model is told of each tool, in the order of the agent's configuration."""
        return self._offer.specs

    def replace(self, tools: Sequence[BoundTool]) -> None:
        """Offer these in place of the agent's tools, from the next round on; a call that runs already goes on as it is."""
        with self._changing:
            self._own = tuple(tools)
            self._change()

    def add(self, tools: Sequence[BoundTool]) -> None:
        """Offer these beside the agent's tools, in place of what was added before; of two with one id these count."""
        with self._changing:
            self._extra = tuple(tools)
            self._change()

    def join(self, tools: Sequence[BoundTool]) -> None:
        """Offer these, which come and go while the session runs, behind the agent's own, in place of those that joined before."""
        with self._changing:
            self._joined = tuple(tools)
            self._change()

    def offer_only(self, wanted: Callable[[BoundTool], bool]) -> None:
        """Tell the model only of the tools that are `wanted`: each costs a small model time and sureness of aim."""
        with self._changing:
            self._wanted = wanted
            offer = self._offer
            self._offer = replace(offer, specs=tuple(tool.spec for tool in offer.tools if wanted(tool)))

    def find(self, name: str) -> BoundTool | None:
        """Return the tool with this id."""
        return self._offer.by_id.get(name)

    def emit(self, text: str) -> None:
        """Pass on what a tool says beside its result."""
        if self.on_emit:
            self.on_emit(self._redactor.clean(text))

    def show(self, text: str) -> None:
        """Pass on lines of what a tool runs; they went through a cleaner of the context's."""
        if self.on_show:
            self.on_show(text)

    async def invoke(self, tool: BoundTool, arguments: dict[str, Any], plan: Plan | None = None) -> str:
        """Return the result's text without secrets; with a `plan`, that of doing it.

        Raises ToolError with what the model should know, Changed where the plan is not to be done any more.
        """
        try:
            return self._clean(await self.kernel.invoke(tool, arguments, plan))
        except ToolError as error:
            kind = Changed if isinstance(error, Changed) else ToolError
            raise kind(self._clean(str(error))) from None

    def stop(self) -> None:
        """End what runs in the jail and Foundry's own commands: the calls are cancelled, the threads they wait in cannot be."""
        self.context.foundry.stop()
        self.context.variables.stop()
        if "foundry.sandbox.jail" in sys.modules:
            from foundry.sandbox import jail

            jail.stop_all()

    def _change(self) -> None:
        there = {tool.spec.id for tool in self._extra}
        before = (tool for tool in (*self._own, *self._joined) if tool.spec.id not in there)
        offer = _offered((*before, *self._extra), self._wanted)
        if self.kernel.loaded:
            offer.kernel.load()
        self._offer = offer

    def _clean(self, text: str) -> str:
        """Return a result without secrets, nor the beginning of one that the cut at the limit has left."""
        head, mark, note = text.rpartition(CUT_MARK)
        return (self._redactor.stream().feed(head) + mark if mark else "") + self._redactor.clean(note)


def _offered(tools: tuple[BoundTool, ...], wanted: Callable[[BoundTool], bool]) -> _Offer:
    specs = tuple(tool.spec for tool in tools if wanted(tool))
    return _Offer(tools, ToolKernel(tools), specs, {tool.spec.id: tool for tool in tools})


def open_toolbox(
    folder: AgentFolder,
    definition: AgentDefinition,
    work: Path,
    *,
    run: str,
    limit: int,
    redactor: Redactor,
    variables: Variables | None = None,
    commands: Callable[[Callable[[str], None]], OwnCommands] | None = None,
) -> tuple[Toolbox, list[str]]:
    """Return the agent's tools working in the folder `work`, and what is to be said of those left out.

    `variables` are the agent's. `commands` makes what runs Foundry's own commands, from what hears their progress; None where
    there is no way to them.
    """
    said: list[Toolbox] = []

    def emit(text: str) -> None:
        for one in said:
            one.emit(text)

    def show(text: str) -> None:
        for one in said:
            one.show(text)

    foundry = commands(lambda line: show(redactor.clean(line))) if commands else Foundry()
    context = ToolContext(
        *(work, run, limit, emit, closed_to_tools(folder), variables or Variables(), foundry), show=show, cleaner=redactor.stream
    )
    tools, notices = load_tools(folder, definition, context)
    toolbox = Toolbox(tools, redactor, context)
    said.append(toolbox)
    return toolbox, [redactor.clean(notice) for notice in notices]
