"""The slash commands that look at an agent's code and change it; session/commands.py lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from foundry.agent.definition import load_definition
from foundry.agent.history import Change, History, code_of, diffs
from foundry.agent.lock import alone_within
from foundry.agent.undo import go, way_back, way_forward
from foundry.console import Block, Console, Diff, Table
from foundry.errors import FoundryError, UsageError
from foundry.plugins.built_ins import extras_of
from foundry.session.commands import Said
from foundry.session.edit.accept import accept_plugins, pinned, why_restart
from foundry.session.edit.live import Editing
from foundry.session.edit.proposal import unseen
from foundry.session.reloading import reload_tools
from foundry.session.terminal import Asker
from foundry.text import local_time


async def do(said: Said, editing: Editing, console: Console, asker: Asker) -> None:
    """Do one of the commands and say what came of it. Raises FoundryError when it cannot be done, nothing changed."""
    if said.command == "/edit":
        editing.enter()
        console.block("Edit mode: say what this agent should be able to do. /run leaves it.")
    elif said.command == "/run":
        editing.leave()
        console.block("Edit mode is left; what was not accepted is gone.")
    elif said.command == "/history":
        console.block(_versions(History(editing.opening.folder)))
    elif said.command == "/reload":
        await _reload(editing, console, asker)
    else:
        await _back(said, editing, console, asker)


async def _reload(editing: Editing, console: Console, asker: Asker) -> None:
    """Take up what the person changed by hand: shown, recorded as a version, its plugins' effects accepted."""
    folder = editing.opening.folder
    history = History(folder)
    changed = history.by_hand() if history.head() else []
    named = {name.split("/")[1] for name, _, _ in changed if name.startswith("plugins/") and name.count("/") > 1}
    plugins = sorted(name for name in named if (folder.plugins / name).is_dir())
    if not changed:
        console.block("Nothing was changed since the last version; the tools are loaded anew.")
    elif not await asker.choose(
        "changed by hand", _told(editing, changed, plugins), {"y": "take it up", "n": "no"}, "Take this up?"
    ):
        console.block("Nothing is taken up.")
        return
    else:
        load_definition(folder.config)
        if history.by_hand() != changed:
            raise FoundryError("files were changed after they were shown; nothing is taken up", "Look again: /reload")
        version = history.observe("taken up in a session")
        accept_plugins(folder, plugins)
        if version:
            console.block(f"It is version {version.number} now.")
    _take_up(editing, console)


async def _back(said: Said, editing: Editing, console: Console, asker: Asker) -> None:
    """Undo or redo after showing what changes; tools and environment follow."""
    opening, word, number = editing.opening, said.command[1:], _number(said)
    folder = opening.folder
    way = way_forward(folder) if word == "redo" else way_back(folder, number)
    if not await asker.choose(f"{word}: to version {way.target}", list(diffs(way.changes)), {"y": word, "n": "no"}, "Do it?"):
        console.block("Nothing was changed.")
        return
    before = pinned(folder)
    with alone_within(folder, opening.held):
        go(folder, way, extras=extras_of, settings=editing.ready.settings, progress=console, held=(opening.held,))
    console.block(f"The code is that of version {way.target} again.")
    editing.restart = editing.restart or why_restart(before, pinned(folder))
    if not editing.restart:
        _take_up(editing, console)


def _told(editing: Editing, changed: Sequence[Change], plugins: Iterable[str]) -> list[Block]:
    """Return what was changed, with the rest of those plugins of which nobody accepted what they were before."""
    known = {tool.spec.id.partition(".")[0] for tool in editing.ready.toolbox.tools if tool.accepted}
    inside = tuple(f"plugins/{one}/" for one in plugins if one not in known)
    names = {name for name, _, _ in changed}
    code = code_of(editing.opening.folder)
    rest = [one for one in code if one.startswith(inside) and one not in names]
    return [*diffs(changed), *unseen([Diff(one, None, code[one][0], (None, code[one][1])) for one in rest])]


def _versions(history: History) -> Table:
    head = history.head()
    rows = [
        (f"{'*' if one.number == head else ' '} {one.number}", local_time(one.at), one.kind, one.said or ", ".join(one.files))
        for one in reversed(history.versions())
    ]
    return Table(("VERSION", "WHEN", "WHAT", "WHAT FOR"), rows, "There is no version yet.", last="broken")


def _number(said: Said) -> int | None:
    if not said.argument:
        return None
    if not said.argument.isdigit() or said.command == "/redo":
        raise UsageError(
            f"{said.command} {said.argument} means nothing", "/undo, or /undo with the number of a version; see /history"
        )
    return int(said.argument)


def _take_up(editing: Editing, console: Console) -> None:
    try:
        notices = reload_tools(editing.opening, editing.ready)
    except FoundryError as error:
        console.error(error)
        return
    for notice in notices:
        console.warn(notice)
    editing.refresh()
