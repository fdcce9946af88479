"""A plugin may be broken in any way: every command works all the same, and those that meet the plugin name it and its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import History
from tests.commands.running import foundry, make_runnable, script

HEAD = "from foundry.plugins.api import kernel_function\n"
TAIL = "class Tool:\n    @kernel_function\n    def use(self) -> str:\n        return 'used'\n"
ALL_OF_MEMORY = "x = bytearray(1 << 60)\n"

# What is wrong: the files of the plugin, and what the notice of a run says of it, "" where it works all the same.
KINDS: dict[str, tuple[dict[str, str], str]] = {
    "syntax error": ({"__init__.py": HEAD + "def (:\n" + TAIL}, "__init__.py:2: SyntaxError"),
    "sys.exit": ({"__init__.py": HEAD + "import sys\nsys.exit(3)\n" + TAIL}, "__init__.py:3: calls sys.exit(3)"),
    "os._exit": ({"__init__.py": HEAD + "import os\nos._exit(0)\n" + TAIL}, "__init__.py:3: ends the process with code 0"),
    "endless loop": ({"__init__.py": HEAD + "while True:\n    pass\n" + TAIL}, "its import does not end"),
    "input": ({"__init__.py": HEAD + "input('Who? ')\n" + TAIL}, "__init__.py:2: asks for input"),
    "duplicate tool": (
        {"__init__.py": HEAD + TAIL + TAIL.replace("Tool", "Other")},
        "__init__.py:8: a second method is the tool",
    ),
    "noise": ({"__init__.py": HEAD + "import sys\nprint('NOISE')\nprint('NOISE', file=sys.stderr)\n" + TAIL}, ""),
    "changed folder": ({"__init__.py": HEAD + "import os\nos.chdir('/')\n" + TAIL}, ""),
    "segfault": ({"__init__.py": HEAD + "import ctypes\nctypes.string_at(0)\n" + TAIL}, "__init__.py:3: kills the process"),
    "missing package": ({"__init__.py": HEAD + "import no_such_package\n" + TAIL}, "__init__.py:2: ModuleNotFoundError"),
    "endless thread": (
        {"__init__.py": HEAD + "import threading, time\nthreading.Thread(target=time.sleep, args=(90,)).start()\n" + TAIL},
        "its import does not end",
    ),
    "other builtins": ({"__init__.py": HEAD + "import builtins\nbuiltins.open = None\n" + TAIL}, "replaces builtins.open"),
    "other modules": (
        {"__init__.py": HEAD + "import sys, types\nsys.modules['json'] = types.ModuleType('json')\n" + TAIL},
        "replaces the module json",
    ),
    "other functions": (
        {"__init__.py": HEAD + "import json\njson.dumps = lambda *_, **__: '{}'\n" + TAIL},
        "replaces json.dumps",
    ),
    "other signals": (
        {"__init__.py": HEAD + "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + TAIL},
        "replaces what SIGINT does",
    ),
    "huge output": ({"__init__.py": HEAD + "import os\nfor _ in range(40):\n    os.write(1, b'x' * 50_000)\n" + TAIL}, "1 MiB"),
    "all of memory": ({"__init__.py": HEAD + ALL_OF_MEMORY + TAIL}, "__init__.py:2:"),
    "bad manifest": ({"__init__.py": HEAD + TAIL, "plugin.json": '{"efects": []}'}, "did you mean"),
    "not text": ({"__init__.py": HEAD + TAIL, "more.py": "x = '\0'\n"}, "more.py"),
    "no class": ({"__init__.py": HEAD}, "has no class"),
    "nothing there": ({"notes.txt": "x"}, "has no __init__.py"),
}
SLOW = {"endless loop", "endless thread"}
GOOD = HEAD + "class Good:\n    @kernel_function\n    def fine(self) -> str:\n        return 'fine'\n"
EVERY = [pytest.param(kind, marks=pytest.mark.prove if kind in SLOW else ()) for kind in KINDS]

# Commands that only read meet some kinds as text; the others would show only if the plugin ran, which "noise" tells of too.
_AS_TEXT = {"syntax error", "sys.exit", "endless loop", "noise", "bad manifest", "not text", "no class", "nothing there"}
READ = [pytest.param(kind, marks=() if kind in _AS_TEXT else pytest.mark.prove) for kind in KINDS]


def with_plugin(home: Home, kind: str, name: str = "broken") -> AgentFolder:
    files = {f"plugins/{name}/{file}": text for file, text in KINDS[kind][0].items()}
    return make_runnable(home, "scout", {**files, "plugins/good/__init__.py": GOOD}, plugins=[name, "good"])


@pytest.mark.parametrize("kind", EVERY)
def test_an_agent_with_a_broken_plugin_runs_without_it_and_names_it(place: Home, tmp_path: Path, kind: str) -> None:
    with_plugin(place, kind)
    said = KINDS[kind][1]

    ended = foundry("run", "scout", "-p", "hi", "--output", "events", "--model", script(tmp_path / "s.json", {"text": "Here."}))

    events = [json.loads(line) for line in ended.stdout.splitlines()]
    notices = " ".join(one["text"] for one in events if one["event"] == "Notice")
    assert ended.returncode == 0, ended.stderr
    assert events[-1]["answer"] == "Here."
    assert "NOISE" not in ended.stdout + ended.stderr
    assert ("broken" in notices) == bool(said)
    assert said in notices


@pytest.mark.parametrize("kind", READ)
def test_every_other_command_works_and_runs_none_of_it(place: Home, kind: str) -> None:
    with_plugin(place, kind)

    for words in (("list",), ("show", "scout"), ("tools", "scout"), ("rename", "scout", "other"), ("delete", "other", "--yes")):
        ended = foundry(*words, "--json")
        body = json.loads(ended.stdout)
        assert (ended.returncode, body["ok"]) == (0, True), (words, ended.stdout, ended.stderr)
        assert "NOISE" not in ended.stdout + ended.stderr


def test_a_name_of_pythons_own_is_refused(place: Home, tmp_path: Path) -> None:
    with_plugin(place, "noise", "json")
    ended = foundry("run", "scout", "-p", "hi", "--model", script(tmp_path / "s.json", {"text": "Here."}))
    assert (ended.returncode, ended.stdout) == (0, "Here.\n")
    assert "a module of Python itself" in ended.stderr


def test_a_plugin_broken_by_hand_is_named_at_the_start_with_the_undo_that_mends_it(place: Home, tmp_path: Path) -> None:
    folder = make_runnable(place, "scout", {"plugins/good/__init__.py": GOOD}, plugins=["good"])
    run = ("run", "scout", "-p", "hi", "--model", script(tmp_path / "s.json", {"text": "Here."}))
    assert foundry(*run).stderr == ""
    code = folder.plugins / "good" / "__init__.py"
    code.write_text("def (\n")

    broken = foundry(*run)

    assert (broken.returncode, broken.stdout) == (0, "Here.\n")
    assert "scout was changed by hand since" in broken.stderr
    assert "plugins/good/__init__.py; version 2; foundry diff scout" in broken.stderr
    assert "plugins/good/__init__.py:1: SyntaxError" in broken.stderr
    assert "foundry undo scout (takes back version 2" in broken.stderr
    assert "changed by hand" not in foundry(*run).stderr

    undone = foundry("undo", "scout", "--yes")

    assert undone.returncode == 0, undone.stderr
    assert code.read_text() == GOOD
    assert foundry(*run).stderr == ""


@pytest.mark.parametrize("kind", KINDS)
def test_undo_mends_every_kind(place: Home, kind: str) -> None:
    folder = make_runnable(place, "scout", {"plugins/broken/__init__.py": GOOD}, plugins=["broken"])
    assert foundry("history", "scout").returncode == 0
    History(folder).observe()
    (folder.plugins / "broken" / "__init__.py").unlink()
    for file, text in KINDS[kind][0].items():
        (folder.plugins / "broken" / file).write_text(text)

    undone = foundry("undo", "scout", "--yes")

    assert undone.returncode == 0, undone.stderr
    assert [one.name for one in (folder.plugins / "broken").iterdir()] == ["__init__.py"]
    assert (folder.plugins / "broken" / "__init__.py").read_text() == GOOD
