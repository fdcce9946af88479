"""Clone, pull and push: remotes on the disk and over loopback HTTP behind a token, which nobody but that host is told."""

from __future__ import annotations

import base64
import os
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.plugins.api import Changed, ToolContext, ToolError
from foundry.plugins.standard_lib.git_remote import address
from tests.plugins.git_world import AUTHOR, TOKEN, Tools, bare, commit, git, http_server, repository, url
from tests.plugins.given import Given


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A folder with one bare repository, seed.git, that may be served."""
    made = bare(tmp_path / "served" / "seed.git", repository(tmp_path / "seed"))
    git(made, "config", "http.receivepack", "true")
    return made.parent


@pytest.fixture
def work(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


def tools_with_token(work: Path, **more: str) -> Tools:
    return Tools(work, Given(**AUTHOR, GIT_TOKEN=TOKEN, **more))


def test_clone_pull_and_push_on_the_disk(served: Path, work: Path, tmp_path: Path) -> None:
    tools = Tools(work)
    remote = served / "seed.git"

    assert tools.call("clone", url=str(remote)).startswith(f"Cloned {remote} into seed: branch main at ")
    shown = tools.previews[-1]
    assert (shown.hosts, set(shown.paths)) == ((), {work / "seed", work / "seed" / ".git", remote})
    assert git(work / "seed", "status", "--porcelain", "--branch") == "## main...origin/main"
    assert git(work / "seed", "config", "remote.origin.url") == str(remote)

    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(remote), str(other))
    commit(other, "from elsewhere", **{"b.txt": "bee\n"})
    git(other, "push", "-q")
    assert "from elsewhere" in tools.call("pull", folder="seed")
    assert (work / "seed" / "b.txt").read_text() == "bee\n"
    assert tools.call("pull", folder="seed") == "main is up to date."

    (work / "seed" / "a.txt").write_text("two\n")
    tools.call("commit", message="Change a", paths=["a.txt"], folder="seed")
    assert "main to main of" in tools.call("push", folder="seed").replace(f"at {git(remote, 'rev-parse', 'main')[:12]} ", "")
    assert "Change a" in tools.previews[-1].summary
    assert git(remote, "log", "-1", "--format=%s", "main") == "Change a"
    assert tools.call("push", folder="seed").startswith("error: main has nothing that")
    assert git(work / "seed", "fsck", "--strict") == ""


def test_clone_pull_and_push_over_http_with_the_token(served: Path, work: Path) -> None:
    tools = tools_with_token(work)
    with http_server(served) as server:
        where = url(server, "seed.git")
        assert tools.call("clone", url=where).startswith(f"Cloned {where} into seed: branch main at ")
        host = f"127.0.0.1:{server.server_address[1]}"
        assert tools.previews[-1].hosts == (host,)
        assert tools.previews[-1].scope == f"the host {host}"
        (work / "seed" / "a.txt").write_text("two\n")
        tools.call("branch", name="work", new=True, folder="seed")
        tools.call("commit", message="Change a", paths=["a.txt"], folder="seed")
        assert tools.call("push", folder="seed").startswith("Pushed work at ")
        assert tools.call("pull", folder="seed") == "work is up to date."
    assert git(served / "seed.git", "log", "-1", "--format=%s", "work") == "Change a"
    for path in work.rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="other processes cannot be looked at here")
def test_the_token_is_in_no_argument_no_environment_no_file_and_no_result(
    served: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process of the machine is looked at, again and again, while a push goes on; the server holds it up to be seen."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("GIT_TRACE_CURL", str(tmp_path / "trace"))
    tools = tools_with_token(work)
    spied = Spy(temporary)
    with http_server(served) as server:
        tools.call("clone", url=url(server, "seed.git"))
        (work / "seed" / "a.txt").write_bytes(os.urandom(300_000))
        tools.call("commit", message="Change a", paths=["a.txt"], folder="seed")
        server.on_request = lambda _: spied.settle()
        with spied:
            said = [tools.call("push", folder="seed"), str(tools.previews[-1])]
    assert said[0].startswith("Pushed main")
    assert spied.looks >= 3
    assert {"git-remote-http", "git"} <= spied.programs
    assert spied.found == []
    assert TOKEN not in "".join(said)
    assert not (tmp_path / "trace").exists()
    assert any(given for _, given in server.seen)


class Spy:
    """Reads the arguments and environments of all processes, and the files of a folder, for the token in any form."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.looks, self.found = folder, 0, list[str]()
        self.programs: set[str] = set()
        raw = TOKEN.encode()
        self.forms = (raw, base64.b64encode(b"x-access-token:" + raw), base64.b64encode(raw)[:24], quote(TOKEN).encode())
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._look_on)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def settle(self) -> None:
        """Return when the processes that are there now have been looked at from beginning to end."""
        wanted = self.looks + 2
        while self.looks < wanted and not self.stop.is_set():
            self.stop.wait(0.005)

    def _look_on(self) -> None:
        while not self.stop.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                self._look(process)
            for folder, _, files in os.walk(self.folder):
                for name in files:
                    self._search(Path(folder, name))
            self.looks += 1

    def _look(self, process: Path) -> None:
        try:
            if int(process.name) == os.getpid() or not (process / "exe").readlink().name.startswith(("git", "dash", "sh", "cat")):
                return
            self.programs.add((process / "exe").readlink().name)
        except OSError:
            return
        self._search(process / "cmdline")
        self._search(process / "environ")

    def _search(self, file: Path) -> None:
        try:
            if file.is_file() and not file.is_symlink() and any(form in file.read_bytes() for form in self.forms):
                self.found.append(str(file))
        except OSError:
            return


