"""The one shim through which Semantic Kernel is imported: the same classes for a third of the time and half of the memory.

What is left out, measured with semantic-kernel 1.45.0 and openai 3.52: pybars compiles a grammar at import (1.7 s of CPU); the
OpenAI connector's package pulls audio, video and Azure in; numpy is imported for one annotation; openai imports all of its types,
those of the Responses API alone being half of its time, and aiohttp for a transport nobody asked for. So the packages below are
registered without running their __init__: a name asked of one is looked up through that __init__'s own import lines, read by ast.
The stand-ins for aiohttp and numpy are gone when `load` returns; handlebars templates still work, the stand-in for pybars loads
the real one on first use. tests/models/test_lean_kernel.py is the contract: it says what broke when a release changed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import logging
import os
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foundry.errors import NotReadyError

LAZY = (
    "openai.types",
    "openai.types.beta",
    "openai.types.graders",
    "openai.types.responses",
    "semantic_kernel.connectors.ai.open_ai",
)
NAMES = {
    "Kernel": "semantic_kernel.kernel",
    "ChatHistory": "semantic_kernel.contents.chat_history",
    "ChatMessageContent": "semantic_kernel.contents.chat_message_content",
    "FunctionCallContent": "semantic_kernel.contents.function_call_content",
    "FunctionResultContent": "semantic_kernel.contents.function_result_content",
    "TextContent": "semantic_kernel.contents.text_content",
    "AuthorRole": "semantic_kernel.contents.utils.author_role",
    "OpenAIChatCompletion": "semantic_kernel.connectors.ai.open_ai.services.open_ai_chat_completion",
    "OpenAIChatPromptExecutionSettings": (
        "semantic_kernel.connectors.ai.open_ai.prompt_execution_settings.open_ai_prompt_execution_settings"
    ),
    "FilterTypes": "semantic_kernel.filters.filter_types",
    "FunctionResult": "semantic_kernel.functions.function_result",
    "KernelArguments": "semantic_kernel.functions.kernel_arguments",
    "KernelFunctionFromMethod": "semantic_kernel.functions.kernel_function_from_method",
    "KernelParameterMetadata": "semantic_kernel.functions.kernel_parameter_metadata",
    "KernelPlugin": "semantic_kernel.functions.kernel_plugin",
    "AsyncOpenAI": "openai",
    "AsyncStream": "openai",
}
_lock = threading.Lock()
_loaded: list[types.SimpleNamespace] = []


def load() -> Any:
    """Return a namespace of the classes in NAMES; safe from any thread, and instant after the first time.

    Raises NotReadyError when Semantic Kernel is not installed here or is not the release this shim knows.
    """
    with _lock:
        if not _loaded:
            try:
                _loaded.append(_load())
            except ImportError as error:
                message = f"Semantic Kernel cannot be loaded: {error}"
                raise NotReadyError(message, "Rebuild the agent's environment: foundry sync NAME") from error
        return _loaded[0]


def _load() -> types.SimpleNamespace:
    _silence()
    with _stand_ins():
        for name in LAZY:
            if name not in sys.modules and name.partition(".")[0] not in sys.modules:
                sys.modules[name] = _package(name)
        importlib.import_module("openai")
        _read_no_dotenv()
        found = {name: getattr(importlib.import_module(home), name) for name, home in NAMES.items()}
        _bind((*LAZY, "semantic_kernel.kernel_pydantic"))
        return types.SimpleNamespace(**found)


def _bind(names: tuple[str, ...]) -> None:
    """Make what was put into sys.modules by hand an attribute of its package too, as an ordinary import does."""
    for name in names:
        parent, _, leaf = name.rpartition(".")
        if name in sys.modules and parent in sys.modules:
            setattr(sys.modules[parent], leaf, sys.modules[name])


def _silence() -> None:
    """Semantic Kernel logs what a tool raised, with a traceback: kept off the terminal, there for whoever adds a handler."""
    logger = logging.getLogger("semantic_kernel")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Put the stand-ins in place of modules that are not loaded yet; take those for numpy and aiohttp away again."""
    if "pybars" not in sys.modules:
        sys.modules["pybars"] = _pybars()
    numpy = types.ModuleType("numpy")
    numpy.ndarray = type("ndarray", (), {})  # type: ignore[attr-defined]
    passing: dict[str, Any] = {"numpy": numpy, "aiohttp": None}
    placed = {name: module for name, module in passing.items() if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name in placed:
            sys.modules.pop(name, None)


def _pybars() -> types.ModuleType:
    module = types.ModuleType("pybars")

    def compiler(*arguments: Any, **named: Any) -> Any:
        if sys.modules.get("pybars") is module:
            del sys.modules["pybars"]
        return importlib.import_module("pybars").Compiler(*arguments, **named)

    module.Compiler = compiler  # type: ignore[attr-defined]
    module.PybarsError = type("PybarsError", (Exception,), {})  # type: ignore[attr-defined]
    return module


class _LazyPackage(types.ModuleType):
    """A package whose __init__ never runs; its names come one by one from where that __init__ would have imported them."""

    _sources: dict[str, tuple[str, str]]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        module, original = self._sources.get(name, ("", ""))
        if module:
            value = getattr(importlib.import_module(module), original)
        else:
            try:
                value = importlib.import_module(f"{self.__name__}.{name}")
            except ModuleNotFoundError as error:
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from error
        setattr(self, name, value)
        return value


def _package(name: str) -> types.ModuleType:
    """Return `name` as a lazy package. Raises ImportError when its folder is not where it should be."""
    top, *rest = name.split(".")
    spec = importlib.machinery.PathFinder.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{top} is not installed")
    file = Path(spec.submodule_search_locations[0]).joinpath(*rest, "__init__.py")
    module = _LazyPackage(name)
    module.__file__, module.__path__, module.__package__ = str(file), [str(file.parent)], name
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, origin=str(file), is_package=True)
    module.__spec__.submodule_search_locations = [str(file.parent)]
    try:
        module._sources = _sources(ast.parse(file.read_bytes()), name)
    except OSError as error:
        raise ImportError(f"{name} has no __init__.py at {file}") from error
    return module


def _sources(tree: ast.Module, package: str) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for line in tree.body:
        if isinstance(line, ast.ImportFrom):
            target = "." * line.level + (line.module or "")
            source = importlib.util.resolve_name(target, package) if line.level else target
            found.update({alias.asname or alias.name: (source, alias.name) for alias in line.names})
    return found


def _read_no_dotenv() -> None:
    """Keep Semantic Kernel's settings from reading `.env` of the working folder, which is the user's project and not ours."""
    package = _package("semantic_kernel") if "semantic_kernel" not in sys.modules else None
    if package is None:
        return
    sys.modules["semantic_kernel"] = package
    try:
        base = importlib.import_module("semantic_kernel.kernel_pydantic").KernelBaseSettings
    finally:
        del sys.modules["semantic_kernel"]
    original = base.__new__

    def without_dotenv(cls: Any, *arguments: Any, **named: Any) -> Any:
        return original(cls, *arguments, **{**named, "env_file_path": named.get("env_file_path") or os.devnull})

    base.__new__ = without_dotenv
