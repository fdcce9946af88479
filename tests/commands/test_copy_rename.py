"""foundry copy and foundry rename: whole, links never followed, the config's name follows."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.agent import intent, lock
from foundry.agent.folder import AgentFolder, Home
from foundry.errors import BusyError, FoundryError, NotFoundError, UsageError
from foundry.files import BadFileError
from foundry.plugins.foundry_core.copy_agent import copy_agent
from foundry.plugins.foundry_core.rename_agent import rename_agent
from foundry.settings import Settings
from tests.commands.conftest import make_agent, picture
from tests.commands.real import foundry_seen_by, left_over, one_agent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, AgentFolder]]:
    with one_agent(tmp_path_factory) as one:
        yield one


def name_in(folder: AgentFolder) -> str:
    return str(json.loads(folder.config.read_text())["name"])


# rename -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", ["finder", "Scout"])
def test_a_renamed_agent_keeps_everything_but_its_name(place: Home, new: str) -> None:
    folder = make_agent(place, "scout", {"workspace/mine.txt": "mine", ".env": "A=1"}, description="Reads")
    before = picture(folder.path)

    told = rename_agent(place, "scout", new)

    after = picture(told.path)
    assert place.names() == [new]
    assert name_in(AgentFolder(told.path)) == new
    assert {**after, "agent.config.json": ""} == {**before, "agent.config.json": ""}
    assert not intent.pending(AgentFolder(told.path))


def test_a_rename_to_a_taken_or_bad_or_the_same_name_changes_nothing(place: Home) -> None:
    make_agent(place, "scout")
    make_agent(place, "Other")
    before = picture(place.agents)

    for new, error in (("other", FoundryError), ("../x", UsageError), ("scout", UsageError)):
        with pytest.raises(error):
            rename_agent(place, "scout", new)

    assert picture(place.agents) == before


def test_a_running_agent_is_not_renamed(place: Home) -> None:
    folder = make_agent(place, "scout")

    with lock.hold_shared(folder, "run"), pytest.raises(BusyError):
        rename_agent(place, "scout", "finder")

    assert place.names() == ["scout"]


def test_an_agent_with_a_broken_config_is_not_renamed(place: Home) -> None:
    folder = make_agent(place, "scout", {"agent.config.json": "{"})

    with pytest.raises(BadFileError):
        rename_agent(place, "scout", "finder")

    assert place.names() == ["scout"]
    assert not intent.pending(folder)


@pytest.mark.parametrize("moved", [False, True])
def test_a_rename_cut_short_is_ended_by_the_next_command(place: Home, moved: bool) -> None:
    folder = make_agent(place, "scout")
    staged = intent.begin(folder).new / "agent.config.json"
    staged.write_text('{"name": "finder"}')
    intent.announce(folder, "rename", put=["agent.config.json"], named="finder")
    if moved:
        folder = AgentFolder(folder.path.rename(place.agents / "finder"))

    intent.recover(folder)

    assert name_in(folder) == folder.name == ("finder" if moved else "scout")
    assert not intent.pending(folder)


def test_there_must_be_an_agent_to_rename(place: Home) -> None:
    make_agent(place, "scout")

    for name in ("scot", "../agents/scout", "scout/", "."):
        with pytest.raises(NotFoundError):
            rename_agent(place, name, "finder")


# copy ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_copy_has_all_the_files_and_an_environment_of_its_own(
    made: tuple[Home, AgentFolder], settings: Settings, tmp_path: Path
) -> None:
    home, folder = made
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs.txt").write_text("theirs")
    (folder.workspace / "link").symlink_to(outside)
    (folder.workspace / "run.sh").write_text("#!/bin/sh\n")
    (folder.workspace / "run.sh").chmod(0o750)
    os.mkfifo(folder.workspace / "pipe")

    told = copy_agent(home, "scout", "twin", settings=settings)

    twin = AgentFolder(told.path)
    assert name_in(twin) == "twin"
    assert name_in(folder) == "scout"
    assert (twin.workspace / "link").readlink() == outside
    assert stat.S_IMODE((twin.workspace / "run.sh").stat().st_mode) == 0o750
    assert stat.S_IMODE(twin.env_file.stat().st_mode) == 0o600
    assert twin.env_file.read_text() == folder.env_file.read_text()
    assert told.left_out == ("workspace/pipe",)
    assert foundry_seen_by(twin).is_relative_to(twin.venv)


def test_a_copy_that_cannot_be_made_leaves_nothing(place: Home, settings: Settings) -> None:
    make_agent(place, "scout", {".foundry.json": "{"})
    make_agent(place, "taken")
    before = picture(place.agents)

    for new in ("taken", "TAKEN", "a/b", "twin"):
        with pytest.raises(FoundryError):
            copy_agent(place, "scout", new, settings=settings)

    assert picture(place.agents) == before
    assert left_over(place) == []


def test_an_agent_that_is_being_changed_is_not_copied(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout")

    with lock.hold_alone(folder, "sync"), pytest.raises(BusyError):
        copy_agent(place, "scout", "twin", settings=settings)

    assert place.names() == ["scout"]