def test_the_token_goes_to_no_host_that_was_not_shown(served: Path, work: Path) -> None:
    tools = tools_with_token(work)
    with http_server(served) as real, http_server(served) as other:
        real.redirect = f"http://127.0.0.1:{other.server_address[1]}"
        said = tools.call("clone", url=url(real, "seed.git"))
        assert "it redirects, which is not followed" in said
        assert other.seen == []
        assert not (work / "seed").exists()
        assert [given for _, given in real.seen] == [""] * len(real.seen)


def test_a_configuration_that_sends_elsewhere_has_no_effect(served: Path, work: Path) -> None:
    tools = tools_with_token(work)
    with http_server(served) as real, http_server(served) as other:
        tools.call("clone", url=url(real, "seed.git"))
        git(work / "seed", "config", f"url.http://127.0.0.1:{other.server_address[1]}/.insteadOf", f"{url(real, '')}")
        git(work / "seed", "config", "http.proxy", f"http://127.0.0.1:{other.server_address[1]}")
        git(work / "seed", "config", "http.extraHeader", "X-Leak: yes")
        assert tools.call("pull", folder="seed") == "main is up to date."
        assert other.seen == []
        git(work / "seed", "config", "remote.origin.url", url(other, "seed.git"))
        plan = tools.plan("pull", folder="seed")
        assert plan.preview.hosts == (f"127.0.0.1:{other.server_address[1]}",)
        git(work / "seed", "config", "remote.origin.url", url(real, "seed.git"))
        with pytest.raises(Changed):
            plan.do()


@pytest.mark.parametrize(
    ("variables", "status", "why"),
    [
        ({}, 0, "it wants a token, and there is none. Set GIT_TOKEN"),
        ({"GIT_TOKEN": "wrong-wrong-wrong"}, 0, "it does not accept the token"),
        ({"GIT_TOKEN": TOKEN}, 403, "the token has no right to this"),
        ({"GIT_TOKEN": TOKEN}, 404, "there is no such repository"),
        ({"GIT_TOKEN": TOKEN}, 500, "500"),
        ({"GIT_TOKEN": "two\nlines"}, 0, "has a line end in it"),
    ],
)
def test_what_the_host_refuses_is_said_clearly(
    served: Path, work: Path, variables: dict[str, str], status: int, why: str
) -> None:
    tools = Tools(work, Given(**variables))
    with http_server(served) as server:
        server.status = status
        said = tools.call("clone", url=url(server, "seed.git"))
    assert said.startswith("error: ")
    assert why in said
    assert "wrong-wrong" not in said
    assert not (work / "seed").exists()


def test_nobody_at_the_other_end(work: Path, served: Path) -> None:
    with http_server(served) as server:
        gone = url(server, "seed.git")
    assert "nobody answers there" in Tools(work).call("clone", url=gone)


def test_another_user_for_the_token(served: Path, work: Path) -> None:
    with http_server(served) as server:
        server.user = "Ada's bot"
        said = tools_with_token(work, GIT_USER="Ada's bot").call("clone", url=url(server, "seed.git"))
    assert said.startswith("Cloned")


def test_a_pull_never_merges_and_a_push_never_forces(served: Path, work: Path, tmp_path: Path) -> None:
    tools = Tools(work)
    tools.call("clone", url=str(served / "seed.git"))
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(served / "seed.git"), str(other))
    commit(other, "theirs", **{"b.txt": "theirs\n"})
    git(other, "push", "-q")
    (work / "seed" / "c.txt").write_text("ours\n")
    tools.call("commit", message="ours", paths=["."], folder="seed")

    assert "it has commits that are not here. Use git.pull first." in tools.call("push", folder="seed")
    assert "A person merges them." in tools.call("pull", folder="seed")
    assert git(served / "seed.git", "log", "-1", "--format=%s", "main") == "theirs"
    assert git(work / "seed", "log", "-1", "--format=%s", "main") == "ours"


