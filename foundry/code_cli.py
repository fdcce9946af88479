"""The command line's faces of the verbs about an agent's code: its versions, back and forth; foundry_cli loads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from foundry import words
from foundry.agent.folder import Home
from foundry.console import Console
from foundry.errors import UsageError
from foundry.faces import agent, cli, face

if TYPE_CHECKING:
    from foundry.agent.policy import Mode
    from foundry.plugins.foundry_core.undo_agent import Going


@cli.command()
@agent
@face
def history(console: Console, home: Home, name: str) -> None:
    """List the versions of an agent's code: each accepted change and each change by hand."""
    from foundry.plugins.foundry_core.history_agent import agent_history

    console.result(agent_history(home, name))


@cli.command()
@agent
@click.argument("before", type=click.IntRange(0), required=False)
@click.argument("after", type=click.IntRange(1), required=False)
@face
def diff(console: Console, home: Home, name: str, before: int | None, after: int | None) -> None:
    """Show what differs between two versions of an agent's code, or what was changed last."""
    from foundry.plugins.foundry_core.history_agent import diff_agent

    console.result(diff_agent(home, name, before, after))


@cli.command()
@agent
@click.argument("number", type=click.IntRange(1), required=False, metavar="[N]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@face
def undo(console: Console, home: Home, name: str, number: int | None, yes: bool) -> None:
    """Take the last change of an agent's code back, or go back to version N, environment and all."""
    from foundry.plugins.foundry_core.undo_agent import undo_agent

    settings = words.settings_of(console, home)
    confirm = None if yes else _asking(console, f"undo {name}")
    console.result(undo_agent(home, name, number, settings=settings, confirm=confirm, progress=console))


@cli.command()
@agent
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@face
def redo(console: Console, home: Home, name: str, yes: bool) -> None:
    """Do again what was undone last."""
    from foundry.plugins.foundry_core.undo_agent import redo_agent

    settings = words.settings_of(console, home)
    confirm = None if yes else _asking(console, f"redo {name}")
    console.result(redo_agent(home, name, settings=settings, confirm=confirm, progress=console))


@cli.command()
@click.argument("name", required=False, shell_complete=words.agent_names)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--revoke", is_flag=True, help="Trust it no longer, and forget what was ever allowed or accepted for it.")
@face
def trust(console: Console, home: Home, name: str | None, yes: bool, revoke: bool) -> None:
    """Look at an agent from elsewhere and trust it as it is; without NAME, this home."""
    from foundry.plugins.foundry_core import trust_agent as verb

    if revoke:
        console.result(verb.distrust(home, name or ""))
        return
    confirm = words.showing(console, f"Trust {name or 'this home'} as it is?")
    if not yes and confirm is None:
        command = f"trust {name}" if name else "trust"
        raise UsageError("trusting needs a yes, and nobody is there to ask", f"Read it, then: foundry {command} --yes")
    asked = None if yes else confirm
    if name:
        settings = words.settings_of(console, home)
        console.result(verb.trust_agent(home, name, settings=settings, confirm=asked, progress=console))
    else:
        console.result(verb.trust_home(home, confirm=asked))


def _asking(console: Console, command: str) -> Callable[[Going], bool]:
    def confirm(what: Going) -> bool:
        if not console.can_ask():
            raise UsageError(f"{command} needs a yes, and nobody is there to ask", f"foundry {command} --yes")
        console.put(console.rows(what.shown()))
        return console.yes("Go there?")

    return confirm


@cli.command()
@agent
@click.argument("action", type=click.Choice(["list", "revoke", "explain"]), default="list")
@click.argument("call", default="", metavar="[CALL]")
@click.option("--mode", type=click.Choice(["plan", "run", "edit", "auto"]), default="run", help="Explain it for this mode.")
@face
def approvals(console: Console, home: Home, name: str, action: str, call: str, mode: Mode) -> None:
    """List what decides over an agent's calls; revoke N or all of what was always allowed; explain 'TOOL {ARGUMENTS}'."""
    from foundry.plugins.foundry_core import manage_approvals

    if bool(call) != (action != "list"):
        takes = {"revoke": "a number of the list, or all", "explain": "a call: 'TOOL {ARGUMENTS}'"}.get(action, "nothing more")
        raise UsageError(f"foundry approvals NAME {action} takes {takes}", f"foundry approvals {name}")
    if action == "revoke":
        console.result(manage_approvals.revoke_approvals(home, name, call))
    elif action == "explain":
        console.result(manage_approvals.explain_call(home, name, call, mode))
    else:
        console.result(manage_approvals.list_approvals(home, name))
