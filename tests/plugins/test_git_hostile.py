"""Hostile repositories: whatever they name to be run, in configuration, hooks, attributes or names, is run 0 times."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.git_world import AUTHOR, Tools, bare, commit, git, repository
from tests.plugins.given import Given

HOOKS = (
    *("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-checkout", "post-merge", "pre-push", "pre-rebase"),
    *("reference-transaction", "post-index-change", "fsmonitor-watchman", "pre-auto-gc", "post-rewrite", "pre-merge-commit"),
    *("pre-receive", "update", "post-receive", "post-update", "proc-receive", "push-to-checkout", "sendemail-validate"),
)
# Each names a program: of the key, or of what follows from it.
CONFIG = {
    "core.fsmonitor": "{}",
    "core.sshCommand": "{}",
    "core.gitProxy": "{}",
    "core.askPass": "{}",
    "core.editor": "{}",
    "core.pager": "{}",
    "core.alternateRefsCommand": "{}",
    "core.hooksPath": "{hooks}",
    "sequence.editor": "{}",
    "diff.external": "{}",
    "diff.evil.command": "{}",
    "diff.evil.textconv": "{}",
    "filter.evil.clean": "{}",
    "filter.evil.smudge": "{}",
    "filter.long.process": "{}",
    "filter.evil.required": "true",
    "merge.evil.driver": "{} %A",
    "merge.default": "evil",
    "credential.helper": "!{}",
    "credential.http://127.0.0.1.helper": "!{}",
    "alias.status": "!{}",
    "alias.write-tree": "!{}",
    "gpg.program": "{}",
    "gpg.format": "ssh",
    "gpg.ssh.program": "{}",
    "commit.gpgSign": "true",
    "push.gpgSign": "if-asked",
    "log.showSignature": "true",
    "interactive.diffFilter": "{}",
    "pager.log": "{}",
    "pager.diff": "{}",
    "trailer.sign.command": "{}",
    "remote.origin.uploadpack": "{}",
    "remote.origin.receivepack": "{}",
    "uploadpack.packObjectsHook": "{}",
    "submodule.sub.update": "!{}",
    "submodule.recurse": "true",
    "status.submoduleSummary": "true",
    "diff.ignoreSubmodules": "none",
    "gc.auto": "1",
    "gc.autoDetach": "false",
    "core.worktree": "..",
    "include.path": "{include}",
    "includeIf.gitdir:/.path": "{include}",
    "sendpack.sideband": "false",
    "mergetool.evil.cmd": "{}",
    "difftool.evil.cmd": "{}",
    "browser.evil.cmd": "{}",
    "instaweb.httpd": "{}",
    "web.browser": "evil",
    "man.evil.cmd": "{}",
    "core.fsmonitorHookVersion": "2",
}
# The calls of the hostile repository that have to work all the same.
NEEDED = (
    *("status []", "diff []", "diff [True]", "diff ['HEAD~1']", "log []", "log ['-rf']", "show []", "branches []"),
    *(
        "commit ['m', ['-rf']]",
        "branch ['other', True]",
        "branch ['side']",
        "clone ['.', 'copy']",
        "clone ['../remote.git', 'copy2']",
    ),
)
ATTRIBUTES = "*.txt filter=evil diff=evil merge=evil\n*.long filter=long\n"


class Traps:
    """Programs that leave a mark when they are run."""

    def __init__(self, folder: Path) -> None:
        self.marks = folder / "marks"
        self.marks.mkdir()
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.count = 0

    def program(self, name: str) -> Path:
        path = self.programs / f"{self.count:03}-{name.replace('/', '_')}"
        self.count += 1
        path.write_text(f"#!/bin/sh\necho ran >> {self.marks / path.name}\n")
        path.chmod(0o755)
        return path

    def ran(self) -> list[str]:
        return sorted(one.name for one in self.marks.iterdir())


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    return Traps(tmp_path)


def arm(folder: Path, traps: Traps) -> None:
    """Put a trap into every place that a git folder has for one."""
    hooks = folder / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in HOOKS:
        shutil.copy(traps.program(f"hook-{name}"), hooks / name)
    others = traps.programs / f"hooks-{traps.count}"
    shutil.copytree(hooks, others)
    include = traps.programs / f"include-{traps.count}"
    git(traps.programs, "config", "--file", str(include), "core.fsmonitor", str(traps.program("included")))
    for key, value in CONFIG.items():
        if "{}" in value:
            value = value.replace("{}", str(traps.program(key)))
        git(traps.programs, "config", "--file", str(folder / "config"), key, value.format(hooks=others, include=include))
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info" / "attributes").write_text(ATTRIBUTES)


def hostile(work: Path, traps: Traps, remote: Path) -> Path:
    """Make a repository, with a submodule in it, that is armed everywhere and has something for each tool to do."""
    repository(work, **{"a.txt": "one\n", "b.long": "long\n", "-rf": "x\n", "--output=z": "x\n"})
    git(work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(remote), "sub")
    git(work, "config", "-f", ".gitmodules", "submodule.sub.ignore", "none")
    commit(work, "submodule", **{".gitattributes": ATTRIBUTES})
    git(work, "branch", "side", "HEAD~1")
    git(work, "update-ref", "refs/heads/--upload-pack", "HEAD")
    git(work, "remote", "add", "origin", str(remote))
    for path in (work / "a.txt", work / "b.long", work / "sub" / "a.txt"):
        path.write_text("two\n")
        os.utime(path, (1, 1))
    (work / "new.txt").write_text("new\n")
    arm(work / ".git", traps)
    arm(work / ".git" / "modules" / "sub", traps)
    shutil.copy(work / ".gitattributes", work / "sub" / ".gitattributes")
    return work


def test_the_traps_work_where_git_is_used_as_it_is(tmp_path: Path, traps: Traps) -> None:
    """Otherwise the next tests would show nothing."""
    remote = bare(tmp_path / "remote.git", repository(tmp_path / "seed"))
    work = hostile(tmp_path / "work", traps, remote)
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_COUNT": "0"}

    for arguments in (["status"], ["diff"], ["add", "new.txt"], ["switch", "-q", "side"], ["fetch", "-q"], ["log", "-1", "-p"]):
        subprocess.run(["git", *arguments], cwd=work, env=env, capture_output=True, timeout=60, check=False)
    ran = " ".join(traps.ran())
    for kind in ("included", "filter.evil.clean", "diff.evil", "post-index-change", "remote.origin.uploadpack"):
        assert kind in ran
    assert len(traps.ran()) >= 8


@pytest.mark.slow
def test_no_tool_runs_a_program_of_a_hostile_repository(tmp_path: Path, traps: Traps) -> None:
    remote = bare(tmp_path / "remote.git", repository(tmp_path / "seed"))
    work = hostile(tmp_path / "work", traps, remote)
    arm(remote, traps)
    (work / "-rf").write_text("changed\n")
    tools = Tools(work)

    calls: list[tuple[str, dict[str, object]]] = [
        ("status", {}),
        ("status", {"folder": "sub"}),
        ("diff", {}),
        ("diff", {"staged": True}),
        ("diff", {"since": "HEAD~1"}),
        ("diff", {"path": "--output=z"}),
        ("log", {}),
        ("log", {"path": "-rf"}),
        ("log", {"branch": "--upload-pack"}),
        ("show", {}),
        ("branches", {}),
        ("add", {"paths": ["new.txt"]}),
        ("add", {"paths": ["."]}),
        ("add", {"paths": ["sub"]}),
        ("commit", {"message": "m", "paths": ["-rf"]}),
        ("commit", {"message": "m"}),
        ("branch", {"name": "other", "new": True}),
        ("branch", {"name": "side"}),
        ("branch", {"name": "--upload-pack"}),
        ("pull", {}),
        ("push", {}),
        ("clone", {"url": ".", "to": "copy"}),
        ("clone", {"url": "../remote.git", "to": "copy2"}),
        ("clone", {"url": "ext::sh -c true", "to": "x"}),
        ("clone", {"url": "--upload-pack=touch x", "to": "y"}),
    ]
    said = {f"{name} {[*arguments.values()]}": tools.call(name, **arguments) for name, arguments in calls}

    print(f"{traps.count} traps, {len(calls)} calls")
    assert [one for one in NEEDED if said[one].startswith("error")] == []
    assert traps.count > 150
    assert traps.ran() == []
    assert not (work / "z").exists()


@pytest.mark.slow
def test_what_the_hostile_repository_is_for_still_works(tmp_path: Path, traps: Traps) -> None:
    remote = bare(tmp_path / "remote.git", repository(tmp_path / "seed"))
    work = repository(tmp_path / "work")
    arm(work / ".git", traps)
    (work / "a.txt").write_text("two\n")
    tools = Tools(work)

    assert " M a.txt" in tools.call("status")
    assert "+two" in tools.call("diff")
    (work / ".git" / "info" / "attributes").unlink()
    assert tools.call("commit", message="m", paths=["a.txt"]).startswith("Committed")
    assert tools.call("branch", name="other", new=True).startswith("On other now")
    assert tools.call("clone", url=str(remote), to="copy").startswith(f"Cloned {remote} into copy: branch main")
    arm(remote, traps)
    assert tools.call("pull", folder="copy") == "main is up to date."
    shutil.rmtree(remote / "hooks")
    (work / "copy" / "b.txt").write_text("b\n")
    assert tools.call("commit", message="m", paths=["."], folder="copy").startswith("Committed")
    assert tools.call("push", folder="copy").startswith("Pushed main")
    assert traps.ran() == []


def test_files_stored_through_a_filter_are_not_added_raw(tmp_path: Path, traps: Traps) -> None:
    work = repository(tmp_path / "work")
    commit(work, "attributes", **{".gitattributes": "*.bin filter=lfs -text\n"})
    (work / "x.bin").write_text("large")

    assert Tools(work).call("add", paths=["x.bin"]).startswith("error: x.bin is stored through the filter lfs, a program")


def _worktree(work: Path, elsewhere: Path) -> None:
    git(elsewhere, "worktree", "add", "-q", str(work / "w"))


def _gitfile(work: Path, elsewhere: Path) -> None:
    (work / "w").mkdir()
    (work / "w" / ".git").write_text(f"gitdir: {elsewhere / '.git'}\n")


def _link(work: Path, elsewhere: Path) -> None:
    (work / "w").mkdir()
    (work / "w" / ".git").symlink_to(elsewhere / ".git")


def _alternates(work: Path, elsewhere: Path) -> None:
    repository(work / "w")
    (work / "w" / ".git" / "objects" / "info" / "alternates").write_text(f"{elsewhere / '.git' / 'objects'}\n")


def _commondir(work: Path, elsewhere: Path) -> None:
    repository(work / "w")
    (work / "w" / ".git" / "commondir").write_text(f"{elsewhere / '.git'}\n")


def _linked_objects(work: Path, elsewhere: Path) -> None:
    repository(work / "w")
    shutil.rmtree(work / "w" / ".git" / "objects")
    (work / "w" / ".git" / "objects").symlink_to(elsewhere / ".git" / "objects")


def _extension(work: Path, elsewhere: Path) -> None:
    repository(work / "w")
    git(work / "w", "config", "core.repositoryformatversion", "1")
    git(work / "w", "config", "extensions.partialClone", "origin")


@pytest.mark.parametrize("make", [_worktree, _gitfile, _link, _alternates, _commondir, _linked_objects, _extension])
def test_a_repository_that_leads_elsewhere_is_refused(tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    elsewhere = repository(tmp_path / "elsewhere", **{"private.txt": "private\n"})
    work = tmp_path / "work"
    work.mkdir()
    make(work, elsewhere)
    tools = Tools(work)

    for name in ("status", "diff", "log", "show", "branches", "pull", "push"):
        said = tools.call(name, folder="w")
        assert said.startswith("error: The repository")
        assert "private" not in said


def test_a_repository_above_or_bare_or_made_of_plain_names_is_not_found(tmp_path: Path, traps: Traps) -> None:
    repository(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    bare(work / "bare", tmp_path)
    arm(work / "bare", traps)
    tools = Tools(work)

    assert "There is no git repository" in tools.call("status")
    assert "There is no git repository" in tools.call("status", folder="bare")
    assert traps.ran() == []


def test_the_environment_of_the_shell_has_no_say(tmp_path: Path, traps: Traps, monkeypatch: pytest.MonkeyPatch) -> None:
    work = repository(tmp_path / "work")
    (work / "a.txt").write_text("two\n")
    trap = str(traps.program("environment"))
    for name in ("GIT_EXTERNAL_DIFF", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_PAGER", "GIT_EDITOR", "GIT_PROXY_COMMAND", "PAGER"):
        monkeypatch.setenv(name, trap)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", trap)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    tools = Tools(work)

    assert " M a.txt" in tools.call("status")
    assert "+two" in tools.call("diff")
    assert tools.call("commit", message="m", paths=["."]).startswith("Committed")
    assert traps.ran() == []


def test_gitpythons_own_calls_run_nothing_either(tmp_path: Path, traps: Traps) -> None:
    """What GitPython's calls ran in the measurements of the threat notes."""
    from foundry.plugins.api import ToolContext
    from foundry.plugins.standard_lib.git_repository import opened

    remote = bare(tmp_path / "remote.git", repository(tmp_path / "seed"))
    work = hostile(tmp_path / "work", traps, remote)
    with opened(ToolContext(work), ".") as repo:
        for arguments in (["--untracked-files=all"], []):
            repo.git.status(*arguments, "--ignore-submodules=all")
        repo.git.diff("--abbrev=40", "--full-index", "--raw", "--no-ext-diff", "--ignore-submodules=all")
        repo.git.ls_files("--others", "--exclude-standard")
    assert traps.ran() == []


def test_a_configuration_that_is_swapped_meanwhile_is_not_read(tmp_path: Path, traps: Traps) -> None:
    """A jailed command may change a repository it made itself, again and again, while a tool looks at it."""
    import threading

    work = repository(tmp_path / "work", **{"a.txt": "one\n", ".gitattributes": ATTRIBUTES})
    config = work / ".git" / "config"
    good = config.read_bytes()
    arm(work / ".git", traps)
    bad = config.read_bytes()
    stop = threading.Event()

    def flip() -> None:
        for content in itertools.cycle((good, bad)):
            if stop.is_set():
                return
            config.write_bytes(content)

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        tools = Tools(work, Given(**AUTHOR))
        for turn in range(15):
            (work / "a.txt").write_text(f"{turn}\n")
            tools.call("status")
            tools.call("diff")
    finally:
        stop.set()
        flipping.join()
    assert traps.ran() == []
