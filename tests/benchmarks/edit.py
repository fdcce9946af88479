"""What edit mode costs: from the yes at the screen to the new tool's result, and what shadow and history take on disk."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from foundry.agent.change import apply
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import code_of
from tests.benchmarks.create import disk
from tests.benchmarks.measure import Figure, environment
from tests.session.screens import Terminal

FOUNDRY = [sys.executable, "-P", "-m", "foundry.foundry_cli"]
PROMPT = "\u276f"
ACCEPTS = 7
WORKSPACE = 500_000_000
CODE = '''\
def count{number}(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())
'''


def figures() -> Iterator[Figure]:
    """Yield the seconds until what was accepted can be used, and what is written for a session and for its versions."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        given = {"FOUNDRY_HOME": str(Path(scratch, "home")), "XDG_STATE_HOME": str(Path(scratch, "state"))}
        subprocess.run(
            [*FOUNDRY, "create", "one", "--no-input"], env=environment(**given), check=True, stdin=subprocess.DEVNULL, stdout=2
        )
        home = Home(Path(scratch, "home"))
        _fill(home.agent("one").workspace)
        yield from _session(Path(scratch), home, given)
        with patch.dict(os.environ, given):
            yield from _versions(home, home.agent("one"))


def _fill(workspace: Path) -> None:
    """Put 500 MB there: files with holes, which whoever copies them copies in their whole length."""
    for number in range(5):
        with (workspace / f"data{number}.bin").open("wb") as file:
            file.truncate(WORKSPACE // 5)


def _session(scratch: Path, home: Home, given: dict[str, str]) -> Iterator[Figure]:
    """Build and accept several tools in one session and time each, from the y to the answer that its result is in."""
    steps = [step for number in range(ACCEPTS) for step in _steps(number)]
    (scratch / "script.json").write_text(json.dumps({"steps": steps}), "utf-8")
    argv = [*FOUNDRY, "run", "one", "--edit", "--model", "scripted:script.json"]
    code = sum(len(text) for text, _ in code_of(home.agent("one")).values())
    terminal = Terminal(argv, scratch, 100, 60, environment(**given))
    seconds, copied = [], 0
    try:
        terminal.until(PROMPT, patience=60)
        for number in range(ACCEPTS):
            terminal.line(f"Make tool {number}")
            terminal.until("Accept it?", patience=120, count=number + 1)
            copied = copied or sum(one.lstat().st_size for one in home.own.glob("shadow/**/*") if one.is_file())
            terminal._read(0.2)  # the screen stands
            started = time.perf_counter()
            terminal.line("y")
            terminal.until(f"Tool {number} says 6.", patience=60)
            seconds.append(time.perf_counter() - started)
        terminal.keys("\x04")
        terminal.end()
    finally:
        terminal.stop()
    each = ", ".join(f"{one:.2f}" for one in seconds)
    yield Figure("seconds from accept to the new tool's result", statistics.median(seconds), 1.0, f"median of {each}")
    detail = f"{copied:,} bytes for {code:,} of code; workspace of {WORKSPACE / 1e6:.0f} MB"
    yield Figure("bytes copied for an edit session / bytes of code", copied / code, 2.0, detail)


def _steps(number: int) -> list[dict[str, Any]]:
    def call(tool: str, **arguments: Any) -> dict[str, Any]:
        return {"calls": [{"name": tool, "arguments": arguments}]}

    code = CODE.format(number=number)
    return [
        call("agent_code.new_plugin", name=f"words{number}", description="Counts words.", code=code),
        call("agent_code.propose", summary=f"Tool {number}."),
        call(f"words{number}.count{number}", text="to be or not to be"),
        {"text": f"Tool {number} says {{result}}."},
    ]


def _versions(home: Home, agent: AgentFolder) -> Iterator[Figure]:
    """Change one of twenty files a hundred times and look at what all the versions take."""
    files = {f"plugins/many/part{number}.py": (_part(number, 0), 0o644) for number in range(20)}
    apply(agent, files, said="twenty files")
    before = disk(home.own / "history", set())
    for version in range(1, 101):
        apply(agent, {f"plugins/many/part{version % 20}.py": (_part(version % 20, version), 0o644)}, said=f"change {version}")
    after = disk(home.own / "history", set())
    detail = f"{(after - before) / 1e6:.2f} MB of them for the hundred"
    yield Figure("MB of disk for 100 versions of a 20-file agent", after / 1e6, 5.0, detail)


def _part(number: int, version: int) -> bytes:
    """A module of about 6 kB that differs in each version."""
    return "".join(f"def f{number}_{line}(x: int) -> int:\n    return x + {line * version}\n\n\n" for line in range(100)).encode()
