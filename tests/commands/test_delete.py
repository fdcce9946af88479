"""A deleted agent is whole in the trash or whole in its place, whatever happens; no link is followed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from foundry.agent import lock, trash
from foundry.agent.folder import Home
from foundry.errors import BusyError, FoundryError, NotFoundError, UsageError
from foundry.plugins.foundry_core.delete_agent import Deletion, delete_agent
from foundry.plugins.foundry_core.manage_trash import empty_trash, list_trash
from foundry.plugins.foundry_core.restore_agent import restore_agent
from foundry.settings import Settings
from tests.commands.conftest import make_agent, picture

FILES = {"workspace/notes.txt": "mine", "plugins/own/__init__.py": "", ".env": "A=1\n"}


def test_what_goes_is_shown_before_anything_happens(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout", FILES)
    before = picture(folder.path)
    seen: list[Deletion] = []

    def no(what: Deletion) -> bool:
        seen.append(what)
        return False

    with pytest.raises(FoundryError) as caught:
        delete_agent(place, "scout", settings=settings, confirm=no)

    assert caught.value.code == "declined"
    assert picture(folder.path) == before
    (what,) = seen
    assert (what.agent, what.workspace_files, what.plugins, what.has_secrets) == ("scout", 1, ("own",), True)
    assert what.bytes > 0


def test_a_deleted_agent_can_be_restored_as_it_was(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout", FILES)
    before = picture(folder.path)

    deleted = delete_agent(place, "scout", settings=settings)
    assert not folder.path.exists()
    assert [one.entry for one in list_trash(place).entries] == [deleted.entry]

    restored = restore_agent(place, "scout")
    assert restored.agent == "scout"
    assert picture(folder.path) == before
    assert list_trash(place).entries == ()


def test_restore_refuses_where_an_agent_of_that_name_is(place: Home, settings: Settings) -> None:
    make_agent(place, "scout", {"workspace/old": "1"})
    delete_agent(place, "scout", settings=settings)
    make_agent(place, "Scout", {"workspace/new": "2"})

    with pytest.raises(FoundryError) as caught:
        restore_agent(place, "scout")

    assert caught.value.code == "exists"
    assert "foundry rename Scout" in caught.value.hint
    assert (place.agents / "Scout" / "workspace" / "new").exists()
    assert len(list_trash(place).entries) == 1


def test_the_newest_of_a_name_is_restored_or_the_entry_asked_for(place: Home, settings: Settings) -> None:
    entries = []
    for text in ("first", "second"):
        make_agent(place, "scout", {"workspace/text": text})
        entries.append(delete_agent(place, "scout", settings=settings).entry)
    assert len(set(entries)) == 2

    restore_agent(place, "scout")
    assert (place.agents / "scout" / "workspace" / "text").read_text() == "second"

    delete_agent(place, "scout", settings=settings)
    restore_agent(place, entries[0])
    assert (place.agents / "scout" / "workspace" / "text").read_text() == "first"


def test_an_unknown_entry_is_refused_with_the_nearest(place: Home, settings: Settings) -> None:
    make_agent(place, "scout")
    delete_agent(place, "scout", settings=settings)

    with pytest.raises(NotFoundError) as caught:
        restore_agent(place, "scot")
    assert "scout" in caught.value.hint


def test_a_running_agent_is_not_deleted(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout")
    holder = (
        "import sys, pathlib; from foundry.agent import lock; from foundry.agent.folder import AgentFolder\n"
        "with lock.hold_shared(AgentFolder(pathlib.Path(sys.argv[1])), 'run'): print('held', flush=True); sys.stdin.read()"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", holder, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout
    assert run.stdout.readline() == "held\n"

    with pytest.raises(BusyError) as caught:
        delete_agent(place, "scout", settings=settings)
    run.communicate("")

    assert f"process {run.pid} (run" in caught.value.message
    delete_agent(place, "scout", settings=settings)


@pytest.mark.parametrize("purge", [False, True])
def test_links_are_removed_and_their_targets_kept(place: Home, settings: Settings, tmp_path: Path, purge: bool) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "file").write_text("precious")
    folder = make_agent(place, "scout")
    (folder.workspace / "folder").symlink_to(outside)
    (folder.workspace / "file").symlink_to(outside / "deep" / "file")
    (folder.workspace / "dangling").symlink_to(tmp_path / "gone")

    delete_agent(place, "scout", settings=settings, purge=purge)
    empty_trash(place)

    assert not folder.path.exists()
    assert (outside / "deep" / "file").read_text() == "precious"
    assert list(place.trash.iterdir()) == []


@pytest.mark.parametrize("name", ["scout/", "scout/.", "./scout", "../agents/scout", "", ".", "..", "scout\\", "/etc", "sc\0ut"])
def test_a_path_is_no_name(place: Home, settings: Settings, name: str) -> None:
    folder = make_agent(place, "scout", FILES)
    before = picture(folder.path)

    with pytest.raises(UsageError):
        delete_agent(place, name, settings=settings, purge=True)

    assert picture(folder.path) == before


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=12).filter(lambda name: name != "scout") | st.sampled_from(["SCOUT", "scout ", " scout"]))
def test_no_other_name_deletes_it(place: Home, settings: Settings, name: str) -> None:
    folder = place.agents / "scout"
    if not folder.exists():
        make_agent(place, "scout")

    with pytest.raises(FoundryError):
        delete_agent(place, name, settings=settings, purge=True)

    assert (folder / "agent.config.json").exists()


def test_a_link_in_the_place_of_an_agent_is_refused(place: Home, settings: Settings, tmp_path: Path) -> None:
    place.prepare()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (place.agents / "linked").symlink_to(tmp_path / "precious")

    with pytest.raises(FoundryError, match="is a link"):
        delete_agent(place, "linked", settings=settings, purge=True)

    assert (tmp_path / "precious" / "file").exists()
    assert (place.agents / "linked").is_symlink()


@pytest.mark.parametrize("name", ["bad", "b@d", "my agent"])
def test_a_broken_agent_can_be_deleted_and_restored(place: Home, settings: Settings, name: str) -> None:
    make_agent(place, name, {"agent.config.json": "{"})
    delete_agent(place, name, settings=settings)
    assert restore_agent(place, name).agent == name


def test_retention_over_goes_with_the_next_delete(place: Home, settings: Settings) -> None:
    for name in ("old", "young", "now"):
        make_agent(place, name)
    delete_agent(place, "old", settings=settings)
    delete_agent(place, "young", settings=settings)
    (entry,) = [one.entry for one in list_trash(place).entries if one.name == "old"]
    (place.trash / entry).rename(place.trash / "old@20200101T000000Z")
    (place.trash / "something else").mkdir()

    deleted = delete_agent(place, "now", settings=settings)

    assert deleted.swept == ("old@20200101T000000Z",)
    assert {one.name for one in list_trash(place).entries} == {"young", "now"}
    assert (place.trash / "something else").exists()


def test_retention_of_no_days_keeps_the_agent_just_deleted(place: Home, settings: Settings) -> None:
    make_agent(place, "one")
    delete_agent(place, "one", settings=settings.over("flag", {"trash_days": 0}))
    assert [one.name for one in list_trash(place).entries] == ["one"]


def test_folders_without_write_permission_are_removed_too(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout", {"workspace/cache/deep/file": "x"})
    (folder.workspace / "cache" / "deep").chmod(0o500)
    (folder.workspace / "cache").chmod(0o500)

    delete_agent(place, "scout", settings=settings, purge=True)

    assert list(place.trash.iterdir()) == []


class Killed:
    """Progress that ends the process hard at its `at`-th step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, text: str) -> None:
        self.at -= 1
        if self.at == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def amount(self, text: str, done: int, total: int) -> None: ...
    def note(self, text: str) -> None: ...


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("purge", [False, True])
def test_killed_at_any_step_the_agent_is_whole_or_in_the_trash(place: Home, settings: Settings, step: int, purge: bool) -> None:
    folder = make_agent(place, "scout", FILES)
    before = picture(folder.path)
    child = os.fork()
    if child == 0:
        delete_agent(place, "scout", settings=settings, purge=purge, progress=Killed(step))
        os._exit(0)
    os.waitpid(child, 0)

    if not folder.path.exists():
        restore_agent(place, "scout")
    assert picture(folder.path) == before
    delete_agent(place, "scout", settings=settings, purge=True)
    assert not folder.path.exists()
    assert list(place.trash.iterdir()) == []


