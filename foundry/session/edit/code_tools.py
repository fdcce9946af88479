"""The tools of edit mode: they work on the shadow alone, and `propose` is the only way out of it."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from foundry.agent.definition import PLUGIN_NAME
from foundry.agent.folder import AgentFolder
from foundry.agent.trash import remove_tree
from foundry.agent.venv import check_dependencies
from foundry.errors import FoundryError, NotReadyError
from foundry.models.model import Tier
from foundry.plugins.api import Plan, Preview, ToolContext, ToolError, effects, kernel_function, planned
from foundry.plugins.cards import PluginProblem, read_own
from foundry.plugins.standard_lib.grep_codebase import GrepCodebase
from foundry.plugins.standard_lib.read_write_code import ReadWriteCode
from foundry.plugins.strict import BoundTool, bind, in_thread
from foundry.session.edit import checking
from foundry.session.edit.checking import Environment, Workbench
from foundry.session.edit.configuring import configure, list_plugin, make_environment
from foundry.session.edit.naming import LARGEST, accept_path, accept_plugin_name, free_name
from foundry.session.edit.proposal import PluginTests, Proposal, Verdict
from foundry.session.edit.shadow import Shadow
from foundry.session.edit.wrapping import wrapped
from foundry.settings import Settings

if TYPE_CHECKING:
    from foundry.sandbox.jail import Level

PLUGIN = "agent_code"
# A small model would go on making the same tool.
_STOP = "This is done: do not call new_plugin or propose again. Use the new tool or answer the user."
Decide = Callable[[Proposal], Awaitable[Verdict]]
Accept = Callable[[Proposal], Awaitable[str]]
Result = TypeVar("Result")


class EditSession:
    """One session's work on a shadow: the tools for it, and what they share.

    `decide` brings what a person says to a proposal, `accept` makes one the agent's code and returns what the model is told; both
    are only called by `propose`, one proposal at a time. `python` is the agent's own, `level` a weaker jail than the best.
    """

    def __init__(
        self,
        shadow: Shadow,
        agent: AgentFolder,
        *,
        settings: Settings,
        tier: Tier = "full",
        limit: int = 20_000,
        decide: Decide,
        accept: Accept,
        python: Path | None = None,
        level: Level | None = None,
    ) -> None:
        self.shadow = shadow
        self.agent = agent
        self.settings = settings
        self.tier = tier
        self.context = ToolContext(shadow.folder.path, limit=limit)
        self._decide = decide
        self._accept = accept
        self._python = python or Path(sys.executable)
        self._level = level
        self._environment: Environment | None = None
        self._environments = 0
        self._order = asyncio.Lock()  # calls of one answer are done one after the other, as the model wrote them
        self._working = threading.Lock()
        self._told: set[str] = set()
        self._accepted_one = False

    def tools(self) -> list[BoundTool]:
        """Return the tools of edit mode; for a small model only those that it can handle."""
        if self.tier == "small":
            return bind(SmallAgentCode(self), PLUGIN, "edit", self.context)
        return bind(AgentCode(self), PLUGIN, "edit", self.context) + bind(Packages(self), PLUGIN, "edit", self.context)

    def close(self) -> None:
        """Remove the shadow with all that belongs to it."""
        self.shadow.close()

    @property
    def bench(self) -> Workbench:
        python = self._environment.path / "bin" / "python" if self._environment else self._python
        return Workbench(python, self._level)

    async def in_order(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns, done in a thread, after what was asked for before."""
        async with self._order:
            return await self._done(work)

    async def _done(self, work: Callable[[], Result]) -> Result:
        def alone() -> Result:
            with self._working:
                return work()

        done: Result = await in_thread(alone)
        return done

    async def propose(self, summary: str, *, then: str = "") -> str:
        """Have what was changed checked and decided; return what the model is told, with `then` at the end if it was accepted.

        Raises ToolError for what is not shown to the person, and for what could not be put in place.
        """
        async with self._order:
            proposal = await self._done(partial(self._proposal, summary))
            self._refuse_unripe(proposal)
            while True:
                verdict = await self._decide(proposal)
                if verdict.kind == "reject":
                    return _declined(verdict.comment)
                if verdict.kind == "edit":
                    proposal = await self._done(partial(self._edited, proposal, verdict))
                    continue
                chosen = set(verdict.paths) & {one.name for one in proposal.files}
                if not chosen:
                    return _declined(verdict.comment)
                if len(chosen) < len(proposal.files):
                    proposal = await self._done(partial(self._part, proposal, chosen))
                    if proposal.problems or proposal.failed:  # without the rest it does not work: that is for the person to see
                        continue
                return f"{await self._accepted(proposal, verdict.comment)} {then}".rstrip()

    async def _accepted(self, proposal: Proposal, comment: str) -> str:
        if proposal.problems:
            raise ToolError("The user accepts, but it would not work so: " + _listed(proposal.problems))
        try:
            told = await self._accept(proposal)
            self._accepted_one = True
        except FoundryError as error:
            raise ToolError(f"Not accepted: {error.message}. {error.hint}".strip()) from None
        finally:
            if self._environment and not self._environment.path.is_dir():
                self._environment = None  # it is the agent's now
        return f"{told} The user says: {comment}" if comment else told

    def _proposal(self, summary: str) -> Proposal:
        return checking.propose(self.shadow, self.bench, summary, self._environment)

    def _refuse_unripe(self, proposal: Proposal) -> None:
        """Raise ToolError for what the model should mend before a person looks; tests that fail may be shown all the same."""
        if not proposal.files:
            after = "It was accepted already: answer the user." if self._accepted_one else "Make the tool first, with new_plugin."
            raise ToolError(f"Nothing is changed: there is nothing to propose. {after}")
        if proposal.problems:
            raise ToolError("Not shown to the user yet. Mend this first: " + _listed(proposal.problems))
        mark = hashlib.sha256(repr(sorted(proposal.put().items())).encode()).hexdigest()
        if proposal.failed and mark not in self._told:
            self._told.add(mark)
            said = "\n".join(f"{test.plugin}: {test.said}" for test in proposal.failed)
            raise ToolError(f"Not shown to the user yet: tests fail. Mend them; or propose again as it is.\n{said}")

    def _edited(self, proposal: Proposal, verdict: Verdict) -> Proposal:
        """Take a person's own text of a file into the shadow, if there is one, and check all anew."""
        known = {one.name for one in proposal.files}
        for path in verdict.paths[:1]:
            if path in known:
                self.shadow.write(path, verdict.text.encode())
        return self._proposal(proposal.summary)

    def _part(self, proposal: Proposal, chosen: set[str]) -> Proposal:
        """Return the proposal of only these files, checked as it would be then."""
        part = self.shadow.part(chosen)
        try:
            return checking.propose(part, self.bench, proposal.summary, self._environment)
        finally:
            part.close()

    def write_plugin(self, name: str, description: str, code: str, *, anew: bool) -> str:
        """Put a new plugin into the shadow and its configuration; return what to say. Raises ToolError."""
        if not anew and (self.shadow.folder.plugins / name).exists():
            raise ToolError(f'There is a plugin "{name}" already: change its files with write_file or edit_file.')
        made = wrapped(name, description, code)
        for file, text in made.files.items():
            self.shadow.write(f"plugins/{name}/{file}", text.encode())
        list_plugin(self.shadow.folder, name)
        try:
            tools = [card.id for card in read_own(self.shadow.folder.plugins / name)]
        except PluginProblem as problem:
            raise ToolError(f"Written, but {problem.told()}") from None
        return f"Wrote {', '.join(f'plugins/{name}/{file}' for file in made.files)}. Its tools: {', '.join(tools)}."

    def run_tests(self, plugin: str) -> PluginTests:
        """Run a plugin's tests in the jail. Raises ToolError where there is no such plugin or no jail."""
        if not PLUGIN_NAME.fullmatch(plugin) or not (self.shadow.folder.plugins / plugin).is_dir():
            raise ToolError(f"There is no plugin {plugin!r}.")
        try:
            return checking.run_tests(self.shadow, self.bench, plugin)
        except NotReadyError:
            raise ToolError(
                "Nothing can be run before it is accepted here: this system has no jail for it. Propose it."
            ) from None

    def take_dependencies(self, dependencies: tuple[str, ...]) -> str:
        """Make the environment for these dependencies apart, put them into the shadow; return what to say. Raises ToolError."""
        with self._working:
            self._environments += 1
            target = self.shadow.root / f"venv-{self._environments}"
            made = make_environment(self.shadow, dependencies, self.settings, target)
            if self._environment and self._environment.path.is_dir():
                remove_tree(self._environment.path)
            self._environment = made
        named = ", ".join(dependencies) or "none"
        return (
            f"The dependencies are now: {named}. Your plugins' tests run with them; your user sees the versions when you propose."
        )


