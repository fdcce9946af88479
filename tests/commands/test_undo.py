"""foundry history, diff, undo and redo: exact, code and environment, and nothing at all where that cannot be."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.agent import intent, venv
from foundry.agent.change import apply
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import History, code_of
from foundry.agent.lock import hold_alone, hold_shared
from foundry.agent.record import load_record
from foundry.errors import BusyError, FoundryError
from foundry.files import BadFileError
from foundry.plugins.foundry_core.delete_agent import delete_agent
from foundry.plugins.foundry_core.history_agent import agent_history, diff_agent
from foundry.plugins.foundry_core.rename_agent import rename_agent
from foundry.plugins.foundry_core.restore_agent import restore_agent
from foundry.plugins.foundry_core.sync_agent import ensure_current, sync_agent
from foundry.plugins.foundry_core.undo_agent import Going, redo_agent, undo_agent
from foundry.settings import Settings
from tests.commands.conftest import make_agent
from tests.commands.real import Heard, foundry_seen_by, one_agent
from tests.commands.running import foundry, started

PLUGIN = "plugins/dice/__init__.py"


@pytest.fixture
def folder(place: Home) -> AgentFolder:
    """An agent at version 2, whose plugin was accepted."""
    made = make_agent(place, "scout")
    History(made).observe()
    with hold_alone(made, "accept"):
        apply(made, {PLUGIN: (b"one = 1\r\n", 0o755)}, said="throws dice")
    return made


# what is shown ----------------------------------------------------------------------------------------------------------


def test_history_tells_each_version_and_what_was_changed_by_hand(place: Home, folder: AgentFolder) -> None:
    (folder.path / "README.md").write_text("by hand")

    told = agent_history(place, "scout")

    assert [(one.number, one.kind, one.said, one.current) for one in told.versions] == [
        (2, "accepted", "throws dice", True),
        (1, "made", "", False),
    ]
    assert told.by_hand == ("README.md",)
    assert len(History(folder).versions()) == 2, "looking records nothing"


def test_a_long_list_of_files_is_short_to_read_and_whole_as_data(place: Home, folder: AgentFolder) -> None:
    with hold_alone(folder, "accept"):
        apply(folder, {f"plugins/many/{n}.py": (b"", 0o644) for n in range(9)})

    told = agent_history(place, "scout")

    assert len(told.versions[0].files) == 9
    (table, *_) = told.shown()
    assert "and 6 more" in str(table)
    assert "6.py" not in str(table)


def test_diff_is_what_the_last_change_changed_or_between_two_or_by_hand(place: Home, folder: AgentFolder) -> None:
    last = diff_agent(place, "scout")
    assert [(one.name, one.before, one.after) for one in last.files] == [(PLUGIN, None, b"one = 1\r\n")]
    assert [(one.name, one.after) for one in diff_agent(place, "scout", 2, 1).files] == [(PLUGIN, None)]

    (folder.path / "main.py").write_text("by hand")

    assert [one.name for one in diff_agent(place, "scout").files] == ["main.py"]
    assert [one.name for one in diff_agent(place, "scout", 1).files] == ["main.py", PLUGIN]


def test_an_agent_that_never_ran_has_no_history_and_that_is_said(place: Home) -> None:
    make_agent(place, "fresh")

    assert agent_history(place, "fresh").versions == ()
    with pytest.raises(FoundryError, match="no history yet"):
        diff_agent(place, "fresh")


@pytest.mark.slow
def test_the_commands_in_text_and_json(folder: AgentFolder) -> None:
    assert "throws dice" in foundry("history", "scout").stdout
    told = json.loads(foundry("history", "scout", "--json").stdout)
    assert [one["number"] for one in told["data"]["versions"]] == [2, 1]
    assert "one = 1" in foundry("diff", "scout").stdout
    refused = foundry("undo", "scout")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert foundry("undo", "scout", "7", "--yes").returncode == 1
    assert foundry("undo", "scout", given="y\n").returncode == 2, "a piped yes is nobody's"
    assert (folder.path / PLUGIN).exists()

    assert foundry("undo", "scout", "--yes").returncode == 0

    assert not folder.plugins.joinpath("dice").exists()
    assert foundry("undo", "scout", "--yes").returncode == 1, "there is nothing more to undo"
    assert foundry("redo", "scout", "--yes").returncode == 0
    assert (folder.path / PLUGIN).read_bytes() == b"one = 1\r\n"


# what is asked ----------------------------------------------------------------------------------------------------------


def test_the_diff_is_seen_before_the_yes_and_a_no_changes_nothing(place: Home, settings: Settings, folder: AgentFolder) -> None:
    before = code_of(folder)
    seen: list[Going] = []

    def refuse(what: Going) -> bool:
        seen.append(what)
        return False

    with pytest.raises(FoundryError, match="the answer was no"):
        undo_agent(place, "scout", settings=settings, confirm=refuse)

    assert [(one.name, one.before, one.after) for one in seen[0].files] == [(PLUGIN, b"one = 1\r\n", None)]
    assert code_of(folder) == before
    assert History(folder).head() == 2


def test_what_was_changed_while_the_question_stood_is_not_overwritten(
    place: Home, settings: Settings, folder: AgentFolder
) -> None:
    def edits(_: object) -> bool:
        (folder.path / PLUGIN).write_text("by hand meanwhile")
        return True

    with pytest.raises(FoundryError, match="changed meanwhile"):
        undo_agent(place, "scout", settings=settings, confirm=edits)

    assert (folder.path / PLUGIN).read_text() == "by hand meanwhile"


def test_a_session_that_runs_is_named_and_nothing_changes(place: Home, settings: Settings, folder: AgentFolder) -> None:
    before = code_of(folder)

    with hold_shared(folder, "run"), pytest.raises(BusyError, match="in use"):
        undo_agent(place, "scout", settings=settings, confirm=None)

    assert code_of(folder) == before


# the agent's way through the home ------------------------------------------------------------------------------------------


def test_the_history_follows_a_rename_the_trash_and_a_restore_and_ends_with_a_purge(
    place: Home, settings: Settings, folder: AgentFolder
) -> None:
    rename_agent(place, "scout", "finder")
    delete_agent(place, "finder", purge=False, settings=settings, confirm=None)
    restore_agent(place, "finder")
    # Its new name stands in its config: that is a change of the code as any other.
    undo_agent(place, "finder", 1, settings=settings, confirm=None)
    assert not (place.agents / "finder" / PLUGIN).exists()

    delete_agent(place, "finder", purge=True, settings=settings, confirm=None)

    assert list((place.own / "history").iterdir()) == []


@pytest.mark.parametrize("original", ["scout", "renamed by hand", "in the trash"])
def test_of_two_folders_with_one_id_the_original_keeps_the_history(
    place: Home, settings: Settings, folder: AgentFolder, original: str
) -> None:
    twin = AgentFolder(place.agents / ("scout" if original == "renamed by hand" else "twin"))
    if original == "renamed by hand":
        folder = AgentFolder(folder.path.rename(place.agents / "first"))
    shutil.copytree(folder.path, twin.path, symlinks=True)
    if original == "in the trash":
        delete_agent(place, "scout", purge=False, settings=settings, confirm=None)

    assert agent_history(place, twin.name).versions == ()
    History(twin).observe()
    assert [one.kind for one in History(twin).versions()] == ["made"]

    if original == "in the trash":
        restore_agent(place, "scout")
    assert [one.kind for one in History(folder).versions()] == ["made", "accepted"]


def test_a_copy_made_by_hand_is_purged_without_the_history_of_its_original(
    place: Home, settings: Settings, folder: AgentFolder
) -> None:
    shutil.copytree(folder.path, place.agents / "twin", symlinks=True)

    delete_agent(place, "twin", purge=True, settings=settings, confirm=None)

    assert len(History(folder).versions()) == 2


def test_a_home_copied_as_a_whole_keeps_its_history(place: Home, folder: AgentFolder, tmp_path: Path) -> None:
    shutil.copytree(place.path, tmp_path / "backup", symlinks=True)
    twin = Home(tmp_path / "backup").agent("scout")

    assert len(History(twin).versions()) == 2
    assert History(twin).observe() is None


def test_a_change_cut_short_is_ended_before_the_history_is_told(place: Home, folder: AgentFolder) -> None:
    history = History(folder)
    staged = intent.begin(folder)
    (staged.new / "main.py").write_bytes(b"new")
    history.prepare("accepted", "cut short", {"main.py": (b"new", 0o644)})
    (staged.new / "main.py").chmod(0o644)
    intent.announce(folder, "accepted", put=["main.py"])

    told = agent_history(place, "scout")

    assert [(one.number, one.said, one.current) for one in told.versions[:1]] == [(3, "cut short", True)]
    assert told.by_hand == ()


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"at": 2, "redo": 5, "name": "scout"}', b"[]", b"\xff"])
def test_a_damaged_history_is_named_and_nothing_changes(
    place: Home, settings: Settings, folder: AgentFolder, damage: bytes
) -> None:
    path = next((place.own / "history").rglob("head.json"))
    path.write_bytes(damage)
    before = code_of(folder)

    for verb in (agent_history, diff_agent):
        with pytest.raises(BadFileError, match=r"head\.json"):
            verb(place, "scout")
    with pytest.raises(BadFileError, match=r"head\.json"):
        undo_agent(place, "scout", settings=settings, confirm=None)

    assert code_of(folder) == before


# real environments --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, AgentFolder]]:
    """A real agent at version 2, which depends on rich itself."""
    with one_agent(tmp_path_factory) as one:
        yield one


def with_rich(real: tuple[Home, AgentFolder], settings: Settings) -> AgentFolder:
    home, folder = real
    if load_record(folder).dependencies:
        return folder
    config = json.loads(folder.config.read_text())
    folder.config.write_text(json.dumps({**config, "dependencies": ["rich>=14"]}))
    sync_agent(home, "scout", settings=settings)
    return folder


def assert_ready(folder: AgentFolder, settings: Settings) -> None:
    """The environment is that of the code, and starts."""
    assert venv.check(folder) == []
    wanted = tuple(json.loads(folder.config.read_text()).get("dependencies", ()))
    assert load_record(folder).dependencies == wanted
    ensure_current(folder, settings, Heard())
    foundry_seen_by(folder)
    assert History(folder).files(History(folder).head()) == code_of(folder)


@pytest.mark.slow
def test_undo_takes_the_environment_back_with_the_code_and_redo_brings_it_again(
    real: tuple[Home, AgentFolder], settings: Settings
) -> None:
    home, _ = real
    folder = with_rich(real, settings)
    with_it, record = code_of(folder), load_record(folder)
    environment = folder.venv.stat().st_ino

    undo_agent(home, "scout", settings=settings, confirm=None)

    assert_ready(folder, settings)
    assert load_record(folder).dependencies == ()
    assert (load_record(folder).id, load_record(folder).created) == (record.id, record.created)
    assert folder.venv.stat().st_ino != environment

    redo_agent(home, "scout", settings=settings, confirm=None)

    assert_ready(folder, settings)
    assert code_of(folder) == with_it


@pytest.mark.slow
@pytest.mark.parametrize("why", ["no packages at hand", "a lock that would make the installer do other things"])
def test_an_environment_that_cannot_be_made_offline_changes_nothing_and_it_is_said(
    real: tuple[Home, AgentFolder], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    home, _ = real
    folder = with_rich(real, settings)
    number = None
    if why == "no packages at hand":
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
        said = "without the network"
    else:
        good = folder.lock.read_bytes()
        folder.lock.write_text("--find-links /somewhere\n")
        number, said = getattr(History(folder).observe(), "number", None), "not a version with its hash"
        folder.lock.write_bytes(good)
    before, environment = code_of(folder), folder.venv.stat().st_ino

    with pytest.raises(FoundryError, match=said):
        undo_agent(home, "scout", number or 1, settings=settings, confirm=None)

    assert code_of(folder) == before
    assert folder.venv.stat().st_ino == environment
    assert not intent.pending(folder)
    assert_ready(folder, settings)


@pytest.mark.slow
def test_a_lost_record_made_anew_by_a_sync_is_of_the_same_history(real: tuple[Home, AgentFolder], settings: Settings) -> None:
    home, _ = real
    folder = with_rich(real, settings)
    versions = len(History(folder).versions())
    folder.made.unlink()

    sync_agent(home, "scout", settings=settings)

    assert len(History(folder).versions()) >= versions > 1
    assert_ready(folder, settings)


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_undo_with_its_environment_killed_at_any_moment_is_old_or_new(
    real: tuple[Home, AgentFolder], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = real
    folder = with_rich(real, settings)
    monkeypatch.setenv("FOUNDRY_HOME", str(home.path))
    new = code_of(folder)
    undo_agent(home, "scout", 1, settings=settings, confirm=None)
    old, dice, seen = code_of(folder), random.Random(3), set()
    number = next(one.number for one in History(folder).versions() if History(folder).files(one.number) == new)
    for patience in [*(dice.uniform(0.2, 3) for _ in range(20)), 30]:
        target = number if code_of(folder) == old else 1
        with started("undo", "scout", str(target), "--yes") as child:
            ends = time.monotonic() + patience
            while child.poll() is None and time.monotonic() < ends:
                time.sleep(0.01)
            child.kill()
            child.communicate()
        with hold_alone(folder, "look"):
            pass
        agent_history(home, "scout")
        assert code_of(folder) in (old, new)
        assert_ready(folder, settings)
        seen.add(code_of(folder) == new)
    assert seen == {True, False}
