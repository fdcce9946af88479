"""What a conversation costs before the model answers: the first key echoed, and a one-shot run against peers."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.measure import Cost, Figure, cost, environment, in_turn, ratio
from tests.model_server import model_server

BIN = Path(sys.executable).parent
FOUNDRY = str(BIN / "foundry")
PROMPT = "❯".encode()
CLICK = [sys.executable, "-c", "import click"]
BARE = """
import asyncio, sys
from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory
async def main():
    service = OpenAIChatCompletion("scripted", async_client=AsyncOpenAI(base_url=sys.argv[1], api_key="none"))
    history = ChatHistory(); history.add_user_message("hi")
    async for chunk in service.get_streaming_chat_message_content(history, OpenAIChatPromptExecutionSettings(), kernel=Kernel()):
        print(chunk.content, end="")
asyncio.run(main())
"""
RAW = """
import asyncio, sys
from openai import AsyncOpenAI
async def main():
    client = AsyncOpenAI(base_url=sys.argv[1], api_key="none")
    stream = await client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "hi"}], stream=True)
    async for chunk in stream:
        print(chunk.choices[0].delta.content if chunk.choices else "", end="")
asyncio.run(main())
"""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch, model_server([{"text": "hi"}], loop=True) as server:
        env = environment(FOUNDRY_HOME=str(Path(scratch, "home")), OPENAI_BASE_URL=server.url, OPENAI_API_KEY="none-at-all")
        subprocess.run(
            [FOUNDRY, "create", "one", "--no-input", "--model", "openai:scripted"], env=env, check=True, capture_output=True
        )
        yield from _one_shot(Path(scratch), env, server.url)
        yield from _first_key(env)
        yield from _memory(env, server.url)


def _one_shot(scratch: Path, env: dict[str, str], url: str) -> Iterator[Figure]:
    script, peer = scratch / "bare.py", scratch / "llm"
    script.write_text(BARE)
    peer.mkdir()
    models = [{"model_id": "scripted", "model_name": "scripted", "api_base": url, "api_key_name": "none"}]
    (peer / "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML
    (peer / "keys.json").write_text(json.dumps({"none": "none"}))
    ours, bare, llm = in_turn(
        5,
        partial(cost, [FOUNDRY, "run", "one", "-p", "hi"], env),
        partial(cost, [str(scratch / "home" / "agents" / "one" / "venv" / "bin" / "python"), str(script), url], env),
        partial(cost, [str(BIN / "llm"), "-m", "scripted", "hi"], {**env, "LLM_USER_PATH": str(peer)}),
    )
    detail = "ms: " + ", ".join(f"{statistics.median(c.cpu for c in one):.0f}" for one in (ours, bare, llm))
    yield Figure(
        "CPU of run -p hi / a bare Semantic Kernel script", ratio([c.cpu for c in ours], [c.cpu for c in bare]), 1.25, detail
    )
    yield Figure("CPU of run -p hi / llm hi", ratio([c.cpu for c in ours], [c.cpu for c in llm]), 2, detail)


def _first_key(env: dict[str, str]) -> Iterator[Figure]:
    waits: list[float] = []

    def chat() -> Cost:
        first, slowest = _typed(env)
        waits.append(slowest)
        return Cost(0, first, 0)

    base, ours = in_turn(7, partial(cost, CLICK), chat)
    detail = f"{statistics.median(c.wall for c in ours):.0f} ms"
    yield Figure("wall to the first key's echo / import click", ratio([c.wall for c in ours], [c.wall for c in base]), 9, detail)
    yield Figure("ms the slowest key waited while the kernel loaded (median of runs)", statistics.median(waits), 100)


def _memory(env: dict[str, str], url: str) -> Iterator[Figure]:
    raw, ours = in_turn(3, partial(cost, [sys.executable, "-c", RAW, url]), partial(_chatted, env))
    detail = f"{statistics.median(c.memory for c in ours):.0f} MB"
    yield Figure(
        "peak memory of a chat / the raw client's", ratio([c.memory for c in ours], [c.memory for c in raw]), 1.75, detail
    )


def _chatted(env: dict[str, str]) -> Cost:
    """Play a chat of three turns on a terminal and return what its process cost, the Foundry that started it included."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(FOUNDRY, [FOUNDRY, "run", "one"], {**env, "TERM": "xterm-256color"})
    for _ in range(3):
        _until(terminal, PROMPT, 20.0)
        os.write(terminal, b"hi\r")
        _until(terminal, b"hi\x1b", 20.0)
    _until(terminal, PROMPT, 20.0)
    os.write(terminal, b"/exit\r")
    with contextlib.suppress(OSError):
        while select.select([terminal], [], [], 10)[0] and os.read(terminal, 65536):
            pass
    _, status, used = os.wait4(pid, 0)
    os.close(terminal)
    if status:
        raise RuntimeError(f"the chat ended with {os.waitstatus_to_exitcode(status)}")
    return Cost((used.ru_utime + used.ru_stime) * 1e3, 0, used.ru_maxrss / 1024)


def _typed(env: dict[str, str]) -> tuple[float, float]:
    """Start a chat on a terminal and type a key every 50 ms for three seconds, each awaited until it is drawn.

    Returns the milliseconds from the start to the first echo, and the longest a later key waited.
    """
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(FOUNDRY, [FOUNDRY, "run", "one"], {**env, "TERM": "xterm-256color"})
    try:
        _until(terminal, PROMPT, 20.0)
        first, slowest = 0.0, 0.0
        for number in range(60):
            sent = time.perf_counter()
            os.write(terminal, b"x")
            _until(terminal, b"x", 5.0)
            now = time.perf_counter()
            if number == 0:
                first = (now - started) * 1e3
            else:
                slowest = max(slowest, (now - sent) * 1e3)
            time.sleep(0.05)
        return first, slowest
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _until(terminal: int, wanted: bytes, patience: float) -> None:
    """Read the terminal until `wanted` comes, answering the cursor question as a terminal does."""
    seen, deadline = b"", time.perf_counter() + patience
    while wanted not in seen:
        left = deadline - time.perf_counter()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            raise RuntimeError(f"{wanted!r} did not come; the screen says {seen[-300:]!r}")
        seen += os.read(terminal, 65536)
        if b"\x1b[6n" in seen:
            os.write(terminal, b"\x1b[1;1R")
            seen = seen.replace(b"\x1b[6n", b"")
