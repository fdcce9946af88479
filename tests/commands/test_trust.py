"""Trust: nothing of an agent from elsewhere counts as one's own, and one's own stays one's own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent import trust
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.standing import Grant, change_standing, decisions_file, standing_of
from foundry.errors import FoundryError, NotReadyError
from foundry.plugins.foundry_core.copy_agent import copy_agent
from foundry.plugins.foundry_core.create_agent import create_agent
from foundry.plugins.foundry_core.delete_agent import delete_agent
from foundry.plugins.foundry_core.list_agents import list_agents
from foundry.plugins.foundry_core.rename_agent import rename_agent
from foundry.plugins.foundry_core.restore_agent import restore_agent
from foundry.plugins.foundry_core.sync_agent import sync_agent
from foundry.settings import Settings
from tests.commands.conftest import make_agent, picture
from tests.commands.guests import CODE, from_elsewhere, trusted_by_hand
from tests.commands.running import foundry

# what is one's own ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_a_person_makes_copies_renames_and_brings_back_is_their_own(place: Home, settings: Settings) -> None:
    first = create_agent(place, "scout", settings=settings, blueprint="guide")
    accepted = standing_of(AgentFolder(first.path)).accepted
    assert set(accepted) == {"code_map"}
    copied = copy_agent(place, "scout", "twin", settings=settings)
    renamed = rename_agent(place, "twin", "other")
    delete_agent(place, "other", settings=settings)
    restored = restore_agent(place, "other")

    assert not copied.path.exists()
    assert renamed.path == Path(restored.folder)
    for name in ("scout", "other"):
        assert trust.check(place.agent(name)).state == "own"
        assert standing_of(place.agent(name)).accepted == accepted


def test_a_rename_takes_grants_and_decisions_along(place: Home) -> None:
    folder = make_agent(place, "scout")
    grant = Grant("own.touch", "files in x", "2026-01-01T00:00:00+00:00")
    change_standing(folder, lambda old: type(old)(old.path, old.origin, grants=(grant,), id=old.id, inode=old.inode))
    decisions_file(folder).write_text("{}\n")

    rename_agent(place, "scout", "finder")

    assert standing_of(place.agent("finder")).grants == (grant,)
    assert decisions_file(place.agent("finder")).read_text() == "{}\n"
    assert standing_of(folder).origin == ""
    assert not decisions_file(folder).exists()


def test_a_rename_that_is_refused_leaves_both_names_as_they_were(place: Home) -> None:
    make_agent(place, "scout")
    from_elsewhere(place, "other")

    with pytest.raises(FoundryError):
        rename_agent(place, "scout", "other")

    assert trust.check(place.agent("scout")).state == "own"
    assert trust.check(place.agent("other")).state == "unknown"


def test_an_own_agent_stays_own_whatever_is_changed_in_it_by_hand(place: Home) -> None:
    folder = make_agent(place, "scout", CODE, plugins=["hello"])
    (folder.plugins / "hello" / "__init__.py").write_text("changed = True\n")
    (folder.path / "main.py").write_text("pass\n")
    folder.made.unlink()

    assert trust.check(folder).state == "own"


def test_another_folder_in_the_place_of_an_own_one_is_not_own(place: Home) -> None:
    folder = make_agent(place, "scout")
    identified(folder, "a" * 32)
    shutil.rmtree(folder.path)
    make = from_elsewhere(place, "guest")
    identified(make, "b" * 32)

    make.path.rename(folder.path)

    assert trust.check(folder).state == "unknown"


def test_an_agent_put_back_from_a_backup_is_own(place: Home, tmp_path: Path) -> None:
    folder = make_agent(place, "scout")
    identified(folder, "a" * 32)
    trust.made(folder, folder, {})
    shutil.copytree(folder.path, tmp_path / "backup", symlinks=True)
    shutil.rmtree(folder.path)

    shutil.copytree(tmp_path / "backup", folder.path, symlinks=True)

    assert trust.check(folder).state == "own"


def test_an_id_that_comes_later_is_kept(place: Home) -> None:
    folder = make_agent(place, "scout")
    identified(folder, "a" * 32)

    trust.settle(folder)
    identified(folder, "b" * 32)

    assert trust.check(folder).state == "unknown"


def identified(folder: AgentFolder, number: str) -> None:
    """Give the agent's record this id, and the standing, where there is one, no other."""
    folder.made.write_text(json.dumps({**json.loads(folder.made.read_text()), "id": number}))
    if standing_of(folder).origin and not standing_of(folder).id:
        trust.settle(folder)


# what is from elsewhere -------------------------------------------------------------------------------------------------


