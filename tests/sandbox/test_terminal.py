"""The terminal tool: what it plans, what a command may change of a working folder, and what it tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.plugins.api import Changed, Plan, ToolContext, ToolError
from foundry.plugins.standard_lib.terminal import Terminal
from foundry.sandbox import jail

AT_STRONG = pytest.mark.skipif(jail.probe().level != "strong", reason="a gap of the levels below strong, named in README")
pytestmark = pytest.mark.skipif(jail.probe().level not in ("strong", "kernel"), reason="no jail holds here")


def planned(folder: Path, command: str, limit: int = 20_000, closed: tuple[Path, ...] = (), timeout: float = 20) -> Plan:
    return Terminal(ToolContext(folder, limit=limit, closed=closed)).run(command, timeout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A working folder with secrets, a repository and an agent in it."""
    files = {
        **{".env": "KEY=canary", "sub/.env.local": "KEY=canary", ".git/config": "[core]", ".git/hooks/pre-commit": "true"},
        **{"agents/Anna/agent.config.json": "{}", "agents/Anna/main.py": "true", "agents/Anna/.env": "KEY=canary"},
        **{"agents/Anna/plugins/one/__init__.py": "true", "code.py": "print('hello')", ".bashrc": "true"},
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def state(folder: Path) -> dict[str, str]:
    return {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}


def test_a_plan_shows_the_command_and_does_nothing(tmp_path: Path) -> None:
    plan = planned(tmp_path, "touch made")

    assert (plan.preview.command, plan.preview.folder) == ("touch made", str(tmp_path))
    assert plan.preview.scope == "the command: touch made"
    assert not (tmp_path / "made").exists()
    plan.do()
    assert (tmp_path / "made").exists()


def test_the_last_line_says_how_it_ended_and_what_held_it(tmp_path: Path) -> None:
    told = planned(tmp_path, "echo out; echo err >&2; exit 4").do()

    assert told.splitlines()[:3] == ["out", "[standard error]", "err"]
    assert told.splitlines()[-1].startswith(f"[exit 4 · jail {jail.probe().level} · 0.")


def test_a_command_that_takes_too_long_says_so(tmp_path: Path) -> None:
    assert "stopped: its time was up" in planned(tmp_path, "echo begun; sleep 60", timeout=0.5).do()


def test_long_output_fits_and_shows_both_ends(tmp_path: Path) -> None:
    told = planned(tmp_path, "echo first; seq 1 90000; echo last", limit=2000).do()

    assert len(told) <= 2000
    assert told.startswith("first\n")
    assert "last\n[exit 0" in told
    assert "left out" in told


@pytest.mark.parametrize(
    "command",
    [
        *("cat .env sub/.env.local agents/Anna/.env", "echo x > .env", "rm -rf .env .git agents", "mv .env seen; cat seen"),
        *("ln .env seen; cat seen", "ln -s .env seen; cat seen", "cp .env seen; cat seen", "tar c . | tar xO", "cat < .ENV"),
        *("echo evil > .git/hooks/pre-commit", "echo evil > .git/config", "echo evil >> agents/Anna/main.py"),
        *("echo evil > agents/Anna/plugins/one/__init__.py", "mkdir -p agents/Anna/plugins/two", "echo evil > .bashrc"),
        *("echo evil > agents/Anna/agent.config.json", "mkdir -p sub/.git/hooks", "echo KEY=evil > sub/.env"),
        *("mkdir -p t/.git && tar cf t.tar -C t . && rm -r t && tar xf t.tar ; rm t.tar", "echo evil > agents/Anna/os.py"),
        *("mkdir .ssh && echo key > .ssh/authorized_keys", "rm .git/config && ln -s /etc/passwd .git/config"),
    ],
)
def test_a_command_changes_and_reads_nothing_protected(project: Path, command: str) -> None:
    before = state(project)

    told = planned(project, command).do()

    assert "canary" not in told
    left = {name: text for name, text in state(project).items() if name != "seen"}
    assert left == before
    assert not (project / "sub" / ".git").exists()


@AT_STRONG
def test_the_rest_of_the_folder_is_the_commands(project: Path) -> None:
    told = planned(project, "python code.py && cat .git/config && echo x > sub/new && mkdir -p sub/a/b").do()

    assert "hello" in told
    assert (project / "sub" / "new").read_text() == "x\n"


@AT_STRONG
def test_a_secret_that_was_moved_with_its_folder_is_not_removed(project: Path) -> None:
    planned(project, "mv sub moved").do()

    assert (project / "moved" / ".env.local").read_text() == "KEY=canary"


@AT_STRONG
def test_a_closed_folder_inside_is_empty(project: Path) -> None:
    told = planned(project, "ls -A agents; echo x > agents/new", closed=(project / "agents",)).do()

    assert "Anna" not in told
    assert sorted(one.name for one in (project / "agents").iterdir()) == ["Anna"]


@AT_STRONG
def test_the_way_to_a_closed_folder_keeps_its_name(project: Path) -> None:
    (project / "home" / "own").mkdir(parents=True)
    told = planned(project, "mv home away; touch home/new", closed=(project / "home" / "own",)).do()

    assert "busy" in told
    assert sorted(one.name for one in (project / "home").iterdir()) == ["new", "own"]


def test_a_second_name_of_a_closed_folders_file_is_hidden(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    closed = tmp_path_factory.mktemp("agent")
    (closed / "main.py").write_text("canary")
    (project / "sub" / "hard").hardlink_to(closed / "main.py")
    told = planned(project, "cat sub/hard; echo evil > sub/hard", closed=(closed,)).do()

    assert "canary" not in told
    assert (closed / "main.py").read_text() == "canary"


@AT_STRONG
def test_a_protected_link_that_was_taken_away_is_put_back_and_never_elsewhere(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    for name in (".profile", "sub/.profile"):
        (project / name).symlink_to("code.py")
    planned(project, f"rm .profile && echo evil > .profile; mv sub moved && ln -s {outside} sub").do()

    assert (project / ".profile").readlink() == Path("code.py")
    assert (project / "moved" / ".profile").is_symlink()
    assert not list(outside.iterdir())


def test_another_folder_than_the_one_shown_is_not_worked_in(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    plan = planned(work, "touch made")
    work.rename(tmp_path / "old")
    work.mkdir()

    with pytest.raises(Changed):
        plan.do()
    assert not list(tmp_path.rglob("made"))


@pytest.mark.parametrize(
    ("command", "timeout"), [("", 5), ("x" * 30_000, 5), ("a\0b", 5), ("true", 0), ("true", 1e9), ("\ud800", 5)]
)
def test_what_cannot_be_run_is_refused_before_anybody_is_asked(tmp_path: Path, command: str, timeout: float) -> None:
    with pytest.raises(ToolError):
        planned(tmp_path, command, timeout=timeout)


@AT_STRONG
@pytest.mark.parametrize(
    ("command", "aside"),
    [
        ("echo '{}' > src/agent.config.json", set()),  # what lies beside it was no agent's before, and is none after
        ("mv src/main.py agents/Anna/", {"main.py.aside"}),
        ("mv src .vscode", {".vscode.aside"}),
        ("mkdir .husky; mv src .husky/; echo x > .husky/x", {".husky.aside"}),
        ("mkdir src/.git; echo x > src/.git/config; echo x > .npmrc", set()),
    ],
)
def test_what_was_there_before_is_never_removed_with_what_a_command_may_not_make(
    project: Path, command: str, aside: set[str]
) -> None:
    (project / "agents" / "Anna" / "main.py").unlink()
    (project / "src").mkdir()
    (project / "src" / "main.py").write_text("the person's")
    told = planned(project, command).do()

    assert "taken away again" in told
    assert [one.read_text() for one in project.rglob("main.py*") if one.is_file()] == ["the person's"]
    assert {one.name for one in project.glob(".foundry-aside-*/*/*")} == aside
    assert not any((project / one).exists() for one in ("src/agent.config.json", ".vscode", ".husky", "src/.git", ".npmrc"))
    assert "the person" not in planned(project, "cat .foundry-aside-*/*/* .foundry-aside-*/*/*/*; true").do() or not aside
