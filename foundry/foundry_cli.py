"""The command line: the command table, the Click face of each verb, the error door; nothing else."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from foundry import words
from foundry.agent.folder import Home
from foundry.console import Console, utf8_streams
from foundry.errors import FoundryError, UsageError
from foundry.settings import VERSION, find_home, load_settings

Face = Callable[..., int | None]
SECTIONS = {
    "Agents": ("create", "run", "list", "show", "copy", "rename", "delete", "restore", "trash"),
    "Upkeep": ("sync", "env", "doctor", "tools", "model", "settings", "completion"),
}


class Commands(click.Group):
    """The command table, shown by section."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(90)) for name in names])


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        Console().text(f"foundry {VERSION}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit.")
def cli() -> None:
    """Make AI agents that live in folders of their own, and talk to them. Start with: foundry create NAME --run"""


def face(function: Face) -> Face:
    """Give a command what every command has: --home, --json, --debug, a console, and the error door around it."""

    @click.option(
        "--home",
        metavar="PATH",
        type=click.Path(),
        help="Folder that holds agents/ (default: FOUNDRY_HOME, the nearest with .foundry/, here).",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON envelope on stdout.")
    @click.option("--debug", is_flag=True, help="Show the traceback of a bug.")
    @functools.wraps(function)
    def call(home: str | None, as_json: bool, debug: bool, **options: Any) -> int:
        from foundry.report import guarded

        console = Console(as_json=as_json)
        context = click.get_current_context()
        context.meta["foundry.debug"] = debug

        def clean(text: str) -> str:
            from foundry.agent.secrets import everything_secret

            try:
                place = find_home(home)
            except OSError:  # the folder we stand in is gone, and perhaps that is what is reported
                place = Path(os.devnull)
            return everything_secret(Home(place), os.environ).clean(text)

        return guarded(console, debug, lambda: function(console, Home(find_home(home)), **options), clean)

    return call


agent = click.argument("name", shell_complete=words.agent_names)


# agents --------------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("name")
@click.option("--description", default="", help="One line saying what it is for.")
@click.option("--dependencies", metavar="A,B", help="Python packages its plugins need.")
@click.option(
    "--tools",
    metavar="X,Y",
    shell_complete=words.tool_names,
    help="Plugins or tools of the standard library (see: foundry tools).",
)
@click.option("--blueprint", default="plain", show_default=True, shell_complete=words.blueprint_names, help="What to start from.")
@click.option("--model", default="", metavar="PROVIDER:NAME", help="The model it thinks with (default: chosen at each start).")
@click.option("--instructions", default="", metavar="TEXT|@FILE", help="What it is told before every conversation.")
@click.option("--python", "python", default="", metavar="X.Y", help="Python of its environment (default: the one running).")
@click.option(
    "--env", "variables", multiple=True, metavar="KEY", help="A variable it needs; asked for on a terminal. Repeatable."
)
@click.option(
    "--env-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take values for .env from this file.",
)
@click.option("--no-input", is_flag=True, help="Ask nothing.")
@click.option("--run", "then_run", is_flag=True, help="Talk to it as soon as it is there.")
@face
def create(console: Console, home: Home, name: str, **given: Any) -> int | None:
    """Make an agent: a folder with its own config, secrets, plugins and environment."""
    from foundry.agent.secrets import read_env
    from foundry.plugins.foundry_core.create_agent import create_agent

    settings = load_settings(home.path).over("flag", {"python": given["python"] or None})
    values = read_env(given["env_file"]) if given["env_file"] else {}
    asked = console.can_ask() and not given["no_input"]
    made = create_agent(
        home,
        name,
        description=given["description"],
        dependencies=words.listed(given["dependencies"]),
        tools=None if given["tools"] is None else words.listed(given["tools"]),
        blueprint=given["blueprint"],
        model=given["model"],
        instructions=words.text_or_file(given["instructions"], "--instructions"),
        env=dict.fromkeys((*given["variables"], *values), ""),
        env_values=values,
        settings=settings,
        progress=console,
        ask_secret=words.asking(console) if asked else None,
    )
    if not given["then_run"]:
        console.result(made)
        return 0
    return _start(console, home, name, {})


@cli.command()
@agent
@click.option("-p", "--prompt", metavar="TEXT", help="Ask once, print the answer, end. What is piped in is the material.")
@click.option(
    "--folder", metavar="PATH", type=click.Path(), help="What its file tools may touch in this run (default: its workspace/)."
)
@click.option("--mode", type=click.Choice(["plan", "run", "edit", "auto"]), help="What it may do unasked (default: run).")
@click.option("--edit", is_flag=True, help="The same as --mode edit.")
@click.option("--output", type=click.Choice(["text", "json", "events"]), help="How a one-shot run answers (default: text).")
@click.option("--model", metavar="PROVIDER:NAME", help="Think with this model in this run.")
@click.option("--max-rounds", type=click.IntRange(1), help="How often a turn may ask the model.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End a one-shot run after this long.")
@face
def run(console: Console, home: Home, name: str, **given: Any) -> int | None:
    """Talk to an agent on the terminal, or ask it once with -p or a pipe."""
    if given.pop("edit"):
        given["mode"] = "edit"
    if given["prompt"] is not None and not given["prompt"].strip() and sys.stdin.isatty():
        raise UsageError("-p is empty", "Say what to ask; without -p it is a conversation.")
    if console.as_json and given["output"] is None:
        given["output"] = "json"
    return _start(console, home, name, given)


def _start(console: Console, home: Home, name: str, given: dict[str, Any]) -> int:
    from foundry.plugins.foundry_core.run_agent import run_agent

    console.as_json = console.as_json or given.get("output") == "json"
    consent = console.yes if console.can_ask() else None
    debug = click.get_current_context().meta["foundry.debug"]
    try:
        return run_agent(home, name, settings=load_settings(home.path), progress=console, consent=consent, debug=debug, **given)
    except FoundryError as error:
        if given.get("output") != "events":
            raise error.for_agent(name) from None
        from foundry.messages import Failed, to_json

        console.line(to_json(Failed(error.code, error.message, error.for_agent(name).hint)))
        return error.exit_code


@cli.command("list")
@face
def list_(console: Console, home: Home) -> None:
    """List the agents with their model, state and tools; runs nothing of theirs."""
    from foundry.plugins.foundry_core.list_agents import list_agents

    console.result(list_agents(home))


@cli.command()
@agent
@face
def show(console: Console, home: Home, name: str) -> None:
    """Show everything about one agent, but no secret."""
    from foundry.plugins.foundry_core.show_agent import show_agent

    console.result(show_agent(home, name, settings=load_settings(home.path)))


@cli.command()
@agent
@click.argument("new")
@face
def copy(console: Console, home: Home, name: str, new: str) -> None:
    """Make another agent just like this one, with an environment of its own."""
    from foundry.plugins.foundry_core.copy_agent import copy_agent

    console.result(copy_agent(home, name, new, settings=load_settings(home.path), progress=console))


@cli.command()
@agent
@click.argument("new")
@face
def rename(console: Console, home: Home, name: str, new: str) -> None:
    """Give an agent another name."""
    from foundry.plugins.foundry_core.rename_agent import rename_agent

    console.result(rename_agent(home, name, new, progress=console))


@cli.command()
@agent
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--purge", is_flag=True, help="Remove it for good instead of moving it to the trash.")
@face
def delete(console: Console, home: Home, name: str, yes: bool, purge: bool) -> None:
    """Move an agent to the trash after showing what goes."""
    from foundry.plugins.foundry_core.delete_agent import Deletion, delete_agent

    def confirm(what: Deletion) -> bool:
        if not console.can_ask():
            raise UsageError(f"deleting {name} needs a yes, and nobody is there to ask", f"foundry delete {name} --yes")
        console.result(what)
        return console.yes(f"{'Remove' if purge else 'Delete'} {name}?")

    settings = load_settings(home.path)
    console.result(delete_agent(home, name, purge=purge, settings=settings, confirm=None if yes else confirm, progress=console))


@cli.command()
@click.argument("name", shell_complete=words.deleted_names)
@face
def restore(console: Console, home: Home, name: str) -> None:
    """Bring an agent back from the trash: the newest of that name, or the entry named."""
    from foundry.plugins.foundry_core.restore_agent import restore_agent

    console.result(restore_agent(home, name, progress=console))


@cli.command()
@click.argument("action", type=click.Choice(["list", "empty"]), default="list")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@face
def trash(console: Console, home: Home, action: str, yes: bool) -> None:
    """List the deleted agents, or remove them for good."""
    from foundry.plugins.foundry_core.manage_trash import empty_trash, list_trash

    entries = list_trash(home)
    if action == "list" or not entries.entries:
        console.result(entries)
        return
    if not yes:
        if not console.can_ask():
            raise UsageError("emptying the trash needs a yes, and nobody is there to ask", "foundry trash empty --yes")
        console.result(entries)
        if not console.yes("Remove all of it for good?"):
            raise FoundryError("nothing was removed: the answer was no", "Answer y to remove it.", code="declined")
    console.result(empty_trash(home, progress=console))


# upkeep --------------------------------------------------------------------------------------------------------------


@cli.command()
@agent
@face
def sync(console: Console, home: Home, name: str) -> None:
    """Rebuild or repair an agent's environment from its lock."""
    from foundry.plugins.foundry_core.sync_agent import sync_agent

    console.result(sync_agent(home, name, settings=load_settings(home.path), progress=console))


@cli.command()
@agent
@click.argument("action", type=click.Choice(["show", "set", "unset", "check"]), default="show")
@click.argument("key", default="", shell_complete=words.variable_names)
@face
def env(console: Console, home: Home, name: str, action: str, key: str) -> None:
    """Show what an agent's .env needs and has; set KEY from a hidden prompt or standard input; unset KEY; check."""
    from foundry.plugins.foundry_core import agent_env

    if (action in {"set", "unset"}) != bool(key):
        raise UsageError(f"foundry env NAME {action} takes {'a KEY' if not key else 'no KEY'}", "foundry env --help")
    settings = load_settings(home.path)
    if action == "set":
        value = words.secret(console, key, agent_env.env_why(home, name, key), f"foundry env {name} set {key}")
        console.result(agent_env.env_set(home, name, key, value))
    elif action == "unset":
        console.result(agent_env.env_unset(home, name, key))
    elif action == "check":
        console.result(agent_env.env_check(home, name, settings=settings))
    else:
        console.result(agent_env.env_show(home, name, settings=settings))


@cli.command()
@click.argument("name", required=False, shell_complete=words.agent_names)
@face
def doctor(console: Console, home: Home, name: str | None) -> int:
    """Check this machine, the providers and the agents; each finding names the command that mends it."""
    from foundry.plugins.foundry_core.validate_environment import validate_environment

    health = validate_environment(home, name, settings=load_settings(home.path))
    console.result(health)
    return 0 if health.ready else 4


@cli.command()
@click.argument("name", required=False, shell_complete=words.agent_names)
@face
def tools(console: Console, home: Home, name: str | None) -> None:
    """List the tools there are, or those of one agent, without importing them."""
    from foundry.plugins.foundry_core.list_tools import list_tools

    console.result(list_tools(home, name))


@cli.command()
@click.argument("action", type=click.Choice(["list", "pull", "stop"]), default="list")
@click.argument("model_name", default="local", metavar="[MODEL]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before a large download.")
@face
def model(console: Console, home: Home, action: str, model_name: str, yes: bool) -> None:
    """List the models at hand; pull the embedded one (or ollama:NAME); stop the embedded one."""
    settings = load_settings(home.path)
    if action == "pull":
        from foundry.plugins.foundry_core.pull_model import pull_model

        consent = console.yes if console.can_ask() and not yes else None
        console.result(pull_model(home, model_name, settings=settings, progress=console, consent=consent))
    elif action == "stop":
        from foundry.plugins.foundry_core.stop_model import stop_model

        console.result(stop_model(home))
    else:
        from foundry.plugins.foundry_core.list_models import list_models

        console.result(list_models(home, settings=settings))


@cli.command()
@face
def settings(console: Console, home: Home) -> None:
    """Show every setting with its value and where it comes from."""
    from foundry.plugins.foundry_core.show_settings import show_settings

    console.result(show_settings(load_settings(home.path)))


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell; put it where the shell's start file loads it."""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    Console().text(script(cli, {}, "foundry", "_FOUNDRY_COMPLETE").source())


def main() -> None:
    """Run the command line and exit with its code."""
    with utf8_streams():
        try:
            code = cli.main(prog_name="foundry", standalone_mode=False)
        except click.ClickException as error:
            code = _usage(error)
        except (click.Abort, KeyboardInterrupt):
            code = 130
    sys.exit(code or 0)


def _usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help" if context else "foundry --help"
    Console(as_json="--json" in sys.argv).error(UsageError(error.format_message().rstrip("."), hint))
    return UsageError.exit_code


if __name__ == "__main__":
    main()
