"""From an agent's folder to a session ready to talk: definition, secrets, model and tools, loaded in any thread."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.handoff import Handoff, unpacked, with_env_file
from foundry.agent.options import RunOptions
from foundry.console import Console
from foundry.errors import NotReadyError, UsageError
from foundry.messages import RunStarted
from foundry.session.allowed import Allowed
from foundry.settings import Settings, cache_folder, load_settings, state_folder

if TYPE_CHECKING:
    from foundry.agent.definition import AgentDefinition
    from foundry.agent.secrets import Redactor
    from foundry.models.catalog import Choice
    from foundry.models.model import Model
    from foundry.plugins.api import Variables
    from foundry.plugins.strict import BoundTool
    from foundry.session.approvals import Approvals, Ask
    from foundry.session.limits import Limits
    from foundry.session.mcp.servers import Servers
    from foundry.session.own_commands import OwnCommands
    from foundry.session.session import Session
    from foundry.session.toolbox import Toolbox


@dataclass
class Opening:
    """What is known of a run before anything heavy is loaded; `redactor` is there once the secrets were read."""

    folder: AgentFolder
    options: RunOptions
    handoff: Handoff | None
    console: Console
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    redactor: Redactor | None = None
    held: int = -1  # the handle of the lock that holds the agent for this run
    servers: Servers | None = None  # the MCP servers of this run, once it is known that there are any
    always: Allowed = field(default_factory=Allowed)  # what the person allowed for as long as this run goes on

    def close(self) -> None:
        """End what was started for this run."""
        if self.servers:
            self.servers.close()
        if jobs := sys.modules.get("foundry.plugins.standard_lib.terminal_jobs"):
            for said in jobs.end_jobs(self.run):
                self.console.warn(self.clean(said))

    @property
    def entrance(self) -> str:
        """How this run is talked to: chat, one-shot, json, events or mcp."""
        if self.options.mcp:
            return "mcp"
        if self.options.output != "text":
            return self.options.output
        talks = not self.options.prompt and all(one and one.isatty() for one in (sys.stdin, sys.stdout))
        return "chat" if talks else "one-shot"

    def clean(self, text: str) -> str:
        """Return `text` without the secrets that are known so far; before they are, without all that could be one."""
        if self.redactor:
            return self.redactor.clean(text)
        from foundry.agent.secrets import everything_secret

        handed = self.handoff.keys if self.handoff else {}
        return everything_secret(Home(self.folder.path.parent.parent), {**os.environ, **handed}).clean(text)


@dataclass(frozen=True, slots=True)
class Ready:
    """A session that can talk, and what its faces show."""

    session: Session
    toolbox: Toolbox
    definition: AgentDefinition
    choice: Choice
    redactor: Redactor
    started: RunStarted
    notices: tuple[str, ...]
    keys: Mapping[str, str] = field(repr=False)
    settings: Settings

    def learn_secret(self, name: str, value: str) -> None:
        """Put a value that the person just gave into this process's environment; it is a secret from here on."""
        self.redactor.learn({name: value})
        os.environ[name] = value


def get_ready(opening: Opening, ask: Ask | None, named: str = "") -> Ready:
    """Return the session of this run, with the model `named` if one is; may take a second.

    Raises FoundryError for whatever is missing or broken.
    """
    from foundry.agent.definition import load_definition
    from foundry.models.catalog import Choice
    from foundry.session.approvals import Approvals, check_mode
    from foundry.session.embedded import connected
    from foundry.session.prompt import system_prompt
    from foundry.session.session import Session
    from foundry.session.toolbox import open_toolbox
    from foundry.session.window import result_limit

    definition = load_definition(opening.folder.config)
    keys, settings = _environment(opening, definition)
    assert opening.redactor
    serves, later = opening.options.mcp == "serve", bool(named)
    try:
        choice = _choice(opening, definition, keys, settings, named)
        model: Model = connected(opening.folder.name, choice, keys, settings, opening.handoff, later=later, lazily=serves)
    except NotReadyError as error:
        if not serves:  # then its tools can be called all the same
            raise
        from foundry.session.mcp.no_model import NoModel

        choice, model = Choice("none", ""), NoModel(error.for_agent(opening.folder.name))
    info = model.info
    work = _working_folder(opening, definition)
    toolbox, notices = open_toolbox(
        opening.folder,
        definition,
        work,
        run=opening.run,
        limit=result_limit(info.window),
        redactor=opening.redactor,
        variables=_variables(opening, opening.redactor, ask),
        commands=_commands(opening, keys, settings, ask),
    )
    if definition.mcp_servers and not opening.servers:
        from foundry.session.mcp.servers import Servers

        opening.servers = Servers(opening.folder, definition, keys, opening.redactor.learn)
        opening.servers.start()
    approvals = Approvals(
        check_mode(opening.options.mode),
        ask,
        folder=opening.folder,
        rules=definition.approvals,
        work=work,
        entrance=opening.entrance,
        run=opening.run,
        always=opening.always,
    )
    if info.tier == "small":
        toolbox.offer_only(for_small(approvals, definition))
    if opening.servers:
        opening.servers.attach(toolbox)
    session = Session(
        model,
        toolbox,
        approvals,
        system=system_prompt(definition, info.tier, tools=bool(toolbox.specs() or opening.servers)),
        limits=_limits(opening.options, settings),
        clean=opening.redactor.clean,
    )
    started = RunStarted(opening.run, definition.name, info.name, str(work), opening.options.mode, info.window)
    return Ready(session, toolbox, definition, choice, opening.redactor, started, tuple(notices), keys, settings)


