"""Several renames as one: a crash between any two leaves the old state or the new."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.agent import intent, lock
from foundry.agent.folder import AgentFolder
from foundry.files import BadFileError


@pytest.fixture
def folder(tmp_path: Path) -> AgentFolder:
    return made(tmp_path / "scout")


def made(path: Path) -> AgentFolder:
    for name, text in {"venv/a": "old", "venv/only-old": "", "config": "old", "plugins/x/p": "old", "mine": "mine"}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return AgentFolder(path)


def stage(folder: AgentFolder) -> None:
    new = intent.begin(folder).new
    for name, text in {"venv/a": "new", "config": "new", "plugins/y/p": "new"}.items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_text(text)


PUT, DROP = ["venv", "config", "plugins/y"], ["plugins/x"]


def picture(folder: AgentFolder) -> dict[str, str]:
    found = (path for path in folder.path.rglob("*") if path.is_file() and path != folder.holders)
    return {path.relative_to(folder.path).as_posix(): path.read_text() for path in found}


NEW = {"venv/a": "new", "config": "new", "plugins/y/p": "new", "mine": "mine"}


def test_what_was_staged_comes_what_was_dropped_goes_the_rest_stays(folder: AgentFolder) -> None:
    stage(folder)

    intent.commit(folder, "test", PUT, DROP)

    assert picture(folder) == NEW
    assert not intent.pending(folder)


def test_without_an_intent_the_old_state_stands(folder: AgentFolder) -> None:
    before = picture(folder)
    stage(folder)

    intent.recover(folder)

    assert picture(folder) == before


@settings(max_examples=30, deadline=None)
@given(done=st.integers(0, 7))
def test_after_any_number_of_renames_the_change_is_ended(tmp_path_factory: pytest.TempPathFactory, done: int) -> None:
    folder = made(tmp_path_factory.mktemp("intent") / "scout")
    stage(folder)
    intent.announce(folder, "test", PUT, DROP)
    place = intent.staging(folder)
    moves = [
        ("venv", "old/venv"),
        ("new/venv", "venv"),
        ("new/config", "config"),
        ("new/plugins/y", "plugins/y"),
        ("plugins/x", "old/plugins/x"),
    ]
    for source, target in moves[:done]:
        here = (place.path if source.startswith("new") else folder.path) / source
        there = (place.path if target.startswith("old") else folder.path) / target
        there.parent.mkdir(parents=True, exist_ok=True)
        here.replace(there)
    if done > len(moves):
        place.intent.unlink()

    intent.recover(folder)

    assert picture(folder) == NEW
    assert not intent.pending(folder)


def test_a_change_whose_process_lives_is_left_alone(folder: AgentFolder) -> None:
    with lock.hold_alone(folder, "sync"):
        stage(folder)
        intent.recover(folder)
        assert intent.pending(folder)


def test_whoever_takes_the_lock_ends_the_change_first(folder: AgentFolder) -> None:
    for hold in (lock.hold_alone, lock.hold_shared):
        stage(folder)
        intent.announce(folder, "test", PUT)
        with hold(folder, "run"):
            assert (folder.path / "venv" / "a").read_text() == "new"


def test_an_intent_for_another_name_counts_as_never_given(folder: AgentFolder) -> None:
    before = picture(folder)
    stage(folder)
    intent.announce(folder, "rename", PUT, named="finder")

    intent.recover(folder)

    assert picture(folder) == before


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../b", "", 3, None])
def test_an_intent_that_points_outside_moves_nothing(folder: AgentFolder, name: object) -> None:
    before = picture(folder)
    stage(folder)
    intent.staging(folder).intent.write_text(json.dumps({"verb": "x", "put": ["config", name]}))

    with pytest.raises(BadFileError):
        intent.recover(folder)

    shutil.rmtree(intent.staging(folder).path)
    assert picture(folder) == before


def test_a_link_is_replaced_not_followed(folder: AgentFolder, tmp_path: Path) -> None:
    shutil.rmtree(folder.venv)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a").write_text("theirs")
    folder.venv.symlink_to(tmp_path / "theirs")
    stage(folder)

    intent.commit(folder, "test", ["venv"])

    assert not folder.venv.is_symlink()
    assert (tmp_path / "theirs" / "a").read_text() == "theirs"


def test_a_change_that_nobody_understands_is_set_aside_whole(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path)
    (intent.begin(folder).new / "mine").write_text("mine")
    intent.staging(folder).intent.write_text("{nope")

    kept = intent.give_up(folder)

    assert kept
    assert (kept / "new" / "mine").read_text() == "mine"
    assert not intent.pending(folder)
    assert intent.give_up(folder) is None
