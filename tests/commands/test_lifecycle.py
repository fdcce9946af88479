"""An agent's whole life through the command line, in real environments, each answer read from the JSON envelope."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FOUNDRY

pytestmark = pytest.mark.slow


def foundry(*words: str, stdin: str = "", code: int = 0) -> Any:
    told = subprocess.run([*FOUNDRY, *words, "--json"], capture_output=True, text=True, input=stdin)
    assert told.returncode == code, told.stderr + told.stdout
    envelope = json.loads(told.stdout)
    assert envelope["version"] == 1
    assert envelope["ok"] is (code == 0)
    return envelope["data"] if code == 0 else envelope["error"]


def script(path: Path, *steps: dict[str, Any]) -> str:
    path.write_text(json.dumps({"steps": steps}))
    return f"scripted:{path}"


def test_an_agent_is_made_asked_copied_renamed_deleted_and_restored(tmp_path: Path, home: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "notes.txt").write_text("the launch code name is heron\n")
    model = script(
        tmp_path / "script.json",
        {"calls": [{"name": "read_write_code.read_file", "arguments": {"path": "notes.txt"}}]},
        {"text": "It says: {result}"},
    )

    made = foundry(
        "create", "scout", "--description", "Reads", "--tools", "read_write_code,clock", "--model", model, "--no-input"
    )
    assert "scout" in json.dumps(made)
    folder = home / "agents" / "scout"
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert {one.name for one in folder.iterdir()} >= {"agent.config.json", "main.py", "plugins", "venv", "workspace", "README.md"}

    said = foundry("run", "scout", "-p", "what is the code name?", "--folder", str(tmp_path / "project"))
    assert "heron" in said["answer"]
    assert [call["tool"] for call in said["tool_calls"]] == ["read_write_code.read_file"]
    assert said["stop"] == "done"

    foundry("copy", "scout", "twin")
    foundry("rename", "twin", "double")
    assert [one["name"] for one in foundry("list")["agents"]] == ["double", "scout"]
    assert {one["state"] for one in foundry("list")["agents"]} == {"ready"}

    foundry("delete", "scout", "--yes")
    assert [one["name"] for one in foundry("list")["agents"]] == ["double"]
    foundry("restore", "scout")
    again = foundry("run", "scout", "-p", "and now?", "--folder", str(tmp_path / "project"))
    assert "heron" in again["answer"]


def test_a_moved_folder_still_runs(tmp_path: Path, home: Path) -> None:
    model = script(tmp_path / "script.json", {"text": "still here"})
    foundry("create", "nomad", "--model", model, "--no-input")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (home / "agents" / "nomad").rename(elsewhere / "nomad")

    told = subprocess.run(
        [elsewhere / "nomad" / "venv" / "bin" / "python", "-P", elsewhere / "nomad" / "main.py", "-p", "hi"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )

    assert told.returncode == 0, told.stderr
    assert told.stdout == "still here\n"
