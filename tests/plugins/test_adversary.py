"""Between the tools: what one of them leaves behind, or still runs, does not lead another one out of the working folder."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sqlite3
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from foundry.plugins.api import Changed, ToolContext, ToolError, kernel_function
from foundry.plugins.standard_lib.database import Database
from foundry.plugins.standard_lib.email import Email
from foundry.plugins.standard_lib.git_changes import Limits
from foundry.plugins.standard_lib.git_repository import opened
from foundry.plugins.standard_lib.terminal import Terminal
from foundry.plugins.standard_lib.terminal_jobs import end_jobs
from foundry.plugins.strict import BoundTool, bind
from foundry.sandbox import jail
from tests.plugins.git_world import Tools, bare, git, repository
from tests.plugins.given import Given
from tests.plugins.worlds import world

JAILED = pytest.mark.skipif(jail.probe().level not in ("strong", "kernel"), reason="no jail holds here")


# a repository that leads elsewhere by its inner folders ------------------------------------------------------------------


def _head_log(inner: Path, elsewhere: Path) -> None:
    (inner / "logs" / "HEAD").unlink(missing_ok=True)
    (inner / "logs").mkdir(exist_ok=True)
    (inner / "logs" / "HEAD").symlink_to(elsewhere / "shellrc")


def _branch_logs(inner: Path, elsewhere: Path) -> None:
    shutil.rmtree(inner / "logs", ignore_errors=True)
    (inner / "logs" / "refs").mkdir(parents=True)
    (inner / "logs" / "refs" / "heads").symlink_to(elsewhere)


def _branches(inner: Path, elsewhere: Path) -> None:
    (inner / "refs" / "heads" / "new").symlink_to(elsewhere)


def _objects(inner: Path, elsewhere: Path) -> None:
    for number in range(256):
        if not (place := inner / "objects" / f"{number:02x}").exists():
            place.symlink_to(elsewhere)


@pytest.mark.parametrize("make", [_head_log, _branch_logs, _branches, _objects])
def test_no_link_inside_a_git_folder_leads_a_write_out(tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    elsewhere = tmp_path / "home"
    elsewhere.mkdir()
    (elsewhere / "shellrc").write_text("# mine\n")
    before = world(elsewhere)
    work = repository(tmp_path / "work")
    make(work / ".git", elsewhere)
    (work / "a.txt").write_text("two\n")
    tools = Tools(work)

    said = tools.call("commit", message="x; touch owned", paths=["a.txt"])
    tools.call("branch", name="new/one", new=True)

    assert "keeps its data elsewhere" in said
    assert world(elsewhere) == before


# protected content on its way into a history -------------------------------------------------------------------------------


def test_a_tracked_secret_file_can_be_taken_out_but_not_committed_anew(tmp_path: Path) -> None:
    work = repository(tmp_path / "work", **{".env": "PASSWORD=old-old-old\n", "a.txt": "one\n"})
    (work / ".env").write_text("PASSWORD=new-new-new\n")
    (work / "a.txt").write_text("two\n")
    tools = Tools(work)

    assert tools.call("commit", message="m", paths=[".env"]) == "error: .env is protected: it is not committed."
    assert "1 file" in tools.call("commit", message="m", paths=["."])
    assert git(work, "show", "HEAD:.env") == "PASSWORD=old-old-old"
    (work / ".env").unlink()
    assert "1 file" in tools.call("commit", message="m", paths=[".env"])
    assert ".env" not in git(work, "ls-files")


def test_a_second_name_of_a_secret_file_is_not_committed(tmp_path: Path) -> None:
    work = repository(tmp_path / "work")
    (work / ".env").write_text("PASSWORD=hunter2hunter2\n")
    os.link(work / ".env", work / "notes.txt")

    assert Tools(work).call("commit", message="m", paths=["notes.txt"]) == "error: notes.txt is protected: it is not committed."


# what an always covers -----------------------------------------------------------------------------------------------------


def test_an_always_for_a_push_is_for_one_repository(tmp_path: Path) -> None:
    one, other = repository(tmp_path / "work" / "one"), repository(tmp_path / "work" / "other")
    git(one, "remote", "add", "origin", "https://host.example/me/mine.git")
    git(other, "remote", "add", "origin", "https://host.example/you/yours.git")
    tools = Tools(tmp_path / "work")

    scopes = [tools.plan("push", folder=name).preview.scope for name in ("one", "other")]

    assert scopes == ["the repository https://host.example/me/mine.git", "the repository https://host.example/you/yours.git"]


# a folder that came meanwhile ---------------------------------------------------------------------------------------------


def test_a_clone_takes_nothing_away_that_came_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    plan = Tools(work).plan("clone", url=str(bare(tmp_path / "seed.git", repository(tmp_path / "seed"))))
    (work / "seed").mkdir()
    (work / "seed" / "thesis.txt").write_text("years of work")
    answers = [False]  # whoever looks first looks just before the folder came
    real = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: answers.pop() if answers and path == work / "seed" else real(path))

    with pytest.raises(Changed):
        plan.do()
    assert (work / "seed" / "thesis.txt").read_text() == "years of work"


# a job that runs beside ------------------------------------------------------------------------------------------------------


@pytest.fixture
def beating(tmp_path: Path) -> Iterator[ToolContext]:
    """A working folder in which a job writes down the time, again and again."""
    (tmp_path / "work").mkdir()
    context = ToolContext(tmp_path / "work", secrets.token_hex(4))
    Terminal(context).start("while :; do date +%s%N >> beats; sleep 0.02; done").do()
    yield context
    end_jobs(context.run)


def beats(context: ToolContext) -> list[float]:
    """When the job was alive, in seconds."""
    lines = (context.folder / "beats").read_text().split("\n")[:-1]
    return [int(one) / 1e9 for one in lines]


def alive(context: ToolContext, began: float, ended: float) -> int:
    """How often the job was alive between two times, once it has gone on."""
    seen, deadline = len(beats(context)), time.monotonic() + 20
    while len(beats(context)) < seen + 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return sum(began < one < ended for one in beats(context))


@JAILED
def test_a_job_stands_still_while_git_writes(beating: ToolContext) -> None:
    repository(beating.folder / "repo")
    began = time.time()
    with opened(beating, "repo"):
        time.sleep(0.5)
    assert alive(beating, began, time.time()) > 5

    with opened(beating, "repo", writing=True):
        began = time.time()
        time.sleep(0.5)
        ended = time.time()
    assert alive(beating, began, ended) == 0


@JAILED
def test_a_job_stands_still_while_sqlite_writes(beating: ToolContext) -> None:
    with closing(sqlite3.connect(beating.folder / "shop.db")) as one:
        one.execute("CREATE TABLE goods (name)")
    many = "INSERT INTO goods WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000000) SELECT n FROM c"
    plan = Database(beating).execute(many, "shop.db")

    began = time.time()
    assert "1,000,000 rows" in plan.do()
    ended = time.time()

    alive(beating, began, ended)
    times = beats(beating)
    assert max(after - before for before, after in pairwise(times) if after > began) > 0.6 * (ended - began)


# much that acts on a screen ----------------------------------------------------------------------------------------------------


def test_much_text_of_controls_is_not_written_out_before_it_is_cut(tmp_path: Path) -> None:
    work = repository(tmp_path / "work")
    subject = tmp_path / "subject"
    subject.write_bytes(b"\x01" * 20_000_000)
    (work / "a.txt").write_bytes((b"\x01" * 99 + b"\n") * 200_000)
    git(work, "commit", "-q", "-a", "-F", str(subject))
    (work / "a.txt").write_bytes((b"\x02" * 99 + b"\n") * 200_000)
    tools = Tools(work)

    began = time.process_time()
    said = [tools.call(name) for name in ("diff", "log", "show", "branches")]

    assert time.process_time() - began < 4
    assert all(len(one) <= 20_000 and "\x01" not in one and "\x02" not in one for one in said)
    assert "more characters; give a path]" in said[0]
    assert "^A^A…" in said[1]


async def called(tool: BoundTool, **arguments: Any) -> str:
    return await tool.call(arguments)


def test_names_that_are_no_text_or_act_on_a_screen_reach_nobody_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for name in (b"\xff\xfe.db", b"\x1b[31m.db", "\u202ebd.db".encode()):
        (tmp_path / "work" / os.fsdecode(name)).write_bytes(b"")
    context = ToolContext(tmp_path / "work")
    query, *_ = (one for one in bind(Database(context), "database", "built-in", context) if one.spec.id == "database.query")

    with pytest.raises(ToolError, match="There are: ") as caught:
        asyncio.run(called(query, sql="SELECT 1", source="no.db"))
    said = str(caught.value)
    assert said == said.encode().decode()
    assert not {"\x1b", "\u202e"} & set(said)
    with pytest.raises(ToolError, match="nobody sees"):
        Database(context).execute("CREATE TABLE t (a)", "x\n.db")


def test_what_a_tool_says_went_wrong_is_text(tmp_path: Path) -> None:
    class Broken:
        @kernel_function
        def fail(self) -> str:
            """Fail."""
            raise ToolError("no \udcff.txt")

    (fail,) = bind(Broken(), "broken", "built-in", ToolContext(tmp_path))
    with pytest.raises(ToolError) as caught:
        asyncio.run(called(fail))
    assert str(caught.value) == "no ?.txt"


# much made of little -----------------------------------------------------------------------------------------------------------


def test_a_template_is_not_filled_beyond_what_a_mail_may_say(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("$a" * 100_000)
    one = Email(ToolContext(tmp_path, variables=Given(SMTP_FROM="me@example.org")))
    tracemalloc.start()
    try:
        with pytest.raises(ToolError, match="500,000 characters"):
            one.save("a.eml", "you@example.org", "s", template="t.txt", values={"a": "x" * 20_000})
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 100_000_000
    (tmp_path / "t.txt").write_text("$a $$5 ${b}")
    assert b"x $5 y" in (
        one.save("b.eml", "you@example.org", "s", template="t.txt", values={"a": "x", "b": "y"}).preview.changes[0].after or b""
    )


def bomb(folder: Path) -> Path:
    """A repository of a few hundred bytes whose one commit has ten billion files."""
    made = repository(folder)
    (folder.parent / "list").write_bytes(b"x")
    kind, found = "100644 blob", git(made, "hash-object", "-w", str(folder.parent / "list"))
    for _ in range(10):
        listed = "".join(f"{kind} {found}\td{number}\n" for number in range(10))
        ran = subprocess.run(["git", "mktree"], cwd=made, input=listed, capture_output=True, text=True, check=True)
        kind, found = "040000 tree", ran.stdout.strip()
    git(made, "update-ref", "refs/heads/main", git(made, "commit-tree", found, "-m", "x"))
    return made


@pytest.mark.slow
def test_a_repository_of_billions_of_files_is_not_checked_out(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()

    said = Tools(tmp_path / "work", limits=Limits(seconds=2.0)).call("clone", url=str(bomb(tmp_path / "seed")))

    assert "has more than 300,000 files or 4 GiB" in said
    assert list((tmp_path / "work").iterdir()) == []


def test_what_is_too_large_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    work = repository(tmp_path / "work")
    with (work / "large.bin").open("wb") as file:
        file.truncate(300 * 1024**2)

    began = time.monotonic()
    assert "more than 256 MiB together" in Tools(work).call("add", paths=["."])
    assert time.monotonic() - began < 5
