"""Agents damaged by hand: told for what they are, mended by the command that is named, and deletable whatever they hold."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.record import load_record
from foundry.console import Console
from foundry.errors import FoundryError, NotReadyError
from foundry.plugins.foundry_core.delete_agent import delete_agent
from foundry.plugins.foundry_core.list_agents import list_agents
from foundry.plugins.foundry_core.rename_agent import rename_agent
from foundry.plugins.foundry_core.restore_agent import restore_agent
from foundry.plugins.foundry_core.show_agent import show_agent
from foundry.plugins.foundry_core.validate_environment import validate_environment
from foundry.settings import Settings
from tests.commands.conftest import make_agent
from tests.commands.running import foundry

INTENTS = ["{nope", "", "[]", json.dumps({"put": ["/etc/x"]}), json.dumps({"put": ["../y"], "drop": "all"})]


def told(result: object) -> str:
    out = io.StringIO()
    Console(out=out).result(result)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("text", INTENTS)
def test_an_agent_with_a_broken_intent_can_be_deleted_and_restored(place: Home, settings: Settings, text: str) -> None:
    make_agent(place, "scout", {".foundry-staged/intent.json": text})

    delete_agent(place, "scout", settings=settings)
    restore_agent(place, "scout")

    assert place.names() == ["scout"]


@pytest.mark.parametrize("text", INTENTS[:-1])
def test_what_a_broken_intent_stops_names_the_command_that_mends_it(place: Home, text: str) -> None:
    make_agent(place, "scout", {".foundry-staged/intent.json": text})

    with pytest.raises(FoundryError) as caught:
        rename_agent(place, "scout", "finder")

    assert caught.value.hint == "foundry sync scout"


@pytest.mark.parametrize("version", ["1.0'; touch evil; '", "9\x1b[31m", "$(id)", "`id`", 7, None])
def test_a_newer_agents_version_cannot_put_words_into_the_command_that_is_suggested(place: Home, version: object) -> None:
    folder = make_agent(place, "scout", {".foundry.json": json.dumps({"format": 99, "runtime_version": version})})

    with pytest.raises(NotReadyError) as caught:
        load_record(folder)

    assert re.fullmatch(r"Install the newest agent-foundry\.|Install it: pip install 'agent-foundry>=[0-9.]+'", caught.value.hint)


def test_a_folders_name_cannot_forge_lines_of_the_list(place: Home) -> None:
    make_agent(place, "scout")
    (place.agents / "x\nscout: gone. Try: rm -rf /").mkdir()

    assert not any(line.startswith("scout: gone") for line in told(list_agents(place)).splitlines())


def test_agents_with_the_same_trouble_are_told_in_one_line(place: Home) -> None:
    for number in range(20):
        shutil.rmtree(make_agent(place, f"agent{number:02}").venv)

    lines = told(list_agents(place)).splitlines()

    assert lines[-1] == "agent00, agent01, agent02, agent03, agent04 and 15 more: has no environment. Try: foundry sync NAME"


def plugins_of_nobody(folder: AgentFolder) -> None:
    folder.plugins.write_text("no folder")


def work_in_a_file(folder: AgentFolder) -> None:
    folder.workspace.rmdir()
    folder.workspace.write_text("no folder")


@pytest.mark.parametrize("damage", [plugins_of_nobody, work_in_a_file])
def test_a_file_where_a_folder_belongs_stops_nobody_who_looks(
    place: Home, settings: Settings, damage: Callable[[AgentFolder], None]
) -> None:
    damage(make_agent(place, "scout"))

    show_agent(place, "scout", settings=settings)
    found = validate_environment(place, "scout", settings=settings, probe=False).findings
    delete_agent(place, "scout", settings=settings)

    assert damage is not work_in_a_file or any("is no folder" in one.what and one.mend.startswith("rm ") for one in found)


def test_an_empty_trash_is_not_asked_about(place: Home) -> None:
    ended = foundry("trash", "empty")

    assert (ended.returncode, ended.stdout) == (0, "The trash is empty.\n")


def test_what_other_agents_share_does_not_count_as_the_size_of_trash(place: Home, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "cached").write_bytes(bytes(1_000_000))
    (make_agent(place, "scout").venv / "cached").hardlink_to(tmp_path / "cached")
    delete_agent(place, "scout", settings=settings)

    (row,) = json.loads(foundry("trash", "--json").stdout)["data"]["entries"]

    assert row["bytes"] < 10_000


# values on the command line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["create", "new", "--env", "API=hunter2-hunter2"], ["env", "scout", "set", "API=hunter2-hunter2"]]
)
def test_a_value_given_as_an_argument_is_refused_and_not_repeated(place: Home, words: list[str]) -> None:
    make_agent(place, "scout")

    ended = foundry(*words, given="x")

    assert ended.returncode == 2
    assert "hunter2" not in ended.stdout + ended.stderr
    assert "API" in ended.stderr


@pytest.mark.parametrize(
    ("given", "kept"), [("plain\n", "plain"), ("cr\r\n", "cr"), ("two\nlines\n", "two\nlines"), ("#'\"$X", "#'\"$X")]
)
def test_a_value_is_taken_from_a_pipe_as_it_is(place: Home, given: str, kept: str) -> None:
    folder = make_agent(place, "scout")

    ended = foundry("env", "scout", "set", "API", given=given)

    from foundry.agent.secrets import read_env

    assert ended.returncode == 0, ended.stderr
    assert read_env(folder.env_file) == {"API": kept}
    assert folder.env_file.stat().st_mode & 0o777 == 0o600


def test_instructions_and_values_must_be_files_of_text(place: Home, tmp_path: Path) -> None:
    (tmp_path / "latin1").write_bytes(b"caf\xe9")
    (tmp_path / "huge").write_bytes(b"a" * 2_000_000)
    for option, files in {
        "--instructions": ["@nowhere", "@latin1", "@huge", "@.", "@/dev/zero"],
        "--env-file": ["nowhere", "."],
    }.items():
        for file in files:
            ended = foundry("create", "new", option, file, cwd=tmp_path)

            assert ended.returncode == 2, (file, ended.stderr)
            assert "Errno" not in ended.stderr
            assert "codec" not in ended.stderr
    assert place.names() == []
