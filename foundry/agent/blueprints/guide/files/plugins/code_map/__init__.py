"""A map of Python code: what a file defines and where programs start, read from the syntax without running anything."""

from __future__ import annotations

import ast
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from foundry.plugins.api import ToolContext, ToolError, effects, kernel_function

LARGEST = 2_000_000
MOST_FILES = 5_000
SKIPPED = {"venv", ".venv", "node_modules", "__pycache__", "build", "dist"}


class CodeMap:
    """Finds classes, functions and entry points."""

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    @kernel_function(description="Classes and functions of a Python file, with line numbers.")
    @effects("reads")
    def outline(self, path: str) -> str:
        """Return one line for each class and function, those inside indented. Raises ToolError for what is no Python file."""
        target = self.context.path(path)
        tree = parse(self.read(target), path)
        return "\n".join(lines_of(tree.body)) or f"{self.context.name(target)} defines no classes or functions."

    @kernel_function(description="Where programs start: scripts of pyproject.toml and main blocks.")
    @effects("reads")
    def entry_points(self) -> str:
        """Return one line for each script that is declared and each file with a main block."""
        found = [*self.scripts(), *self.main_blocks()]
        return "\n".join(found) or "No entry points found."

    def read(self, target: Path) -> str:
        """Return the text of a file in the working folder. Raises ToolError."""
        name = self.context.name(target)
        if target.is_dir():
            raise ToolError(f"{name} is a folder. Name a Python file in it.")
        try:
            with self.context.open(target) as file:
                raw = file.read(LARGEST + 1)
            if len(raw) > LARGEST:
                raise ToolError(f"{name} is too large.")
            return raw.decode("utf-8-sig")
        except FileNotFoundError:
            raise ToolError(f"There is no {name}. Use list_files to see what is there.") from None
        except OSError as error:
            raise ToolError(f"{name} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise ToolError(f"{name} is no text.") from None

    def scripts(self) -> Iterator[str]:
        """Yield the scripts that pyproject.toml declares."""
        project = self.context.path("pyproject.toml")
        if not project.is_file():
            return
        try:
            declared = tomllib.loads(self.read(project)).get("project", {})
        except tomllib.TOMLDecodeError:
            return
        for table in ("scripts", "gui-scripts"):
            yield from (f"pyproject.toml: command {name} runs {target}" for name, target in declared.get(table, {}).items())

    def main_blocks(self) -> Iterator[str]:
        """Yield the __main__.py files and those that ask whether they are run."""
        for path in self.python_files():
            try:
                text = self.read(path)
            except ToolError:
                continue
            if path.name == "__main__.py":
                yield f"{self.context.name(path)}:1: python -m {path.parent.name}"
            elif "__main__" in text:
                try:
                    tree = parse(text, path.name)
                except ToolError:
                    continue
                yield from (f"{self.context.name(path)}:{node.lineno}: main block" for node in tree.body if is_main_block(node))

    def python_files(self) -> Iterator[Path]:
        """Yield the Python files of the working folder, environments and hidden folders left out."""
        seen = 0
        for here, folders, files in os.walk(self.context.path(".")):
            folders[:] = sorted(
                one
                for one in folders
                if one not in SKIPPED
                and not one.startswith(".")
                and self.context.allows(Path(here, one))
                and not Path(here, one, "pyvenv.cfg").exists()
            )
            for name in sorted(files):
                if name.endswith(".py") and not Path(here, name).is_symlink():
                    seen += 1
                    if seen > MOST_FILES:
                        return
                    yield Path(here, name)


def parse(text: str, name: str) -> ast.Module:
    """Return the syntax tree. Raises ToolError naming the line that is no Python."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise ToolError(f"{name} is no valid Python: {error.msg} in line {error.lineno}.") from None
    except (ValueError, RecursionError) as error:
        raise ToolError(f"{name} is no valid Python: {error}.") from None


def lines_of(body: list[ast.stmt], depth: int = 0) -> Iterator[str]:
    """Yield a line for each class and function in `body` and, indented, in the classes."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            bases = ", ".join(ast.unparse(base) for base in node.bases)
            yield f"{'  ' * depth}{node.lineno}: class {node.name}" + (f"({bases})" if bases else "")
            yield from lines_of(node.body, depth + 1)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            names = ", ".join(one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))
            yield f"{'  ' * depth}{node.lineno}: {kind} {node.name}({names})"


def is_main_block(node: ast.stmt) -> bool:
    """Return whether this is `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) and "__main__" in ast.unparse(node.test)
