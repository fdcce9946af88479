"""All that a plugin's author imports: the decorators that make a method a tool, and the context a tool works in.

A plugin is `plugins/NAME/__init__.py` with one class of methods:

    from typing import Annotated
    from foundry.plugins.api import ToolContext, effects, kernel_function

    class Weather:
        def __init__(self, context: ToolContext) -> None:      # or no constructor at all
            self.context = context

        @kernel_function(description="Weather of a city.")
        @effects("network")
        def look_up(self, city: Annotated[str, "A city's name"], days: int = 1) -> str: ...

`kernel_function` writes the attributes that Semantic Kernel's decorator of the same name writes, so a class made with either
is a plugin for both; ours costs no import of Semantic Kernel.
"""

from __future__ import annotations

import inspect
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar, overload

Effect = Literal["reads", "writes", "runs", "network"]
Method = TypeVar("Method", bound=Callable[..., Any])


class ToolError(Exception):
    """A tool could not do what was asked; the text goes to the model, so say what to try."""


@overload
def kernel_function(func: Method) -> Method: ...


@overload
def kernel_function(func: None = None, name: str | None = None, description: str | None = None) -> Callable[[Method], Method]: ...


def kernel_function(func: Any = None, name: str | None = None, description: str | None = None) -> Any:
    """Make a method a tool: `name` (default: the method's), `description` (default: its docstring) are what the model reads."""

    def decorate(method: Method) -> Method:
        marks: Any = method
        marks.__kernel_function__ = True
        marks.__kernel_function_name__ = name or method.__name__
        marks.__kernel_function_description__ = description or inspect.getdoc(method) or ""
        marks.__kernel_function_streaming__ = inspect.isasyncgenfunction(method) or inspect.isgeneratorfunction(method)
        marks.__kernel_function_parameters__ = _parameters(method)
        marks.__kernel_function_return_type__ = ""
        marks.__kernel_function_return_type_object__ = None
        marks.__kernel_function_return_description__ = ""
        marks.__kernel_function_return_required__ = False
        return method

    return decorate(func) if callable(func) else decorate


def _parameters(method: Callable[..., Any]) -> list[dict[str, Any]]:
    """The parameters as Semantic Kernel wants them, types left open: it converts badly, and our own adaptor checks for real."""
    return [
        {
            "name": one.name,
            "type_": "Any",
            "is_required": one.default is one.empty,
            "default_value": None if one.default is one.empty else one.default,
        }
        for one in inspect.signature(method).parameters.values()
        if one.name != "self"
    ]


def effects(*which: Effect) -> Callable[[Method], Method]:
    """Declare what a tool does to the world; without it a tool counts as doing everything."""

    def decorate(method: Method) -> Method:
        marks: Any = method
        marks.__foundry_effects__ = which
        return method

    return decorate


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool is handed: the folder it may touch, the run's id, `limit` characters a result may have, `emit` to say a line.

    `closed` are folders that stay out of bounds though they may be `folder` or lie inside it: the agent's own. A `folder` inside
    a closed one, its workspace, is open.
    """

    folder: Path
    run: str = ""
    limit: int = 20_000
    emit: Callable[[str], None] = field(default=lambda _: None)
    closed: tuple[Path, ...] = ()

    def path(self, given: str) -> Path:
        """Return `given` as a real path inside the folder. Raises ToolError for one outside, also by a link, or protected."""
        root = self.folder.resolve()
        try:
            target = (root / given).resolve()
            target.relative_to(root)
            str(target).encode()
        except (ValueError, OSError, RuntimeError):
            raise ToolError(f"{given!r} is outside the folder. Use a path inside it, such as '.'") from None
        if not self.allows(target):
            raise ToolError(f"{given!r} is protected: it cannot be read or changed.")
        return target

    def allows(self, path: Path) -> bool:
        """Return whether `path`, a real path inside the folder, is neither protected nor in a closed folder."""
        root = self.folder.resolve()
        if any(is_protected(part) for part in path.relative_to(root).parts):
            return False
        closed = (one.resolve() for one in self.closed)
        return not any(path.is_relative_to(one) and one not in root.parents for one in closed)

    def name(self, path: Path) -> str:
        """Return `path` as the model should see it: relative to the folder, with forward slashes."""
        return path.relative_to(self.folder.resolve()).as_posix()

    def open(self, path: Path) -> BinaryIO:
        """Open for reading what `path()` returned, following no link put there since and waiting for no pipe.

        Raises ToolError for what is no regular file, OSError for what cannot be opened.
        """
        handle = _open_step_by_step(self.folder.resolve(), path)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise ToolError(f"{self.name(path)!r} is no regular file.")
        return os.fdopen(handle, "rb")


def _open_step_by_step(root: Path, path: Path) -> int:
    """Open `path` below `root`, each folder on the way by its handle, so that no part can be swapped for a link meanwhile."""
    last = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    parts = path.relative_to(root).parts
    if os.open not in os.supports_dir_fd or not parts:
        return os.open(path, last)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], last, dir_fd=folder)
    finally:
        os.close(folder)


def is_protected(part: str) -> bool:
    """Return whether a path with this part is out of bounds in any working folder: secrets and what git executes or trusts."""
    lowered = part.lower()
    return lowered == ".git" or lowered.startswith((".env", ".foundry"))
