"""Edit mode in a running session: entered and left, a proposal decided by the person, what was accepted taken up at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from foundry.agent import trust
from foundry.agent.definition import load_definition
from foundry.agent.policy import Mode
from foundry.errors import FoundryError
from foundry.plugins.strict import BoundTool
from foundry.session.edit.accept import Accepted, accept
from foundry.session.edit.code_tools import PLUGIN, EditSession
from foundry.session.edit.proposal import Proposal, Verdict
from foundry.session.edit.shadow import Shadow
from foundry.session.opening import Opening, Ready, for_small
from foundry.session.prompt import system_prompt
from foundry.session.reloading import reload_tools

Decide = Callable[[Proposal], Awaitable[Verdict]]
AskSecret = Callable[[str, str], Awaitable[str]]
NOBODY = "Nobody is there to accept a proposal: it takes a person at a terminal."


@dataclass(slots=True)
class Editing:
    """Edit mode of one session; `restart` says why this process must begin anew for what was accepted to count."""

    opening: Opening
    ready: Ready
    decide: Decide | None
    secret: AskSecret | None
    restart: str = ""
    _shadow: Shadow | None = field(default=None)
    _tools: EditSession | None = field(default=None)
    _accepted_tools: set[str] = field(default_factory=set)
    _before: Mode = "run"

    @property
    def on(self) -> bool:
        return self._shadow is not None

    def enter(self) -> None:
        """Copy the agent's code into a shadow and offer the tools that work on it. Raises FoundryError when that cannot be."""
        if self.on:
            return
        self._shadow = Shadow.open(self.opening.folder, self.opening.run)
        self._tools = EditSession(
            self._shadow,
            self.opening.folder,
            settings=self.ready.settings,
            tier=self.ready.session.model.info.tier,
            limit=self.ready.toolbox.context.limit,
            decide=self._decided,
            accept=self._accepted,
        )
        approvals = self.ready.session.approvals
        self._before = "run" if approvals.mode == "edit" else approvals.mode
        approvals.mode = "edit"
        try:
            self.offer()
        except FoundryError:
            self.close()
            approvals.mode = self._before
            raise

    def leave(self) -> None:
        """Forget the shadow and go back to the mode there was before."""
        self.close()
        self.ready.session.approvals.mode = self._before
        self.offer()

    @property
    def waiting(self) -> tuple[str, ...]:
        """The files that were changed in the shadow and not accepted yet."""
        return tuple(self._shadow.changes()) if self._shadow else ()

    def tools(self) -> list[BoundTool]:
        """Return the tools that work on the shadow; none outside edit mode."""
        return self._tools.tools() if self._tools else []

    def offer(self) -> None:
        """Offer the agent's own tools and, in edit mode, those that work on its code, and tell the model which of both it is."""
        tier = self.ready.session.model.info.tier
        toolbox = self.ready.toolbox
        toolbox.add(self.tools())
        if tier == "small":
            toolbox.offer_only(self._for_small())
        definition = load_definition(self.opening.folder.config)
        self.ready.session.instruct(system_prompt(definition, tier, tools=bool(toolbox.specs()), editing=self.on))

    def _for_small(self) -> Callable[[BoundTool], bool]:
        """Return which tools a small model is told of: in edit mode what it can handle there, and what came of it.

        It is told of `propose` only while something waits to be proposed once more: before, it would call that first.
        """
        if not self._shadow:
            return for_small(self.ready.session.approvals, self.ready.definition)
        waits = bool(self.waiting)
        there = frozenset(self._accepted_tools)
        return lambda tool: tool.spec.id in there or (tool.origin == "edit" and (waits or tool.spec.id != f"{PLUGIN}.propose"))

    def refresh(self) -> None:
        """Bring the shadow and what is offered to the agent's code as it is now; what was not proposed yet stays."""
        if self._shadow:
            self._shadow.refresh()
        self.offer()

    def go_on_with(self, ready: Ready) -> None:
        """Go on in the session that takes this one's place."""
        ready.session.approvals.mode = self.ready.session.approvals.mode
        self.ready = ready
        if self._tools:
            self._tools.tier = ready.session.model.info.tier
        self.offer()

    def close(self) -> None:
        """Remove the shadow at the end of the session."""
        if self._tools:
            self._tools.close()
        self._shadow = self._tools = None

    async def _decided(self, proposal: Proposal) -> Verdict:
        verdict = await self.decide(proposal) if self.decide else Verdict("reject", comment=NOBODY)
        if self.ready.session.model.info.tier == "small":
            self.ready.toolbox.offer_only(self._for_small())
        return verdict

    async def _accepted(self, proposal: Proposal) -> str:
        """Put what was accepted in place and take it up; return what the model is told. Raises FoundryError, nothing changed."""
        try:
            done = accept(self.opening.folder, self.opening.held, proposal)
        except FoundryError as error:  # the person has just said yes: the whole reason is theirs to see, not only the model's
            self.opening.console.error(error.for_agent(self.opening.folder.name))
            raise
        self.restart = self.restart or done.restart
        self._accepted_tools.update(done.tools)
        told = [f"Accepted: version {done.version.number}."]
        try:
            told += await self._ask_for(done)
        finally:  # whatever becomes of the questions: it is the agent's code now
            said = self._take_up(done)
        return " ".join([*told, *said])

    def _take_up(self, done: Accepted) -> list[str]:
        """Go on with what was accepted; return what the model is told of it."""
        if self._shadow:
            self._shadow.refresh()
        if self.restart:
            return [f"The session restarts after this answer, because {self.restart}; end your answer now."]
        try:
            notices = reload_tools(self.opening, self.ready)
            self.offer()
        except FoundryError as error:
            return [f"But it could not be loaded: {error.message}"]
        return [f"New tools, ready to be called now: {', '.join(done.tools) or 'none'}.", *notices]

    async def _ask_for(self, done: Accepted) -> list[str]:
        """Ask the person for the values of variables that the new code needs; the model hears only whether they are set."""
        from foundry.agent.secrets import set_value

        told = []
        for name, why in done.missing.items():
            value = await self.secret(name, why) if self.secret else ""
            if value:
                try:
                    with trust.own_change(self.opening.folder):
                        set_value(self.opening.folder.env_file, name, value)
                except (FoundryError, OSError) as error:
                    told.append(f"{name} could not be set: {error}")
                    continue
                self.ready.learn_secret(name, value)
            told.append(f"{name} is {'set' if value else 'not set: the user gave no value'}.")
        return told
