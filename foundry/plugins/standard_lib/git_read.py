"""What a repository is like: its state, differences, commits and branches as bounded text; no protected file's content."""

from __future__ import annotations

from foundry.plugins.api import ToolError
from foundry.plugins.standard_lib.git_repository import Repository
from foundry.text import visible

MOST_COMMITS = 200
_WIDEST = 500  # characters of a commit's line
_NOTE = 300  # characters kept free for what is said about a cut
# Whatever the repository or its attributes say, none of this starts a program.
_INERT = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=all", "--no-color")
_PATCH = (*_INERT, "--patch", "--stat=100", "--find-renames")


def status(repo: Repository) -> str:
    """Return the branch, and each changed or new file on a line."""
    limit = repo.context.limit - _NOTE
    listed = repo.git.status("--porcelain=v1", "--branch", "--untracked-files=normal", "--ignore-submodules=all")
    head, *files = str(listed).splitlines()
    said = [f"On {head.removeprefix('## ')}" + (f", {repo.under_way()} under way" if repo.under_way() else "")]
    if not files:
        return f"{said[0]}; nothing changed."
    said.append("(first letter: staged, second: not staged; ?? new, M modified, A added, D deleted, R renamed, U in conflict)")
    return cut("\n".join([*said, *files]), limit, "name a folder of the repository's, or use git.diff with a path")


def diff(repo: Repository, path: str, staged: bool, since: str) -> str:
    """Return the differences of tracked files to what is staged, of what is staged to HEAD, or of the files to a commit."""
    against = [repo.commit(since)] if since else []
    asked = ["--cached"] if staged else []
    only = repo.only([repo.path(path)]) if path else [":(top)"]
    names = repo.git.diff(*asked, "--no-renames", *_INERT, "--name-only", "-z", *against, "--", *only)
    shown, hidden = _excluding(repo, names)
    text = str(repo.git.diff(*asked, *_PATCH, *against, "--", *only, *shown))
    if not text and not hidden:
        kind = "staged" if staged else f"changed since {since}" if since else "changed and not staged"
        return f"Nothing of {path or repo.name} is {kind}. New files are in git.status."
    return cut(f"{text}{hidden}", repo.context.limit, "give a path")


def log(repo: Repository, most: int, path: str, branch: str) -> str:
    """Return the newest commits, one a line: id, day, author, subject."""
    if not 1 <= most <= MOST_COMMITS:
        raise ToolError(f"most is between 1 and {MOST_COMMITS}.")
    start = repo.commit(branch or "HEAD")
    only = repo.only([repo.path(path)]) if path else []
    text = commits(repo, most, start, "--", *only)
    return cut(text or f"No commit changes {path}.", repo.context.limit, "ask for fewer")


def commits(repo: Repository, most: int, *revisions: str) -> str:
    """Return commits as lines, as `git log` finds them from these revisions."""
    shape = "--format=%h %as %an: %s"
    listed = str(repo.git.log(f"--max-count={most}", shape, "--no-show-signature", "--no-color", *revisions)).strip()
    lines = [line if len(line) <= _WIDEST else f"{line[:_WIDEST]}…" for line in listed.split("\n")]
    return visible("\n".join(lines))


def show(repo: Repository, commit: str) -> str:
    """Return one commit: who, when, why, and what it changed."""
    found = repo.commit(commit)
    alike = ("--no-show-signature", "--no-notes", "--diff-merges=first-parent", "--no-color")
    names = repo.git.show(*alike, "--format=", "--no-renames", *_INERT, "--name-only", "-z", found, "--", ":(top)")
    shown, hidden = _excluding(repo, names)
    shape = "--format=commit %H%nauthor %an <%ae>%ndate   %ad%n%n%B"
    text = str(repo.git.show(*alike, shape, "--date=iso", *_PATCH, found, "--", ":(top)", *shown))
    return cut(f"{text}{hidden}", repo.context.limit, "use git.diff with since and a path")


def branches(repo: Repository) -> str:
    """Return the branches here and those known of remotes, the one checked out with a star."""
    shape = "--format=%(if)%(HEAD)%(then)%(HEAD)%(else) %(end) %(refname:short) %(objectname:short) %(contents:subject)"
    text = str(repo.git.for_each_ref(shape, "--sort=-committerdate", "refs/heads", "refs/remotes"))
    current = repo.branch()
    if not text:
        return f"On {current}, which has no commit yet."
    head = "" if current else f"HEAD is detached at {repo.commit()[:12]}.\n"
    return cut(f"{head}{text}", repo.context.limit, "only the newest are shown")


def _excluding(repo: Repository, names: str) -> tuple[list[str], str]:
    """Return pathspecs that leave protected files out of a listing of changed ones, and a line that says so."""
    hidden = [one for one in names.split("\0") if one and not repo.shows(one)]
    if not hidden:
        return [], ""
    specs = [f":(top,exclude,literal){one}" for one in hidden[:500]]
    if len(hidden) > 500:
        raise ToolError("More than 500 of the changed files are protected. Give a path.")
    return specs, f"\n(left out, protected: {visible(', '.join(hidden[:10]))})"


def cut(text: str, limit: int, rather: str) -> str:
    """Return text without characters that act on a screen, at most `limit` long, saying what was cut and what to do rather."""
    room = limit - _NOTE
    clean = visible(text[: room + 1]).strip("\n")  # no more of it: text made for that takes minutes to write out
    left = len(text) - room - 1
    if left <= 0 and len(clean) <= room:
        return clean
    kept = clean[:room].rpartition("\n")[0] or clean[:room]
    return f"{kept}\n[… {max(left, 0) + len(clean) - len(kept)} more characters; {rather}]"
