"""Changes to files of the working folder, each made as a plan: what it would do, shown first and then done exactly so."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePath

from foundry.plugins.api import Change, Plan, Preview, ToolContext, ToolError
from foundry.plugins.confined import Confined, Link, Tree, is_name_of_protected
from foundry.plugins.standard_lib.missed import missed
from foundry.plugins.standard_lib.text_files import Text, check_whole, decode, text_of
from foundry.text import counted

_MOST_WRITTEN = 4 * 1024 * 1024
_CONFIG = (
    "agent.config.json"  # which tools there are and who asks stands there; only a person, or edit mode's proposal, changes it
)


def write(context: ToolContext, given: str, content: str) -> Plan:
    """Plan a file that holds `content`; one that is there keeps its encoding, line ends and mode. Raises ToolError."""
    folder, path = _opened(context, given)
    name = context.name(path)
    _accept_text("content", content)
    found = folder.look(path)
    if found is None:
        _accept_new_name(context, path)
        return _planned_write(context, folder, path, None, content.encode(), f"Write the new file {name}", f"Wrote {name}")
    before, text = _text(context, folder, path, found)
    after = _encoded(name, text, lambda one: one.rewritten(content))
    return _planned_write(context, folder, path, before, after, f"Write {name} anew{_names(found)}", f"Wrote {name}")


def edit(context: ToolContext, given: str, old: str, new: str, everywhere: bool) -> Plan:
    """Plan a file with `old` replaced by `new`, once or everywhere. Raises ToolError, with a hint where `old` is not there."""
    folder, path = _opened(context, given)
    name = context.name(path)
    _accept_text("new", new)
    found = folder.look(path)
    if found is None:
        raise ToolError(f"There is no {name}. Use list_files to see what is there, or write_file to make it.")
    before, text = _text(context, folder, path, found)
    old, new = (one.replace("\r\n", "\n").replace("\r", "\n") for one in (old, new))
    if not old:
        raise ToolError("old is empty. Give the exact text to replace, or use write_file for the whole file.")
    if old == new:
        raise ToolError("old and new are the same: nothing would change.")
    spans = _spans(text.text, old)
    if not spans:
        raise ToolError(missed(name, text.text, old, new))
    lines = [text.text.count("\n", 0, start) + 1 for start, _ in spans]
    if len(spans) > 1 and not everywhere:
        raise ToolError(
            f"{name} has that text {len(spans)} times, at lines {_listed(lines)}. "
            "Give a line before or after it too, so that it is there once, or all=true."
        )
    after = _encoded(name, text, lambda one: one.replaced(spans, new))
    where = f"line {lines[0]}" if len(lines) == 1 else f"lines {_listed(lines)}"
    return _planned_write(
        context, folder, path, before, after, f"Change {name} at {where}{_names(found)}", f"Changed {name} at {where}"
    )


def move(context: ToolContext, given: str, to: str) -> Plan:
    """Plan a file or folder under another name, which nothing may have; a folder that is there takes it in. Raises ToolError."""
    folder, path = _opened(context, given)
    tree = _tree(context, folder, path)
    target = _target(context, to)
    if target == folder.root or _is_folder(folder, target):
        target = _target(context, (target / path.name).relative_to(folder.root).as_posix())
    name, new = context.name(path), context.name(target)
    if target == path:
        raise ToolError(f"{name} is already there.")
    if target.is_relative_to(path):
        raise ToolError(f"{new} is inside {name}: a folder cannot be moved into itself.")
    if folder.look(target) is not None and name.casefold() != new.casefold():
        raise ToolError(f"There is a {new} already. Choose another name, or delete it first.")
    _accept_new_name(context, target)
    for inside in tree:
        _accept(context, target / inside)
    paths = tuple(dict.fromkeys(one / inside for one in (path, target) for inside in tree))
    preview = Preview(f"Move {_what(name, tree)} to {new}", paths=paths, scope=_scope(folder))

    def do() -> str:
        folder.move(path, target, tree)
        return f"Moved {name} to {new}."

    return Plan(preview, do)


def delete(context: ToolContext, given: str) -> Plan:
    """Plan a file, or a folder with all that is in it, gone. Raises ToolError."""
    folder, path = _opened(context, given)
    tree = _tree(context, folder, path)
    name = context.name(path)
    changes = tuple(Change(path / inside, one, None) for inside, one in tree.items() if isinstance(one, bytes))
    paths = tuple(path / inside for inside in tree)
    preview = Preview(f"Delete {_what(name, tree)}", changes=changes, paths=paths, scope=_scope(folder))

    def do() -> str:
        folder.remove(path, tree)
        return f"Deleted {_what(name, tree)}."

    return Plan(preview, do)


def _planned_write(
    context: ToolContext, folder: Confined, path: Path, before: bytes | None, after: bytes, summary: str, done: str
) -> Plan:
    if before == after:
        raise ToolError(f"{context.name(path)} says exactly that already: nothing would change.")
    if len(after) > _MOST_WRITTEN:
        raise ToolError(
            f"{context.name(path)} would be more than {_MOST_WRITTEN // 1024 // 1024} MiB. Use several smaller files."
        )
    preview = Preview(summary, changes=(Change(path, before, after),), paths=(path,), scope=_scope(folder))

    def do() -> str:
        folder.write(path, before, after)
        return f"{done}."

    return Plan(preview, do)


def _is_folder(folder: Confined, path: Path) -> bool:
    found = folder.look(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _scope(folder: Confined) -> str:
    return f"files in {folder.root}"


def _opened(context: ToolContext, given: str) -> tuple[Confined, Path]:
    path = _target(context, given)
    folder = Confined(context.folder)
    if path == folder.root:
        raise ToolError("That is the working folder itself. Name a file or folder in it.")
    return folder, path


def _target(context: ToolContext, given: str) -> Path:
    """Return `given` as a real path whose last part is not followed where it is a link. Raises ToolError."""
    if not given:
        raise ToolError("The path is empty. Give a path inside the folder, such as notes.txt.")
    _accept_text("The path", given)
    asked = PurePath(given)
    if asked.name in ("", ".."):
        return context.path(given)
    path = context.path(str(asked.parent)) / asked.name
    _accept(context, path)
    return path


def _accept(context: ToolContext, path: Path) -> None:
    if not context.allows(path):
        raise ToolError(f"{context.name(path)} is protected: it cannot be read or changed.")
    if any(_plain(part) == _CONFIG for part in path.parts):
        raise ToolError(f"{context.name(path)} holds an agent's rules: no file tool changes it.")


def _plain(part: str) -> str:
    """Return a name as a disk may take it that knows no case and drops characters nobody sees."""
    shown = "".join(one for one in unicodedata.normalize("NFKC", part) if unicodedata.category(one) not in ("Cf", "Mn"))
    return shown.casefold().strip(" .")


def _accept_new_name(context: ToolContext, path: Path) -> None:
    """Refuse a new name with characters that nobody sees, which would be shown as one thing and be another."""
    for one in (path, *path.parents):
        if one == context.folder.resolve() or os.path.lexists(one):
            return
        if not one.name.isprintable():
            odd = next(char for char in one.name if not char.isprintable())
            raise ToolError(f"A name with the character U+{ord(odd):04X} is not made: nobody would see it.")


def _accept_text(name: str, text: str) -> None:
    if "\0" in text:
        raise ToolError(f"{name} holds a NUL character, which no text has.")
    check_whole(name, text)


def _names(found: os.stat_result) -> str:
    """Return what to say of a file that has several names: replacing it leaves the others as they are."""
    return "; its other name, a hard link, keeps the old text" if found.st_nlink > 1 else ""


def _text(context: ToolContext, folder: Confined, path: Path, found: os.stat_result) -> tuple[bytes, Text]:
    """Return a file's bytes and its text. Raises ToolError for what is no text, is a link, or is not to be written."""
    name, mode = context.name(path), found.st_mode
    if is_name_of_protected(context, found):
        raise ToolError(f"{name} is another name of a protected file: it cannot be read or changed.")
    if stat.S_ISLNK(mode):
        raise ToolError(f"{name} is a link. Write the file it leads to by that file's own name, if it is in the folder.")
    if stat.S_ISDIR(mode):
        raise ToolError(f"{name} is a folder. Name a file in it.")
    raw = folder.tree(path)[""]
    if not isinstance(raw, bytes):
        raise ToolError(f"{name} is no regular file.")
    if not mode & 0o222:
        raise ToolError(f"{name} is read-only: somebody wants it to stay as it is.")
    kind, encoding = decode(raw)
    if not encoding:
        raise ToolError(f"{name} is no text: {kind}. Only text files are written.")
    text = text_of(raw)
    if text is None:
        raise ToolError(f"{name} is not clean {encoding}: changing it would change more than asked. Delete it to write it anew.")
    return raw, text


