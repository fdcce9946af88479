"""What every command of the command line has: the table it stands in, --home, --json, --debug, a console, the error door."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from foundry import words
from foundry.agent.folder import Home
from foundry.console import Console
from foundry.settings import VERSION, find_home

Face = Callable[..., int | None]
SECTIONS = {
    "Agents": ("create", "run", "chat", "list", "show", "copy", "rename", "delete", "restore", "trash"),
    "Their code": ("history", "diff", "undo", "redo", "approvals", "trust", "mcp"),
    "Upkeep": ("sync", "env", "doctor", "tools", "model", "settings", "completion"),
}


class Commands(click.Group):
    """The command table, shown by section."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(one, self.commands[one].get_short_help_str(90)) for one in names if one in self.commands])


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        Console().text(f"foundry {VERSION}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit.")
def cli() -> None:
    """Make AI agents that live in folders of their own, and talk to them. Start with: foundry create NAME --run"""


def folder_option(name: str, help: str) -> Callable[[Face], Face]:
    """Return an option that names a folder, None where it is not given."""
    return click.option(name, metavar="PATH", type=click.Path(), shell_complete=words.folders, help=help)


def face(function: Face) -> Face:
    """Give a command what every command has: --home, --json, --debug, a console, and the error door around it."""

    @folder_option("--home", "Folder that holds agents/ (default: FOUNDRY_HOME, the nearest with .foundry/, here).")
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
