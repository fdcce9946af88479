"""What a command costs before it does anything: --help, --version, list and a Tab, against `import click`."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from foundry.agent.folder import Home
from tests.benchmarks.measure import Figure, cost, environment, in_turn, ratio
from tests.commands.conftest import make_agent

CLICK = [sys.executable, "-c", "import click"]
FOUNDRY = str(Path(sys.executable).with_name("foundry"))


def many_agents(home: Path, count: int) -> None:
    """Agents that list reads in full and calls ready."""
    for number in range(count):
        name = f"agent-{number}"
        make_agent(Home(home), name, description=f"Agent number {number}.", tools=["read_write_code", "clock"], model="local:")


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as scratch:
        small, large = Path(scratch, "50"), Path(scratch, "1000")
        many_agents(small, 50)
        many_agents(large, 1000)
        click = partial(cost, CLICK)
        for words in (["--help"], ["--version"]):
            base, ours = in_turn(25, click, partial(cost, [FOUNDRY, *words]))
            yield Figure(f"CPU of foundry {words[0]} / import click", ratio([c.cpu for c in ours], [c.cpu for c in base]), 2)
        base, ours = in_turn(25, click, partial(cost, [FOUNDRY, "list"], environment(FOUNDRY_HOME=str(small))))
        yield Figure("CPU of foundry list, 50 agents / import click", ratio([c.cpu for c in ours], [c.cpu for c in base]), 5)
        (many,) = in_turn(5, partial(cost, [FOUNDRY, "list"], environment(FOUNDRY_HOME=str(large))))
        yield Figure("seconds of foundry list, 1,000 agents", statistics.median(c.wall for c in many) / 1e3, 1)
        typed = environment(FOUNDRY_HOME=str(small), _FOUNDRY_COMPLETE="foundry run agent-2")
        base, ours = in_turn(25, click, partial(cost, [FOUNDRY], typed))
        yield Figure("CPU of a Tab, 50 agents / import click", ratio([c.cpu for c in ours], [c.cpu for c in base]), 3)
