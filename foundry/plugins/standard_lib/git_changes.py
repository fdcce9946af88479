"""Changes inside a repository, each made as a plan: what is staged, committed or checked out, shown and then done exactly so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from foundry.plugins.api import Change, Changed, Plan, Preview, ToolContext, ToolError
from foundry.plugins.confined import is_name_of_protected
from foundry.plugins.standard_lib.git_process import alternates, said
from foundry.plugins.standard_lib.git_repository import Repository, opened
from foundry.plugins.standard_lib.git_secrets import refuse_secrets
from foundry.text import counted, named

_MOST_FILES, _MOST_NAMED = 2000, 20
_MOST_MIB = 256  # staged at a time
_MOST_SHOWN, _LARGEST_SHOWN = 200, 2 * 1024 * 1024
_LONGEST_MESSAGE = 20_000
_IN_CONFLICT = frozenset(("DD", "AU", "UD", "UA", "DU", "AA", "UU"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a commit that is checked out may have: so many files, GiB of them together, seconds to list them."""

    files: int = 300_000
    gib: int = 4
    seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Staged:
    """An index as it would be: its tree, the one it comes from, the paths that are added to it, what was left out and why."""

    tree: str
    before: str
    added: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def add(context: ToolContext, folder: str, paths: Sequence[str]) -> Plan:
    """Plan changed and new files as staged for the next commit. Raises ToolError for what is not to be committed."""
    if not paths:
        raise ToolError("Name the files to add, or ['.'] for all.")
    with opened(context, folder) as repo:
        staged = _stage(repo, paths)
        if staged.tree == staged.before:
            raise ToolError(f"Nothing of {', '.join(paths)} is changed or new{_told(staged.left_out)}")
        refuse_secrets(context.variables, _contents(repo, staged, staged.before))
        files, root = staged.added, repo.root
        summary = f"Stage {counted(len(files), 'file')} for the next commit in {named(repo.name)}{_told(staged.left_out)}"
    shown = Preview(summary, paths=tuple(root / one for one in files), scope=f"staging in {root}")

    def do() -> str:
        with opened(context, folder, writing=True) as now:
            if _stage(now, paths).tree != staged.tree:
                raise Changed("The files are not what they were when they were shown.")
            _take(now, staged)
        listed = ", ".join(files[:_MOST_NAMED]) + (" …" if len(files) > _MOST_NAMED else "")
        return f"Staged {counted(len(files), 'file')}: {listed}{_told(staged.left_out)}"

    return Plan(shown, do)


def commit(context: ToolContext, folder: str, message: str, paths: Sequence[str]) -> Plan:
    """Plan a commit of what is staged and of `paths` beside it. Raises ToolError for nothing to commit, or no author."""
    text = message.strip()
    if not text or "\0" in text or len(text) > _LONGEST_MESSAGE:
        raise ToolError(f"The message has 1 to {_LONGEST_MESSAGE} characters and no NUL.")
    with opened(context, folder) as repo:
        if step := repo.under_way():
            raise ToolError(f"{step.capitalize()} is under way in {repo.name}. A person finishes it first.")
        author = _author(repo)
        head, branch, staged = repo.head(), repo.branch(), _stage(repo, paths)
        base = f"{head}^{{tree}}" if head else _empty_tree(repo)
        entries = list(_entries(repo, staged, base))
        if not entries:
            raise ToolError(f"Nothing is staged in {repo.name}{_told(staged.left_out)} Name paths, or use git.add first.")
        contents = [(old, new) for _, old, new in _read(repo, staged, entries)]
        refuse_secrets(context.variables, [(None, text.encode()), *contents])
        changes = tuple(_changes(repo, staged, entries))
        root = repo.root
        summary = (
            f"Commit {counted(len(entries), 'file')} to {_where(branch, head)} in {named(repo.name)} as {named(_signed(author))}"
        )
    more = len(entries) - len(changes)
    told = f"; {more} of them too large or too many to be shown" if more else ""
    everything = tuple(root / path for path, *_ in entries)
    shown = Preview(f"{summary}{told}{_told(staged.left_out)}", changes, paths=everything, scope=f"commits in {root}")

    def do() -> str:
        with opened(context, folder, writing=True) as now:
            if (now.head(), now.branch()) != (head, branch) or _stage(now, paths).tree != staged.tree or _author(now) != author:
                raise Changed("The repository or its files are not what they were when they were shown.")
            _take(now, staged)
            parents = ["-p", head] if head else []
            made = now.git.commit_tree(
                "--no-gpg-sign", *parents, "-F", "-", staged.tree, istream=f"{text}\n".encode(), env=author
            )
            _move_head(now, made.strip(), head, f"commit: {text.splitlines()[0]}", author)
        said = f"Committed {made[:12]} to {_where(branch, head)}: {counted(len(entries), 'file')}."
        return f"{said} Nothing was sent; that is git.push."

    return Plan(shown, do)


