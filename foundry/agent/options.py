"""How one run of an agent is asked for: the options that `foundry run` hands to the agent's main.py as its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run; an empty text or a zero is "not given". None of them is a secret: argv can be read by others."""

    prompt: str = ""
    folder: str = ""
    mode: str = "run"
    output: str = "text"
    model: str = ""
    max_rounds: int = 0
    timeout: float = 0.0
    debug: bool = False
    # "serve": its tools for other programs; "trust": its MCP servers looked at, all of them or the one named after;
    # "login": a person logs in at the one named after.
    mcp: str = ""

    def to_argv(self) -> list[str]:
        """Return the arguments that `from_argv` reads back as these options."""
        words = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                flag = "--" + field.name.replace("_", "-")
                words.append(flag if value is True else f"{flag}={value}")
        return words


def from_argv(argv: Sequence[str]) -> RunOptions:
    """Return the options in `argv`; `-h` and a mistake end the process as argparse does: exit 0 and 2."""
    import argparse

    parser = argparse.ArgumentParser(prog="main.py", description="Talk to this agent, or ask it once with -p or a pipe.")
    parser.add_argument("-p", "--prompt", default="", metavar="TEXT", help="ask once, print the answer, end")
    parser.add_argument("--folder", default="", metavar="PATH", help="what its file tools may touch (default: workspace/)")
    parser.add_argument("--mode", default="run", choices=("plan", "run", "edit", "auto"))
    parser.add_argument("--output", default="text", choices=("text", "json", "events"))
    parser.add_argument("--model", default="", metavar="PROVIDER:NAME")
    parser.add_argument("--max-rounds", type=_at_least_one, default=0, metavar="N")
    parser.add_argument("--timeout", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--mcp", default="", help=argparse.SUPPRESS)
    given: dict[str, Any] = vars(parser.parse_args(list(argv)))
    return RunOptions(**given)


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
