"""foundry sync, and what a run does first: the environment follows the lock, the config and the running Foundry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from foundry.agent import intent, venv
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.lock import hold_shared
from foundry.agent.record import load_record, save_record
from foundry.agent.wheel import runtime_hash
from foundry.errors import BusyError, FoundryError, NotFoundError, NotReadyError
from foundry.files import BadFileError
from foundry.plugins.foundry_core.sync_agent import ensure_current, sync_agent
from foundry.plugins.foundry_core.trust_agent import trust_agent
from foundry.settings import Settings, load_settings
from tests.commands.conftest import make_agent
from tests.commands.real import Heard, foundry_seen_by, one_agent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, AgentFolder]]:
    with one_agent(tmp_path_factory) as one:
        yield one


def changed(folder: AgentFolder, **keys: object) -> None:
    folder.config.write_text(json.dumps({**json.loads(folder.config.read_text()), **keys}))


# real environments ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["venv", "venv/bin/python", "venv/.foundry-whole", ".foundry.json", "requirements.lock"])
def test_whatever_of_the_environment_is_lost_sync_brings_back(
    made: tuple[Home, AgentFolder], settings: Settings, damage: str
) -> None:
    home, folder = made
    (folder.workspace / "mine.txt").write_text("mine")
    intent.remove(folder.path / damage)

    told = sync_agent(home, "scout", settings=settings)

    assert venv.check(folder) == []
    assert folder.lock.read_text() == venv.runtime_lock()
    assert bool(told.resolved) == (damage in {".foundry.json", "requirements.lock"})
    assert (folder.workspace / "mine.txt").read_text() == "mine"
    assert not intent.pending(folder)
    foundry_seen_by(folder)


@pytest.mark.slow
def test_a_python_that_went_away_is_noticed_and_mended(made: tuple[Home, AgentFolder], settings: Settings) -> None:
    home, folder = made
    folder.python.unlink()
    folder.python.symlink_to("/nowhere/python3")
    assert venv.check(folder) == ["its Python is gone"]
    with pytest.raises(NotReadyError) as caught:
        ensure_current(folder, settings, Heard())
    assert caught.value.hint == "foundry sync scout"

    sync_agent(home, "scout", settings=settings)

    ensure_current(folder, settings, Heard())


@pytest.mark.slow
def test_changed_dependencies_are_resolved_anew_and_it_is_said(made: tuple[Home, AgentFolder], settings: Settings) -> None:
    home, folder = made
    changed(folder, dependencies=["rich>=14"])
    heard = Heard()

    told = sync_agent(home, "scout", settings=settings, progress=heard)

    assert "dependencies" in told.resolved
    assert any("made anew" in note for note in heard.notes)
    assert load_record(folder).dependencies == ("rich>=14",)
    changed(folder, dependencies=[])
    assert "dependencies" in sync_agent(home, "scout", settings=settings).resolved


@pytest.mark.slow
def test_an_agent_of_another_foundry_is_brought_to_this_one_before_a_run(
    made: tuple[Home, AgentFolder], settings: Settings
) -> None:
    _, folder = made
    save_record(folder, replace(load_record(folder), runtime_hash="0" * 64, runtime_version="0.0.9"))
    heard = Heard()

    ensure_current(folder, load_settings(None, {"FOUNDRY_OFFLINE": "1"}), heard)
    ensure_current(folder, settings, heard)

    assert [note for note in heard.notes if "0.0.9" in note] == heard.notes
    assert len(heard.notes) == 1
    assert load_record(folder).runtime_hash == runtime_hash()


@pytest.mark.slow
def test_a_lock_that_cannot_be_met_leaves_the_old_environment(made: tuple[Home, AgentFolder], settings: Settings) -> None:
    home, folder = made
    whole = folder.lock.read_text()
    folder.lock.write_text(whole.replace("--hash=sha256:", "--hash=sha256:0000").replace("0000", "0" * 4))
    with pytest.raises(BadFileError, match=r"requirements\.lock:\d+"):
        sync_agent(home, "scout", settings=settings)
    folder.lock.write_text("no-such-package-of-foundry==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n")

    with pytest.raises(FoundryError):
        sync_agent(home, "scout", settings=load_settings(None, {"FOUNDRY_OFFLINE": "1"}))

    assert venv.check(folder) == []
    assert not intent.pending(folder)
    folder.lock.write_text(whole)
    foundry_seen_by(folder)


@pytest.mark.slow
def test_a_home_brought_to_another_machine_needs_only_to_be_trusted(
    made: tuple[Home, AgentFolder], settings: Settings, tmp_path: Path
) -> None:
    there = Home(tmp_path / "there")
    shutil.copytree(made[1].path, there.agents / "scout", symlinks=True, ignore=shutil.ignore_patterns("venv"))

    with pytest.raises(NotReadyError, match="not trusted"):
        sync_agent(there, "scout", settings=settings)
    trust_agent(there, "scout", settings=settings)
    told = sync_agent(there, "scout", settings=settings)

    assert told.resolved == ""
    foundry_seen_by(there.agent("scout"))


# refusals -----------------------------------------------------------------------------------------------------------------


def test_a_running_agent_is_not_synced(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout")

    with hold_shared(folder, "run"), pytest.raises(BusyError, match="scout"):
        sync_agent(place, "scout", settings=settings)

    assert venv.check(folder) == []


def test_an_agent_of_a_newer_foundry_is_refused_with_the_version(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout", {".foundry.json": '{"format": 2, "runtime_version": "9.1", "what": "ever"}'})

    for attempt in (lambda: sync_agent(place, "scout", settings=settings), lambda: ensure_current(folder, settings, Heard())):
        with pytest.raises(NotReadyError, match="newer") as caught:
            attempt()
        assert "9.1" in caught.value.hint
    assert not intent.pending(folder)


def test_nobody_is_synced_under_a_wrong_name(place: Home, settings: Settings) -> None:
    make_agent(place, "scout")

    with pytest.raises(NotFoundError) as caught:
        sync_agent(place, "scot", settings=settings)

    assert "scout" in caught.value.hint


@pytest.mark.parametrize("line", ["-e .", "--index-url http://x", "rich @ file:///x", "rich==1.0", "-r other.txt", "${HOME}"])
def test_a_lock_that_says_more_than_hashed_versions_is_refused_before_uv_sees_it(place: Home, line: str) -> None:
    folder = make_agent(place, "scout", {"requirements.lock": f"# fine\n{line}\n"})

    with pytest.raises(BadFileError, match=r"requirements\.lock:2"):
        venv.read_lock(folder)


def test_changed_dependencies_stop_a_run_and_name_the_sync(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout")
    changed(folder, dependencies=["rich"])

    with pytest.raises(NotReadyError) as caught:
        ensure_current(folder, settings, Heard())

    assert caught.value.hint == "foundry sync scout"