def test_a_pull_does_not_bring_what_is_trusted(served: Path, work: Path, tmp_path: Path) -> None:
    tools = Tools(work)
    tools.call("clone", url=str(served / "seed.git"))
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(served / "seed.git"), str(other))
    for name in (".vscode/tasks.json", ".env", "sub/.bashrc", "agent.config.json"):
        commit(other, name, **{name: "evil\n"})
        git(other, "push", "-q", "-f")
        assert f"it changes {name}, which is protected" in tools.call("pull", folder="seed")
        assert not (work / "seed" / name).exists()
        git(other, "reset", "-q", "--hard", "HEAD~1")


def test_a_remote_with_hooks_is_not_pushed_to(served: Path, work: Path) -> None:
    tools = Tools(work)
    tools.call("clone", url=str(served / "seed.git"))
    hooks = served / "seed.git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-receive").write_text("#!/bin/sh\nexit 1\n")
    (work / "seed" / "c.txt").write_text("ours\n")
    tools.call("commit", message="ours", paths=["."], folder="seed")

    assert "has a hook (pre-receive), which is not run from here" in tools.call("push", folder="seed")


def test_cloned_links_and_odd_files_stay_harmless(served: Path, work: Path, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    (seed / "out").symlink_to("/etc")
    (seed / "-x").write_text("x")
    (seed / ".env").write_text("KEY=1")
    commit(seed, "odd")
    git(seed, "push", "-q", str(served / "seed.git"), "main")
    tools = Tools(work)

    assert tools.call("clone", url=str(served / "seed.git")).startswith("Cloned")
    assert (work / "seed" / "out").is_symlink()
    with pytest.raises(ToolError, match="outside the folder"):
        ToolContext(work).path("seed/out/passwd")


def test_a_clone_that_fails_leaves_nothing_and_never_overwrites(served: Path, work: Path) -> None:
    tools = Tools(work)
    (work / "seed").mkdir()

    assert tools.call("clone", url=str(served / "seed.git")) == "error: There is a seed already. Give another name with `to`."
    assert "outside the folder" in tools.call("clone", url=str(served / "seed.git"), to="../x")
    assert "protected" in tools.call("clone", url=str(served / "seed.git"), to=".git")
    plan = tools.plan("clone", url=str(served / "seed.git"), to="late")
    (work / "late").mkdir()
    with pytest.raises(Changed):
        plan.do()
    assert sorted(one.name for one in work.iterdir()) == ["late", "seed"]


BAD = [
    *("ssh://host/x", "git@host:x.git", "host:x", "git://host/x", "ext::sh -c id", "fd::7", "ftp://host/x", "javascript:x"),
    *(
        "https://user@host/x",
        "https://u:p@host/x",
        "https://host/x?y",
        "https://host/x#y",
        "https://host\\@evil/x",
        "https://ho st/x",
    ),
    *(
        "http://example.org/x.git",
        "http://127.0.0.1.evil.org/x",
        "http://0.0.0.0/x",
        "http://localhost.evil/x",
        "https://-host/x",
    ),
    *("https:///x", "https://host:99999/x", "https://host:/x", "https://hôst/x", "https://host/../x", "https://host/%2e%2e/x"),
    *(
        "-x",
        "--upload-pack=x",
        "",
        " https://host/x",
        "https://host/x\n",
        "https://host/x\x00",
        "file://host/x",
        "/nowhere",
        "..",
        ".",
    ),
]


@pytest.mark.parametrize("given_url", BAD)
def test_addresses_that_are_not_used(work: Path, given_url: str) -> None:
    with pytest.raises(ToolError):
        address(ToolContext(work), given_url)


@given(st.text(max_size=60) | st.from_regex(r"https?://[ -~]{0,40}", fullmatch=True))
def test_an_address_that_is_used_is_the_one_that_was_checked(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    from urllib.parse import urlsplit

    try:
        found = address(ToolContext(tmp_path_factory.getbasetemp()), text)
    except ToolError:
        return
    parts = urlsplit(found.url)
    assert parts.scheme == "https" or parts.hostname in ("localhost", "::1") or str(parts.hostname).startswith("127.")
    assert parts.netloc == found.host
    assert "@" not in parts.netloc
    assert found.url.isascii()
