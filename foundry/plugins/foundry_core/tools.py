"""The verbs as an agent's tools: each runs `foundry VERB --json` for the person, in the Python that their Foundry is.

What they start is in no jail, and fetches packages or asks a model: each that changes something counts as using the network, so
that it is asked about in every mode, each time.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from foundry.agent.definition import check_agent_name
from foundry.errors import UsageError
from foundry.plugins.api import Plan, Preview, ToolContext, ToolError, effects, final, kernel_function, planned

OFFERED = (
    "read_write_code (files), grep_codebase (search in files), terminal (commands), python (scripts), web_search, web_page, pdf, "
    "git, github, email, database, environment, clock"
)
_LONG = 1800.0  # seconds that a command may take which installs packages or asks a model
_LONGEST = 20_000
Name = Annotated[str, "An agent's name"]


class FoundryCore:
    """Makes agents, looks after them and runs them."""

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    @kernel_function(description="List the agents there are, with state, model and tools.")
    @effects("reads")
    def list_agents(self) -> str:
        """Return a line for each agent."""
        agents = self._data("list")["agents"]
        lines = [
            f"{one['name']}: {one['state']}; {one['description'] or 'no description'}; tools {', '.join(one['tools']) or 'none'}"
            + (f"; {one['why']}. Try: {one['mend']}" if one["why"] else "")
            for one in agents
        ]
        return "\n".join(lines) or "There are no agents yet."

    @kernel_function(description="Everything about one agent: configuration, tools, plugins, variables, state.")
    @effects("reads")
    def show_agent(self, name: Name) -> str:
        """Return what `foundry show` tells, as JSON."""
        return _json(self._data("show", _checked(name)))

    @kernel_function(description="The tools that agents can be given; with an agent's name, those it has.")
    @effects("reads")
    def tools(self, name: Annotated[str, "An agent's name; empty: every built-in tool"] = "") -> str:
        """Return a line for each tool."""
        found = self._data("tools", *([_checked(name)] if name else []))
        lines = [f"{one['id']}: {one['problem'] or one['description']}" for one in found["tools"]]
        return "\n".join([*lines, *found["problems"]]) or "It has no tools."

    @kernel_function(description="Which variables an agent needs and which of them have a value; never the values.")
    @effects("reads")
    def check_env(self, name: Name) -> str:
        """Return what `foundry env NAME check` tells, as JSON."""
        return _json(self._data("env", _checked(name), "check", may_fail=True))

    @kernel_function(description="Check this machine and the agents, or one agent: what is wrong and how it is mended.")
    @effects("reads")
    def doctor(self, name: Annotated[str, "An agent's name; empty: everything"] = "") -> str:
        """Return a line for each finding that is not in order."""
        found = self._data("doctor", *([_checked(name)] if name else []), may_fail=True)["findings"]
        wrong = [one for one in found if one["status"] != "ok"]
        lines = [f"{one['name']}: {one['what']}" + (f". Mend: {one['mend']}" if one["mend"] else "") for one in wrong]
        return "\n".join(lines) or f"All {len(found)} checks are in order."

    @kernel_function(description="Make a new agent with the tools it needs. What it is to do goes into instructions.")
    @effects("runs", "network")
    @planned
    @final
    def create_agent(
        self,
        name: Annotated[str, "Short: letters, digits, -"],
        description: Annotated[str, "One line"],
        instructions: Annotated[str, "What it is told before every conversation: its job, and how to use its tools"] = "",
        tools: Annotated[list[str] | None, f"Of: {OFFERED}"] = None,
        blueprint: str = "plain",
    ) -> Plan:
        """Plan `foundry create`; doing it takes seconds, longer where packages must be fetched."""
        if instructions.startswith("@"):
            raise ToolError("instructions cannot begin with @: that would name a file.")
        given = {
            **{"description": description, "instructions": instructions},
            **{"blueprint": blueprint, "tools": ",".join(tools or ())},
        }
        words = ["create", _checked(name), "--no-input", *(_option(key, value) for key, value in given.items() if value)]

        def do() -> str:
            made = self._data(*words, seconds=_LONG)
            needed = [f"Still needed: foundry env {made['name']} set {key}" for key in made["missing"]]
            said = f"Made {made['name']} with the tools {', '.join(made['tools']) or '(none)'}."
            return "\n".join([said, *needed, f"It is ready: foundry run {name}"])

        return self._plan(words, name, f"make the agent {name}", do)

    @kernel_function(description="Ask an agent something, or let it do its work once, and return its answer.")
    @effects("runs", "network")
    @planned
    @final
    def run_agent(
        self,
        name: Name,
        request: Annotated[str, "What it is asked, in full: it knows nothing of this conversation"],
        folder: Annotated[str, "The folder it works in: . is where the user is; empty: its own workspace"] = "",
    ) -> Plan:
        """Plan `foundry run NAME` for one request, with nobody there to answer the agent's own questions: those are denied."""
        if not request.strip() or len(request) > _LONGEST:
            raise ToolError(f"The request has 1 to {_LONGEST} characters.")
        place = _folder(self.context, folder) if folder.strip() else None
        words = ["run", _checked(name), "--output=json", *([_option("folder", str(place))] if place else [])]

        def do() -> str:
            return _answer(name, self.context.foundry.run(*words, given=request, seconds=_LONG))

        return self._plan(words, name, f"ask {name}: {request}", do, (place,) if place else ())

    @kernel_function(description="Build or change an agent's own plugin with the user, who sees and accepts each change.")
    @effects("runs", "network")
    @planned
    @final
    def edit_agent(self, name: Name, request: Annotated[str, "The tool it lacks and what it should do"]) -> Plan:
        """Plan `foundry run NAME --edit` on the person's terminal."""
        if not request.strip() or len(request) > _LONGEST:
            raise ToolError(f"The request has 1 to {_LONGEST} characters.")
        words = ["run", _checked(name), "--mode=edit", _option("prompt", request)]

        def do() -> str:
            code = self.context.foundry.on_terminal(*words)
            ended = f"The edit session with {name} has ended" + (f" with code {code}." if code else ".")
            return f"{ended} Its tools are now:\n{self.tools(name)}"

        return self._plan(words, name, f"build a plugin of {name} with you: {request}", do)

    @kernel_function(description="Move an agent to the trash; restore_agent brings it back.")
    @effects("runs", "network")
    @planned
    @final
    def delete_agent(self, name: Name) -> Plan:
        """Plan `foundry delete`."""
        words = ["delete", _checked(name), "--yes"]
        done = f"{name} is in the trash. Bring it back with restore_agent."
        return self._plan(words, name, f"move the agent {name} to the trash", lambda: self._done(words, done))

    @kernel_function(description="Bring a deleted agent back from the trash.")
    @effects("runs", "network")
    @planned
    @final
    def restore_agent(self, name: Name) -> Plan:
        """Plan `foundry restore`."""
        words = ["restore", _checked(name)]
        done = f"{name} is back."
        return self._plan(words, name, f"bring the agent {name} back from the trash", lambda: self._done(words, done))

    @kernel_function(description="Rebuild an agent's environment: when it is broken, or its packages or tools were changed.")
    @effects("runs", "network")
    @planned
    @final
    def sync_agent(self, name: Name) -> Plan:
        """Plan `foundry sync`."""
        words = ["sync", _checked(name)]
        done = f"{name} is ready."
        return self._plan(words, name, f"rebuild the environment of {name}", lambda: self._done(words, done))

    def _plan(self, words: Sequence[str], name: str, said: str, do: Callable[[], str], places: tuple[Path, ...] = ()) -> Plan:
        command = shlex.join(["foundry", *words])
        paths = (self.context.foundry.agents / name, *places)
        return Plan(Preview(said, command=command, paths=paths, scope=f"the command: {command}"), do)

    def _done(self, words: Sequence[str], said: str) -> str:
        self._data(*words, seconds=_LONG)
        return said

    def _data(self, *words: str, seconds: float = 60.0, may_fail: bool = False) -> Mapping[str, Any]:
        """Return the data of a command's answer. Raises ToolError with its error, unless it says that what it found is wrong."""
        envelope = self.context.foundry.run(*words, seconds=seconds)
        if envelope.get("data") is not None and (envelope.get("ok") or may_fail):
            return dict(envelope["data"])
        raise ToolError(_error(envelope))


