"""The gate: whether a call may run, decided by the table, the agent's rules, what is always allowed, or a person who sees it.

What is allowed is what runs: a tool that says first what it would do is asked for that plan here, the decision is on its preview,
and the plan goes to whoever runs the call. Anything unexpected on the way is a no.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from foundry.agent.decisions import record
from foundry.agent.definition import ApprovalRule
from foundry.agent.folder import AgentFolder
from foundry.agent.policy import COLUMNS, MODES, TABLE, Action, Mode, Ruling, grant_name, may_always, may_last, rule
from foundry.agent.standing import Grant, change_standing, standing_of
from foundry.errors import FoundryError, UsageError
from foundry.messages import Decision
from foundry.plugins.action import action_of
from foundry.plugins.api import Plan, Preview, ToolError
from foundry.plugins.cards import TO_ACCEPT
from foundry.plugins.strict import BoundTool
from foundry.session.allowed import Allowed

_UNSEEN = Preview("")
_MOST_CHANGES = 20  # times that a person may change one call's arguments
_DECLINED = "The user declined this call."
_CARRIES = "This run has read what is here and what strangers wrote: look at what this sends."


@dataclass(frozen=True, slots=True)
class Question:
    """A call that a person is asked about, and why; what runs is exactly these arguments and what the preview shows.

    `always` says what an always would cover, "" where none is offered; `lasting` whether it may be kept for the agent.
    """

    tool: str
    arguments: Mapping[str, Any]
    preview: Preview = _UNSEEN
    why: str = ""
    always: str = ""
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said: `text` is a comment to the model, `arguments` what is to be asked about instead."""

    kind: Literal["yes", "no", "edit", "always", "always_agent", "comment"]
    text: str = ""
    arguments: Mapping[str, Any] | None = None


