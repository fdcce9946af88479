"""Commits that come and go: clone, pull and push, each shown with the one host or folder it talks to, and never forced."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from foundry.agent.trash import remove_tree
from foundry.plugins.api import Changed, Plan, Preview, ToolContext, ToolError, is_trusted
from foundry.plugins.standard_lib.git_changes import Limits, check_out
from foundry.plugins.standard_lib.git_process import environment, git_in, private_folder
from foundry.plugins.standard_lib.git_read import commits
from foundry.plugins.standard_lib.git_remote import Address, address, connected, refuse_hooks
from foundry.plugins.standard_lib.git_repository import Repository, opened
from foundry.text import named

_MOST_COMMITS = 30


def clone(context: ToolContext, url: str, to: str, limits: Limits) -> Plan:
    """Plan a repository as a new folder. Raises ToolError for an address that is not used and a folder that is there."""
    remote = address(context, url)
    name = to or (remote.folder.parent.name if remote.folder and remote.folder.name == ".git" else remote.url.rpartition("/")[2])
    target = context.path(to or name.removesuffix(".git"))
    if not name.isprintable() or target == context.folder.resolve():
        raise ToolError("Give the name of a new folder with `to`.")
    if os.path.lexists(target):
        raise ToolError(f"There is a {context.name(target)} already. Give another name with `to`.")
    if not target.parent.is_dir():
        raise ToolError(f"There is no folder {context.name(target.parent)}.")
    about = _identity(target.parent)
    paths = (target, target / ".git", *remote.paths)
    shown = Preview(f"Clone {remote.url} into {named(context.name(target))}", hosts=remote.hosts, paths=paths, scope=remote.scope)

    def do() -> str:
        from foundry.sandbox.still import held_still

        with held_still():  # jailed code could put a link where git writes
            try:
                if context.path(str(target.parent)) != target.parent or _identity(target.parent) != about:
                    raise FileNotFoundError
                target.mkdir()
            except (OSError, ToolError):
                raise Changed(f"{context.name(target)} is not what it was when it was shown.") from None
            try:
                _make(target, remote)
                return _filled(context, target, remote, limits)
            except BaseException:
                remove_tree(target)
                raise

    return Plan(shown, do)


def _identity(path: Path) -> tuple[int, int]:
    about = path.lstat()
    return about.st_dev, about.st_ino


def _make(target: Path, remote: Address) -> None:
    """Make an empty repository of an empty folder, as git would, that knows its remote."""
    with private_folder() as private:
        env = {**environment(private), "GIT_CEILING_DIRECTORIES": str(target.parent)}
        git = git_in(target, env)
        git.init("--quiet", "--template=", "--initial-branch=main", str(target))
        for key, value in (("url", remote.url), ("fetch", "+refs/heads/*:refs/remotes/origin/*")):
            git.config("--file", str(target / ".git" / "config"), f"remote.origin.{key}", value)


def _filled(context: ToolContext, target: Path, remote: Address, limits: Limits) -> str:
    """Fetch everything into the empty repository, check its remote's branch out and return what there is."""
    with opened(context, context.name(target), writing=True) as repo:
        with connected(context.variables, repo.private, remote, repo.git.env, repo.root) as line:
            head, there = line.branches()
        if there:
            with connected(context.variables, repo.private, remote, repo.git.env, repo.root) as line:
                line.fetch("+refs/heads/*:refs/remotes/origin/*", "refs/tags/*:refs/tags/*")
        name = context.name(target)
        if head not in there:
            return f"Cloned {remote.url} into {name}. It has no branch that is its own, so nothing is checked out."
        ref = repo.branch_named(head)
        commit = repo.commit(f"refs/remotes/origin/{head}")
        check_out(repo, "", commit, limits)
        repo.git.update_ref("-m", f"clone: from {remote.url}", ref, commit, "0" * len(commit))
        repo.git.symbolic_ref("HEAD", ref)
        _set_upstream(repo, head)
        return f"Cloned {remote.url} into {name}: branch {head} at {commits(repo, 1, commit)}"


def _set_upstream(repo: Repository, branch: str) -> None:
    config = repo.root / ".git" / "config"
    for key, value in (("remote", "origin"), ("merge", f"refs/heads/{branch}")):
        repo.git.config("--file", str(config), f"branch.{branch}.{key}", value)


@dataclass(frozen=True, slots=True)
class _Line:
    """What a pull or push is about: the branch here, its commit, the remote's name and address, and its branch there."""

    branch: str
    commit: str
    origin: str
    remote: Address
    there: str

    @property
    def tracking(self) -> str:
        return f"refs/remotes/{self.origin}/{self.there}"


def _line(repo: Repository, pushing: bool) -> _Line:
    branch = repo.branch()
    if not branch:
        raise ToolError(f"{repo.name} has no branch checked out. Use git.branch first.")
    config = repo.sealed.config
    origin = config.get(f"branch.{branch}.remote", "origin")
    url = (config.get(f"remote.{origin}.pushurl") if pushing else "") or config.get(f"remote.{origin}.url")
    if not url:
        raise ToolError(f"{repo.name} has no remote {named(origin)}. A person can add one with: git remote add origin URL")
    merge = config.get(f"branch.{branch}.merge", "")
    there = merge.removeprefix("refs/heads/") if merge.startswith("refs/heads/") else branch
    for one in (there, f"x/{origin}"):
        repo.branch_named(one)
    return _Line(branch, repo.head(), origin, address(repo.context, url, repo.root), there)