COMMANDS: dict[str, Callable[[Home, Settings], object]] = {
    "delete": lambda home, settings: delete_agent(home, "other", settings=settings, purge=True),
    "trash list": lambda home, _: list_trash(home),
    "trash empty": lambda home, _: empty_trash(home),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_purge_cut_short_cannot_be_restored_and_is_ended_by_the_next_command(
    place: Home, settings: Settings, command: Callable[[Home, Settings], object]
) -> None:
    make_agent(place, "scout", FILES)
    make_agent(place, "other")
    delete_agent(place, "scout", settings=settings)
    (entry,) = trash.entries(place)
    (place.trash / entry.entry).rename(place.trash / f".purging-1234-{entry.entry}")
    assert trash.entries(place) == []

    command(place, settings)

    assert list(place.trash.iterdir()) == []
    with pytest.raises(NotFoundError):
        restore_agent(place, "scout")


@pytest.mark.prove
def test_killed_at_any_moment_the_agent_is_whole_or_in_the_trash(place: Home, settings: Settings) -> None:
    files = {f"workspace/{n % 40}/{n}.txt": str(n) for n in range(300)}
    for round_ in range(100):
        folder = make_agent(place, "scout", files)
        whole = len(list(folder.path.rglob("*.txt")))
        child = os.fork()
        if child == 0:
            delete_agent(place, "scout", settings=settings, purge=True)
            os._exit(0)
        time.sleep(round_ * 0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

        # Whole in its place, whole in the trash, or past the point of no return: then no command shows it any more.
        if folder.path.exists() or trash.entries(place):
            if not folder.path.exists():
                restore_agent(place, "scout")
            assert len(list(folder.path.rglob("*.txt"))) == whole
            delete_agent(place, "scout", settings=settings, purge=True)
        empty_trash(place)
        assert list(place.trash.iterdir()) == []


def test_a_delete_waits_for_nobody_who_is_gone(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout")
    with lock.hold_shared(folder, "run"):
        pass
    assert delete_agent(place, "scout", settings=settings).agent == "scout"
