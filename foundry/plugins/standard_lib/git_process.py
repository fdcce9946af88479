"""Git as a process: GitPython's calls, each run in a closed environment with a deadline, under no configuration but ours."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from foundry.plugins.api import ToolError
from foundry.processes import TimedOut, clean_environment, end_group, run, start
from foundry.text import visible

SECONDS = 60.0
_MOST = 64 * 1024 * 1024
# A few folders inside one another can stand for billions of files, each of which git would keep in mind: 2 GiB are enough.
_BOUNDED = ("/bin/sh", "-c", 'ulimit -d 2097152 2>/dev/null; exec "$0" "$@"')
_KEPT = ("PATH", "TMPDIR", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
# Stands in the place of the person's own configuration. It is no environment variable because git takes those away from the
# program at the other end of a remote on the disk; a repository's own configuration is never read (see git_repository).
_CONFIG = """\
[core]
	fsmonitor = false
	hooksPath = /dev/null
	attributesFile = /dev/null
	excludesFile = /dev/null
	sshCommand = false
	gitProxy = false
	askPass = false
	editor = :
	pager = cat
	alternateRefsCommand = :
	protectHFS = true
	protectNTFS = true
	untrackedCache = false
[diff]
	ignoreSubmodules = all
[submodule]
	recurse = false
[fetch]
	recurseSubmodules = false
	writeCommitGraph = false
[push]
	recurseSubmodules = no
	gpgSign = false
	followTags = false
[commit]
	gpgSign = false
[tag]
	gpgSign = false
[log]
	showSignature = false
[gc]
	auto = 0
[maintenance]
	auto = false
[receive]
	autogc = false
	updateServerInfo = false
[transfer]
	credentialsInUrl = die
[credential]
	helper =
[http]
	followRedirects = false
	lowSpeedLimit = 1
	lowSpeedTime = 30
[protocol]
	allow = never
[safe]
	bareRepository = explicit
[user]
	useConfigOnly = true
"""


@contextmanager
def private_folder() -> Iterator[Path]:
    """Give a folder that only this user may look into, with an empty home in it; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="foundry-git-") as made:
        private = Path(made).resolve()
        (private / "home").mkdir()
        (private / "config").write_text(_CONFIG)
        yield private


def environment(private: Path, *, network: bool = False) -> dict[str, str]:
    """Return what every git process gets: nothing of the shell's GIT_* nor of the person's configuration, keys or helpers.

    The proxies of the shell are there for the `network` only; no transport is allowed until the caller allows one.
    """
    clean = clean_environment()
    kept = {name: value for name, value in clean.items() if name in _KEPT or (network and name.lower() in _PROXIES)}
    if network and (bundle := kept.get("CURL_CA_BUNDLE") or kept.get("SSL_CERT_FILE")):
        kept["GIT_SSL_CAINFO"] = bundle
    return {
        **kept,
        "HOME": str(private / "home"),
        "XDG_CONFIG_HOME": str(private / "home"),
        "LC_ALL": "C",
        "TERM": "dumb",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(private / "config"),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "GIT_SSH_COMMAND": "false",
        "GIT_EDITOR": ":",
        "GIT_SEQUENCE_EDITOR": ":",
        "GIT_PAGER": "cat",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def program() -> str:
    """Return where git is. Raises ToolError where it is not installed."""
    found = shutil.which("git", path=clean_environment().get("PATH"))
    if not found or not Path(found).is_absolute():
        raise ToolError(
            "The program git is not installed. Ask the person to install it, for instance with the system's packages."
        )
    return found


def git_in(folder: Path, env: Mapping[str, str], fds: Sequence[int] = ()) -> Any:
    """Return GitPython's Git whose calls run in `folder` with `env` alone and inherit `fds`. Raises ToolError without git."""
    git = closed_class()(folder)
    git.env, git.fds = dict(env), tuple(fds)
    return git


@cache
def closed_class() -> type[Any]:
    """Return GitPython's Git with its one way of starting processes replaced by ours. Raises ToolError without git.

    GitPython hands its processes the whole environment, secrets and GIT_* variables included, and has no deadline for
    grandchildren; so `env` and `fds` of the object are all that its processes get.
    """
    executable = program()
    try:
        from git import Git  # it runs `git version` at import
    except ImportError as error:
        raise ToolError(f"GitPython cannot be used here: {str(error)[:200]}") from None

    class Closed(Git):
        env: Mapping[str, str] = {}
        fds: tuple[int, ...] = ()

        def execute(  # type: ignore[override]
            self,
            command: Sequence[str],
            istream: bytes = b"",
            *,
            with_extended_output: bool = False,
            with_exceptions: bool = True,
            stdout_as_string: bool = True,
            kill_after_timeout: float = SECONDS,
            env: Mapping[str, str] | None = None,
            **others: Any,
        ) -> Any:
            """Return stdout, with `with_extended_output` exit code, stdout and stderr. Raises ToolError saying what git said."""
            if others.get("as_process") or others.get("shell") or isinstance(command, str):
                raise ToolError("Git is run in one way only here, to its end.")
            argv = [executable, *command[1:]]
            given = {**self.env, **(env or {})}
            told = _Told(argv, Path(str(self.working_dir)), given, self.fds, istream, kill_after_timeout)
            code, out, err = told.text() if stdout_as_string else told.raw()
            if with_exceptions and code != 0:
                raise ToolError(f"git {command[1]} failed: {said(err) or f'exit {code}'}")
            return (code, out, err) if with_extended_output else out

    return Closed


class _Told:
    """One run of git, as text or as bytes."""

    def __init__(
        self, argv: list[str], folder: Path, env: Mapping[str, str], fds: tuple[int, ...], data: bytes, seconds: float
    ) -> None:
        self.argv, self.folder, self.env, self.fds, self.data, self.seconds = argv, folder, env, fds, data, seconds

    def text(self) -> tuple[int, str, str]:
        try:
            ended = run(
                [*_BOUNDED, *self.argv],
                cwd=self.folder,
                env=self.env,
                stdin=self.data,
                timeout=self.seconds,
                limit=_MOST,
                pass_fds=self.fds,
            )
        except OSError as error:
            raise ToolError(f"git could not be started: {error.strerror}.") from None
        if ended.timed_out:
            raise self._late()
        if len(ended.out) >= _MOST:
            raise ToolError(f"git {self.argv[1]} says more than {_MOST // 1024 // 1024} MiB. Ask for a part, such as one path.")
        return ended.code, ended.out, ended.err

    def raw(self) -> tuple[int, bytes, str]:
        """Return stdout byte for byte; for what is known to be small."""
        try:
            process = start([*_BOUNDED, *self.argv], env=self.env, cwd=self.folder, pass_fds=self.fds)
        except OSError as error:
            raise ToolError(f"git could not be started: {error.strerror}.") from None
        try:
            out, err = process.communicate(self.data, self.seconds)
        except TimedOut:
            raise self._late() from None
        finally:
            end_group(process)
        return process.returncode, out, err.decode("utf-8", "replace")

    def _late(self) -> ToolError:
        return ToolError(f"git {self.argv[1]} did not end within {self.seconds:g} seconds and was stopped.")


def said(text: str, most: int = 1500) -> str:
    """Return what git or a server said, without control characters, on few lines."""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    short = "\n".join(visible(line[:most]) for line in lines[-12:])
    return short if len(short) <= most else f"{short[:most]}…"


def alternates(folder: Path) -> str:
    """Return a folder as GIT_ALTERNATE_OBJECT_DIRECTORIES takes it, whatever characters it has."""
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"' if os.pathsep in quoted or quoted.startswith('"') else str(folder)
