"""Git inside a repository: what is read, staged, committed and checked out, each plan bound to what it showed."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.plugins.api import Changed
from tests.plugins.git_world import AUTHOR, Tools, commit, git, repository
from tests.plugins.given import Given


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "work")


def test_status_tells_branch_and_files(repo: Path) -> None:
    tools = Tools(repo)

    assert tools.call("status") == "On main; nothing changed."
    (repo / "a.txt").write_text("two\n")
    (repo / "new.txt").write_text("new\n")
    assert tools.call("status").splitlines()[2:] == [" M a.txt", "?? new.txt"]


def test_diff_of_the_files_what_is_staged_and_since_a_commit(repo: Path) -> None:
    tools = Tools(repo)
    first = git(repo, "rev-parse", "HEAD")
    commit(repo, "second", **{"b.txt": "bee\n"})
    (repo / "a.txt").write_text("two\n")

    assert "-one\n+two" in tools.call("diff")
    assert tools.call("diff", staged=True) == "Nothing of . is staged. New files are in git.status."
    assert "+bee" in tools.call("diff", since=first)
    assert "+bee" not in tools.call("diff", since=first, path="a.txt")
    tools.call("add", paths=["a.txt"])
    assert "-one\n+two" in tools.call("diff", staged=True)


def test_log_show_and_branches(repo: Path) -> None:
    tools = Tools(repo)
    commit(repo, "second\n\nwith a reason", **{"b.txt": "bee\n"})
    git(repo, "branch", "side")

    assert [line.partition(": ")[2] for line in tools.call("log").splitlines()] == ["second", "first"]
    assert tools.call("log", path="a.txt").endswith("Setup: first")
    assert "with a reason" in tools.call("show")
    assert "+bee" in tools.call("show", commit="HEAD")
    assert "+one" in tools.call("show", commit="main~1")
    assert {line[2:].split()[0] for line in tools.call("branches").splitlines()} == {"main", "side"}


def test_a_commit_shows_its_files_and_makes_exactly_that(repo: Path) -> None:
    tools = Tools(repo)
    (repo / "a.txt").write_text("two\n")
    (repo / "src").mkdir()
    (repo / "src" / "new.py").write_text("x = 1\n")

    said = tools.call("commit", message="Change a\n\nAnd why.", paths=["."])

    shown = tools.previews[-1]
    assert shown.summary == "Commit 2 files to main in . as Ada <ada@example.org>."
    assert {(one.path.name, one.before, one.after) for one in shown.changes} == {
        ("a.txt", b"one\n", b"two\n"),
        ("new.py", None, b"x = 1\n"),
    }
    assert said.endswith("to main: 2 files. Nothing was sent; that is git.push.")
    assert git(repo, "log", "-1", "--format=%an %ae %cn|%B") == "Ada ada@example.org Ada|Change a\n\nAnd why."
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "fsck", "--strict") == ""


def test_the_first_commit_of_a_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a.txt").write_text("one\n")
    tools = Tools(tmp_path)

    assert "no commit yet" in tools.call("log")
    assert "1 file" in tools.call("commit", message="Begin", paths=["a.txt"])
    assert git(tmp_path, "show", "HEAD:a.txt") == "one"


def test_planning_changes_nothing(repo: Path) -> None:
    (repo / "a.txt").write_text("two\n")
    before = {path: path.stat().st_mtime_ns for path in (repo / ".git").rglob("*")}
    tools = Tools(repo)

    tools.plan("commit", message="m", paths=["."])
    tools.plan("add", paths=["."])
    tools.plan("branch", name="x", new=True)
    tools.call("status")
    tools.call("diff")

    assert {path: path.stat().st_mtime_ns for path in (repo / ".git").rglob("*")} == before


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda repo: (repo / "a.txt").write_text("three\n"),
        lambda repo: (repo / "c.txt").write_text("also\n"),
        lambda repo: git(repo, "commit", "-q", "--allow-empty", "-m", "other"),
        lambda repo: git(repo, "checkout", "-q", "-b", "other"),
        lambda repo: git(repo, "config", "user.name", "Eve"),
    ],
)
def test_a_plan_whose_world_changed_is_not_done(repo: Path, meanwhile: object) -> None:
    (repo / "a.txt").write_text("two\n")
    git(repo, "config", "user.name", "Setup")
    git(repo, "config", "user.email", "setup@x.org")
    tools = Tools(repo, Given())
    plan = tools.plan("commit", message="m", paths=["."])
    meanwhile(repo)  # type: ignore[operator]
    head = git(repo, "rev-parse", "HEAD")

    with pytest.raises(Changed):
        plan.do()
    assert git(repo, "rev-parse", "HEAD") == head


def test_deleted_files_links_and_odd_names_are_committed_as_they_are(repo: Path) -> None:
    tools = Tools(repo)
    (repo / "a.txt").unlink()
    (repo / "link").symlink_to("/etc/passwd")
    odd = ["--upload-pack=touch x", "-rf", ":(top)x", "a\nb", "*.py", "é", '"q"']
    for name in odd:
        (repo / name).write_text(name)

    assert "9 files" in tools.call("commit", message="odd", paths=["."])
    listed = git(repo, "ls-tree", "-z", "--name-only", "HEAD").split("\0")
    assert set(listed) - {""} == {*odd, "link"}
    assert git(repo, "show", "HEAD:link") == "/etc/passwd"
    assert tools.call("add", paths=["-rf"]).startswith("error: Nothing of -rf is changed")
    (repo / "*.py").write_text("changed")
    (repo / "x.py").write_text("new")
    assert tools.call("add", paths=["*.py"]) == "Staged 1 file: *.py."


def test_protected_files_are_neither_committed_nor_shown(repo: Path) -> None:
    tools = Tools(repo)
    for name in (".env", ".env.local", "sub/.netrc"):
        path = repo / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("PASSWORD=hunter2hunter2")
    (repo / "b.txt").write_text("b\n")

    assert tools.call("add", paths=[".env"]) == "error: .env is protected: it is not committed."
    assert "left out: .env is protected; .env.local is protected; sub/.netrc is protected" in tools.call("add", paths=["."])
    assert git(repo, "diff", "--cached", "--name-only") == "b.txt"

    git(repo, "add", "-f", ".env")
    git(repo, "commit", "-q", "-m", "oops")
    (repo / ".env").write_text("PASSWORD=other-other")
    for said in (tools.call("diff"), tools.call("show"), tools.call("diff", since="HEAD~1")):
        assert "hunter2" not in said
        assert "other-other" not in said
        assert "left out, protected: .env" in said


def test_a_secret_is_not_committed_in_any_form(repo: Path) -> None:
    import base64

    tools = Tools(repo, Given(**AUTHOR, API_KEY="s3cr3t-value-of-it", SMTP_HOST="smtp.example.org"))
    (repo / "a.txt").write_text("host smtp.example.org, by Ada\n")
    assert "1 file" in tools.call("commit", message="fine", paths=["."])

    for text in ("key = s3cr3t-value-of-it\n", base64.b64encode(b"s3cr3t-value-of-it").decode()):
        (repo / "a.txt").write_text(text)
        for said in (tools.call("commit", message="m", paths=["."]), tools.call("add", paths=["a.txt"])):
            assert said == "error: This holds the value of API_KEY, a secret. Take it out first."
    (repo / "a.txt").write_text("harmless\n")
    assert "API_KEY" in tools.call("commit", message="the key is s3cr3t-value-of-it", paths=["."])


def test_branches_are_made_and_checked_out_with_their_files(repo: Path) -> None:
    tools = Tools(repo)

    assert tools.call("branch", name="fix/it", new=True) == "On fix/it now; 0 files changed."
    (repo / "a.txt").write_text("two\n")
    tools.call("commit", message="on the branch", paths=["a.txt"])
    assert tools.call("branch", name="main") == "On main now; 1 file changed."
    assert [(one.before, one.after) for one in tools.previews[-1].changes] == [(b"two\n", b"one\n")]
    assert (repo / "a.txt").read_text() == "one\n"
    assert git(repo, "status", "--porcelain") == ""
    (repo / "a.txt").write_text("local\n")
    assert tools.call("branch", name="fix/it").startswith("error: Local files stand in the way")
    assert (repo / "a.txt").read_text() == "local\n"
    assert git(repo, "branch", "--show-current") == "main"


@pytest.mark.parametrize("name", ["-x", "--orphan", "a..b", "a b", "x.lock", "HEAD", "a\nb", "@{-1}", ""])
def test_names_that_are_no_branch_are_refused(repo: Path, name: str) -> None:
    assert "cannot be a branch's name" in Tools(repo).call("branch", name=name, new=True)


@pytest.mark.parametrize("revision", ["--output=x", "-p", "a..b", "HEAD;ls", "no-such", "HEAD --", ":/first", "$(id)"])
def test_words_that_are_no_commit_are_refused(repo: Path, revision: str) -> None:
    tools = Tools(repo)

    for said in (tools.call("show", commit=revision), tools.call("diff", since=revision), tools.call("log", branch=revision)):
        assert said.startswith("error: ")
        assert "no commit" in said
    assert not (repo / "x").exists()


def test_what_is_long_is_cut_and_controls_are_written_out(repo: Path) -> None:
    tools = Tools(repo, limit=2000)
    (repo / "a.txt").write_text("\x1b]52;c;aGk=\x07\n" + "long line\n" * 5000)

    said = tools.call("diff")
    assert len(said) < 2000
    assert "more characters; give a path" in said
    assert "\x1b" not in said
    git(repo, "commit", "-q", "--allow-empty", "-m", "sub\x1b[2Jject")
    assert "\x1b" not in tools.call("log") + tools.call("show") + tools.call("branches")


def test_without_author_or_repository_it_says_what_to_do(tmp_path: Path, repo: Path) -> None:
    (repo / "a.txt").write_text("two\n")

    assert "GIT_AUTHOR_NAME" in Tools(repo, Given()).call("commit", message="m", paths=["."])
    (tmp_path / "empty").mkdir()
    assert "There is no git repository" in Tools(tmp_path / "empty").call("status")
    inside = repo / "inside"
    inside.mkdir()
    assert "There is no git repository" in Tools(inside).call("status")
    assert Tools(repo).call("status", folder="inside").startswith("On main")
    assert "outside the folder" in Tools(inside).call("status", folder="..")


def test_without_the_program_git_it_says_so(repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from foundry.plugins.standard_lib.git_process import closed_class

    closed_class.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Tools(repo).call("status").startswith("error: The program git is not installed.")


@pytest.mark.parametrize("kind", ["sha256", "packed", "detached", "crlf", "split", "odd folder"])
def test_other_kinds_of_repositories_are_worked_in(tmp_path: Path, kind: str) -> None:
    repo = tmp_path / ('wo:rk "x" \' $(id)' if kind == "odd folder" else "work")
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main", *(["--object-format=sha256"] if kind == "sha256" else []))
    commit(repo, "first", **{"a.txt": "one\n", "b/c.txt": "see\n"})
    git(repo, "branch", "side")
    if kind == "packed":
        git(repo, "gc", "-q")
    elif kind == "detached":
        git(repo, "checkout", "-q", "--detach")
    elif kind == "crlf":
        git(repo, "config", "core.autocrlf", "input")
    elif kind == "split":
        git(repo, "update-index", "--split-index")
    tools = Tools(repo)
    (repo / "a.txt").write_bytes(b"two\r\n" if kind == "crlf" else b"two\n")

    assert "a.txt" in tools.call("status")
    assert "1 file" in tools.call("commit", message="second", paths=["."])
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "cat-file", "blob", "HEAD:a.txt") == "two"
    assert tools.call("branch", name="side") == "On side now; 1 file changed."
    assert (repo / "a.txt").read_text() == "one\n"
    assert tools.call("branch", name="new/er", new=True) == "On new/er now; 0 files changed."
    assert git(repo, "fsck", "--strict") == ""