def pull(context: ToolContext, folder: str, limits: Limits) -> Plan:
    """Plan the remote's new commits as checked out, where nothing has to be merged. Raises ToolError."""
    with opened(context, folder) as repo:
        line = _line(repo, pushing=False)
        if step := repo.under_way():
            raise ToolError(f"{step.capitalize()} is under way in {repo.name}. A person finishes it first.")
        root = repo.root
        what = f"Pull {named(line.there)} of {line.remote.url} into {named(line.branch)} in {named(repo.name)}"
    note = "; new commits only, and none that changes what Foundry or the system trusts"
    shown = Preview(what + note, hosts=line.remote.hosts, paths=(root, *line.remote.paths), scope=line.remote.scope)

    def do() -> str:
        with opened(context, folder, writing=True) as now:
            if _line(now, pushing=False) != line:
                raise Changed("The repository is not what it was when it was shown.")
            with connected(context.variables, now.private, line.remote, now.git.env, now.root) as open_line:
                open_line.fetch(f"+refs/heads/{line.there}:{line.tracking}")
            return _forward(now, line, limits)

    return Plan(shown, do)


def _forward(repo: Repository, line: _Line, limits: Limits) -> str:
    new = repo.commit(line.tracking)
    if new == line.commit:
        return f"{line.branch} is up to date."
    if line.commit:
        code, *_ = repo.git.merge_base("--is-ancestor", line.commit, new, with_exceptions=False, with_extended_output=True)
        if code != 0 and repo.git.rev_list("--max-count=1", f"{line.commit}..{new}"):
            raise ToolError(f"{line.branch} has commits that the remote has not, and the other way round. A person merges them.")
        if code != 0:
            return f"{line.branch} is ahead of the remote, which has nothing new."
    _refuse_trusted(repo, line.commit, new)
    check_out(repo, line.commit, new, limits)
    repo.git.update_ref("-m", "pull: Fast-forward", "HEAD", new, line.commit or "0" * len(new))
    since = [f"{line.commit}..{new}"] if line.commit else [new]
    return f"Pulled into {line.branch}:\n{commits(repo, _MOST_COMMITS, *since)}"


def _refuse_trusted(repo: Repository, old: str, new: str) -> None:
    """Refuse new commits that change what nobody was shown and Foundry, the system or an editor later executes or trusts."""
    if not old:
        old = str(repo.git.hash_object("-t", "tree", "--stdin")).strip()
    listed = repo.git.diff_tree("-r", "-z", "--name-only", "--no-renames", old, new)
    top = repo.context.folder.resolve()
    found = [one for one in listed.split("\0") if one and (is_trusted(repo.root / one, top) or not repo.shows(one))]
    if found:
        names = named(", ".join(found[:5]))
        raise ToolError(
            f"Fetched, not checked out: it changes {names}, which is protected. A person can do it with: git merge --ff-only"
        )


def push(context: ToolContext, folder: str) -> Plan:
    """Plan the commits of the branch that is checked out as sent to its remote. Raises ToolError where nothing is to be sent."""
    with opened(context, folder) as repo:
        line = _line(repo, pushing=True)
        if not line.commit:
            raise ToolError(f"{repo.name} has no commit yet.")
        refuse_hooks(line.remote)
        going = commits(repo, _MOST_COMMITS + 1, line.commit, "--not", f"--remotes={line.origin}", "--").splitlines()
        if not going and repo.id_of(line.tracking) == line.commit:
            raise ToolError(f"{line.branch} has nothing that {line.remote.url} does not have.")
        listed = "\n".join([*going[:_MOST_COMMITS], *(["…"] if len(going) > _MOST_COMMITS else [])]) or "no new commit"
        root = repo.root
    what = f"Push {named(line.branch)} at {line.commit[:12]} to {named(line.there)} of {line.remote.url}:\n{listed}"
    # What is sent elsewhere is another matter than where on a host it comes from: an always is for this one repository.
    scope = f"the repository {line.remote.url}"
    shown = Preview(what, hosts=line.remote.hosts, paths=(root, *line.remote.paths), scope=scope)

    def do() -> str:
        with opened(context, folder, writing=True) as now:
            if _line(now, pushing=True) != line:
                raise Changed("The repository is not what it was when it was shown.")
            refuse_hooks(line.remote)
            with connected(context.variables, now.private, line.remote, now.git.env, now.root) as open_line:
                open_line.push(f"{line.commit}:refs/heads/{line.there}")
            now.git.update_ref("-m", "update by push", line.tracking, line.commit)
        return f"Pushed {line.branch} at {line.commit[:12]} to {line.there} of {line.remote.url}."

    return Plan(shown, do)