CHANGES: dict[str, Callable[[AgentFolder], Any]] = {
    "agent.config.json": lambda one: one.config.write_text(json.dumps({"name": one.name, "description": "x"})),
    "main.py": lambda one: (one.path / "main.py").write_text("pass"),
    ".env": lambda one: one.env_file.write_text("OPENAI_BASE_URL=http://127.0.0.1:9"),
    "plugins/hello/__init__.py": lambda one: (one.plugins / "hello" / "__init__.py").write_text("x = 1\n"),
    "plugins/hello/data.bin": lambda one: (one.plugins / "hello" / "data.bin").write_bytes(b"\0"),
    "lib/__init__.py": lambda one: shutil.copytree(one.plugins / "hello", one.path / "lib"),
    "requirements.lock": lambda one: one.lock.write_text("# other\n"),
    "sitecustomize.py": lambda one: (one.path / "sitecustomize.py").write_text(""),
    "out": lambda one: (one.path / "out").symlink_to("/etc"),
    "pipe": lambda one: os.mkfifo(one.path / "pipe"),
    "venv/": lambda one: (one.venv / "lib" / "evil.pth").write_text("import os"),
}


@pytest.mark.parametrize("file", CHANGES)
def test_any_change_to_what_was_trusted_asks_again_and_is_named(place: Home, file: str) -> None:
    folder = from_elsewhere(place, "guest")
    (folder.venv / "lib").mkdir(exist_ok=True)
    trusted_by_hand(folder)
    assert trust.check(folder).state == "trusted"

    CHANGES[file](folder)

    found = trust.check(folder)
    assert (found.state, found.files) == ("changed", (file,))
    with pytest.raises(NotReadyError, match="changed since") as caught:
        trust.require(folder)
    assert (caught.value.code, caught.value.hint) == ("not_trusted", "See what it is and decide: foundry trust guest")


def test_what_its_tools_write_and_what_foundry_keeps_changes_nothing(place: Home) -> None:
    folder = trusted_by_hand(from_elsewhere(place, "guest", folder="notes"))

    (folder.workspace / "mine.txt").write_text("x")
    (folder.path / "notes").mkdir()
    (folder.path / "notes" / "mine.txt").write_text("x")
    folder.holders.write_text("x")
    (folder.plugins / "hello" / "__pycache__").mkdir()
    (folder.plugins / "hello" / "__pycache__" / "a.pyc").write_bytes(b"x")

    assert trust.check(folder).state == "trusted"


def test_a_working_folder_that_holds_code_is_not_left_out(place: Home) -> None:
    for working in (".", "plugins", "plugins/hello", "venv", "../guest/plugins"):
        folder = trusted_by_hand(from_elsewhere(place, "guest", folder=working))
        (folder.plugins / "hello" / "__init__.py").write_text("x = 1\n")
        assert trust.check(folder).state == "changed", working
        shutil.rmtree(folder.path)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}(/[a-z]{1,6})?(\.py)?", fullmatch=True), st.binary(max_size=9), max_size=6))
def test_content_is_the_same_exactly_when_the_files_are(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = AgentFolder(tmp_path_factory.mktemp("agent") / "one")
    written = {}
    for name, raw in files.items():
        path = folder.path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        except OSError:
            continue
        written[name] = raw
    before = trust.content_of(folder) if folder.path.is_dir() else {}

    assert set(before) == {name for name in written if name.split("/")[0] not in ("venv", "workspace")}
    for name in before:
        (folder.path / name).write_bytes(written[name] + b"x")
        assert {one for one, what in trust.content_of(folder).items() if what != before[one]} == {name}
        (folder.path / name).write_bytes(written[name])
    assert not before or trust.content_of(folder) == before


def test_nothing_makes_an_untrusted_agent_ones_own(place: Home, settings: Settings) -> None:
    from_elsewhere(place, "guest")

    for refused in (
        lambda: copy_agent(place, "guest", "mine", settings=settings),
        lambda: sync_agent(place, "guest", settings=settings),
    ):
        with pytest.raises(NotReadyError) as caught:
            refused()
        assert caught.value.code == "not_trusted"
    rename_agent(place, "guest", "renamed")
    delete_agent(place, "renamed", settings=settings)
    restore_agent(place, "renamed")

    assert trust.check(place.agent("renamed")).state == "unknown"
    assert place.names() == ["renamed"]


def test_a_trusted_agent_stays_trusted_under_another_name(place: Home, settings: Settings) -> None:
    trusted_by_hand(from_elsewhere(place, "guest"))

    rename_agent(place, "guest", "friend")
    delete_agent(place, "friend", settings=settings)
    restore_agent(place, "friend")

    assert trust.check(place.agent("friend")).state == "trusted"


def test_purged_is_forgotten(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout")
    delete_agent(place, "scout", settings=settings, purge=True)
    assert standing_of(folder).origin == ""
    known = [json.loads(one.read_text())["path"] for one in decisions_file(folder).parent.glob("*.json")]
    assert not [one for one in known if one.startswith(str(place.path))]


def test_list_and_show_say_so_and_run_nothing(place: Home) -> None:
    folder = from_elsewhere(place, "guest")
    before = picture(folder.path)

    (row,) = list_agents(place).agents
    shown = foundry("show", "guest")

    assert (row.state, row.mend) == ("not trusted", "foundry trust guest")
    assert "you did not make it here" in row.why
    assert "not trusted" in shown.stdout
    assert picture(folder.path) == before
