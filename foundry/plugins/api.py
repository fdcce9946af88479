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
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeVar, overload

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


def planned(method: Method) -> Method:
    """Say that the method does nothing yet: it returns a Plan of what it would do, which is shown, decided on and then done.

    Honoured for built-in tools; an own plugin's method runs only after the call was approved, and its Plan is done at once.
    """
    marks: Any = method
    marks.__foundry_planned__ = True
    return method


def final(method: Method) -> Method:
    """Say that a call does a whole job: a small model, which would go on and on, is asked for its answer once it is done."""
    marks: Any = method
    marks.__foundry_final__ = True
    return method


@dataclass(frozen=True, slots=True)
class Change:
    """One file as a call would leave it: its real path and its bytes before and after, None where it is not there."""

    path: Path
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a call would do: one line, and what of it a person is shown and the gate decides by.

    `paths` are the real paths it reads or changes; `command` runs in `folder`; `scope` says, in words that are also the key,
    what an "always" for this call would cover, such as "files in /x/y" or "the command: make test"; "" is every call of the tool.
    """

    summary: str
    changes: tuple[Change, ...] = ()
    command: str = ""
    folder: str = ""
    hosts: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    scope: str = ""


class Changed(ToolError):
    """What a plan was shown for is not so any more; the call is planned and asked about anew."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call would do and the doing: `do` does exactly what `preview` shows, or raises Changed and does nothing."""

    preview: Preview
    do: Callable[[], str]


class Variables:
    """The environment variables that an agent was given; this one has none, and nobody to ask."""

    def get(self, name: str) -> str:
        """Return the value of a variable, "" where it has none. It is a secret: never part of a result, a preview or an error."""
        return ""

    def names(self) -> Mapping[str, tuple[str, bool]]:
        """Return the variables there are or could be, each with what it is for and whether it has a value."""
        return {}

    def ask(self, name: str, why: str) -> bool:
        """Let the person give a variable a value, which is kept in .env, and return whether they did. Raises ToolError."""
        raise ToolError(f"Nobody is there to give {name} a value. It is set with: foundry env NAME set {name}")

    def stop(self) -> None:
        """Take back what the person is being asked: the call that wanted it is over."""


class Foundry:
    """Foundry's own commands, as a tool may run them for the person; this one has none."""

    agents: Path = Path()  # where the agents lie

    def run(self, *words: str, given: str = "", seconds: float = 60.0) -> Mapping[str, Any]:
        """Return the JSON envelope of `foundry WORDS --json`, with `given` piped in. Raises ToolError where it has none."""
        raise ToolError("Foundry's own commands are not at hand here. Start this agent with: foundry run")

    def on_terminal(self, *words: str) -> int:
        """Let the person go through `foundry WORDS` on the terminal and return its exit code. Raises ToolError."""
        raise ToolError("This needs a person at a terminal, and nobody is there.")

    def stop(self) -> None:
        """End the command that runs, if one does."""


class Cleaner(Protocol):
    """Takes secrets out of text that comes in pieces."""

    def feed(self, text: str) -> str:
        """Return what can be passed on now that `text` has come."""

    def end(self) -> str:
        """Return what was held back, as a secret could have begun there: no more text comes."""


class AsItIs:
    """The cleaner that knows of no secrets."""

    def feed(self, text: str) -> str:
        return text

    def end(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool is handed: the folder it may touch, the run's id, `limit` characters a result may have, `emit` to say a line.

    `variables` are what of its .env and the shell the agent was given, `foundry` runs Foundry's own commands.

    `show` puts lines of what runs on the person's screen, beside the result that holds them too; `cleaner` makes what takes the
    secrets out of text that comes in pieces.

    `closed` are folders that stay out of bounds though they may be `folder` or lie inside it: the agent's own. A `folder` inside
    a closed one, its workspace, is open.
    """

    folder: Path
    run: str = ""
    limit: int = 20_000
    emit: Callable[[str], None] = field(default=lambda _: None)
    closed: tuple[Path, ...] = ()
    variables: Variables = field(default_factory=Variables)
    foundry: Foundry = field(default_factory=Foundry)
    show: Callable[[str], None] = field(default=lambda _: None)
    cleaner: Callable[[], Cleaner] = AsItIs

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
    lowered = plain_name(part)
    return lowered in _SECRET or lowered.startswith((".env", ".foundry"))


def is_trusted(path: Path, root: Path | None = None) -> bool:
    """Return whether Foundry or the system later executes or trusts what lies at a real path, also while nothing does yet.

    That is what asks each time: shell start files, keys, environments, what an agent is made of. The names of `root`, a working
    folder around it, say nothing. Looks at the disk only to tell an agent's folder from another one.
    """
    parts = [plain_name(part) for part in path.parts]
    below = parts[len(root.parts) :] if root and path.is_relative_to(root) else parts
    if any(part in _TRUSTED or is_protected(part) or part.startswith(_TRUSTED_STARTS) or part.endswith(".pth") for part in below):
        return True
    if any(before == ".config" and part in _TRUSTED_IN_CONFIG for before, part in pairwise(parts)):
        return True
    of_an_agent = [depth for depth in range(1, len(parts)) if parts[depth] in _OF_AN_AGENT]
    if parts[-1].endswith(".py"):
        of_an_agent.append(len(parts) - 1)
    return any(os.path.lexists(Path(*path.parts[:depth], "agent.config.json")) for depth in of_an_agent)


def plain_name(part: str) -> str:
    """Return a name as a disk may take it that knows no case and drops characters nobody sees."""
    if part.isascii():
        return part.lower().rstrip(" .") or part
    shown = "".join(one for one in unicodedata.normalize("NFKC", part) if unicodedata.category(one) not in ("Cf", "Mn"))
    return shown.casefold().rstrip(" .") or part


_SECRET = frozenset((".git", ".ssh", ".gnupg", ".aws", ".netrc", ".pgpass"))
_TRUSTED = frozenset(
    (
        "agent.config.json",
        ".gitconfig",
        ".gitmodules",
        ".hgrc",
        ".npmrc",
        ".yarnrc",
        ".yarnrc.yml",
        ".pypirc",
        ".pythonrc",
        ".pythonstartup",
        ".profile",
        ".login",
        ".logout",
        ".cshrc",
        ".tcshrc",
        ".kshrc",
        ".inputrc",
        ".xinitrc",
        ".xprofile",
        ".xsession",
        ".xsessionrc",
        ".vimrc",
        ".exrc",
        ".emacs",
        ".tmux.conf",
        ".screenrc",
        ".vscode",
        ".idea",
        ".husky",
        ".githooks",
        ".pre-commit-config.yaml",
        ".mcp.json",
        ".claude",
        ".cursor",
        "launchagents",
        "launchdaemons",
        "venv",
        ".venv",
        "sitecustomize.py",
        "usercustomize.py",
        "crontab",
        "cron.d",
    )
)
_TRUSTED_IN_CONFIG = frozenset(("autostart", "systemd", "fish", "git"))
_TRUSTED_STARTS = (".bash", ".zsh", ".zlog", ".zprofile")
_OF_AN_AGENT = frozenset(("plugins", "venv", "requirements.lock"))
