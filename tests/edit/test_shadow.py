"""The shadow: a copy of the code and nothing else, compared with the agent file by file, gone when its session is."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from foundry.agent.folder import AgentFolder
from foundry.agent.history import code_of
from foundry.session.edit.shadow import Shadow
from tests.edit.conftest import made_agent


def test_holds_the_code_and_neither_secrets_nor_workspace_nor_environment(agent: AgentFolder) -> None:
    (agent.path / ".foundry.json").write_text("{}")
    (agent.plugins / "greeter" / "leak").symlink_to(agent.env_file)

    shadow = Shadow.open(agent, "run1")

    held = {path.relative_to(shadow.folder.path).as_posix() for path in shadow.folder.path.rglob("*") if not path.is_dir()}
    assert held == {"agent.config.json", "main.py", "README.md", "requirements.lock", "plugins/greeter/__init__.py"}
    assert stat.S_IMODE(shadow.root.stat().st_mode) == 0o700
    assert shadow.changes() == {}
    shadow.close()


def test_a_workspace_of_500_mb_is_not_copied(agent: AgentFolder) -> None:
    with (agent.workspace / "big.bin").open("wb") as file:
        file.truncate(500 << 20)

    began = time.monotonic()
    shadow = Shadow.open(agent, "run1")

    assert time.monotonic() - began < 1
    assert sum(path.stat().st_size for path in shadow.root.rglob("*") if path.is_file()) < 10_000
    shadow.close()


def test_tells_what_was_made_changed_and_deleted_with_modes(agent: AgentFolder) -> None:
    (agent.path / "tool.py").write_text("x = 1\n")
    shadow = Shadow.open(agent, "run1")

    shadow.write("plugins/new/__init__.py", b"y = 1\n")
    shadow.write("README.md", b"# other\n")
    (shadow.folder.path / "main.py").chmod(0o755)
    (shadow.folder.path / "tool.py").unlink()

    changes = shadow.changes()
    assert {name: (was is None, will is None) for name, (was, will) in changes.items()} == {
        "README.md": (False, False),
        "main.py": (False, False),
        "plugins/new/__init__.py": (True, False),
        "tool.py": (False, True),
    }
    assert changes["main.py"][1] is not None
    assert changes["main.py"][1][1] == 0o755
    assert (agent.path / "README.md").read_text() == "# bob\n"
    shadow.close()


def test_after_an_accept_only_what_was_left_out_is_still_a_change(agent: AgentFolder) -> None:
    shadow = Shadow.open(agent, "run1")
    shadow.write("README.md", b"# accepted\n")
    shadow.write("main.py", b"left = 'out'\n")

    (agent.path / "README.md").write_text("# accepted\n")
    shadow.refresh()

    assert list(shadow.changes()) == ["main.py"]
    shadow.close()


def test_a_hand_edit_reaches_the_shadow_where_it_was_not_changed(agent: AgentFolder) -> None:
    shadow = Shadow.open(agent, "run1")
    shadow.write("README.md", b"# mine\n")

    (agent.path / "README.md").write_text("# by hand\n")
    (agent.path / "main.py").write_text("by = 'hand'\n")
    (agent.plugins / "greeter" / "__init__.py").unlink()
    shadow.refresh()

    assert (shadow.folder.path / "main.py").read_text() == "by = 'hand'\n"
    assert not (shadow.folder.plugins / "greeter").exists()
    assert shadow.changes() == {"README.md": ((b"# by hand\n", 0o644), (b"# mine\n", 0o644))}

    shadow.refresh(["README.md"])
    assert shadow.changes() == {}
    shadow.close()


def test_read_only_files_are_copied_and_refreshed(agent: AgentFolder) -> None:
    (agent.path / "README.md").chmod(0o444)
    shadow = Shadow.open(agent, "run1")

    (agent.path / "README.md").chmod(0o644)
    (agent.path / "README.md").write_text("# new\n")
    (agent.path / "README.md").chmod(0o444)
    shadow.refresh()

    assert shadow.changes() == {}
    assert (shadow.folder.path / "README.md").read_text() == "# new\n"
    shadow.close()


def test_what_a_killed_session_left_is_removed_and_a_living_one_keeps_its_own(agent: AgentFolder) -> None:
    code = (
        "import sys; from pathlib import Path; from foundry.agent.folder import AgentFolder;"
        "from foundry.session.edit.shadow import Shadow;"
        f"s = Shadow.open(AgentFolder(Path({str(agent.path)!r})), 'other'); print(s.root, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        root = Path(other.stdout.readline().strip())

        Shadow.open(agent, "run1").close()
        assert root.is_dir()

        other.kill()
        other.wait()
        Shadow.open(agent, "run2").close()
        assert not root.exists()
    assert not list(root.parent.iterdir())


def test_a_link_in_place_of_a_dead_shadow_is_not_followed(agent: AgentFolder, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "held").write_text("")
    (precious / "file").write_text("x")
    Shadow.open(agent, "run1").close()
    top = agent.path.parent.parent / ".foundry" / "shadow"
    (top / "bob-dead").symlink_to(precious)

    Shadow.open(agent, "run2").close()

    assert (precious / "file").read_text() == "x"


def test_a_part_has_only_the_chosen_changes(agent: AgentFolder) -> None:
    shadow = Shadow.open(agent, "run1")
    shadow.write("README.md", b"# a\n")
    shadow.write("main.py", b"b = 1\n")
    (shadow.folder.plugins / "greeter" / "__init__.py").unlink()

    part = shadow.part(["main.py"])

    assert list(part.changes()) == ["main.py"]
    assert (part.folder.plugins / "greeter" / "__init__.py").is_file()
    part.close()
    assert list(shadow.changes()) == ["README.md", "main.py", "plugins/greeter/__init__.py"]
    shadow.close()


_NAMES = st.sampled_from(["README.md", "main.py", "a.py", "plugins/p/__init__.py", "plugins/p/x.txt", "plugins/q/deep/y.py"])
_STEP = st.tuples(st.sampled_from(["agent", "shadow"]), _NAMES, st.one_of(st.none(), st.binary(max_size=8)))


@given(st.lists(_STEP, max_size=12))
def test_refresh_keeps_every_change_of_the_shadow_and_takes_every_other_of_the_agent(
    steps: list[tuple[str, str, bytes | None]],
) -> None:
    with tempfile.TemporaryDirectory() as where:
        agent = made_agent(Path(where))
        shadow = Shadow.open(agent, "run1")
        start = code_of(agent)
        for side, name, content in steps:
            path = (agent if side == "agent" else shadow.folder).path / name
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        mine, theirs = code_of(shadow.folder), code_of(agent)

        shadow.refresh()

        now = code_of(shadow.folder)
        for name in {*start, *mine, *theirs}:
            expected = mine.get(name) if mine.get(name) != start.get(name) else theirs.get(name)
            assert now.get(name) == expected, name
        assert code_of(agent) == theirs
        assert {name: after for name, (_, after) in shadow.changes().items()} == {
            name: now.get(name) for name in {*now, *theirs} if now.get(name) != theirs.get(name)
        }
        shadow.close()
