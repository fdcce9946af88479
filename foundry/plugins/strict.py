"""The strict adaptor: a plugin object's marked methods as tools with a real schema, checked arguments and text results."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import re
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from foundry.agent.policy import COLUMNS, WORDS
from foundry.messages import ToolSpec
from foundry.plugins.api import Changed, Plan, ToolContext, ToolError
from foundry.plugins.cards import ALL_EFFECTS, TO_ACCEPT, Origin, PluginProblem
from foundry.plugins.results import as_text, failure, told
from foundry.plugins.schema import Parameters, parameters_of

if TYPE_CHECKING:
    import asyncio

Result = TypeVar("Result")
_LOOP: contextvars.ContextVar[asyncio.AbstractEventLoop] = contextvars.ContextVar("loop")
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_WIRE_NAME = 64
_LONGEST_DESCRIPTION = 1000


@dataclass(frozen=True, slots=True)
class BoundTool:
    """A tool ready to be called.

    `call(arguments)` returns the text for the model; `check(arguments)` returns them as canonical JSON data without calling.
    Both raise ToolError, whose text is for the model too, for wrong arguments; `call` also for whatever went wrong inside,
    be it SystemExit: only a real cancellation passes. `plan(arguments)` is there for a tool that says first what it would do;
    `call(arguments, plan)` then does that and nothing else, or raises Changed.
    `final` says that a small model is asked for its answer after it. `code` is the hash of an own plugin's code, `accepted`
    whether the person accepted the effects that this code declares.
    """

    spec: ToolSpec
    origin: Origin
    effects: frozenset[str]
    call: Callable[..., Awaitable[str]]
    check: Callable[[dict[str, Any]], dict[str, Any]] = field(default=dict)
    plan: Callable[[dict[str, Any]], Awaitable[Plan]] | None = None
    final: bool = False
    code: str = ""
    accepted: bool = False


def bind(
    subject: object, plugin: str, origin: Origin, context: ToolContext, effects: frozenset[str] = frozenset(ALL_EFFECTS)
) -> list[BoundTool]:
    """Return the tools of a plugin's object in the order they are written; `effects` hold for one that declares none.

    Raises PluginProblem for a method that cannot be a tool.
    """
    return [_bound(method, plugin, origin, context, effects) for method in marked_methods(subject)]


def marked_methods(subject: object) -> Iterator[Callable[..., Any]]:
    """Yield the methods of an object, or of a class, that are marked as kernel functions, in the order they are written."""
    cls = subject if isinstance(subject, type) else type(subject)
    names = dict.fromkeys(name for one in reversed(cls.__mro__) for name in vars(one))
    for name in names:
        static = inspect.getattr_static(cls, name)
        if callable(static) or isinstance(static, staticmethod | classmethod):
            method = getattr(subject, name)
            if cls is subject and inspect.isfunction(static):
                method = method.__get__(object())  # as if bound, so that its signature lacks self
            if getattr(method, "__kernel_function__", False) is True:
                yield method


def check_class(cls: type, plugin: str) -> list[str]:
    """Return the ids of the tools that the class's objects will have, without making one. Raises PluginProblem."""
    constructor_takes_context(cls)
    found = []
    for method in marked_methods(cls):
        parameters_of(method)
        found.append(_tool_id(method, plugin))
    return found


