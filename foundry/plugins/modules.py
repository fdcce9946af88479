"""An agent's own plugins as modules `foundry_plugins.NAME`: imported from source alone, quietly, and rolled back on failure."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

from foundry.plugins.cards import PluginProblem
from foundry.plugins.results import failure

PACKAGE = "foundry_plugins"


class _FromSource(importlib.machinery.SourceFileLoader):
    """Reads and writes no .pyc: two edits of one length within a second would run the older."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds `foundry_plugins` and what is below it in one agent's plugins folder."""

    def __init__(self, plugins: Path) -> None:
        self.plugins = plugins

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        first, *rest = fullname.split(".")
        if first != PACKAGE:
            return None
        if not rest:
            spec = importlib.machinery.ModuleSpec(PACKAGE, None, is_package=True)
            spec.submodule_search_locations = [str(self.plugins)]
            return spec
        place = self.plugins.joinpath(*rest)
        for file, inside in ((place / "__init__.py", [str(place)]), (place.with_name(place.name + ".py"), None)):
            if len(rest) > 1 or inside:
                loader = _FromSource(fullname, str(file))
                if file.is_file():
                    return importlib.util.spec_from_file_location(
                        fullname, file, loader=loader, submodule_search_locations=inside
                    )
        return None


def import_plugin(plugins: Path, name: str) -> ModuleType:
    """Import plugins/NAME afresh and return the module. Raises PluginProblem with file and line; then nothing of it stays."""
    full = f"{PACKAGE}.{name}"
    _find_in(plugins)
    before = _forget(full)
    try:
        with quietly():
            return importlib.import_module(full)
    except BaseException as error:
        _forget(full)
        sys.modules.update(before)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise problem_of(error, plugins) from None


def classes_of(module: ModuleType) -> list[type]:
    """Return the public classes with tools that the module defines or imports from its own package, in its order."""
    from foundry.plugins.strict import marked_methods

    own = (module.__name__, module.__name__ + ".")
    found = [
        one
        for name, one in vars(module).items()
        if isinstance(one, type)
        and not name.startswith("_")
        and (one.__module__ == own[0] or one.__module__.startswith(own[1]))
        and any(True for _ in marked_methods(one))
    ]
    unique = list(dict.fromkeys(found))
    return [one for one in unique if not any(one is not other and issubclass(other, one) for other in unique)]


def problem_of(error: BaseException, plugins: Path) -> PluginProblem:
    """Return an exception of a plugin's code as a problem, with the last place of it that lies in the plugins folder."""
    if isinstance(error, PluginProblem):
        return error
    file, line = _place(error.__traceback__, plugins)
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(plugins):
        file, line = Path(error.filename).relative_to(plugins).as_posix(), error.lineno or 0
        return PluginProblem(f"{type(error).__name__}: {error.msg}", file, line)
    if isinstance(error, SystemExit):
        return PluginProblem(f"calls sys.exit({error.code!r})", file, line)
    if isinstance(error, EOFError):
        return PluginProblem("asks for input, and nobody is there to answer", file, line)
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f'Add the package of "{error.name.partition(".")[0]}" to "dependencies" and run: foundry sync'
    return PluginProblem(failure(error), file, line, hint)


def _place(trace: TracebackType | None, plugins: Path) -> tuple[str, int]:
    found = ("", 0)
    for frame in traceback.extract_tb(trace):
        with suppress(ValueError):
            found = Path(frame.filename).relative_to(plugins).as_posix(), frame.lineno or 0
    return found


def _find_in(plugins: Path) -> None:
    """Let `foundry_plugins` mean this folder; modules of another one are forgotten."""
    finder = next((one for one in sys.meta_path if isinstance(one, _Finder)), None)
    if finder is None:
        sys.meta_path.insert(0, _Finder(plugins))
    elif finder.plugins != plugins:
        finder.plugins = plugins
        _forget(PACKAGE)


def _forget(full: str) -> dict[str, Any]:
    """Drop the module and those below it from sys.modules and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name == full or name.startswith(full + ".")}


class _Muffled:
    """A stream that swallows what one thread writes, so that another may go on drawing its prompt."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.thread: int | None = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() == self.thread:
            return len(text)
        return int(self._stream.write(text))

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def quietly() -> Iterator[None]:
    """Swallow what this thread prints, and go back afterwards to the current folder, wherever the code inside went."""
    before = sys.stdout, sys.stderr
    muffled = _Muffled(sys.stdout), _Muffled(sys.stderr)
    here = os.getcwd()  # noqa: PTH109 - a string goes back even when the folder is gone
    sys.stdout, sys.stderr = muffled
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for one in muffled:  # a log handler may have kept it
            one.thread = None
        with suppress(OSError):
            os.chdir(here)