def switch(context: ToolContext, folder: str, branch: str, new: bool, limits: Limits) -> Plan:
    """Plan another branch as checked out, a `new` one at the commit that is. Raises ToolError where files stand in the way."""
    with opened(context, folder) as repo:
        ref = repo.branch_named(branch)
        head, before = repo.head(), repo.branch()
        there = repo.id_of(ref)
        if new and there:
            raise ToolError(f"There is a branch {branch} already. Switch to it with new=false.")
        if not head:
            raise ToolError(f"{repo.name} has no commit yet: commit first.")
        known = "" if new or there else _of_a_remote(repo, branch)
        target = head if new else there or known
        if not target:
            raise ToolError(f"There is no branch {branch}. See git.branches, or make it with new=true.")
        if branch == before:
            raise ToolError(f"{branch} is checked out already.")
        if step := repo.under_way():
            raise ToolError(f"{step.capitalize()} is under way in {repo.name}. A person finishes it first.")
        entries = list(_entries(repo, Staged("", ""), head, target))
        changes = tuple(_changes(repo, Staged("", ""), entries))
        root = repo.root
        summary = f"Switch {named(repo.name)} from {_where(before, head)} to {named(branch)}{', made new' if not there else ''}"
    paths = tuple(root / path for path, *_ in entries)
    shown = Preview(
        f"{summary}; {counted(len(entries), 'file')} change", changes, paths=paths or (root,), scope=f"branches of {root}"
    )

    def do() -> str:
        with opened(context, folder, writing=True) as now:
            if (now.head(), now.branch(), now.id_of(ref)) != (head, before, there):
                raise Changed("The repository is not what it was when it was shown.")
            check_out(now, head, target, limits)
            if not there:
                now.git.update_ref("-m", f"branch: Created from {target}", ref, target, "0" * len(target))
            now.git.symbolic_ref("-m", f"checkout: moving from {before or head} to {branch}", "HEAD", ref)
        return f"On {branch} now; {counted(len(entries), 'file')} changed."

    return Plan(shown, do)


def check_out(repo: Repository, before: str, after: str, limits: Limits) -> None:
    """Make files and index those of another commit; local changes stay, or stand in the way. Raises ToolError naming those."""
    _refuse_bomb(repo, after, limits)
    repo.git.update_index("-q", "--refresh", with_exceptions=False, with_extended_output=True)
    old = [before] if before else []
    mode = ("-m", "-u", "--no-recurse-submodules")
    code, _, err = repo.git.read_tree(
        *mode, *old, after, with_exceptions=False, with_extended_output=True, kill_after_timeout=600.0
    )
    if code != 0:
        raise ToolError(f"Local files stand in the way; commit or move them first. {said(err, 800)}")


def _refuse_bomb(repo: Repository, commit: str, limits: Limits) -> None:
    """Refuse a commit whose files are too many or too large together: a few folders inside one another can be billions."""
    too_much = ToolError(
        f"Nothing is checked out: {commit[:12]} has more than {limits.files:,} files or {limits.gib} GiB. A person can do it."
    )
    try:
        listed = str(repo.git.ls_tree("-r", "-l", "-z", "--full-tree", commit, kill_after_timeout=limits.seconds)).split("\0")
    except ToolError:  # it has more to say than any listing, or takes longer
        raise too_much from None
    sizes = [int(size) for one in listed if (size := one.partition("\t")[0].rpartition(" ")[2]).isdigit()]
    if len(listed) > limits.files or sum(sizes) > limits.gib * 1024**3:
        raise too_much


def _move_head(repo: Repository, made: str, before: str, why: str, env: Mapping[str, str]) -> None:
    repo.git.update_ref("-m", why[:200], "HEAD", made, before or "0" * len(made), env=env)


def _of_a_remote(repo: Repository, branch: str) -> str:
    return repo.id_of(f"refs/remotes/origin/{branch}")


