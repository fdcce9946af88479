"""A repository whose own configuration, hooks and attributes git never reads: it is opened through a sealed copy of them.

What a repository says in its .git/config can start programs: filters, file system monitors, hooks, diff drivers. So git is
pointed at the real HEAD, index, refs and objects, but at a common folder of ours that holds a configuration of ours and
no hooks. What is read from the real one, once, are a few plain values. Nothing that is changed in it meanwhile matters.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.git_process import environment, git_in, private_folder

_LARGEST_CONFIG = 1024 * 1024
_MOST_LOOKED_AT = 200_000  # entries of a git folder
_PLAIN = re.compile(r"[A-Za-z0-9_-]{0,20}")
# What a repository may say of how its files are read and written; nothing of it can name a program or a path.
_TAKEN_OVER = frozenset(
    (
        *("core.filemode", "core.ignorecase", "core.precomposeunicode", "core.symlinks", "core.autocrlf", "core.eol"),
        *("core.sparsecheckout", "core.sparsecheckoutcone", "core.logallrefupdates", "core.repositoryformatversion"),
        "extensions.objectformat",
    )
)
_UNDERSTOOD = frozenset(("extensions.objectformat", "extensions.noop", "extensions.worktreeconfig"))
# Data of the repository that git may write; a link leads there also where nothing stands yet.
_SHARED = ("objects", "refs", "packed-refs", "logs", "shallow")
_IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisection",
}


@dataclass(frozen=True, slots=True)
class Sealed:
    """A git folder, the common folder of ours that stands in for it, and what its configuration says, by lower-case key."""

    folder: Path
    common: Path
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the working folder: its files' `root`, `private` room for the length of a call, and `git` to call."""

    context: ToolContext
    root: Path
    sealed: Sealed
    private: Path
    git: Any

    @property
    def name(self) -> str:
        """The repository's folder as the model should see it."""
        return self.context.name(self.root)

    def commit(self, revision: str = "HEAD") -> str:
        """Return the full id of the commit that `revision` names. Raises ToolError for what names none."""
        if not re.fullmatch(r"[A-Za-z0-9_@][\w./~^@{}+-]{0,200}", revision) or ".." in revision:
            raise ToolError(f"{revision!r} names no commit. Use an id of git.log, a branch, or such as HEAD~2.")
        code, out, _ = self.git.rev_parse(
            "--verify",
            "--quiet",
            "--end-of-options",
            f"{revision}^{{commit}}",
            with_extended_output=True,
            with_exceptions=False,
        )
        if code != 0:
            what = "There is no commit yet" if revision == "HEAD" else f"There is no commit {revision!r}"
            raise ToolError(f"{what} in {self.name}. See git.log and git.branches for what there is.")
        return str(out).strip()

    def head(self) -> str:
        """Return the id of the commit that is checked out, "" where there is none yet."""
        try:
            return self.commit()
        except ToolError:
            return ""

    def branch(self) -> str:
        """Return the branch that is checked out, "" where HEAD is detached."""
        code, out, _ = self.git.symbolic_ref("--quiet", "HEAD", with_extended_output=True, with_exceptions=False)
        return str(out).strip().removeprefix("refs/heads/") if code == 0 else ""

    def branch_named(self, name: str) -> str:
        """Return a branch's full ref. Raises ToolError for a name that no branch may have."""
        ref = f"refs/heads/{name}"
        code, _, _ = self.git.check_ref_format(ref, with_extended_output=True, with_exceptions=False)
        if code != 0 or name.startswith("-") or name == "HEAD" or not name.isprintable():
            raise ToolError(f"{name!r} cannot be a branch's name. Use letters, digits, '-', '_' and '/'.")
        return ref

    def id_of(self, ref: str) -> str:
        """Return the id that a full ref has, "" where there is none."""
        code, out, _ = self.git.show_ref("--verify", "--hash", ref, with_extended_output=True, with_exceptions=False)
        return str(out).strip() if code == 0 else ""

    def path(self, given: str) -> str:
        """Return a path, given relative to the folder of the call, relative to the repository. Raises ToolError.

        A link at its end is not followed: it is what is meant.
        """
        if not given or "\0" in given:
            raise ToolError("The path is empty. Give one inside the folder, such as '.' or notes.txt.")
        asked = Path(given)
        parent = self.context.path(str(self.root / asked.parent)) if asked.name else self.context.path(str(self.root))
        target = self.context.path(str(self.root / asked)) if asked.name in ("", "..") else parent / asked.name
        if not target.is_relative_to(self.root):
            raise ToolError(f"{given!r} is outside the repository {self.name}.")
        return target.relative_to(self.root).as_posix()

    def shows(self, name: str) -> bool:
        """Return whether a tool may show or add a path of the repository: it is not protected."""
        return self.context.allows(self.root / name)

    def size(self, name: str) -> int:
        """Return how many bytes a file of the repository has, 0 for one that is gone."""
        try:
            return (self.root / name).lstat().st_size
        except OSError:
            return 0

    def only(self, names: list[str]) -> list[str]:
        """Return the pathspecs for exactly these paths, whatever characters they have."""
        return [f":(top,literal){name}" if name != "." else ":(top)" for name in names]

    def under_way(self) -> str:
        """Return what of several steps is not finished, such as "a merge", or ""."""
        return next((what for name, what in _IN_PROGRESS.items() if os.path.lexists(self.sealed.folder / name)), "")


