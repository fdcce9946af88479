"""The command line itself: help, usage errors, JSON errors, completion, and what starting it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foundry.faces import SECTIONS
from foundry.foundry_cli import cli
from tests.conftest import FOUNDRY

HEAVY = ("semantic_kernel", "openai", "sqlalchemy", "fastapi")


def foundry(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*FOUNDRY, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def imported_by(*words: str) -> set[str]:
    told = subprocess.run([sys.executable, "-P", "-X", "importtime", *FOUNDRY[2:], *words], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-500:]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in told.stderr.splitlines() if "|" in line}


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["list"], ["settings"]])
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    loaded = imported_by(*words)

    assert "click" in loaded
    assert not loaded & {*HEAVY, "ollama", "httpx", "rich", "prompt_toolkit", "xllamacpp"}


def test_help_and_version_do_not_even_import_pydantic() -> None:
    assert not (imported_by("--help") | imported_by("--version")) & {"pydantic"}


def test_every_command_stands_in_one_section() -> None:
    assert sorted(cli.commands) == sorted(name for names in SECTIONS.values() for name in names)


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_each_command_explains_itself(name: str) -> None:
    told = foundry(name, "--help")

    assert told.returncode == 0
    assert told.stdout.startswith(f"Usage: foundry {name}")


def test_a_misspelt_command_is_named_with_the_nearest() -> None:
    told = foundry("craete")

    assert told.returncode == 2
    assert "create" in told.stderr
    assert told.stdout == ""


def test_a_usage_error_speaks_json_where_json_was_asked() -> None:
    told = foundry("show", "--json")

    assert told.returncode == 2
    assert json.loads(told.stdout)["error"]["code"] == "usage"


def test_an_expected_error_is_one_line_with_what_to_try() -> None:
    told = foundry("show", "nobody")

    assert told.returncode == 1
    assert told.stderr.startswith("error: no agent is called 'nobody'")
    assert "try: " in told.stderr
    assert "Traceback" not in told.stderr


def test_a_bad_setting_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_MAX_ROUNDS", "many")

    told = foundry("settings")

    assert told.returncode == 2
    assert "FOUNDRY_MAX_ROUNDS" in told.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str) -> None:
    told = foundry("completion", shell)

    assert told.returncode == 0
    assert "_FOUNDRY_COMPLETE" in told.stdout


def test_completion_offers_the_agents_there_are(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "agents" / "scout").mkdir(parents=True)

    assert completed("run", "sc", monkeypatch=monkeypatch) == ["scout"]


@pytest.mark.parametrize("words", [["create", "x"], ["list"], ["show", "x"], ["trash"], ["delete", "x", "--yes"], ["settings"]])
@pytest.mark.parametrize("place", ["file", "file/below", "agents-is-a-file", "n" * 300])
def test_a_home_that_cannot_be_one_is_an_expected_error_and_no_bug(tmp_path: Path, place: str, words: list[str]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "agents-is-a-file").mkdir()
    (tmp_path / "agents-is-a-file" / "agents").write_text("")

    told = foundry(*words, "--home", str(tmp_path / place), "--json")

    assert told.returncode in {0, 1, 2}, told.stdout
    error = json.loads(told.stdout)["error"]
    assert (error is None) == (told.returncode == 0)
    assert (error or {}).get("hint") != ""
    assert words[0] != "create" or error


def completed(*words: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a shell is offered for the last of the words."""
    monkeypatch.setenv("_FOUNDRY_COMPLETE", " ".join(["foundry", *words]))
    return [line.split("\t")[1] for line in foundry().stdout.splitlines()]


def test_completion_knows_blueprints_variables_the_trash_and_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = home / "agents" / "scout"
    agent.mkdir(parents=True)
    (agent / "agent.config.json").write_text('{"name": "scout", "env": ["API_TOKEN"]}')
    (home / ".foundry" / "trash" / "old@20261121T054042Z").mkdir(parents=True)

    assert completed("create", "x", "--blueprint", "gu", monkeypatch=monkeypatch) == ["guide"]
    assert completed("env", "scout", "set", "api", monkeypatch=monkeypatch) == ["API_TOKEN"]
    assert completed("restore", "o", monkeypatch=monkeypatch) == ["old", "old@20261121T054042Z"]
    assert completed("create", "x", "--tools", "clock,gr", monkeypatch=monkeypatch) == ["clock,grep_codebase"]
    assert completed("env", "nobody", "set", "a", monkeypatch=monkeypatch) == []
