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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

Effect = Literal["reads", "writes", "runs", "network"]
Method = TypeVar("Method", bound=Callable[..., Any])


class ToolError(Exception):
    """A tool could not do what was asked; the text goes to the model, so say what to try."""


def kernel_function(func: Any = None, name: str | None = None, description: str | None = None) -> Any:
    """Make a method a tool: `name` (default: the method's), `description` (default: its docstring) are what the model reads."""

    def decorate(method: Method) -> Method:
        marks: Any = method
        marks.__kernel_function__ = True
        marks.__kernel_function_name__ = name or method.__name__
        marks.__kernel_function_description__ = description or inspect.getdoc(method) or ""
        marks.__kernel_function_streaming__ = inspect.isasyncgenfunction(method) or inspect.isgeneratorfunction(method)
        marks.__kernel_function_parameters__ = []
        marks.__kernel_function_return_type__ = ""
        marks.__kernel_function_return_description__ = ""
        marks.__kernel_function_return_required__ = False
        return method

    return decorate(func) if callable(func) else decorate


def effects(*which: Effect) -> Callable[[Method], Method]:
    """Declare what a tool does to the world; without it a tool counts as doing everything."""

    def decorate(method: Method) -> Method:
        marks: Any = method
        marks.__foundry_effects__ = which
        return method

    return decorate


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool is handed: the folder it may touch, the run's id, `limit` characters a result may have, `emit` to say a line."""

    folder: Path
    run: str = ""
    limit: int = 20_000
    emit: Callable[[str], None] = field(default=lambda _: None)

    def path(self, given: str) -> Path:
        """Return `given` as a real path inside the folder. Raises ToolError for one outside, also by a link, or a protected one."""
        root = self.folder.resolve()
        try:
            target = (root / given).resolve()
            inside = target.relative_to(root)
        except (ValueError, OSError, RuntimeError):
            raise ToolError(f"{given!r} is outside the folder. Use a path inside it, such as '.'") from None
        for part in inside.parts:
            if is_protected(part):
                raise ToolError(f"{given!r} is protected and cannot be read.")
        return target

    def name(self, path: Path) -> str:
        """Return `path` as the model should see it: relative to the folder, with forward slashes."""
        return path.relative_to(self.folder.resolve()).as_posix()


def is_protected(part: str) -> bool:
    """Return whether a path with this part is out of bounds in any working folder: secrets and what git executes or trusts."""
    lowered = part.lower()
    return lowered == ".git" or lowered.startswith((".env", ".foundry"))
