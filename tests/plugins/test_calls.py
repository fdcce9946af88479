"""What a called tool returns, raises or does to the session."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from foundry.plugins.api import ToolContext, ToolError, kernel_function
from foundry.plugins.strict import BoundTool, bind

from .test_schema import Colour, Point, Range


def bound(function: Callable[..., Any], limit: int = 20_000) -> BoundTool:
    plugin = type("Plugin", (), {"use": staticmethod(kernel_function(name="use")(function))})
    return bind(plugin(), "p", "own", ToolContext(Path("/"), limit=limit))[0]


def result(function: Callable[..., Any], limit: int = 20_000) -> str:
    async def call() -> str:
        return await bound(function, limit).call({})

    try:
        return asyncio.run(call())
    except ToolError as error:
        return f"error: {error}"


def raising(error: BaseException) -> Callable[[], None]:
    def use() -> None:
        raise error

    return use


def raising_later(error: BaseException) -> Callable[[], Any]:
    async def use() -> None:
        await asyncio.sleep(0)
        raise error

    return use


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain\ntext", "plain\ntext"),
        (None, "(nothing)"),
        ("", "(nothing)"),
        (42, "42"),
        (True, "true"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([], "[]"),
        (Point(x=1), '{"x":1,"y":0}'),
        (Range(1), '{"low":1,"high":9}'),
        ([date(2026, 2, 3), Path("a/b"), Colour.RED], '["2026-02-03","a/b","red"]'),
        ({3, 1, 2}, "[1,2,3]"),
        (b"abc", "(3 bytes of binary data, not shown)"),
        (float("nan"), '"NaN"'),
        ("half \ud800 a pair", "half ? a pair"),
    ],
)
def test_results_are_text_or_json(value: Any, text: str) -> None:
    assert result(lambda: value) == text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (threading.Lock(), "error: The tool returned a lock, which is neither text nor data."),
        ((n for n in range(3)), "error: The tool returned a generator"),
    ],
)
def test_results_that_are_no_data_are_refused(value: Any, said: str) -> None:
    assert result(lambda: value).startswith(said)


def test_a_result_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)

    assert result(lambda: loop).startswith("error: The tool's result cannot be shown as JSON")


def test_a_long_result_is_cut_and_says_so() -> None:
    text = result(lambda: "x" * 5000, limit=1000)

    assert len(text) <= 1000
    assert text.endswith("of 5000 characters shown; ask for a smaller part")
    assert text.startswith("x" * 900)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ToolError("Try a smaller one."), "error: Try a smaller one."),
        (ValueError("no\n  such thing"), "error: ValueError: no such thing"),
        (KeyError("k"), "error: KeyError: 'k'"),
        (SystemExit(3), "error: SystemExit: 3"),
        (KeyboardInterrupt(), "error: KeyboardInterrupt"),
        (BaseExceptionGroup("many", [SystemExit()]), "error: BaseExceptionGroup: many (1 sub-exception)"),
        (asyncio.CancelledError(), "error: CancelledError"),
    ],
)
@pytest.mark.parametrize("kind", [raising, raising_later])
def test_whatever_a_tool_raises_is_one_line_for_the_model(error: BaseException, said: str, kind: Callable[..., Any]) -> None:
    assert result(kind(error)) == said


def test_an_error_that_cannot_even_be_shown_is_named() -> None:
    class Hopeless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert result(raising(Hopeless())) == "error: Hopeless"


def test_a_real_cancellation_passes() -> None:
    async def use() -> None:
        await asyncio.sleep(60)

    async def session() -> str:
        task = asyncio.ensure_future(bound(use).call({}))
        await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"
        return "not"

    assert asyncio.run(session()) == "cancelled"


def test_a_hanging_sync_tool_blocks_neither_the_session_nor_its_end() -> None:
    held = threading.Event()

    async def session() -> str:
        task = asyncio.ensure_future(bound(lambda: held.wait()).call({}))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return "ended"

    assert asyncio.run(session()) == "ended"
    held.set()


def test_sync_tools_run_beside_each_other() -> None:
    both = threading.Barrier(2, timeout=20)

    async def session() -> list[str]:
        tool = bound(lambda: both.wait() >= 0)
        return list(await asyncio.gather(tool.call({}), tool.call({})))

    assert asyncio.run(session()) == ["true", "true"]


def test_a_wrapped_async_method_is_awaited() -> None:
    async def inner() -> str:
        return "inside"

    @functools.wraps(inner)
    def use() -> Any:
        return inner()

    assert result(use) == "inside"


def test_a_plugin_written_for_semantic_kernel_is_a_plugin() -> None:
    script = (
        "import asyncio\nfrom pathlib import Path\nfrom typing import Annotated\n"
        "from semantic_kernel.functions import kernel_function\n"
        "from foundry.plugins.api import ToolContext\nfrom foundry.plugins.strict import bind\n"
        "class Sums:\n"
        "    @kernel_function(name='add', description='Adds.')\n"
        "    def plus(self, a: Annotated[int, 'One'], b: int = 2) -> int: return a + b\n"
        "tool, = bind(Sums(), 'sums', 'own', ToolContext(Path('.')))\n"
        "async def main(): print(tool.spec, sorted(tool.effects), await tool.call({'a': '1'}), sep='\\n')\n"
        "asyncio.run(main())\n"
    )
    import sys

    from foundry.processes import run

    ended = run([sys.executable, "-P", "-c", script], timeout=120)

    spec, effects, answer = ended.out.splitlines()
    assert "id='sums.add', description='Adds.'" in spec
    assert effects == str(["network", "reads", "runs", "writes"])
    assert answer == "3"


class Methods:
    """Kinds of methods in an order of their own."""

    @kernel_function
    def zebra(self) -> str:
        """First line.

        Second."""
        return "z"

    @staticmethod
    @kernel_function
    def static(n: int) -> int:
        return n

    @classmethod
    @kernel_function
    def of_class(cls) -> str:
        return cls.__name__

    @property
    def trap(self) -> str:
        raise RuntimeError("properties are not looked at")

    def plain(self) -> None: ...


class Child(Methods):
    @kernel_function
    def apple(self) -> str:
        return "a"


def test_methods_are_found_in_the_order_they_are_written() -> None:
    tools = bind(Child(), "p", "own", ToolContext(Path("/")))

    assert [tool.spec.id for tool in tools] == ["p.zebra", "p.static", "p.of_class", "p.apple"]
    assert tools[0].spec.description == "First line. Second."
    assert tools[1].spec.description == "Static."


def test_text_never_contains_what_cannot_be_sent(workshop: Any) -> None:
    def pieces() -> Iterator[str]:
        yield from ("\ud800", "ok")

    text = result(lambda: {"a": list(pieces())})

    json.dumps(text).encode()
    text.encode()