def _variables(opening: Opening, redactor: Redactor, ask: Ask | None) -> Variables:
    """Return the agent's variables, with the terminal on which a tool may ask the person for one."""
    from foundry.session.terminal import Asker
    from foundry.session.variables import SessionVariables

    return SessionVariables(opening.folder, redactor, ask if isinstance(ask, Asker) else None)


def for_small(approvals: Approvals, definition: AgentDefinition) -> Callable[[BoundTool], bool]:
    """Return which tools a small model is told of: those that could be allowed, the few of a plugin that has many."""
    from foundry.plugins.built_ins import is_for_small

    return lambda tool: approvals.could_allow(tool) and is_for_small(tool.spec.id, definition)


def _commands(
    opening: Opening, keys: Mapping[str, str], settings: Settings, ask: Ask | None
) -> Callable[[Callable[[str], None]], OwnCommands] | None:
    """Return what makes the way to Foundry's own commands; None for an agent that was not started by them."""
    from foundry.session.own_commands import OwnCommands
    from foundry.session.terminal import Asker

    if not (opening.handoff and opening.handoff.python):
        return None
    python, home, depth = opening.handoff.python, opening.folder.path.parent.parent, opening.handoff.depth
    asks = ask if isinstance(ask, Asker) else None
    return lambda show: OwnCommands(python, home, settings, keys, show, asks, depth)


def _environment(opening: Opening, definition: AgentDefinition) -> tuple[dict[str, str], Settings]:
    """Return keys and settings, the agent's .env in this process's environment; its values are secret from here on."""
    from foundry.agent.secrets import Redactor, read_env
    from foundry.models.catalog import KEY_OF
    from foundry.plugins.built_ins import env_of

    asked = env_of(definition)
    own = {name: value for name, value in read_env(opening.folder.env_file).items() if value}
    wanted = {*asked, *KEY_OF.values()}
    shell = {name: os.environ[name] for name in wanted if os.environ.get(name)}
    handed = opening.handoff.keys if opening.handoff else shell
    keys = {**handed, **own}
    local = (opening.handoff and opening.handoff.local) or {}
    opening.redactor = Redactor({**keys, "FOUNDRY_LOCAL_KEY": local.get("key", "")})
    os.environ.update({name: value for name, value in keys.items() if name in own or name in asked})
    settings = unpacked(opening.handoff.settings) if opening.handoff else load_settings(None)
    return keys, with_env_file(settings, own)


def _choice(opening: Opening, definition: AgentDefinition, keys: Mapping[str, str], settings: Settings, named: str) -> Choice:
    """Return the model: the one `named`, what the CLI chose, else chosen here: flag, environment, the agent's own, the home's."""
    from foundry.models.catalog import Choice, choose

    if named:
        return Choice(choose(named, keys, settings).name, "chosen here")
    if opening.handoff and opening.handoff.model:
        return Choice(opening.handoff.model, opening.handoff.why)
    settings = settings.over("agent", {"model": definition.model or None})
    settings = settings.over("flag", {"model": opening.options.model or None})
    return choose(settings["model"], keys, settings)


def _working_folder(opening: Opening, definition: AgentDefinition) -> Path:
    """Return the folder that file tools may touch. Raises UsageError for one that is none or that holds the agent itself."""
    given = opening.options.folder
    path = Path(given).expanduser() if given else opening.folder.path / definition.folder
    if not given:
        path.mkdir(exist_ok=True)
    real = path.resolve()
    if not real.is_dir():
        raise UsageError(f"{path} is no folder", "Give --folder a folder that is there.")
    agent = opening.folder.path.resolve()
    if not given and not real.is_relative_to(agent):
        raise UsageError(f'"folder" of the agent\'s configuration leads out of it: {path}', "Use --folder for another place.")
    inside = real.is_relative_to(agent) and not real.is_relative_to(opening.folder.workspace.resolve())
    if given and (inside or agent == real):
        raise UsageError(f"{path} is the agent's own folder", "Its own files are changed in edit mode only; choose another.")
    for kept in (Home(opening.folder.path.parent.parent).own, state_folder(), cache_folder()):
        if real.is_relative_to(kept.resolve()):
            raise UsageError(f"{path} is where Foundry keeps what it knows", "Choose another folder.")
    return real


def _limits(options: RunOptions, settings: Settings) -> Limits:
    from foundry.session.limits import Limits

    return Limits(
        rounds=max(options.max_rounds or settings["max_rounds"], 1),
        calls=settings["max_calls"],
        tokens=settings["max_tokens"],
        timeout=options.timeout or settings["timeout"],
        retries=settings["retries"],
        run_rounds=settings["run_max_rounds"],
        run_calls=settings["run_max_calls"],
        run_tokens=settings["run_max_tokens"],
        run_timeout=settings["run_timeout"],
    )
