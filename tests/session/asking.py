"""A process on a terminal that asks a person the questions of a test."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.session.screens import Terminal

ASKS = '''
"""Ask the questions of a file, one after another, and print what was answered."""
import asyncio, base64, json, signal, sys
from pathlib import Path
from foundry.console import Console
from foundry.plugins.api import Change, Preview
from foundry.session.approvals import Question
from foundry.session.terminal import Asker, quiet_keys


def some(text):
    return None if text is None else base64.b64decode(text)


def question(tool="own.tool", arguments={}, changes=(), paths=(), why="", always="", lasting=False, **preview):
    changed = tuple(Change(Path(path), some(before), some(after)) for path, before, after in changes)
    shown = Preview(**{"summary": "", **preview}, changes=changed, paths=tuple(map(Path, paths)))
    return Question(tool, arguments, shown, why, always, lasting)


async def main():
    console = Console()
    asker = Asker(console)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, asker.no)
    for one in json.loads(Path(sys.argv[1]).read_text()):
        before = one.pop("before", 0)
        if before == "secret":
            console.note("given: " + await asker.secret("API_TOKEN", "the weather service wants it"))
            continue
        with quiet_keys():
            console.note("working")
            await asyncio.sleep(before)
            answer = await asker(question(**one))
        said = {"kind": answer.kind, "text": answer.text, "arguments": answer.arguments}
        console.out.write("answer: " + json.dumps(said) + "\\n")
        console.out.flush()
        assert not asker.open
    console.note("all asked")

asyncio.run(main())
'''
Asks = Callable[..., Terminal]


def change(path: str, before: str | None, after: str | None) -> tuple[str, str | None, str | None]:
    def packed(text: str | None) -> str | None:
        return None if text is None else base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()

    return path, packed(before), packed(after)


def answered(one: Terminal, count: int = 1) -> dict[str, Any]:
    """Return the answer that the process heard, its number `count`."""
    one.until("answer: ", count=count)
    one.until("}", count=count)
    text = "".join(one.text.split("answer: ")[count].split("\n"))
    said: dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]
    return said