def _stage(repo: Repository, paths: Sequence[str]) -> Staged:
    """Return the index with these paths added, worked out in private: nothing of the repository changes."""
    index, store = repo.private / "index", repo.private / "objects"
    store.mkdir(exist_ok=True)
    real = repo.sealed.folder / "index"
    if real.exists():
        shutil.copyfile(real, index, follow_symlinks=False)
        about = real.stat()  # git tells by it which files may have changed in the same tick as the index
        os.utime(index, ns=(about.st_atime_ns, about.st_mtime_ns))
    env = {
        "GIT_INDEX_FILE": str(index),
        "GIT_OBJECT_DIRECTORY": str(store),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": alternates(repo.sealed.folder / "objects"),
        "GIT_OPTIONAL_LOCKS": "1",
    }
    before = _tree(repo, env)
    if not paths:
        return Staged(before, before, env=env)
    added, left_out = _wanted(repo, paths)
    _refuse_filtered(repo, added)
    _update(repo, added, env)
    return Staged(_tree(repo, env), before, tuple(added), tuple(left_out), env)


def _take(repo: Repository, staged: Staged) -> None:
    """Make the repository's own index the one that was shown. Raises Changed where it does not become that."""
    if staged.added:
        _update(repo, staged.added, {})
    if _tree(repo, {}) != staged.tree:
        raise Changed("The index is not what it was when it was shown.")


def _update(repo: Repository, names: Sequence[str], env: Mapping[str, str]) -> None:
    data = b"".join(name.encode() + b"\0" for name in names)
    repo.git.update_index("--add", "--remove", "-z", "--stdin", istream=data, env=env, kill_after_timeout=300.0)


def _tree(repo: Repository, env: Mapping[str, str]) -> str:
    code, out, err = repo.git.write_tree(env=env, with_extended_output=True, with_exceptions=False)
    if code != 0:
        raise ToolError(f"The index cannot be committed: {said(err, 600)}")
    return str(out).strip()