@contextmanager
def opened(context: ToolContext, folder: str, *, writing: bool = False) -> Iterator[Repository]:
    """Give the repository that `folder` of the working folder is in. Raises ToolError where there is none that may be used.

    While it is `writing`, jailed code stands still: it could put a link where git writes, which is in no jail.
    """
    from foundry.sandbox.still import held_still

    with held_still() if writing else nullcontext(), private_folder() as private:
        start = context.path(folder or ".")
        root = _root(context, start)
        sealed = seal(root / ".git", private)
        env = {**environment(private), "GIT_DIR": str(sealed.folder), "GIT_WORK_TREE": str(root)}
        env |= {"GIT_COMMON_DIR": str(sealed.common), "GIT_CEILING_DIRECTORIES": str(root.parent)}
        if writing:
            env["GIT_OPTIONAL_LOCKS"] = "1"
        yield Repository(context, root, sealed, private, git_in(root, env))


def _root(context: ToolContext, start: Path) -> Path:
    """Return the nearest folder at or above `start`, but never above the working folder, that is a repository's."""
    top = context.folder.resolve()
    if not start.is_dir():
        raise ToolError(f"{context.name(start)!r} is no folder.")
    for one in (start, *start.parents):
        if os.path.lexists(one / ".git"):
            return one
        if one == top:
            break
    raise ToolError(f"There is no git repository in {context.name(start)!r}. Use git.clone, or name the folder of one.")


def seal(folder: Path, private: Path) -> Sealed:
    """Return the git folder sealed. Raises ToolError for one that leads elsewhere, is another user's, or is not understood."""
    _check(folder)
    config = _config(folder, private)
    common = private / f"common-{len(list(private.iterdir()))}"
    (common / "info").mkdir(parents=True)
    for name in _SHARED:
        (common / name).symlink_to(folder / name)
    _copy_excludes(folder, common)
    lines: dict[str, list[str]] = {}
    for key, value in config.items():
        section, _, name = key.partition(".")
        if key in _TAKEN_OVER and _PLAIN.fullmatch(value):
            lines.setdefault(section, []).append(f"\t{name} = {value}\n")
    text = "".join(f"[{section}]\n{''.join(values)}" for section, values in lines.items())
    bare = "false" if folder.name == ".git" else "true"
    (common / "config").write_text(f"{text}[core]\n\tbare = {bare}\n")
    return Sealed(folder, common, config)


