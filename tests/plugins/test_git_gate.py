"""The git and github tools behind the real gate: who is asked, what they see, and that a no changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import Redactor
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.plugins.api import ToolContext, Variables
from foundry.plugins.standard_lib.git import Git
from foundry.plugins.standard_lib.github import GitHub
from foundry.plugins.strict import bind
from foundry.session.approvals import Approvals
from foundry.session.limits import Limits
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.gate.conftest import Said
from tests.plugins.git_world import AUTHOR, TOKEN, bare, git, http_server, repository, url
from tests.plugins.github_world import TOKEN as HUB_TOKEN
from tests.plugins.github_world import hub_server
from tests.plugins.given import Given
from tests.session.conftest import Desk, Room, call


def played(tmp_path: Path, work: Path, variables: Variables, said: Said, *calls: dict[str, Any], mode: Any = "run") -> list[str]:
    """Play a session whose model makes these calls, and return what it was told of each."""
    folder = AgentFolder(tmp_path / "home" / "agents" / "scout")
    folder.workspace.mkdir(parents=True, exist_ok=True)
    context = ToolContext(work, variables=variables)
    tools = [*bind(Git(context), "git", "built-in", context), *bind(GitHub(context), "github", "built-in", context)]
    approvals = Approvals(mode, said, folder=folder, rules=(), work=work, entrance="test", run="r1", always=None)
    steps = [*({"calls": [one]} for one in calls), {"text": "That is all."}]
    model = ScriptedModel(script({"steps": steps}), ModelInfo("scripted:test", 32_000))
    room = Room(Session(model, Toolbox(tools, Redactor({}), context), approvals, limits=Limits(retries=0)), Desk())
    room.say("go")
    return [message.content for message in room.session.history if message.role == "tool"]


def test_reading_is_not_asked_about_and_changes_are_shown(tmp_path: Path) -> None:
    work = repository(tmp_path / "work")
    (work / "a.txt").write_text("two\n")
    said = Said(["no", "yes"])
    results = played(
        tmp_path,
        work,
        Given(**AUTHOR),
        said,
        *(call("git.status"), call("git.diff"), call("git.log"), call("git.show"), call("git.branches")),
        *(call("git.commit", message="Change a", paths=["a.txt"]) for _ in range(2)),
    )

    assert [question.tool for question in said.asked] == ["git.commit", "git.commit"]
    shown = said.asked[0].preview
    assert [(one.before, one.after) for one in shown.changes] == [(b"one\n", b"two\n")]
    assert results[-1].startswith("Committed")
    assert git(work, "rev-list", "--count", "HEAD") == "2"


def test_plan_mode_changes_nothing(tmp_path: Path) -> None:
    work = repository(tmp_path / "work")
    (work / "a.txt").write_text("two\n")
    said = Said(["yes"] * 9)
    results = played(
        tmp_path,
        work,
        Given(**AUTHOR),
        said,
        *(
            call("git.add", paths=["."]),
            call("git.commit", message="m", paths=["."]),
            {"name": "git.branch", "arguments": {"name": "x", "new": True}},
        ),
        mode="plan",
    )

    assert said.asked == []
    assert results == ["Denied. Plan mode denies: writes inside the folder."] * 3
    assert git(work, "status", "--porcelain") == "M a.txt"
    assert git(work, "branch", "--format=%(refname:short)") == "main"


def test_a_push_names_its_host_and_a_no_sends_nothing(tmp_path: Path) -> None:
    remote = bare(tmp_path / "served" / "seed.git", repository(tmp_path / "seed"))
    git(remote, "config", "http.receivepack", "true")
    work = tmp_path / "work"
    with http_server(remote.parent) as server:
        git(tmp_path, "-c", f"http.extraHeader=Authorization: {_basic()}", "clone", "-q", url(server, "seed.git"), str(work))
        (work / "a.txt").write_text("two\n")
        git(work, "commit", "-q", "-a", "-m", "Change a")
        server.seen.clear()
        said = Said(["no"])
        results = played(tmp_path, work, Given(GIT_TOKEN=TOKEN), said, call("git.push"), mode="auto")
        assert server.seen == []
        assert said.asked[0].preview.hosts == (f"127.0.0.1:{server.server_address[1]}",)
        assert "Change a" in said.asked[0].preview.summary
        results = played(tmp_path, work, Given(GIT_TOKEN=TOKEN), Said(["yes"]), call("git.push"), mode="auto")
    assert results[-1].startswith("Pushed main")
    assert git(remote, "log", "-1", "--format=%s") == "Change a"


def test_a_clone_is_asked_about_each_time(tmp_path: Path) -> None:
    """It makes a .git, which git trusts; and what lies outside the folder is named."""
    remote = bare(tmp_path / "seed.git", repository(tmp_path / "seed"))
    work = tmp_path / "work"
    work.mkdir()
    said = Said(["yes", "yes"])
    played(tmp_path, work, Given(), said, *(call("git.clone", url=str(remote), to=name) for name in ("a", "b")), mode="auto")

    assert [question.always for question in said.asked] == ["", ""]
    assert remote in said.asked[0].preview.paths
    assert (work / "b" / "a.txt").exists()


def test_github_may_be_always_read_but_writing_asks_by_itself(tmp_path: Path) -> None:
    with hub_server() as hub:
        hub.issue("It breaks")
        variables = Given(GITHUB_TOKEN=HUB_TOKEN, GITHUB_BASE_URL=hub.url)
        said = Said(["always", "no"])
        reading = [call("github.read", repository="octo/hello", number=1) for _ in range(2)]
        results = played(
            tmp_path, tmp_path, variables, said, *reading, call("github.comment", repository="octo/hello", number=1, text="x")
        )
        assert [question.tool for question in said.asked] == ["github.read", "github.comment"]
        assert said.asked[0].preview.hosts == (hub.url.removeprefix("http://"),)
        assert "It breaks" in results[1]
        assert [one.method for one in hub.seen] == ["GET"] * 4


def _basic() -> str:
    import base64

    return "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
