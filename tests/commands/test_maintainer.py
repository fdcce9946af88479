"""The blueprint `maintainer` at its whole job, on a terminal: tests run, a branch, a commit, a push and a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry.agent.blueprint import blueprint
from foundry.agent.definition import parse_definition
from foundry.agent.folder import Home
from foundry.plugins.built_ins import env_of
from tests.commands.running import make_runnable, script
from tests.conftest import FOUNDRY
from tests.plugins.git_world import TOKEN as GIT_TOKEN
from tests.plugins.git_world import bare, git, http_server, repository, url
from tests.plugins.github_world import TOKEN, hub_server
from tests.session.screens import Terminal

pytestmark = pytest.mark.slow
BROKEN = "def double(number: int) -> int:\n    return number + number + 1\n"
TEST = "from double import double\n\n\ndef test_double() -> None:\n    assert double(2) == 4\n"


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"calls": [{"name": tool, "arguments": arguments}]}


PYTEST = call("terminal.run", command="python -m pytest -q -p no:cacheprovider test_double.py")
JOB = [
    call("git.status"),
    PYTEST,
    call("git.branch", name="fix", new=True),
    call("read_write_code.edit_file", path="double.py", old="number + number + 1", new="number + number"),
    PYTEST,
    call("git.add", paths=["double.py"]),
    call("git.commit", message="Double without adding one"),
    call("git.push"),
    call("github.open_pull", repository="octo/hello", title="Double without adding one", text="It added one.", head="fix"),
    {"text": "Opened it: {result}"},
]
ASKS = len(JOB) - 2  # everything but the status and the last word


def test_a_fault_becomes_a_pull_request(home: Path, tmp_path: Path) -> None:
    config = dict(blueprint("maintainer").config)
    assert {"GIT_TOKEN", "GITHUB_TOKEN"} <= set(env_of(parse_definition({"name": "keeper", **config})))
    remotes = tmp_path / "remotes"
    work = repository(tmp_path / "work", **{"double.py": BROKEN, "test_double.py": TEST, ".gitignore": "__pycache__\n"})
    bare(remotes / "hello.git", work)
    with http_server(remotes) as server, hub_server() as hub:
        git(work, "remote", "add", "origin", url(server, "hello.git"))
        agent = make_runnable(Home(home), "keeper", **config)
        said = {"GIT_TOKEN": GIT_TOKEN, "GITHUB_TOKEN": TOKEN, "GITHUB_BASE_URL": hub.url}
        said |= {"GIT_AUTHOR_NAME": "Keeper", "GIT_AUTHOR_EMAIL": "keeper@example.org"}
        agent.env_file.write_text("".join(f"{name}={value}\n" for name, value in said.items()))
        model = script(tmp_path / "script.json", *JOB)
        words = ["run", "keeper", "--home", str(home), "--folder", str(work), "--model", model]
        terminal = Terminal([*FOUNDRY, *words], tmp_path, 110, 50)
        try:
            terminal.until("\u276f")
            terminal.line("fix double and open a pull request")
            for asked in range(1, ASKS + 1):
                terminal.until("Allow it?", patience=40, count=asked)
                terminal.line("y")
            shown = terminal.until("Opened it: Opened octo/hello#", patience=40)
        finally:
            terminal.stop()

    for secret in (GIT_TOKEN, TOKEN):
        assert secret not in terminal.raw.decode("utf-8", "replace")
    assert "1 failed" not in shown.split("git.commit")[-1]
    assert git(remotes / "hello.git", "log", "--format=%an %s", "fix", "-1") == "Keeper Double without adding one"
    assert git(remotes / "hello.git", "show", "fix:double.py").endswith("return number + number")
    assert git(remotes / "hello.git", "rev-list", "--count", "main") == "1", "the main branch is as it was"
    (pull,) = hub.pulls.values()
    assert (pull["title"], pull["head"]["ref"], pull["base"]["ref"]) == ("Double without adding one", "fix", "main")
