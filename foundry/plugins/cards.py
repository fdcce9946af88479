"""What a plugin says of itself, read from its source without running any of it: tools, effects, parameters, faults."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args

from foundry.agent.definition import PLUGIN_NAME
from foundry.errors import FoundryError
from foundry.files import BadFileError, nearest, read_bytes, read_json
from foundry.plugins.api import Effect

Origin = Literal["built-in", "own", "package", "edit", "mcp"]
TO_ACCEPT: frozenset[str] = frozenset(("own", "package"))  # whose effects count once the person accepted that very code
ALL_EFFECTS: tuple[Effect, ...] = get_args(Effect)
_MANIFEST: dict[str, type] = {"version": str, "requires": list, "effects": list, "description": str}
_MAX_SOURCE = 1024 * 1024


class PluginProblem(FoundryError):
    """A plugin cannot be used; the message is one line, `file` (relative to `root`) and `line` are where, if known."""

    code = "bad_plugin"
    root = "plugins"

    def __init__(self, message: str, file: str = "", line: int = 0, hint: str = "") -> None:
        super().__init__(message, hint)
        self.file = file
        self.line = line

    def told(self) -> str:
        """Return the problem on one line, place first."""
        place = f"{self.root}/{self.file}" + (f":{self.line}" if self.line else "") if self.file else ""
        return " ".join(f"{place}: {self.message}".removeprefix(": ").split())


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool as its source writes it; an empty `default` means it must be given."""

    name: str
    type: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class ToolCard:
    """A tool as its source tells it; a plugin that cannot be read is one card with its `problem` and no function in its id.

    `extra` is what of the distribution a built-in needs.
    """

    id: str
    description: str
    effects: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    plugin: str
    origin: Origin
    problem: str = ""
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What plugin.json says: `effects` hold for tools that declare none of their own."""

    version: str = ""
    description: str = ""
    requires: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = field(default=ALL_EFFECTS)


def read_built_in(file: Path, plugin: str) -> list[ToolCard]:
    """Return the cards of a built-in's source file."""
    classes = (node for node in parse(file, file.parent).body if _is_public_class(node))
    return [card for node in classes for card in cards_of(node, plugin, "built-in")]


def cards_of(node: ast.ClassDef, plugin: str, origin: Origin) -> list[ToolCard]:
    """Return the cards of a class's methods that are tools; one that declares no effects counts as doing everything."""
    return [_card(method, plugin, origin, Manifest()) for method in _tool_methods(node)]


def read_own(folder: Path) -> list[ToolCard]:
    """Return the cards of the plugin in `folder` (plugins/NAME). Raises PluginProblem with file and line."""
    check_name(folder.name)
    try:
        return _own_cards(folder, folder.name)
    except OSError as error:
        raise PluginProblem(f"cannot be read: {error.strerror}", folder.name) from None


def _own_cards(folder: Path, plugin: str) -> list[ToolCard]:
    if folder.is_symlink():
        raise PluginProblem("is a link; a plugin's code lies in the agent's own folder", plugin)
    if not (folder / "__init__.py").is_file():
        raise PluginProblem("has no __init__.py" if folder.is_dir() else "not there", plugin)
    manifest = read_manifest(folder)
    cards: dict[str, ToolCard] = {}
    for path, node in _reached(_trees(folder), folder):
        for method in _tool_methods(node):
            card = _card(method, plugin, "own", manifest)
            if card.id in cards:
                where = path.relative_to(folder.parent).as_posix()
                raise PluginProblem(f"a second method is the tool {card.id}", where, method.lineno)
            cards[card.id] = card
    if not cards:
        raise PluginProblem("has no class with a method marked @kernel_function", f"{plugin}/__init__.py", 1)
    return list(cards.values())


def check_name(plugin: str) -> None:
    """Accept a plugin's name. Raises PluginProblem for a bad one or one of Python's own modules."""
    if not PLUGIN_NAME.fullmatch(plugin):
        raise PluginProblem("a plugin's name has lower-case letters, digits and _ and starts with a letter", plugin)
    if plugin in sys.stdlib_module_names:
        raise PluginProblem(f'"{plugin}" is the name of a module of Python itself; rename the plugin', plugin)


def read_manifest(folder: Path) -> Manifest:
    """Return plugin.json, or what holds without one. Raises PluginProblem."""
    path = folder / "plugin.json"
    if not path.exists():
        return Manifest()
    where = f"{folder.name}/plugin.json"
    try:
        data = read_json(path)
    except BadFileError as error:
        raise PluginProblem(error.message.removeprefix(f"{path}:").strip(), where) from None
    for key, value in data.items():
        if key not in _MANIFEST:
            close = nearest(key, _MANIFEST)
            raise PluginProblem(f'unknown key "{key}"' + (f', did you mean "{close}"?' if close else ""), where)
        if not isinstance(value, _MANIFEST[key]) or (isinstance(value, list) and not all(isinstance(one, str) for one in value)):
            raise PluginProblem(f'"{key}" must be {"a list of texts" if _MANIFEST[key] is list else "text"}', where)
    if wrong := [one for one in data.get("effects", ()) if one not in ALL_EFFECTS]:
        raise PluginProblem(f'"{wrong[0]}" is no effect; there are {", ".join(ALL_EFFECTS)}', where)
    return Manifest(
        version=data.get("version", ""),
        description=data.get("description", ""),
        requires=tuple(data.get("requires", ())),
        effects=tuple(data.get("effects", ALL_EFFECTS)),
    )


