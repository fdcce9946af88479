"""A plugin made of plain functions, as small models write them: mended where it is clear what was meant, wrapped into a class."""

from __future__ import annotations

import ast
import builtins
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from foundry.plugins.api import Effect, ToolError

Function = ast.FunctionDef | ast.AsyncFunctionDef
_FENCE = re.compile(r"```[A-Za-z0-9_+-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_TYPING = {"Any", "Dict", "List", "Literal", "Optional", "Set", "Tuple", "Union", "Annotated", "Callable", "Iterable", "Sequence"}
_DOES: dict[Effect, set[str]] = {
    "network": {"requests", "httpx", "urllib", "http", "socket", "ssl", "aiohttp", "ftplib", "smtplib", "imaplib", "websockets"},
    "runs": {"subprocess", "multiprocessing", "pty"},
    "writes": {"shutil", "tempfile", "sqlite3"},
}
_KEPT = (ast.ClassDef, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Try, ast.If)  # of what stands beside functions
_MAX = 200_000
_WIDE = 120


@dataclass(frozen=True, slots=True)
class Made:
    """The files of a plugin, by their name in its folder, and its tools as they are called."""

    files: dict[str, str]
    tools: tuple[str, ...]


def wrapped(plugin: str, description: str, code: str) -> Made:
    """Return the plugin made of `code`: plain functions, or a whole plugin, which is taken as it is. Raises ToolError."""
    source = _source(code)
    tree = _parsed(source)
    if _is_plugin(tree):
        manifest = {"version": "0.1.0", "description": description.strip() or _first_line(ast.get_docstring(tree) or "")}
        return Made({"__init__.py": source, "plugin.json": _json(manifest)}, ())
    tools = _tools(tree)
    for tool in tools:
        _accept(tool)
    told = _first_line(description) or _described(tools[0])
    names = tuple(tool.name for tool in tools)
    cls = _class_name(plugin, tree)
    _leave_out_frameworks(tree, tools)
    written = _class(cls, told, tree, tools)
    module = "\n\n\n".join([_head(tree, told, written), *_body(tree, source, tools), written]) + "\n"
    examples = any(">>>" in (ast.get_docstring(tool) or "") for tool in tools)
    return Made(
        {
            "__init__.py": module,
            "plugin.json": _json({"version": "0.1.0", "description": told}),
            f"tests/test_{plugin}.py": _test(plugin, cls, names, examples),
        },
        names,
    )


# reading ----------------------------------------------------------------------------------------------------------------


def _source(code: str) -> str:
    """Return the Python in what a model wrote: without fences, line ends in escapes made real, indented as little as can be."""
    if len(code) > _MAX:
        raise ToolError("That is too much code for one plugin.")
    if fenced := _FENCE.search(code):
        code = fenced[1]
    if "\n" not in code.strip() and "\\n" in code:
        code = code.replace("\\r\\n", "\n").replace("\\n", "\n").replace("\\t", "    ").replace('\\"', '"').replace("\\'", "'")
    code = code.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").strip("\n")
    return textwrap.dedent(code.expandtabs(4)).strip() + "\n"


def _parsed(source: str) -> ast.Module:
    if "\0" in source:
        raise ToolError("The code cannot be read: it holds a NUL character.")
    if not source.strip():
        raise ToolError("There is no code. Give the source of a Python function with type hints and a docstring.")
    try:
        return ast.parse(source)
    except SyntaxError as error:
        line = (source.splitlines() or [""])[min((error.lineno or 1), source.count("\n")) - 1]
        raise ToolError(f"The code is no Python: {error.msg} in line {error.lineno}: {line.strip()[:200]}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ToolError(f"The code cannot be read: {error or type(error).__name__}") from None


def _is_plugin(tree: ast.Module) -> bool:
    """Return whether the code is a plugin already: a class with a method that is marked as a tool."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    marks = (mark for one in classes for item in one.body if isinstance(item, Function) for mark in item.decorator_list)
    return any("kernel_function" in ast.unparse(mark) for mark in marks)


def _tools(tree: ast.Module) -> list[Function]:
    """Return the functions that become tools: the public ones that no other function needs; the rest only serve them."""
    found = [node for node in tree.body if isinstance(node, Function) and not node.name.startswith(("_", "test_"))]
    found = [node for node in found if node.name != "main"] or found
    if not found:
        if any(isinstance(node, ast.ClassDef) for node in tree.body):
            raise ToolError("Give a plain function, not a class: def name(argument: str) -> str: with a docstring.")
        raise ToolError("There is no function in the code. Begin with: def name(argument: str) -> str:")
    used = {one.id for node in found for one in ast.walk(node) if isinstance(one, ast.Name) and one.id != node.name}
    return [node for node in found if node.name not in used] or found[-1:]


def _accept(tool: Function) -> None:
    """Refuse what could not work as a tool. Raises ToolError saying how to write it."""
    given = tool.args
    if given.vararg or given.kwarg or given.posonlyargs:
        raise ToolError(f"{tool.name} cannot take * or ** or / parameters; name each one.")
    if tool.name in {one.arg for one in (*given.args, *given.kwonlyargs)}:
        raise ToolError(f"{tool.name} has a parameter of its own name; call the parameter something else.")
    own = list(_own_nodes(tool))
    if any(isinstance(one, ast.Yield | ast.YieldFrom) for one in own):
        raise ToolError(f"{tool.name} yields; return the whole result.")
    calls = {one.func.id for one in own if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)}
    if "input" in calls:
        raise ToolError(f"{tool.name} asks with input(), and nobody is there: make it a parameter.")
    if "print" in calls and not any(isinstance(one, ast.Return) and one.value is not None for one in own):
        raise ToolError(f"{tool.name} prints its result and returns nothing: return it.")


def _own_nodes(tool: Function) -> Iterator[ast.AST]:
    """Yield what is inside a function, but not inside functions in it."""
    waiting: list[ast.AST] = list(tool.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def _leave_out_frameworks(tree: ast.Module, tools: list[Function]) -> None:
    """Take the imports out of the tree that only the tools' decorators need, which mean another framework and are left out."""
    marks = [mark for tool in tools for mark in tool.decorator_list]
    for tool in tools:
        tool.decorator_list = []
    used = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
    gone = {one.id for mark in marks for one in ast.walk(mark) if isinstance(one, ast.Name)} - used
    for node in list(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [one for one in node.names if (one.asname or one.name).partition(".")[0] not in gone]
            if not node.names:
                tree.body.remove(node)


# writing ----------------------------------------------------------------------------------------------------------------


def _head(tree: ast.Module, told: str, written: str) -> str:
    """Return docstring and imports: theirs, those that they forgot, ours."""
    future = [ast.unparse(one) for one in tree.body if isinstance(one, ast.ImportFrom) and one.module == "__future__"]
    theirs = [ast.unparse(one) for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
    theirs = [one for one in theirs if one not in future and "foundry" not in one]
    ours = "from foundry.plugins.api import effects, kernel_function"
    missing = list(_forgotten(tree, "Annotated[" in written))
    imports = sorted([*missing, *theirs], key=lambda one: one.startswith("from"))
    parts = [f'"""{_in_docstring(told)}"""', "\n".join(future), "\n".join(imports), ours]
    return "\n\n".join(part for part in parts if part)


def _forgotten(tree: ast.Module, annotated: bool) -> Iterator[str]:
    """Yield imports for names that are used, defined nowhere, and can only be meant so."""
    nodes = list(ast.walk(tree))
    known = set(dir(builtins)) | {one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    known |= {one.name for one in nodes if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    known |= {one.arg for one in nodes if isinstance(one, ast.arg)}
    imports = (alias for one in nodes if isinstance(one, ast.Import | ast.ImportFrom) for alias in one.names)
    known |= {(alias.asname or alias.name).partition(".")[0] for alias in imports}
    used = {one.id for one in nodes if isinstance(one, ast.Name)} - known
    owners = {one.value.id for one in nodes if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name)}
    used |= {"Annotated"} - known if annotated else set()
    if classes := sorted(used & _TYPING):
        yield f"from typing import {', '.join(classes)}"
    yield from (f"import {name}" for name in sorted(used & owners & sys.stdlib_module_names))


def _body(tree: ast.Module, source: str, tools: list[Function]) -> Iterator[str]:
    """Yield what else stands at the top: constants, helpers and the functions; what would run at import is left out."""
    for node in tree.body:
        if isinstance(node, Function):
            yield _function(node, source, node in tools)
        elif isinstance(node, _KEPT) and not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)):
            yield _text_of(node, source)


def _text_of(node: ast.stmt, source: str) -> str:
    first = min((one.lineno for one in getattr(node, "decorator_list", ())), default=node.lineno)
    return "\n".join(source.split("\n")[first - 1 : node.end_lineno])


def _function(node: Function, source: str, is_tool: bool) -> str:
    """Return a function as it was written, but for the decorators of one that becomes a tool."""
    lines = source.split("\n")
    return "\n".join(lines[node.lineno - 1 : node.end_lineno]) if is_tool else _text_of(node, source)


def _class(cls: str, told: str, tree: ast.Module, tools: list[Function]) -> str:
    does = ", ".join(json.dumps(one) for one in _effects(tree))
    methods = "\n\n".join(_method(tool, does) for tool in tools)
    return f'class {cls}:\n    """{_in_docstring(told)}"""\n\n{methods}'


def _method(tool: Function, does: str) -> str:
    parameters = [*tool.args.args, *tool.args.kwonlyargs]
    defaults: list[ast.expr | None] = [None] * (len(tool.args.args) - len(tool.args.defaults))
    defaults += [*tool.args.defaults, *tool.args.kw_defaults]
    explained = _explained(ast.get_docstring(tool) or "")
    written = []
    for one, default in zip(parameters, defaults, strict=True):
        kind = ast.unparse(one.annotation) if one.annotation else _guessed(default)
        if one.arg in explained and "Annotated" not in kind:
            kind = f"Annotated[{kind}, {json.dumps(explained[one.arg], ensure_ascii=False)}]"
        written.append(f"{one.arg}: {kind}" + (f" = {ast.unparse(default)}" if default else ""))
    passed = [one.arg for one in tool.args.args] + [f"{one.arg}={one.arg}" for one in tool.args.kwonlyargs]
    returns = f" -> {ast.unparse(tool.returns)}" if tool.returns else ""
    waits = isinstance(tool, ast.AsyncFunctionDef)
    described = json.dumps(_described(tool), ensure_ascii=False)
    return "\n".join(
        [
            f"    @kernel_function(description={described})",
            f"    @effects({does})",
            f"    {'async ' if waits else ''}def {tool.name}({', '.join(['self', *written])}){returns}:",
            f"        return {'await ' if waits else ''}{tool.name}({', '.join(passed)})",
        ]
    )


def _guessed(default: ast.expr | None) -> str:
    """Return the type that a parameter without a hint has: its default's, else text."""
    value = default.value if isinstance(default, ast.Constant) else None
    return (
        type(value).__name__
        if isinstance(value, bool | int | float | str)
        else "list"
        if isinstance(default, ast.List)
        else "str"
    )


def _explained(docstring: str) -> dict[str, str]:
    """Return what a docstring says of each parameter, in the two ways that people write it."""
    found = re.findall(r"^\s*:param (?:\w+ )?(\w+):\s*(\S.*)$", docstring, re.MULTILINE)
    if block := re.search(r"^\s*(?:Args|Arguments|Parameters):\s*\n((?:[ \t]+\S.*\n?)+)", docstring, re.MULTILINE):
        found += re.findall(r"^\s+(\w+)\s*(?:\([^)]*\))?:\s*(\S.*)$", block[1], re.MULTILINE)
    return {name: text.strip()[:_WIDE] for name, text in found}


def _effects(tree: ast.Module) -> list[Effect]:
    """Return what the code does to the world as far as its imports and calls tell; a person sees it before it counts."""
    nodes = list(ast.walk(tree))
    imports = {alias.name.partition(".")[0] for one in nodes if isinstance(one, ast.Import) for alias in one.names}
    imports |= {(one.module or "").partition(".")[0] for one in nodes if isinstance(one, ast.ImportFrom)}
    calls = {ast.unparse(one.func) for one in nodes if isinstance(one, ast.Call)}
    does: list[Effect] = ["reads"]
    if imports & _DOES["writes"] or "open" in calls or any(one.endswith((".write_text", ".write_bytes")) for one in calls):
        does.append("writes")
    if imports & _DOES["runs"] or calls & {"os.system", "os.popen", "eval", "exec"}:
        does.append("runs")
    if imports & _DOES["network"]:
        does.append("network")
    return does


def _test(plugin: str, cls: str, tools: Iterable[str], examples: bool) -> str:
    lines = [f'"""The tests of {plugin}: add what it must do."""', ""]
    if examples:
        lines += ["import doctest", ""]
    lines += [f"import foundry_plugins.{plugin}"] if examples else []
    lines += [f"from foundry_plugins.{plugin} import {cls}", "", ""]
    lines += ["def test_the_tools_are_there() -> None:", f"    plugin = {cls}()"]
    lines += [f"    assert callable(plugin.{name})" for name in tools]
    if examples:
        lines += ["", "", "def test_the_examples_hold() -> None:"]
        lines += [f"    assert doctest.testmod(foundry_plugins.{plugin}).failed == 0"]
    return "\n".join(lines) + "\n"


def _class_name(plugin: str, tree: ast.Module) -> str:
    taken = {getattr(node, "name", "") for node in tree.body}
    name = "".join(part.capitalize() for part in plugin.split("_") if part)
    while name in taken or not name.isidentifier():
        name = f"{name}Tools"
    return name


def _described(tool: Function) -> str:
    """Return the first sentence of the function's docstring, or its name as words."""
    return _first_line(ast.get_docstring(tool) or "") or tool.name.replace("_", " ").capitalize() + "."


def _first_line(text: str) -> str:
    words = " ".join(text.strip().split("\n\n")[0].split())
    return "".join(one for one in words if one.isprintable())[:300]


def _in_docstring(text: str) -> str:
    safe = text.replace("\\", "\\\\").replace('"""', "'''")
    return safe + (" " if safe.endswith('"') else "")


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