def _check(folder: Path) -> None:
    """Refuse what is no plain git folder of this user's: files and links that lead to another one."""
    what = f"The repository {folder.parent.name if folder.name == '.git' else folder.name}"
    elsewhere = "Work in the repository itself, or make a clone."
    try:
        about = folder.lstat()
    except OSError as error:
        raise ToolError(f"{what} cannot be read: {error.strerror}.") from None
    if not stat.S_ISDIR(about.st_mode):
        raise ToolError(f"{what} keeps its data elsewhere: its .git is a file or a link (a worktree or submodule). {elsewhere}")
    if hasattr(os, "geteuid") and about.st_uid != os.geteuid():
        raise ToolError(f"{what} belongs to another user, so nothing is done in it.")
    for name in ("objects", "refs"):
        if not (folder / name).is_dir():
            raise ToolError(f"{what} is no git repository: it has no folder {name}.")
    for name in ("objects", "objects/pack", "objects/info", "refs", "refs/heads", "HEAD", "index", "logs", *_SHARED):
        if (folder / name).is_symlink() and not _is_ref_link(folder, name):
            raise ToolError(f"{what} keeps its data elsewhere: its {name} is a link. {elsewhere}")
    if link := next(_links(folder), ""):
        raise ToolError(f"{what} keeps its data elsewhere: its {link} is a link. {elsewhere}")
    for name in ("commondir", "objects/info/alternates", "objects/info/http-alternates"):
        if os.path.lexists(folder / name):
            raise ToolError(f"{what} takes data from elsewhere ({name}). {elsewhere}")
    if (folder / "reftable").exists():
        raise ToolError(f"{what} keeps its branches as reftable, which is not supported here.")


def _links(folder: Path) -> Iterator[str]:
    """Yield what of the folders that git writes into leads elsewhere. Raises ToolError for too many entries to look at."""
    seen = 0
    for top in ("objects", "refs", "logs"):
        for place, folders, files in os.walk(folder / top):
            seen += len(folders) + len(files)
            if seen > _MOST_LOOKED_AT:
                raise ToolError("The repository has too many objects and branches that are not packed. A person can run: git gc")
            inside = Path(place)
            # An object that is there is never written again, and there may be very many.
            names = folders if top == "objects" else [*folders, *files]
            yield from ((inside / one).relative_to(folder).as_posix() for one in names if (inside / one).is_symlink())


def _is_ref_link(folder: Path, name: str) -> bool:
    """Return whether HEAD is a link to a branch, as git once wrote it."""
    return name == "HEAD" and str((folder / name).readlink()).startswith("refs/heads/")


def _config(folder: Path, private: Path) -> Mapping[str, str]:
    """Return what the repository's configuration says, as git reads it from a copy; what it includes is not read."""
    copy = private / "copy"
    copy.write_bytes(_bytes(folder / "config"))
    git = git_in(private, {**environment(private), "GIT_CEILING_DIRECTORIES": str(private.parent)})
    listed = str(git.config("--file", str(copy), "--no-includes", "--null", "--list"))
    found: dict[str, str] = {}
    for one in listed.split("\0"):
        key, _, value = one.partition("\n")
        section, _, rest = key.partition(".")
        middle, dot, name = rest.rpartition(".")
        found[f"{section.lower()}.{middle}{dot}{name.lower()}"] = value
    found.pop(".", None)
    unknown = [key for key in found if key.startswith("extensions.") and key not in _UNDERSTOOD]
    if unknown:
        raise ToolError(f"The repository needs {unknown[0]}, which is not supported here.")
    if found.get("core.bare", "").lower() == "true" and folder.name == ".git":
        raise ToolError("The repository is bare: it has no files to work on. Clone it.")
    return found


def _copy_excludes(folder: Path, common: Path) -> None:
    """Take over which files the repository leaves out; its info/attributes could name drivers and stays behind."""
    try:
        (common / "info" / "exclude").write_bytes(_bytes(folder / "info" / "exclude"))
    except ToolError:
        (common / "info" / "exclude").unlink(missing_ok=True)


def _bytes(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ToolError(f"{path.name} of the repository is no regular file.")
            return file.read(_LARGEST_CONFIG)
    except OSError as error:
        raise ToolError(f"{path.name} of the repository cannot be read: {error.strerror}.") from None
