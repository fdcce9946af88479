"""The same table through the real entrances, and nobody there in each of the ways that nobody can be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.standing import change_standing
from foundry.plugins.cards import plugin_code_hash
from tests.commands.running import foundry, make_runnable, script
from tests.conftest import FOUNDRY
from tests.gate.test_table import HOUSE
from tests.session.screens import Terminal

pytestmark = pytest.mark.slow
COLUMNS = ("reads", "writes", "runs", "network")
METHOD = '''
    @kernel_function
    @effects("{0}")
    def {0}(self) -> str:
        """Do it."""
        Path(__file__).parents[2].joinpath("done", "{0}").touch()
        return "done"
'''
PLUGIN = '"""Each effect."""\nfrom pathlib import Path\nfrom foundry.plugins.api import effects, kernel_function\n\nclass Own:\n'
RULES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "allow": [{"decide": "allow"}],
    "ask": [{"decide": "ask"}],
    "deny": [{"decide": "deny", "effect": "writes"}],
}
NO_ANSWERS = ("", "yesss", "Y\x1b[A")
CALLS = [
    *({"name": f"own.{one}", "arguments": {}} for one in COLUMNS),
    {"name": "read_write_code.write_file", "arguments": {"path": "a.txt", "content": "x"}},
    {"name": "read_write_code.write_file", "arguments": {"path": ".bashrc", "content": "x"}},
]


def agent(home: Path, *, accepted: bool = True, **config: Any) -> AgentFolder:
    files = {"plugins/own/__init__.py": PLUGIN + "".join(METHOD.format(one) for one in COLUMNS), "done/.keep": ""}
    made = make_runnable(Home(home), "scout", files, tools=["read_write_code"], plugins=["own"], **config)
    if accepted:
        code = plugin_code_hash(made.plugins / "own")
        change_standing(made, lambda old: replace(old, accepted={"own": code}))
    return made


def done(folder: AgentFolder) -> set[str]:
    """What really happened: effects of the plugin's tools, files that the file tools wrote."""
    made = {path.name for path in (folder.path / "done").iterdir()} - {".keep"}
    return made | {path.name for path in folder.workspace.iterdir()}


def expected(mode: str, rule: str, yes: bool) -> set[str]:
    found = set()
    for name, column in [*zip(COLUMNS, COLUMNS, strict=True), ("a.txt", "writes"), (".bashrc", "protected")]:
        verdict = HOUSE[mode][column]
        if rule == "deny" and column in {"writes", "protected"}:
            verdict = "deny"
        elif rule == "ask" and verdict == "allow":
            verdict = "ask"
        elif rule == "allow" and verdict == "ask" and column != "protected":
            verdict = "allow"
        if verdict == "allow" or (verdict == "ask" and yes):
            found.add(name)
    return found


@pytest.mark.parametrize(
    ("output", "mode", "rule"),
    [
        *product(("json",), HOUSE, RULES),
        *product(("text", "events"), ("run",), ("none",)),
        *(
            pytest.param(*one, marks=pytest.mark.prove)
            for one in product(("text", "events"), HOUSE, ("none", "allow"))
            if one[1:] != ("run", "none")
        ),
    ],
)
def test_headless_entrances(home: Path, tmp_path: Path, output: str, mode: str, rule: str) -> None:
    folder = agent(home, approvals=RULES[rule])
    model = script(tmp_path / "s.json", *({"calls": [one]} for one in CALLS), {"text": "ok"})
    ran = foundry("run", "scout", "-p", "go", "--model", model, "--mode", mode, "--output", output)
    assert done(folder) == expected(mode, rule, yes=False), ran.stderr
    if output == "json":
        calls = json.loads(ran.stdout)["data"]["tool_calls"]
        assert sum(one["allowed"] for one in calls) == len(done(folder))


@pytest.mark.parametrize(
    ("mode", "answer"),
    [
        *product(HOUSE, ("y", "n")),
        *product(("run",), NO_ANSWERS),
        *(pytest.param(*one, marks=pytest.mark.prove) for one in product(("plan", "edit", "auto"), NO_ANSWERS)),
    ],
)
def test_the_chat_on_a_terminal(home: Path, tmp_path: Path, mode: str, answer: str) -> None:
    folder = agent(home)
    model = script(tmp_path / "s.json", *({"calls": [one]} for one in CALLS), {"text": "that was all of it"})
    # Edit mode's own tools are another matter; here it is the table's row.
    chat = Terminal([*FOUNDRY, "run", "scout", "--model", model, "--mode", mode], tmp_path, 100, 40)
    try:
        chat.until("❯")
        chat.line("go")
        asked = 0
        for _ in range(60):
            if "that was all of it" in chat.text:
                break
            if chat.text.count("Allow it?") > asked:
                asked += 1
                time.sleep(0.15)  # what is typed before the question does not count
                chat.line(answer)
            chat._read(0.25)
        chat.until("that was all of it")
    finally:
        chat.stop()
    assert done(folder) == expected(mode, "none", yes=answer == "y")


