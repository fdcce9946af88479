"""The command line: the command table, the Click face of each verb, the error door; nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from foundry import code_cli, mcp_cli, upkeep_cli, words
from foundry.agent.folder import Home
from foundry.console import Console, utf8_streams
from foundry.errors import FoundryError, UsageError
from foundry.faces import agent, cli, face, folder_option

__all__ = ["cli", "code_cli", "main", "mcp_cli", "upkeep_cli"]

# agents --------------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("name")
@click.option("--description", default="", help="One line saying what it is for.")
@click.option("--dependencies", metavar="A,B", help="Python packages its plugins need.")
@click.option(
    "--tools",
    metavar="X,Y",
    shell_complete=words.tool_names,
    help="Plugins or tools of the standard library, or of a package it depends on (see: foundry tools).",
)
@click.option("--copy-tools", is_flag=True, help="Copy the standard library's tools into it as plugins of its own, to change.")
@click.option("--blueprint", default="plain", show_default=True, shell_complete=words.blueprint_names, help="What to start from.")
@click.option("--model", default="", metavar="PROVIDER:NAME", help="The model it thinks with (default: chosen at each start).")
@click.option(
    "--instructions",
    default="",
    metavar="TEXT|@FILE",
    shell_complete=words.file_after_at,
    help="What it is told before every conversation.",
)
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

    settings = words.settings_of(console, home).over("flag", {"python": given["python"] or None})
    values = read_env(given["env_file"]) if given["env_file"] else {}
    asked = console.can_ask() and not given["no_input"]
    made = create_agent(
        home,
        name,
        description=given["description"],
        dependencies=words.listed(given["dependencies"]),
        tools=None if given["tools"] is None else words.listed(given["tools"]),
        copy_tools=given["copy_tools"],
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
@folder_option("--folder", "What its file tools may touch in this run (default: its workspace/).")
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
        settings = words.settings_of(console, home)
        confirm = words.showing(console, f"Trust {name} as it is, and run it?")
        return run_agent(home, name, settings=settings, progress=console, debug=debug, consent=consent, confirm=confirm, **given)
    except FoundryError as error:
        if given.get("output") != "events":
            raise error.for_agent(name) from None
        from foundry.messages import Failed, to_json

        console.line(to_json(Failed(error.code, error.message, error.for_agent(name).hint)))
        return error.exit_code


@cli.command()
@click.option("-p", "--prompt", metavar="TEXT", help="Ask once, print the answer, end. What is piped in is the material.")
@folder_option("--folder", "Where folders that you name are looked for (default: here).")
@click.option("--mode", type=click.Choice(["plan", "run", "edit", "auto"]), help="What it may do unasked (default: run).")
@click.option("--output", type=click.Choice(["text", "json", "events"]), help="How a one-shot run answers (default: text).")
@click.option("--model", metavar="PROVIDER:NAME", help="Think with this model in this run.")
@face
def chat(console: Console, home: Home, **given: Any) -> int | None:
    """Talk to the Foundry itself: it makes agents, looks after them and runs them for you."""
    from foundry.plugins.foundry_core.chat_foundry import NAME, ready_foundry

    ready_foundry(home, settings=words.settings_of(console, home), progress=console)
    if console.as_json and given["output"] is None:
        given["output"] = "json"
    given["folder"] = given["folder"] or str(Path.cwd())
    return _start(console, home, NAME, given)


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

    console.result(show_agent(home, name, settings=words.settings_of(console, home)))


@cli.command()
@agent
@click.argument("new")
@face
def copy(console: Console, home: Home, name: str, new: str) -> None:
    """Make another agent just like this one, with an environment of its own."""
    from foundry.plugins.foundry_core.copy_agent import copy_agent

    console.result(copy_agent(home, name, new, settings=words.settings_of(console, home), progress=console))


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

    settings = words.settings_of(console, home)
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


def main() -> None:
    """Run the command line and exit with its code."""
    if "FOUNDRY_SHELL" in os.environ:
        from foundry.agent.handoff import take_shell

        take_shell(os.environ)
    with utf8_streams():
        if "_FOUNDRY_COMPLETE" in os.environ:
            from foundry.completion import answer

            return answer(cli)
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