def constructor_takes_context(cls: type) -> bool:
    """Return whether the class is made with the context or with nothing. Raises PluginProblem for any other constructor."""
    try:
        parameters = list(inspect.signature(cls).parameters.values())
    except (ValueError, TypeError):
        return False
    needed = [one for one in parameters if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    if any(one.name == "context" for one in parameters) and all(one.name == "context" for one in needed):
        return True
    if not needed:
        return False
    code = getattr(vars(cls).get("__init__"), "__code__", None)
    taken = ", ".join(one.name for one in needed)
    problem = PluginProblem(f"{cls.__name__}'s constructor takes {taken}; a plugin's takes context or nothing")
    problem.line = code.co_firstlineno if code else 0
    raise problem


def _tool_id(method: Callable[..., Any], plugin: str) -> str:
    name = str(getattr(method, "__kernel_function_name__", "") or method.__name__)
    line = getattr(getattr(inspect.unwrap(method), "__code__", None), "co_firstlineno", 0)
    if not _TOOL_NAME.fullmatch(name):
        raise PluginProblem(f"{name!r} cannot be a tool's name: letters, digits and _", line=line)
    if len(f"{plugin}-{name}") > _LONGEST_WIRE_NAME:
        raise PluginProblem(f"{plugin}.{name} is longer than the {_LONGEST_WIRE_NAME} characters that providers take", line=line)
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise PluginProblem(f"{name} yields; a tool returns its whole result", line=line)
    return f"{plugin}.{name}"


def _bound(method: Callable[..., Any], plugin: str, origin: Origin, context: ToolContext, effects: frozenset[str]) -> BoundTool:
    tool_id = _tool_id(method, plugin)
    parameters = parameters_of(method)
    described = " ".join(str(getattr(method, "__kernel_function_description__", "") or "").split())
    described = described[:_LONGEST_DESCRIPTION] or tool_id.partition(".")[2].replace("_", " ").capitalize() + "."
    declared = getattr(method, "__foundry_effects__", None)
    does = effects if declared is None else frozenset(one for one in declared if one in ALL_EFFECTS)
    unseen = partial(_refuse_unseen, does, context.folder) if origin in TO_ACCEPT else None
    says_first = origin not in TO_ACCEPT and bool(getattr(method, "__foundry_planned__", False))
    return BoundTool(
        spec=ToolSpec(tool_id, described, parameters.schema),
        origin=origin,
        effects=does,
        call=partial(_call, method, parameters, context.limit, unseen),
        check=parameters.canonical,
        plan=partial(_plan, method, parameters, context.limit) if says_first else None,
        final=bool(getattr(method, "__foundry_final__", False)),
    )


async def _call(
    method: Callable[..., Any],
    parameters: Parameters,
    limit: int,
    unseen: Callable[[Plan], None] | None,
    arguments: Mapping[str, Any],
    plan: Plan | None = None,
) -> str:
    values = parameters.values(arguments)
    with _told(limit):
        result = plan or await _returned(method, values)
        if isinstance(result, Plan):
            if unseen:
                unseen(result)
            result = await _returned(result.do, {})
        return as_text(result, limit)
    raise AssertionError


def _refuse_unseen(effects: frozenset[str], folder: Path, plan: Plan) -> None:
    """Raise ToolError for a plan that nobody was shown and that does more than the tool's effects say, which were decided on."""
    from foundry.plugins.action import action_of

    columns = action_of("", "built-in", effects, {}, plan.preview, folder).columns
    if beyond := columns - effects - {"reads"}:
        told = ", ".join(WORDS[one] for one in COLUMNS if one in beyond)
        raise ToolError(f"Not done: it would go beyond what was decided on ({told}). Only a built-in tool is asked about that.")


async def _plan(method: Callable[..., Any], parameters: Parameters, limit: int, arguments: Mapping[str, Any]) -> Plan:
    values = parameters.values(arguments)
    with _told(limit):
        plan = await _returned(method, values)
        if isinstance(plan, Plan):
            return plan
    raise ToolError("The tool did not say what it would do.")


async def _returned(method: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    if inspect.iscoroutinefunction(inspect.unwrap(method)):
        return await method(**values)
    result = await in_thread(partial(method, **values))
    return await result if inspect.isawaitable(result) else result


@contextlib.contextmanager
def _told(limit: int) -> Iterator[None]:
    """Turn whatever goes wrong inside into a ToolError that the model can read; only a real cancellation passes."""
    try:
        yield
    except ToolError as error:
        kind = Changed if isinstance(error, Changed) else ToolError
        raise kind(told(error, limit)) from None
    except BaseException as error:  # a tool that calls sys.exit() must not end the session
        if _is_cancellation(error):
            raise
        raise ToolError(failure(error)) from None


def _is_cancellation(error: BaseException) -> bool:
    import asyncio

    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, GeneratorExit)


async def in_thread(work: Callable[[], Any]) -> Any:
    """Return what `work` returns or raise what it raises, run in a thread that nobody waits for when this is cancelled.

    Not asyncio.to_thread: its pool is joined at exit, so one hanging tool would hold the session's end for ever, and
    SystemExit or StopIteration raised in it ends the event loop or is lost.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    variables = contextvars.copy_context()
    variables.run(_LOOP.set, loop)

    def deliver(found: tuple[Any, BaseException | None]) -> None:
        if not outcome.done():
            outcome.set_result(found)

    def body() -> None:
        found = variables.run(_outcome, work)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the session has gone
            loop.call_soon_threadsafe(deliver, found)

    threading.Thread(target=body, name="tool", daemon=True).start()
    value, error = await outcome
    if error is not None:
        raise error
    return value


def on_loop(asked: Coroutine[Any, Any, Result]) -> Result:
    """Return what a coroutine returns that is run on the session's loop, for a tool in its thread."""
    import asyncio

    return asyncio.run_coroutine_threadsafe(asked, _LOOP.get()).result()


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:
        return None, error