Ask = Callable[[Question], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Granted:
    """What was decided of a call: the arguments it runs with, which a person may have changed, and the plan that was shown."""

    decision: Decision
    arguments: dict[str, Any]
    plan: Plan | None = None
    changed: bool = False


class _Call(NamedTuple):
    tool: BoundTool
    arguments: dict[str, Any]
    plan: Plan | None
    action: Action
    ruling: Ruling


def check_mode(mode: str) -> Mode:
    """Return `mode` if there is one of that name. Raises UsageError saying which there are."""
    for known in MODES:
        if mode == known:
            return known
    raise UsageError(f"{mode!r} is no mode", f"There are {', '.join(MODES)}.")


class Approvals:
    """Decides the calls of one session, asking one thing at a time; without `ask` nobody is there, which is a denial.

    `mode` may be changed at any time and counts from the next call on. Each decision about an agent in a `folder` is recorded,
    and one that cannot be recorded is a denial. `always` is what the person has allowed for as long as the run goes on.
    """

    def __init__(
        self,
        mode: Mode,
        ask: Ask | None = None,
        *,
        folder: AgentFolder | None = None,
        rules: Sequence[ApprovalRule] = (),
        work: Path | None = None,
        entrance: str = "",
        run: str = "",
        always: Allowed | None = None,
    ) -> None:
        self.mode = mode
        self.rules = tuple(rules)
        self._ask = ask
        self._folder = folder
        self._work = work or Path()
        self._about = {"run": run, "entrance": entrance}
        self._always = always or Allowed()
        self._one_at_a_time = asyncio.Lock()

    def could_allow(self, tool: BoundTool) -> bool:
        """Return whether a call of this tool could be allowed at all in this session."""
        action = action_of(tool.spec.id, tool.origin, tool.effects, {}, None, self._work, code=tool.code, accepted=tool.accepted)
        verdicts = {TABLE[self.mode][column] for column in action.columns}
        if "deny" in verdicts or self._ruling(action).verdict == "deny":
            return False
        return "ask" not in verdicts or self._ask is not None or bool(self.rules or self._grants() or self._always.grants)

    async def decide(self, tool: BoundTool, arguments: Mapping[str, Any], *, repeated: int = 0) -> Granted:
        """Return whether the call may run, and with what; `repeated` is how often it has given the same result already.

        Raises ToolError, for the model, when the call cannot be planned: then there is nothing to decide.
        """
        call = await self._looked_at(tool, dict(arguments))
        if call.ruling.verdict == "ask" or (repeated and call.ruling.verdict == "allow"):
            return await self._asked(call, repeated)
        ruling = call.ruling
        return self._settled(call, Decision(ruling.verdict == "allow", ruling.by, ruling.reason), ruling.rule)

    # looking ---------------------------------------------------------------------------------------------------------------

    async def _looked_at(self, tool: BoundTool, arguments: dict[str, Any]) -> _Call:
        plan = await tool.plan(arguments) if tool.plan else None
        action = action_of(
            tool.spec.id,
            tool.origin,
            tool.effects,
            arguments,
            plan.preview if plan else None,
            self._work,
            code=tool.code,
            accepted=self._accepted(tool),
        )
        return _Call(tool, arguments, plan, action, self._ruled(tool, action))

    def _ruled(self, tool: BoundTool, action: Action) -> Ruling:
        if tool.origin != "edit":
            return self._ruling(action)
        if self.mode != "edit":
            return Ruling("deny", "mode", "The agent's code is worked on in edit mode only.")
        if "network" in action.columns:
            return self._ruling(action)
        return Ruling("allow", "mode", "It works on a copy of the agent's code that counts for nothing yet.")

    def _ruling(self, action: Action) -> Ruling:
        return rule(self.mode, action, self.rules, self._grants(), self._always.grants)

    def _accepted(self, tool: BoundTool) -> bool:
        """Return whether what an own plugin says of its effects counts, and was not taken back since it was loaded."""
        if not tool.accepted or not self._folder:
            return tool.accepted
        plugin = tool.spec.id.partition(".")[0]
        return standing_of(self._folder).accepts(plugin, tool.code)

    def _grants(self) -> tuple[Grant, ...]:
        return standing_of(self._folder).grants if self._folder else ()

    # asking ----------------------------------------------------------------------------------------------------------------

    async def _asked(self, call: _Call, repeated: int) -> Granted:
        """Ask a person, again for arguments that they changed. Nobody there, and what is no answer, is a no."""
        if self._ask is None:
            return self._settled(call, Decision(False, "nobody", _alone(call.ruling, repeated)), call.ruling.rule)
        async with self._one_at_a_time:
            first, said = call, ""
            for _ in range(_MOST_CHANGES):
                question = self._question(call, repeated, said)
                answer = await _answer(self._ask, question)
                if answer.kind != "edit":
                    granted = self._answered(call, question, answer, changed=call is not first)
                    return replace(granted, changed=call is not first)
                call, said = await self._changed(call, answer)
                if call.ruling.verdict == "deny":
                    return self._settled(call, Decision(False, call.ruling.by, call.ruling.reason), call.ruling.rule)
        return self._settled(call, Decision(False, "person", _DECLINED))

    def _question(self, call: _Call, repeated: int, said: str) -> Question:
        tool, action, ruling = call.tool, call.action, call.ruling
        preview = call.plan.preview if call.plan else _generic(call)
        why = ruling.reason
        if repeated:
            why = f"This same call has given the same result {repeated} times already."
        if self._always.could_carry and "network" in action.columns:
            why = f"{why} {_CARRIES}"
        always = ""
        if not repeated and self._ask and may_always(action, ruling):
            always = f"{tool.spec.id} for {action.scope}" if action.scope else f"every call of {tool.spec.id}"
        lasting = bool(always) and self._folder is not None and may_last(action, ruling)
        return Question(tool.spec.id, call.arguments, preview, f"{said} {why}".strip(), always, lasting)

    async def _changed(self, call: _Call, answer: Answer) -> tuple[_Call, str]:
        """Return the call with the person's arguments, and what to say about them; wrong ones leave it as it was."""
        try:
            arguments = call.tool.check(dict(answer.arguments or {}))
            return await self._looked_at(call.tool, arguments), "These are the arguments as you changed them."
        except (ToolError, TypeError, ValueError) as error:
            return call, f"Your change was not taken: {error}"

    def _answered(self, call: _Call, question: Question, answer: Answer, *, changed: bool) -> Granted:
        reason = "approved with other arguments" if changed else "approved"
        if answer.kind == "yes":
            return self._settled(call, Decision(True, "person", reason))
        if answer.kind == "always" and question.always:
            grant = self._grant(call.action)
            self._always.add(grant, call.action)
            return self._settled(call, Decision(True, "person", f"{reason}, always in this session"), grant_name(grant))
        if answer.kind == "always_agent" and question.lasting and self._folder:
            grant = self._grant(call.action)
            try:
                change_standing(self._folder, lambda old: replace(old, grants=(*old.grants, grant)))
            except (OSError, FoundryError) as error:
                return self._settled(call, Decision(True, "person", f"{reason}; always could not be kept: {error}"))
            return self._settled(call, Decision(True, "person", f"{reason}, always for this agent"), grant_name(grant))
        if answer.kind == "comment" and answer.text.strip():
            declined = Decision(False, "person", f"{_DECLINED} The user says: {answer.text.strip()}")
            return self._settled(call, declined, said="declined with a comment")
        return self._settled(call, Decision(False, "person", answer.text if answer.kind == "no" and answer.text else _DECLINED))

    def _grant(self, action: Action) -> Grant:
        return Grant(action.tool, action.scope, datetime.now(UTC).isoformat(timespec="seconds"), action.code)

    # recording -------------------------------------------------------------------------------------------------------------

    def _settled(self, call: _Call, decision: Decision, named: str = "", said: str = "") -> Granted:
        """Record a decision and return it; nothing is recorded of what was said or of the arguments' values."""
        if self._folder:
            try:
                record(self._folder, self._entry(call, decision, named, said or decision.reason))
            except (OSError, FoundryError) as error:
                decision = Decision(False, "nobody", f"No decision can be recorded, so none is made: {error}")
        if decision.allowed:
            self._always.note(call.action, call.tool.effects, call.tool.origin)
        return Granted(decision, call.arguments, call.plan)

    def _entry(self, call: _Call, decision: Decision, named: str, reason: str) -> dict[str, Any]:
        columns = [column for column in COLUMNS if column in call.action.columns]
        return {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **self._about,
            "mode": self.mode,
            "tool": call.tool.spec.id,
            "columns": columns,
            "scope": call.action.scope if decision.by == "grant" or named.startswith("always") else "",
            "allowed": decision.allowed,
            "by": decision.by,
            "reason": reason,
            "rule": named,
            **({"level": _jail()} if decision.allowed and call.plan and call.plan.preview.command else {}),
        }


async def _answer(ask: Ask, question: Question) -> Answer:
    """Return what the person says; an error on the way to them, or no answer of ours, is a no."""
    try:
        said = await ask(question)
    except Exception as error:
        return Answer("no", f"The question did not reach an answer ({type(error).__name__}), which counts as a no.")
    return said if isinstance(said, Answer) else Answer("no")


def _jail() -> str:
    """Return the level of the jail that a command runs in on this machine."""
    from foundry.sandbox.jail import probe

    return probe().level


def _alone(ruling: Ruling, repeated: int) -> str:
    if repeated:
        return f"This same call has now given this same result {repeated} times. Answer with what you have."
    return f"{ruling.reason} This needs a person's approval and nobody is there to ask."


def _generic(call: _Call) -> Preview:
    """Return what is shown of a tool that does not say first what it would do."""
    effects = ", ".join(sorted(call.tool.effects)) or "nothing beside its result"
    if call.tool.origin in TO_ACCEPT and not call.tool.accepted:
        effects = f"unknown; its code says: {effects}"
    return Preview(f"{call.tool.spec.description} (effects: {effects})", scope=call.action.scope)
