"""The words of a command line: lists, texts and values as they are given, and what a shell may complete them to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foundry.agent.folder import Home
from foundry.console import Console, Shown
from foundry.errors import UsageError
from foundry.settings import Settings, find_home, load_settings

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_LONGEST_TEXT = 1024 * 1024


def listed(text: str | None) -> tuple[str, ...]:
    """Return the words between commas."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def text_or_file(given: str, option: str) -> str:
    """Return the text that was given, or that of the file named after an @. Raises UsageError for what is no text of UTF-8."""
    if not given.startswith("@"):
        return given
    from foundry.files import BadFileError, read_bytes

    try:
        return read_bytes(Path(given[1:]), _LONGEST_TEXT).decode("utf-8-sig")
    except BadFileError as error:
        raise UsageError(f"{option}: {error.message}", error.hint or "Give a text file after the @.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{option}: {given[1:]}: not UTF-8 (byte {error.start})", "Save the file as UTF-8.") from None


def asking(console: Console) -> Callable[[str, str], str]:
    """Return what asks a person for values, hidden, saying how before the first."""
    said: list[bool] = []

    def ask(key: str, why: str) -> str:
        if not said:
            console.note("What you type is not shown; Enter alone gives no value.")
            said.append(True)
        return console.hidden(f"{key} ({why})" if why else key)

    return ask


def secret(console: Console, key: str, why: str, command: str) -> str:
    """Return a value asked for, hidden, or else what is piped in without the line end a shell adds. Raises UsageError."""
    if console.can_ask():
        return asking(console)(key, why)
    if sys.stdin is None or sys.stdin.isatty():  # a terminal that cannot be asked would show the value
        raise UsageError(f"the value of {key} cannot be asked for here", f"Pipe it in: {command} < FILE")
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"the value of {key} is no text of UTF-8", f"Pipe text in: {command} < FILE") from None


def settings_of(console: Console, home: Home) -> Settings:
    """Return the settings in force; those of a home that this user neither made nor trusted are left out, and that is said."""
    from foundry.agent.homes import home_trust

    found = home_trust(home.path)
    if not found.obeyed:
        changed = " any more" if found.state == "changed" else ""
        console.note(f"{' and '.join(found.files)} of {home.path} do not count: it is no home you made or trust{changed}.")
        console.note("  try: foundry trust")
    return load_settings(home.path if found.obeyed else None)


def showing(console: Console, question: str) -> Callable[[Shown], bool] | None:
    """Return what shows a person something, beside the data, and asks about it; None where nobody is there."""

    def confirm(what: Shown) -> bool:
        console.put(console.rows(what.shown()))
        return console.yes(question)

    return confirm if console.can_ask() else None


# completion: what goes wrong here goes wrong unheard, in completion.py; names that nothing may bear are not offered ------------


def agent_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the agents whose name begins so."""
    from foundry.agent.definition import AGENT_NAME

    return _beginning(incomplete, [name for name in _home(ctx).names() if AGENT_NAME.fullmatch(name)])


def deleted_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return what lies in the trash and begins so, by name and by entry."""
    from foundry.agent.definition import AGENT_NAME
    from foundry.agent.trash import entries

    there = [one for one in entries(_home(ctx)) if AGENT_NAME.fullmatch(one.name)]
    return _beginning(incomplete, list(dict.fromkeys([*(one.name for one in there), *(one.entry for one in there)])))


def tool_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the built-in plugins for the last word of a list."""
    from foundry.plugins.built_ins import BUILT_INS

    *before, last = incomplete.split(",")
    return [",".join([*before, name]) for name in BUILT_INS if name.startswith(last) and name not in before]


def blueprint_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the blueprints whose name begins so."""
    from foundry.agent.blueprint import blueprints

    return _beginning(incomplete, [one.name for one in blueprints()])


def variable_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the variables that the agent named before asks for or has."""
    from foundry.agent.definition import VARIABLE_NAME, load_definition
    from foundry.agent.secrets import read_env

    folder = _home(ctx).agent(str(ctx.params.get("name")))
    there = dict.fromkeys([*load_definition(folder.config).env, *read_env(folder.env_file)])
    return _beginning(incomplete, [name for name in there if VARIABLE_NAME.fullmatch(name)])


def folders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return that a folder is meant, which the shell looks for itself."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def file_after_at(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return that a file is meant where an @ says so."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete[1:], type="at")] if incomplete.startswith("@") else []


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def _home(ctx: click.Context) -> Home:
    home = ctx.params.get("home")
    return Home(find_home(os.path.expandvars(home) if home else None))