class AgentCode:
    """The agent's code in the shadow: read, changed, tested, proposed."""

    def __init__(self, session: EditSession) -> None:
        self._session = session
        self._files = ReadWriteCode(session.context)
        self._grep = GrepCodebase(session.context)

    @kernel_function(description="Read a file of your own code.")
    @effects("reads")
    async def read_file(self, path: str, start: int = 1, end: int = 0) -> str:
        return await self._session.in_order(lambda: self._files.read_file(path, start, end))

    @kernel_function(description="List the files of your own code: agent.config.json, README.md, main.py, plugins/.")
    @effects("reads")
    async def list_files(self, path: str = ".", pattern: str = "*") -> str:
        return await self._session.in_order(lambda: self._files.list_files(path, pattern))

    @kernel_function(description="Search your own code by text or regular expression.")
    @effects("reads")
    async def search(self, pattern: str, path: str = ".", glob: str = "*") -> str:
        return await self._session.in_order(lambda: self._grep.search(pattern, path, glob))

    @kernel_function(description="Write a file of your own code, such as plugins/NAME/__init__.py.")
    @effects("writes")
    async def write_file(self, path: str, content: Annotated[str, "The whole text"]) -> str:
        return await self._changed(
            lambda: self._files.write_file(path, content), path, size=len(content.encode(errors="replace"))
        )

    @kernel_function(description="Change a part of a file of your own code: replace text by other text.")
    @effects("writes")
    async def edit_file(
        self, path: str, old: Annotated[str, "The exact text to replace"], new: str, all: Annotated[bool, "Every place"] = False
    ) -> str:
        return await self._changed(
            lambda: self._files.edit_file(path, old, new, all), path, size=len(new.encode(errors="replace"))
        )

    @kernel_function(description="Rename or move a file or folder of your own code.")
    @effects("writes")
    async def move(self, path: str, to: Annotated[str, "The new path"]) -> str:
        return await self._changed(lambda: self._files.move(path, to), path, to)

    @kernel_function(description="Delete a file or folder of your own code.")
    @effects("writes")
    async def delete(self, path: str) -> str:
        return await self._changed(lambda: self._files.delete(path), path)

    @kernel_function(description="Begin a plugin: its file, plugin.json and a first test; it is named in the configuration too.")
    @effects("writes")
    async def new_plugin(
        self,
        name: Annotated[str, "Lower-case letters, digits and _"],
        description: str,
        code: Annotated[str, "Its whole __init__.py, or plain functions that become its tools"],
    ) -> str:
        accept_plugin_name(name)
        return await self._session.in_order(partial(self._session.write_plugin, name, description, code, anew=False))

    @kernel_function(
        description="Change your configuration: description, instructions, tools, plugins (whole lists), env (adds to it)."
    )
    @effects("writes")
    async def configure(
        self,
        description: str | None = None,
        instructions: str | None = None,
        tools: list[str] | None = None,
        plugins: list[str] | None = None,
        env: Annotated[dict[str, str] | None, "Names of variables and what each is for; never a value"] = None,
    ) -> str:
        given: dict[str, Any] = {
            "description": description,
            "instructions": instructions,
            "tools": tools,
            "plugins": plugins,
            "env": env,
        }
        session = self._session
        return await session.in_order(lambda: configure(session.shadow.folder, given, session.bench.venv))

    @kernel_function(description="Run a plugin's tests (plugins/NAME/tests/test_*.py, pytest), jailed: no network, no secrets.")
    @effects("runs")
    async def run_tests(self, plugin: str) -> str:
        tested = await self._session.in_order(lambda: self._session.run_tests(plugin))
        if tested.outcome == "none":
            return f"{plugin} has no tests: write plugins/{plugin}/tests/test_{plugin}.py."
        return f"{tested.outcome}: {tested.said}".removesuffix(": ")

    @kernel_function(
        description="Show your user all you changed, to accept it or not. Once, when it is whole and its tests pass."
    )
    @effects("writes")
    async def propose(self, summary: Annotated[str, "What it does, in a sentence or two"]) -> str:
        return await self._session.propose(summary)

    async def _changed(self, plan: Callable[[], Plan], *paths: str, size: int = 0) -> str:
        def work() -> str:
            for path in paths:
                accept_path(self._session.context, path)
            if size > LARGEST:
                raise ToolError("That is more than 1 MiB: no code. Data belongs into the working folder.")
            done: str = plan().do()
            return done

        return await self._session.in_order(work)


