"""What a turn costs beside the raw openai client on the same scripted server: turns, memory, import."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Figure, cost, environment, in_turn, ratio

ANSWER = "Twenty tokens of plain text, more or less, as a model would say them to somebody."
SCHEMA = {"type": "object", "properties": {"text": {"type": "string", "description": "Any text."}}, "required": ["text"]}
CALL = {"calls": [{"name": "echo.say", "arguments": {"text": "hello"}}], "chunk": 4}
TALK = {"text": ANSWER, "chunk": 4}
TURNS = 60

RAW = """
import asyncio, sys
from openai import AsyncOpenAI
async def main():
    client = AsyncOpenAI(base_url=sys.argv[1], api_key="none")
    for _ in range(5):
        said = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
        async for _ in said: pass
asyncio.run(main())
"""
OURS = """
import asyncio, sys
from foundry.messages import Message
from foundry.models.catalog import Choice, connect
from foundry.settings import load_settings
async def main():
    model = connect(Choice("openai:m", ""), {}, load_settings(None, {"OPENAI_BASE_URL": sys.argv[1]}), None)
    for _ in range(5):
        async for _ in model.stream([Message("user", "hi")], ()): pass
asyncio.run(main())
"""
RAW_IMPORT = "from openai import AsyncOpenAI; AsyncOpenAI(api_key='none').chat.completions"
OUR_IMPORT = """
from foundry.models.faults import Door
from foundry.models.kernel_chat import KernelChat
from foundry.models.model import ModelInfo
KernelChat(ModelInfo("openai:m", 0), Door("openai:m", "http://localhost"))
"""


@contextlib.contextmanager
def served(*steps: dict[str, Any]) -> Iterator[str]:
    """A scripted server in a process of its own, so that its work is not counted."""
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch, "script.json")
        script.write_text(json.dumps({"steps": steps, "loop": True}))
        argv = [sys.executable, "-P", "-m", "tests.model_server", str(script)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment()) as server:
            try:
                assert server.stdout
                yield server.stdout.readline().strip()
            finally:
                server.terminate()


def figures() -> Iterator[Figure]:
    # Processes first: a child's peak memory counts from its parent's size, and the turns make this one large.
    with served(TALK) as url:
        programs = [partial(cost, [sys.executable, "-P", "-c", code, url]) for code in (RAW, OURS)]
        raw_process, our_process = in_turn(5, *programs)
    yield Figure("peak memory of a chat process / raw client's", *_memory(our_process, raw_process))
    value = ratio([one.cpu for one in our_process], [one.cpu for one in raw_process])
    yield Figure("CPU of a whole chat process / raw client's", value, None)
    base, lean = in_turn(5, *(partial(cost, [sys.executable, "-P", "-c", code]) for code in (RAW_IMPORT, OUR_IMPORT)))
    seconds = min(one.cpu for one in lean) / 1e3
    yield Figure("seconds of CPU until a model is ready", seconds, 1.1, f"raw client {min(one.cpu for one in base) / 1e3:.2f}")
    for what, steps in (("no tool", [TALK]), ("one tool", [CALL, TALK])):
        with served(*steps) as url:
            raw, chat, session = asyncio.run(_turns(url))
        for name, ours in (("adapter", chat), ("session loop", session)):
            for at, unit in ((0, "CPU"), (1, "wall")):
                theirs = [one[at] for one in raw]
                value = ratio([one[at] for one in ours], theirs)
                detail = f"{statistics.median(theirs):.1f} ms raw"
                yield Figure(f"{unit} of a turn with {what}, {name} / raw client", value, 1.4 if unit == "CPU" else None, detail)


def _memory(ours: Sequence[Any], theirs: Sequence[Any]) -> tuple[float, float, str]:
    value = ratio([one.memory for one in ours], [one.memory for one in theirs])
    return value, 1.75, f"{max(one.memory for one in ours):.0f} MB to {max(one.memory for one in theirs):.0f} MB"


async def _turns(url: str) -> list[list[tuple[float, float]]]:
    """Turns of the three in turn, each as (CPU, wall) in milliseconds."""
    makers = [_raw(url), _adapter(url), _session(url)]
    for make in makers:
        for _ in range(5):
            await make()
    rounds = [[await _timed(make) for make in makers] for _ in range(TURNS)]
    return [list(one) for one in zip(*rounds, strict=True)]


async def _timed(make: Callable[[], Awaitable[str]]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    assert await make() == ANSWER
    return (time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3


def _raw(url: str) -> Callable[[], Awaitable[str]]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    said: dict[str, Any] = {"name": "echo-say", "description": "Says it again.", "parameters": SCHEMA}
    tools: Any = [{"type": "function", "function": said}]

    async def turn() -> str:
        messages: list[Any] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]
        while True:
            text, call, name, arguments = "", "", "", ""
            options: Any = {"stream_options": {"include_usage": True}, "tools": tools}
            async for chunk in await client.chat.completions.create(model="m", messages=messages, stream=True, **options):
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    for piece in choice.delta.tool_calls or ():
                        call, name = call or piece.id or "", name or piece.function.name or ""
                        arguments += piece.function.arguments or ""
            if not call:
                return text
            made = {"id": call, "type": "function", "function": {"name": name, "arguments": arguments}}
            messages.append({"role": "assistant", "tool_calls": [made]})
            messages.append({"role": "tool", "tool_call_id": call, "content": json.loads(arguments)["text"]})

    return turn


def _adapter(url: str) -> Callable[[], Awaitable[str]]:
    from foundry.messages import Answered, Message, ToolSpec

    model = _model(url)
    tools = (ToolSpec("echo.say", "Says it again.", SCHEMA),)

    async def turn() -> str:
        messages = [Message("system", "Be kind."), Message("user", "hi")]
        while True:
            answered: Message | None = None
            async for piece in model.stream(messages, tools):
                if isinstance(piece, Answered):
                    answered = piece.message
            assert answered
            if not answered.calls:
                return answered.content
            results = [
                Message("tool", json.loads(one.arguments)["text"], call_id=one.id, name=one.name) for one in answered.calls
            ]
            messages += [answered, *results]

    return turn


def _session(url: str) -> Callable[[], Awaitable[str]]:
    from foundry.agent.secrets import Redactor
    from foundry.messages import ToolSpec, TurnEnded
    from foundry.plugins.strict import BoundTool
    from foundry.session.approvals import Approvals
    from foundry.session.session import Session
    from foundry.session.toolbox import Toolbox

    async def say(arguments: dict[str, Any]) -> str:
        return str(arguments["text"])

    tool = BoundTool(ToolSpec("echo.say", "Says it again.", SCHEMA), "built-in", frozenset({"reads"}), say)
    session = Session(_model(url), Toolbox([tool], Redactor({})), Approvals("run"), system="Be kind.")

    async def turn() -> str:
        session.clear()
        answer = ""
        async for event in session.turn("hi"):
            if isinstance(event, TurnEnded):
                answer = event.answer
        return answer

    return turn


def _model(url: str) -> Any:
    from foundry.models.catalog import Choice, connect
    from foundry.settings import load_settings

    return connect(Choice("openai:m", ""), {}, load_settings(None, {"OPENAI_BASE_URL": url}), None)


if __name__ == "__main__":
    for figure in figures():
        print(figure)
