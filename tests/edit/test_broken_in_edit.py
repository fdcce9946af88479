"""A plugin may be broken in any way: edit mode tells its writer what and where, and lives; nothing of the agent is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import History, code_of
from tests.commands.running import foundry, make_runnable, script
from tests.commands.test_broken_plugins import GOOD, KINDS, SLOW

FINE = {kind for kind, (_, said) in KINDS.items() if not said}
TOLD_OTHERWISE = {  # what the jail or the file tool says where the notice of a run has other words
    "huge output": "more than 1 MiB when it is imported",
    "not text": "NUL",
    "nothing there": "__init__.py",
}
NAMES = {kind: f"broken{number}" for number, kind in enumerate(KINDS)}
QUICK = [kind for kind in KINDS if kind not in SLOW]


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"name": f"agent_code.{tool}", "arguments": arguments}


def proposed(kind: str) -> dict[str, Any]:
    """One answer of the model: the plugin written, named, proposed, and taken back."""
    files, name = KINDS[kind][0], NAMES[kind]
    return {
        "calls": [
            *(call("write_file", path=f"plugins/{name}/{file}", content=text) for file, text in files.items()),
            call("configure", plugins=["good", name]),
            call("propose", summary=f"With {kind}."),
            call("delete", path=f"plugins/{name}"),
        ]
    }


def agent_with(home: Home, plugins: dict[str, dict[str, str]]) -> AgentFolder:
    files = {f"plugins/{name}/{file}": text for name, folder in plugins.items() for file, text in folder.items()}
    return make_runnable(home, "scout", files, plugins=list(plugins))


def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *steps: dict[str, Any]) -> list[dict[str, Any]]:
    """Play the steps in one session of edit mode and return its events."""
    monkeypatch.setenv("FOUNDRY_MAX_CALLS", "0")
    monkeypatch.setenv("FOUNDRY_MAX_ROUNDS", "100")
    model = script(tmp_path / "script.json", *steps, {"text": "Still here."})
    ended = foundry("run", "scout", "--edit", "-p", "go", "--output", "events", "--model", model, cwd=tmp_path)
    events: list[dict[str, Any]] = [json.loads(line) for line in ended.stdout.splitlines()]
    assert events[-1]["answer"] == "Still here.", (events[-1], ended.stderr)
    assert ended.returncode == 0, ended.stderr
    assert "NOISE" not in ended.stderr
    return events


def results(events: list[dict[str, Any]], tool: str) -> list[str]:
    """What the model was told by the calls of one tool, in order."""
    asked = {one["call"]["id"] for one in events if one["event"] == "ToolRequested" and one["call"]["name"] == tool}
    return [one["result"]["content"] for one in events if one["event"] == "ToolReturned" and one["result"]["call_id"] in asked]


@pytest.mark.parametrize("kinds", [QUICK, pytest.param(sorted(SLOW), marks=pytest.mark.prove)], ids=["quick", "slow"])
def test_what_is_wrong_is_told_with_its_place_before_anybody_is_asked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: list[str]
) -> None:
    agent = agent_with(Home(home), {"good": {"__init__.py": GOOD}})
    (agent.workspace / "notes.txt").write_text("mine")
    before = code_of(agent)

    events = edited(tmp_path, monkeypatch, *(proposed(kind) for kind in kinds))

    told = dict(zip(kinds, results(events, "agent_code.propose"), strict=True))
    for kind, text in told.items():
        if kind in FINE:
            assert "Nobody is there" in text, (kind, text)
            continue
        said = TOLD_OTHERWISE.get(kind, KINDS[kind][1])
        if kind == "not text":  # it is not even written; what is proposed is the plugin without it
            assert said in " ".join(results(events, "agent_code.write_file"))
            continue
        assert said in text, (kind, text)
        assert NAMES[kind] in text, (kind, text)
        assert "Not shown to the user yet" in text, (kind, text)
    assert code_of(agent) == before
    assert [one.read_text() for one in agent.workspace.iterdir()] == ["mine"]
    assert not list((Home(home).own / "shadow").iterdir())


def test_all_of_them_put_there_by_hand_and_edit_mode_starts_names_each_and_mends_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {kind: NAMES[kind] for kind in QUICK}
    agent = agent_with(Home(home), {"good": {"__init__.py": GOOD}})
    History(agent).observe()
    for kind, name in names.items():
        for file, text in KINDS[kind][0].items():
            path = agent.plugins / name / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    config = json.loads(agent.config.read_text())
    agent.config.write_text(json.dumps({**config, "plugins": ["good", *names.values()]}))
    mend = {"calls": [{"name": "good.fine", "arguments": {}}, call("read_file", path=f"plugins/{names['sys.exit']}/__init__.py")]}

    events = edited(tmp_path, monkeypatch, mend)

    notices = [one["text"] for one in events if one["event"] == "Notice"]
    for kind, name in names.items():
        of_it = " ".join(one for one in notices if f'"{name}"' in one)
        if kind in FINE:
            assert not of_it
            continue
        assert "is left out" in of_it, (kind, notices)
        assert KINDS[kind][1] in of_it, (kind, of_it)
        assert "foundry undo scout (takes back version 2" in of_it, (kind, of_it)
    assert "fine" in results(events, "good.fine")[0] or "denied" in results(events, "good.fine")[0].lower()
    assert "sys.exit(3)" in results(events, "agent_code.read_file")[0]
    assert foundry("undo", "scout", "--yes").returncode == 0
    assert [one.name for one in agent.plugins.iterdir()] == ["good"]


def test_one_broken_plugin_does_not_keep_another_from_being_proposed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_with(Home(home), {"good": {"__init__.py": GOOD}, "broken": KINDS["syntax error"][0]})
    again = GOOD.replace("fine", "finer").replace("Good", "Other")
    steps = [
        {"calls": [call("new_plugin", name="other", description="Another.", code=again)]},
        {"calls": [call("propose", summary="s")]},
    ]
    events = edited(tmp_path, monkeypatch, *steps)
    assert "Nobody is there" in results(events, "agent_code.propose")[0]