# nobody there ---------------------------------------------------------------------------------------------------------


ASKED: Sequence[dict[str, Any]] = [{"calls": [one]} for one in CALLS if one["name"] != "own.reads"]


@pytest.mark.parametrize("way", ["null", "closed", "newline", "typed ahead", "eof"])
def test_nobody_there_on_standard_input(home: Path, tmp_path: Path, way: str) -> None:
    folder = agent(home)
    model = script(tmp_path / "s.json", *ASKED, {"text": "ok"})
    words = ["run", "scout", "-p", "go", "--model", model]
    given = {"null": None, "newline": b"\n", "typed ahead": b"y\ny\ny\ny\ny\ny\n", "eof": b""}.get(way)
    if way == "closed":
        ran = subprocess.run(["/bin/sh", "-c", 'exec "$@" <&-', "sh", *FOUNDRY, *words], capture_output=True, timeout=60)
    else:
        more: dict[str, Any] = {"input": given} if given is not None else {"stdin": subprocess.DEVNULL}
        ran = subprocess.run([*FOUNDRY, *words], capture_output=True, timeout=60, **more)
    assert done(folder) == set(), ran.stderr
    assert ran.returncode == 6


@pytest.mark.parametrize("way", ["hang up", "end of file", "typed ahead", "Ctrl+C", "Enter"])
def test_nobody_there_at_a_terminal(home: Path, tmp_path: Path, way: str) -> None:
    folder = agent(home)
    model = script(tmp_path / "s.json", *ASKED[:2], {"text": "that was all of it"})
    chat = Terminal([*FOUNDRY, "run", "scout", "--model", model], tmp_path, 100, 40)
    try:
        chat.until("❯")
        chat.line("go")
        if way == "typed ahead":
            chat.keys("y\ry\ry\ry\r")
        for number in (1, 2):
            chat.until("Allow it?", count=number)
            if way == "hang up":
                chat.hang_up()
                break
            time.sleep(0.15)
            chat.keys({"end of file": "\x04", "Ctrl+C": "\x03"}.get(way, "\r"))
        if way != "hang up":
            chat.until("that was all of it")
    finally:
        chat.stop()
    assert done(folder) == set()


def test_hung_up_while_it_runs_headless(home: Path, tmp_path: Path) -> None:
    folder = agent(home)
    model = script(tmp_path / "s.json", *ASKED, {"text": "slow " * 400, "chunk": 4, "delay": 0.05})
    words = [*FOUNDRY, "run", "scout", "-p", "go", "--model", model]
    ran = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        time.sleep(2.5)
        os.kill(ran.pid, signal.SIGHUP)
        ran.communicate(timeout=20)
    finally:
        ran.kill()
    assert ran.returncode in (129, -signal.SIGHUP)
    assert done(folder) == set()


@pytest.mark.parametrize(
    "policy", [None, "yes", [{"decide": "maybe"}], [{"decide": "allow", "tol": "*"}], {"decide": "allow"}, [7], [{"tool": "*"}]]
)
def test_no_policy_and_broken_ones_execute_nothing(home: Path, tmp_path: Path, policy: Any) -> None:
    folder = agent(home, **({} if policy is None else {"approvals": policy}))
    model = script(tmp_path / "s.json", *ASKED, {"text": "ok"})
    ran = foundry("run", "scout", "-p", "go", "--model", model)
    assert done(folder) == set()
    assert ran.returncode == (6 if policy is None else 1), ran.stderr


def test_a_changed_plugin_loses_what_was_accepted(home: Path, tmp_path: Path) -> None:
    folder = agent(home)
    source = folder.plugins / "own" / "__init__.py"
    source.write_text(source.read_text() + "\n# changed\n")
    model = script(tmp_path / "s.json", {"calls": [CALLS[0]]}, {"text": "ok"})
    ran = foundry("run", "scout", "-p", "go", "--model", model)
    assert (done(folder), ran.returncode) == (set(), 6)