def plugin_code_hash(folder: Path) -> str:
    """Return the hash of all that is in the plugin's folder but compiled copies: names, kinds, bytes. Raises PluginProblem."""
    if folder.is_symlink() or not folder.is_dir():
        raise PluginProblem("is no folder with a plugin in it", folder.name)
    told = hashlib.sha256()
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if "__pycache__" in name.parts or path.suffix == ".pyc" or (path.is_dir() and not path.is_symlink()):
                continue
            if path.is_symlink():
                what = f"link {path.readlink()}"
            elif path.is_file():
                with path.open("rb") as file:
                    what = hashlib.file_digest(file, "sha256").hexdigest()
            else:
                what = "no file"
            told.update(f"{name.as_posix()}\0{what}\n".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise PluginProblem(f"cannot be read: {error.strerror}", folder.name) from None
    return told.hexdigest()


def parse(path: Path, plugins: Path) -> ast.Module:
    """Return the syntax tree of a plugin's file. Raises PluginProblem with file and line."""
    where = path.relative_to(plugins).as_posix()
    try:
        return ast.parse(read_bytes(path, _MAX_SOURCE), filename=where)
    except BadFileError as error:
        raise PluginProblem(error.message.removeprefix(f"{path}:").strip(), where) from None
    except SyntaxError as error:
        kind = "not UTF-8" if "codec can't decode" in error.msg or "utf-8" in error.msg else type(error).__name__
        raise PluginProblem(f"{kind}: {error.msg}", where, error.lineno or _bad_line(path)) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise PluginProblem(f"cannot be parsed: {error or type(error).__name__}", where, 1) from None


def _bad_line(path: Path) -> int:
    """Return the line on which `path` stops being UTF-8, or 0."""
    raw = path.read_bytes()
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return raw.count(b"\n", 0, error.start) + 1
    return 0


def _trees(folder: Path) -> dict[Path, ast.Module]:
    """Return the syntax trees of the package's modules, its tests left out. Raises PluginProblem."""
    found = sorted(
        path
        for path in folder.rglob("*.py")
        if not {"tests", "__pycache__"} & set(path.relative_to(folder).parts) and path.is_file()
    )
    return {path: parse(path, folder.parent) for path in found}


def _reached(trees: dict[Path, ast.Module], folder: Path) -> Iterator[tuple[Path, ast.ClassDef]]:
    """Yield the public classes that the package's __init__ defines or imports from its own modules."""
    start = trees[folder / "__init__.py"]
    yield from ((folder / "__init__.py", node) for node in start.body if _is_public_class(node))
    for node in start.body:
        if not isinstance(node, ast.ImportFrom) or node.level != 1 or not node.module:
            continue
        module = folder.joinpath(*node.module.split("."))
        path = module.with_suffix(".py") if module.with_suffix(".py") in trees else module / "__init__.py"
        names = {one.name for one in node.names}
        for inner in trees[path].body if path in trees else ():
            if _is_public_class(inner) and (inner.name in names or "*" in names):
                yield path, inner


def _is_public_class(node: ast.stmt) -> TypeGuard[ast.ClassDef]:
    return isinstance(node, ast.ClassDef) and not node.name.startswith("_")


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _tool_methods(node: ast.ClassDef) -> Iterator[_Function]:
    return (item for item in node.body if isinstance(item, _Function) and _decorator(item, "kernel_function") is not None)


def _decorator(function: _Function, name: str) -> ast.expr | None:
    for one in function.decorator_list:
        target = one.func if isinstance(one, ast.Call) else one
        if (isinstance(target, ast.Name) and target.id == name) or (isinstance(target, ast.Attribute) and target.attr == name):
            return one
    return None


def _keyword(decorator: ast.expr | None, name: str) -> str:
    for one in decorator.keywords if isinstance(decorator, ast.Call) else ():
        if one.arg == name:
            value = _constant(one.value)
            return value if isinstance(value, str) else ""
    return ""


def _constant(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _tool_name(method: _Function) -> str:
    return _keyword(_decorator(method, "kernel_function"), "name") or method.name


def _card(method: _Function, plugin: str, origin: Origin, manifest: Manifest) -> ToolCard:
    described = _keyword(_decorator(method, "kernel_function"), "description") or ast.get_docstring(method) or ""
    return ToolCard(
        id=f"{plugin}.{_tool_name(method)}",
        description=described.strip().split("\n")[0].strip(),
        effects=_effects(method, manifest),
        parameters=tuple(_parameters(method)),
        plugin=plugin,
        origin=origin,
    )


def _effects(method: _Function, manifest: Manifest) -> tuple[str, ...]:
    marked = _decorator(method, "effects")
    if marked is None:
        return manifest.effects
    named = [_constant(one) for one in marked.args] if isinstance(marked, ast.Call) else [None]
    if any(one not in ALL_EFFECTS for one in named):
        return ALL_EFFECTS
    return tuple(one for one in ALL_EFFECTS if one in named)


def _parameters(method: _Function) -> Iterator[Parameter]:
    given = method.args.posonlyargs + method.args.args
    defaults: list[ast.expr | None] = [None] * (len(given) - len(method.args.defaults)) + list(method.args.defaults)
    pairs = list(zip(given, defaults, strict=True))
    if pairs and not any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in method.decorator_list):
        pairs = pairs[1:]
    for argument, default in pairs + list(zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True)):
        yield Parameter(argument.arg, _type_text(argument.annotation), ast.unparse(default) if default else "")


def _type_text(annotation: ast.expr | None) -> str:
    """Return an annotation as text, `Annotated[X, …]` as X."""
    if annotation is None:
        return ""
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple):
        name = annotation.value
        if (name.id if isinstance(name, ast.Name) else getattr(name, "attr", "")) == "Annotated":
            return ast.unparse(annotation.slice.elts[0])
    return ast.unparse(annotation)