def _wanted(repo: Repository, paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the changed and new files at and below the paths, and what of it is left out. Raises ToolError."""
    names = [repo.path(one) for one in paths]
    listed = repo.git.status(
        "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all", "--", *repo.only(names)
    )
    found: list[str] = []
    left_out: list[str] = []
    for entry in listed.split("\0"):
        state, name = entry[:2], entry[3:]
        if not name or (state[1] == " " and state != "??"):
            continue
        if state in _IN_CONFLICT:
            raise ToolError(f"{name} is in conflict. A person settles that first.")
        if name.endswith("/"):
            left_out.append(f"{name} is a repository of its own")
        elif "�" in name:
            left_out.append("a file whose name is no UTF-8")
        elif state[1] != "D" and not _may_be_added(repo, name):
            if name in names:
                raise ToolError(f"{name} is protected: it is not committed.")
            left_out.append(f"{name} is protected")
        else:
            found.append(name)
    for name in names:
        if (
            not found
            and not left_out
            and not os.path.lexists(repo.root / name)
            and not repo.git.ls_files("--", *repo.only([name]))
        ):
            raise ToolError(f"There is no {name}.")
    if sum(map(repo.size, found)) > _MOST_MIB * 1024**2:
        raise ToolError(
            f"Those files have more than {_MOST_MIB} MiB together. Add fewer at a time; a person can add larger ones."
        )
    if len(found) > _MOST_FILES:
        raise ToolError(f"Those are {len(found)} files; add at most {_MOST_FILES} at a time.")
    return found, left_out


def _may_be_added(repo: Repository, name: str) -> bool:
    """Return whether a file is neither protected, though it be tracked, nor another name of one that is."""
    if not repo.shows(name):
        return False
    try:
        return not is_name_of_protected(repo.context, (repo.root / name).lstat())
    except OSError:  # it is gone, which can be committed
        return True


def _refuse_filtered(repo: Repository, names: Sequence[str]) -> None:
    """Refuse files that the repository stores by a program of its own, such as large file storage: it is not run here."""
    data = b"".join(name.encode() + b"\0" for name in names)
    listed = repo.git.check_attr("-z", "--stdin", "filter", istream=data).split("\0") if names else []
    for name, _, value in zip(listed[::3], listed[1::3], listed[2::3], strict=False):
        if value not in ("unspecified", "unset"):
            raise ToolError(
                f"{name} is stored through the filter {value}, a program that is not run from here. A person can add it."
            )


Entry = tuple[str, str, str]  # a path with the blobs before and after, "" where there is none


def _entries(repo: Repository, staged: Staged, before: str, after: str = "") -> Iterator[Entry]:
    """Yield what differs between a tree and the staged one, or another one; submodules with neither blob."""
    listed = repo.git.diff_tree("-r", "-z", "--raw", "--no-renames", before, after or staged.tree, env=staged.env).split("\0")
    for about, name in zip(listed[::2], listed[1::2], strict=False):
        old_mode, new_mode, old, new, _ = about.lstrip(":").split(" ")
        blobs = ["" if mode in ("160000", "000000") else blob for mode, blob in ((old_mode, old), (new_mode, new))]
        yield name, blobs[0], blobs[1]


def _contents(repo: Repository, staged: Staged, before: str) -> list[tuple[bytes | None, bytes | None]]:
    return [(old, new) for _, old, new in _read(repo, staged, list(_entries(repo, staged, before)))]


def _read(repo: Repository, staged: Staged, entries: Sequence[Entry]) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    """Yield the paths with their bytes before and after, those not too large."""
    blobs = [blob for _, *both in entries for blob in both if blob]
    small = _small(repo, staged, blobs)
    for path, old, new in entries:
        if all(not blob or blob in small for blob in (old, new)):
            yield path, small.get(old), small.get(new)


def _changes(repo: Repository, staged: Staged, entries: Sequence[Entry]) -> Iterator[Change]:
    for path, old, new in _read(repo, staged, entries[:_MOST_SHOWN]):
        if (old is not None or new is not None) and repo.shows(path):
            yield Change(repo.root / path, old, new)


def _small(repo: Repository, staged: Staged, blobs: Sequence[str]) -> dict[str, bytes]:
    """Return the content of those blobs that are not too large, read at once."""
    asked = "".join(f"{blob}\n" for blob in dict.fromkeys(blobs)).encode()
    sizes = repo.git.cat_file("--batch-check=%(objectname) %(objectsize)", istream=asked, env=staged.env) if asked else ""
    wanted, room = [], 8 * _LARGEST_SHOWN
    for line in sizes.splitlines():
        blob, _, size = line.partition(" ")
        if size.isdigit() and int(size) <= min(_LARGEST_SHOWN, room):
            wanted.append(blob)
            room -= int(size)
    return _batch(repo, staged, wanted) if wanted else {}


def _batch(repo: Repository, staged: Staged, blobs: Sequence[str]) -> dict[str, bytes]:
    asked = "".join(f"{blob}\n" for blob in blobs).encode()
    raw: Any = repo.git.cat_file("--batch=%(objectname) %(objectsize)", istream=asked, env=staged.env, stdout_as_string=False)
    found: dict[str, bytes] = {}
    place = 0
    while place < len(raw):
        end = raw.index(b"\n", place)
        blob, size = raw[place:end].decode().split(" ")
        found[blob] = raw[end + 1 : end + 1 + int(size)]
        place = end + int(size) + 2
    return found


def _author(repo: Repository) -> dict[str, str]:
    """Return who commits, as git's environment wants it. Raises ToolError where nobody is named."""
    given, config = repo.context.variables, repo.sealed.config
    name = given.get("GIT_AUTHOR_NAME") or config.get("user.name", "")
    mail = given.get("GIT_AUTHOR_EMAIL") or config.get("user.email", "")
    if not name.strip() or not mail.strip() or not (name + mail).isprintable() or set(name + mail) & set("<>"):
        raise ToolError(
            "Nobody is named as author. Ask the user: foundry env NAME set GIT_AUTHOR_NAME, and GIT_AUTHOR_EMAIL the same way."
        )
    return {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail, "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": mail}


def _signed(author: Mapping[str, str]) -> str:
    return f"{author['GIT_AUTHOR_NAME']} <{author['GIT_AUTHOR_EMAIL']}>"


def _empty_tree(repo: Repository) -> str:
    return str(repo.git.hash_object("-t", "tree", "--stdin")).strip()


def _where(branch: str, head: str) -> str:
    return named(branch) if branch else f"a detached HEAD at {head[:12]}"


def _told(left_out: Sequence[str]) -> str:
    return f" (left out: {named('; '.join(left_out[:5]))}{' …' if len(left_out) > 5 else ''})." if left_out else "."
