"""What the gate is told of a call before it happens: the columns of its table the call falls into and the paths it touches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foundry.agent.policy import Action, Column
from foundry.plugins.api import Preview, is_trusted
from foundry.plugins.cards import ALL_EFFECTS, TO_ACCEPT

PATH_ARGUMENTS = ("path", "folder", "file", "to")
_COLUMN_OF: Mapping[str, Column] = {"reads": "reads", "writes": "writes", "runs": "runs", "network": "network"}


def action_of(
    tool: str,
    origin: str,
    effects: Iterable[str],
    arguments: Mapping[str, Any],
    preview: Preview | None,
    work: Path,
    *,
    code: str = "",
    accepted: bool = False,
) -> Action:
    """Return the call as the gate's table sees it; `preview` is what a tool said it would do, None where it says nothing.

    What a plugin says of its own effects counts only when `accepted`; until then it does everything.
    """
    root = work.resolve()
    known = origin not in TO_ACCEPT or accepted
    paths = _paths(arguments, preview, root) if origin not in TO_ACCEPT else ()
    columns: set[Column] = {_COLUMN_OF[one] for one in (effects if known else ALL_EFFECTS) if one in _COLUMN_OF}
    shown = preview or Preview("")
    if origin == "mcp":  # another's program: whatever it says of its tools, it can reach the network
        columns.add("network")
    if origin == "edit":  # it works on a copy that counts for nothing; but what it fetches, it fetches
        columns = {"network"} if shown.hosts else {"reads"}
    else:
        columns |= _shown_columns(shown)
        if preview or columns - {"reads"}:  # what only reads refuses what is outside by itself, and reading changes nothing
            columns |= {"outside" for one in paths if not one.is_relative_to(root)}
            columns |= {"protected" for one in paths if is_trusted(one, root)}
    return Action(
        tool,
        frozenset(columns or {"reads"}),
        arguments,
        tuple(dict.fromkeys(_name(one, root) for one in paths)),
        shown.scope,
        code,
        known,
        bool(shown.scope and (shown.hosts or origin == "mcp")),  # a server that was accepted is where it goes
        shown.recipients if origin not in TO_ACCEPT else (),
    )


def _shown_columns(preview: Preview) -> set[Column]:
    columns: set[Column] = set()
    if preview.changes:
        columns.add("writes")
    if preview.command:
        columns.add("runs")
    if preview.hosts or preview.recipients:
        columns.add("network")
    return columns


def _paths(arguments: Mapping[str, Any], preview: Preview | None, root: Path) -> tuple[Path, ...]:
    """Return the real paths of a call: those of its preview, else those that its arguments name."""
    if preview:
        return (*preview.paths, *(change.path for change in preview.changes))
    found = []
    for name in PATH_ARGUMENTS:
        given = arguments.get(name)
        if isinstance(given, str) and "\0" not in given:
            found.append((root / given).resolve())
    return tuple(found)


def _name(path: Path, root: Path) -> str:
    """Return a path as rules name it: relative to the working folder, a folder with / at its end."""
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return f"{name.rstrip('/')}/" if path.is_dir() and not path.is_symlink() else name