class SmallAgentCode:
    """What a small model can handle: one function, and the question to the user, which making it asks at once."""

    def __init__(self, session: EditSession) -> None:
        self._session = session

    @kernel_function(description="Make a new tool from one Python function. The user is asked to accept it.")
    @effects("writes")
    async def new_plugin(
        self,
        name: Annotated[str, "A short name, such as word_count"],
        function: Annotated[str, "Python source: def with type hints, a docstring and return"],
    ) -> str:
        plugin = free_name(name)

        def write() -> None:
            self._session.shadow.refresh(self._session.shadow.changes())  # an earlier try, perhaps under another name, is over
            self._session.write_plugin(plugin, "", function, anew=True)

        await self._session.in_order(write)
        if not self._session.shadow.changes():
            return f"The plugin {plugin} is just that already. Use its tool or answer the user."
        return await self._session.propose(f"A new tool: {plugin}.", then=_STOP)

    @kernel_function(description="Ask the user once more to accept the tool that new_plugin made.")
    @effects("writes")
    async def propose(self, summary: str = "") -> str:
        return await self._session.propose(summary, then=_STOP)


class Packages:
    """The packages that the agent's plugins import."""

    def __init__(self, session: EditSession) -> None:
        self._session = session

    @kernel_function(description="Set the packages that your plugins import: the whole list. They are fetched and tried apart.")
    @effects("network")
    @planned
    def set_dependencies(self, dependencies: Annotated[list[str], 'Such as ["rich>=14"]']) -> Plan:
        """Return the plan of an environment with them. Raises ToolError for what is no package's name."""
        try:
            checked = check_dependencies(dependencies)
        except FoundryError as error:
            raise ToolError(f"{error.message}. {error.hint}") from None
        named = ", ".join(checked) or "none"
        preview = Preview(f"Make an environment with these dependencies: {named}", hosts=("the package index",))
        return Plan(preview, lambda: self._session.take_dependencies(checked))


def _declined(comment: str) -> str:
    said = f" The user says: {comment}" if comment else ""
    return f"Not accepted: nothing of it counts. Your copy is as you left it.{said}"


def _listed(problems: tuple[str, ...]) -> str:
    return problems[0] if len(problems) == 1 else "".join(f"\n- {one}" for one in problems)
