"""Versions of an agent's code: recorded, compared, gone back to, byte for byte."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from foundry.agent import intent
from foundry.agent.change import apply
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import History, code_of, is_code
from foundry.agent.lock import hold_alone
from foundry.agent.undo import go, way_back, way_forward
from foundry.console import Silent
from foundry.errors import FoundryError, NotFoundError
from foundry.files import BadFileError
from foundry.settings import load_settings
from tests.commands.conftest import make_agent
from tests.commands.running import foundry

PLUGIN = "plugins/dice/__init__.py"
NAMES = st.sampled_from([PLUGIN, "plugins/dice/a.py", "plugins/b", "plugins/b/c.py", "plugins/b/c.py/d", "main.py", "README.md"])
CONTENTS = st.one_of(st.none(), st.binary(max_size=20))
MODES = st.sampled_from([0o644, 0o600, 0o755])


@pytest.fixture
def folder(home: Path) -> AgentFolder:
    """An agent with one plugin, looked at once."""
    made = make_agent(Home(home), "scout", {PLUGIN: "one = 1\n", ".env": "TOKEN=secret-value\n"}, plugins=["dice"])
    (made.workspace / "big.txt").write_text("not code\n")
    History(made).observe()
    return made


def undone(folder: AgentFolder, number: int | None = None) -> int:
    with hold_alone(folder, "undo") as held:
        way = way_back(folder, number)
        go(folder, way, extras=lambda _: (), settings=load_settings(None), progress=Silent(), held=(held,))
        return way.target


def redone(folder: AgentFolder) -> int:
    with hold_alone(folder, "redo") as held:
        way = way_forward(folder)
        go(folder, way, extras=lambda _: (), settings=load_settings(None), progress=Silent(), held=(held,))
        return way.target


def accepted(folder: AgentFolder, files: Mapping[str, bytes | None]) -> int:
    put = {name: None if raw is None else (raw, 0o644) for name, raw in files.items()}
    with hold_alone(folder, "accept"):
        return apply(folder, put, said="a change").number


def test_the_first_look_is_version_one_and_holds_code_only(folder: AgentFolder) -> None:
    history = History(folder)
    assert [(one.number, one.kind) for one in history.versions()] == [(1, "made")]
    assert set(history.files(1)) == {"agent.config.json", "main.py", PLUGIN, "requirements.lock"}
    stored = b"".join(path.read_bytes() for path in history.top.rglob("*") if path.is_file())
    assert b"secret-value" not in stored
    assert history.observe() is None


def test_a_hand_edit_becomes_a_version_that_names_the_file(folder: AgentFolder) -> None:
    (folder.path / PLUGIN).write_text("one = 2\n")
    (folder.path / PLUGIN).chmod(0o600)
    version = History(folder).observe()
    assert version
    assert (version.number, version.kind, list(version.files)) == (2, "hand edit", [PLUGIN])
    assert History(folder).diff(1, 2) == [(PLUGIN, (b"one = 1\n", 0o644), (b"one = 2\n", 0o600))]


def test_accept_undo_redo_are_exact(folder: AgentFolder) -> None:
    before = code_of(folder)
    number = accepted(folder, {"plugins/new/a.py": b"x\r\n", PLUGIN: None})
    assert number == 2
    after = code_of(folder)
    assert after["plugins/new/a.py"] == (b"x\r\n", 0o644)
    assert undone(folder) == 1
    assert code_of(folder) == before
    assert not (folder.plugins / "new").exists()
    assert redone(folder) == 2
    assert code_of(folder) == after
    with pytest.raises(FoundryError, match="nothing to redo"):
        redone(folder)


def test_undo_of_a_hand_edit_that_nobody_recorded(folder: AgentFolder) -> None:
    (folder.path / PLUGIN).write_text("broken(\n")
    assert undone(folder) == 1
    assert (folder.path / PLUGIN).read_text() == "one = 1\n"
    assert [one.kind for one in History(folder).versions()] == ["made", "hand edit"]


def test_a_change_after_an_undo_leaves_the_undone_version_reachable(folder: AgentFolder) -> None:
    accepted(folder, {"plugins/dice/a.py": b"a"})
    undone(folder)
    accepted(folder, {"plugins/dice/b.py": b"b"})
    with pytest.raises(FoundryError, match="nothing to redo"):
        way_forward(folder)
    assert undone(folder, 2) == 2
    assert set(code_of(folder)) & {"plugins/dice/a.py", "plugins/dice/b.py"} == {"plugins/dice/a.py"}


def test_what_is_not_there_is_said(folder: AgentFolder) -> None:
    with pytest.raises(FoundryError, match="nothing to undo"):
        way_back(folder)
    with pytest.raises(NotFoundError, match="no version 9"):
        way_back(folder, 9)


def test_a_damaged_content_changes_nothing(folder: AgentFolder) -> None:
    accepted(folder, {PLUGIN: b"two\n"})
    history = History(folder)
    digest = history.marks(1)[PLUGIN][0]
    next(history.top.rglob(digest)).write_bytes(b"altered")
    before = code_of(folder)
    with pytest.raises(FoundryError, match="damaged"):
        undone(folder)
    assert code_of(folder) == before


def test_a_link_on_the_way_is_never_followed(folder: AgentFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder.plugins / "evil").symlink_to(outside)
    with pytest.raises(FoundryError, match="does not lie in the folder"):
        accepted(folder, {"plugins/evil/x.py": b"x"})
    assert not list(outside.iterdir())


def test_a_copy_made_by_hand_gets_a_history_of_its_own(folder: AgentFolder) -> None:
    accepted(folder, {"plugins/dice/a.py": b"a"})
    twin = AgentFolder(folder.path.with_name("twin"))
    shutil.copytree(folder.path, twin.path, symlinks=True)
    History(twin).observe()
    assert [one.kind for one in History(twin).versions()] == ["made"]
    assert len(History(folder).versions()) == 2


def test_a_hundred_versions_of_twenty_files_take_little(folder: AgentFolder) -> None:
    for number in range(20):
        (folder.plugins / "dice" / f"part_{number}.py").write_text("".join(f"value_{n} = {n * number}\n" for n in range(200)))
    History(folder).observe()
    for number in range(100):
        path = folder.plugins / "dice" / f"part_{number % 20}.py"
        path.write_text(path.read_text() + f"more_{number} = {number}\n")
        History(folder).observe()
    size = sum(path.stat().st_size for path in History(folder).top.rglob("*") if path.is_file())
    assert len(History(folder).versions()) == 102
    assert size < 1_500_000


class Changes(RuleBasedStateMachine):
    """Any sequence of hand edits, accepted changes, undos and redos: each version comes back byte for byte, modes too."""

    world: Path | None = None

    @initialize()
    def an_agent(self) -> None:
        self.world = Path(tempfile.mkdtemp())
        self.folder = make_agent(Home(self.world), "scout", {PLUGIN: "one = 1\n"})
        self.history = History(self.folder)
        self.history.observe()
        self.known = {1: code_of(self.folder)}

    def teardown(self) -> None:
        if self.world:
            shutil.rmtree(self.world)

    @rule(name=NAMES, raw=CONTENTS, mode=MODES)
    def accept(self, name: str, raw: bytes | None, mode: int) -> None:
        there = code_of(self.folder)
        if raw is None and name not in there:
            return
        gone = [one for one in there if one.startswith(f"{name}/") or name.startswith(f"{one}/")]
        put = {**dict.fromkeys(gone), name: None if raw is None else (raw, mode)}
        with hold_alone(self.folder, "accept"):
            apply(self.folder, put)

    @rule(name=NAMES, raw=CONTENTS, mode=MODES, look=st.booleans())
    def edit_by_hand(self, name: str, raw: bytes | None, mode: int, look: bool) -> None:
        path = self.folder.path / name
        for one in (*reversed(path.parents), path):
            if one.is_relative_to(self.folder.plugins) and (one.is_file() or (one == path and one.is_dir())):
                intent.remove(one)
        intent.remove(path)
        if raw is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
            path.chmod(mode)
        if look:
            self.history.observe()

    @rule(data=st.data())
    def undo_to(self, data: st.DataObject) -> None:
        self.history.observe()
        self.known.setdefault(self.history.head(), code_of(self.folder))
        number = data.draw(st.sampled_from([None, *self.known]))
        with contextlib.suppress(FoundryError):
            undone(self.folder, number)

    @rule()
    def redo(self) -> None:
        before = code_of(self.folder)
        try:
            redone(self.folder)
        except FoundryError:
            assert code_of(self.folder) == before

    @invariant()
    def versions_are_what_they_were(self) -> None:
        for number, code in self.known.items():
            assert self.history.files(number) == code
        if not self.history.by_hand():
            assert self.known.setdefault(self.history.head(), code_of(self.folder)) == code_of(self.folder)


TestChanges = pytest.mark.slow(Changes.TestCase)
TestChanges.settings = settings(max_examples=25, stateful_step_count=12)


@given(st.text(alphabet="ab./~\x00 .envpycodeu", max_size=30))
def test_what_is_code_lies_inside_and_is_no_secret(name: str) -> None:
    if is_code(name):
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        assert not any(part.casefold().startswith((".env", ".foundry")) for part in name.split("/"))
        assert name.startswith("plugins/") or "/" not in name


def test_names_that_no_history_can_tell_and_caches_and_secrets_are_left_out(folder: AgentFolder) -> None:
    odd = os.fsdecode(b"\xff.py")
    for name in (odd, ".env", ".ENV.local", "x.pyc", ".x.py.ab12.tmp", "__pycache__/y.py", ".pytest_cache/z", "kept.tmp"):
        path = folder.plugins / "dice" / name
        path.parent.mkdir(exist_ok=True)
        try:
            path.write_text("x")
        except OSError:  # a filesystem that takes UTF-8 only
            assert name == odd

    version = History(folder).observe()

    assert version
    assert list(version.files) == ["plugins/dice/kept.tmp"]


def test_a_look_at_an_unchanged_agent_reads_one_file_of_its_history(folder: AgentFolder) -> None:
    for number in range(5):
        accepted(folder, {PLUGIN: b"%d" % number})
    for path in History(folder).top.rglob("[1-5].json"):
        path.write_bytes(b"")

    assert History(folder).observe() is None
    with pytest.raises(BadFileError, match=r"5\.json"):
        undone(folder)


def test_a_content_that_swells_without_end_is_refused(folder: AgentFolder) -> None:
    accepted(folder, {PLUGIN: b"two\n"})
    digest = History(folder).marks(1)[PLUGIN][0]
    next(History(folder).top.rglob(digest)).write_bytes(zlib.compress(bytes(50_000_000), 9))

    with pytest.raises(FoundryError, match="damaged"):
        undone(folder)


def test_the_config_in_a_version_is_the_one_of_then(folder: AgentFolder) -> None:
    config = json.loads(folder.config.read_text())
    folder.config.write_text(json.dumps({**config, "description": "now"}))
    History(folder).observe()
    undone(folder)
    assert json.loads(folder.config.read_text()) == config


@pytest.mark.slow
def test_the_history_goes_with_the_agent_and_only_then(folder: AgentFolder, home: Path) -> None:
    accepted(folder, {"plugins/dice/a.py": b"a"})
    assert foundry("rename", "scout", "ranger").returncode == 0
    renamed = History(AgentFolder(home / "agents" / "ranger"))
    assert not renamed.by_hand(), "the new name in the config is no change by hand that nobody recorded"
    assert renamed.versions()[-1].said == "foundry rename, from scout"
    assert foundry("delete", "ranger", "--yes").returncode == 0
    assert foundry("restore", "ranger").returncode == 0
    assert len(History(AgentFolder(home / "agents" / "ranger")).versions()) >= 2
    assert foundry("delete", "ranger", "--yes", "--purge").returncode == 0
    assert not list((home / ".foundry" / "history").iterdir())