def _encoded(name: str, text: Text, change: Callable[[Text], bytes]) -> bytes:
    try:
        return change(text)
    except UnicodeEncodeError as error:
        odd = error.object[error.start]
        raise ToolError(
            f"{name} is written in {text.encoding}, which has no {odd!r}. Leave it out, or delete the file first."
        ) from None
    except ValueError as error:
        raise ToolError(f"{name} has lines that end in \\r and others in \\n, and {error}. Replace one line more.") from None


def _tree(context: ToolContext, folder: Confined, path: Path) -> Tree:
    """Return what stands at and below `path`, all of which may be touched. Raises ToolError."""
    found = folder.look(path)
    if found is None:
        raise ToolError(f"There is no {context.name(path)}. Use list_files to see what is there.")
    if is_name_of_protected(context, found):
        raise ToolError(f"{context.name(path)} is another name of a protected file: it cannot be read or changed.")
    try:
        tree = folder.tree(path)
    except RecursionError:
        raise ToolError(f"{context.name(path)} holds folders in folders too deep to look at.") from None
    for inside in tree:
        _accept(context, path / inside)
    return tree


def _what(name: str, tree: Tree) -> str:
    """Return what a tree is, in words: "a.py (120 bytes)", "the folder b (3 files, 1 link, 4500 bytes)"."""
    size = sum(len(one) for one in tree.values() if isinstance(one, bytes))
    if isinstance(tree[""], Link):
        return f"the link {name} to {tree[''].target}"
    if tree[""] is not None:
        return f"{name} ({counted(size, 'byte')})"
    links = sum(isinstance(one, Link) for one in tree.values())
    files = sum(isinstance(one, bytes) for one in tree.values())
    folders = sum(one is None for one in tree.values()) - 1
    counts = [(files, "file"), (folders, "folder"), (links, "link"), (size, "byte")]
    return f"the folder {name} ({', '.join(counted(number, word) for number, word in counts if number) or 'empty'})"


def _spans(text: str, old: str) -> list[tuple[int, int]]:
    found, at = [], text.find(old)
    while at >= 0:
        found.append((at, at + len(old)))
        at = text.find(old, at + len(old))
    return found


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return f"{shown} and {len(numbers) - 8} more" if len(numbers) > 8 else shown