def _checked(name: str) -> str:
    try:
        return check_agent_name(name.strip())
    except UsageError as error:
        raise ToolError(f"{error.message}. {error.hint}") from None


def _option(name: str, value: str) -> str:
    """Return an option with its value in one word, so that no value is taken for an option."""
    if "\0" in value:
        raise ToolError(f"{name} holds a NUL character.")
    return f"--{name}={value}"


def _folder(context: ToolContext, given: str) -> Path:
    path = (context.folder / Path(given).expanduser()).resolve()
    if not path.is_dir():
        raise ToolError(f"{given!r} is no folder. Give its whole path.")
    return path


def _error(envelope: Mapping[str, Any]) -> str:
    error = envelope.get("error") or {}
    return f"{error.get('message', 'It failed')}. {error.get('hint', '')}".strip()


def _answer(name: str, envelope: Mapping[str, Any]) -> str:
    """Return an agent's answer, with what it could not do; its text is material like any other."""
    data = envelope.get("data") or {}
    denied = [one["tool"] for one in data.get("tool_calls", ()) if not one["allowed"]]
    answer = str(data.get("answer") or "")
    parts = [f"{name} answers: {answer}" if answer else ""]
    if denied:
        parts.append(f"[{name} was denied {', '.join(dict.fromkeys(denied))}: nobody is there to ask in such a run.]")
    if not envelope.get("ok"):
        parts.append(f"[{name} did not end as it should: {_error(envelope)}]")
    return "\n".join(part for part in parts if part) or f"{name} gave no answer."


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False)
