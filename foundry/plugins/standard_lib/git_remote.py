"""Where a repository comes from and goes to: addresses that name one host or folder, and a token only that host is told."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from foundry.hosts import is_address, is_this_machine
from foundry.plugins.api import ToolContext, ToolError, Variables
from foundry.plugins.standard_lib.git_process import environment, git_in, program, said
from foundry.plugins.standard_lib.git_repository import seal

SECONDS = 600.0
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PATH = re.compile(r"/[A-Za-z0-9._~/%+@:,=-]*")
_HOOKS = ("pre-receive", "update", "post-receive", "post-update", "proc-receive", "reference-transaction", "push-to-checkout")
_USER = "x-access-token"


@dataclass(frozen=True, slots=True)
class Address:
    """A remote: `url` as git is given it, and either the `host` it is on, with its port, or the git `folder` on the disk."""

    url: str
    host: str = ""
    folder: Path | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host as a preview names it, nothing for a remote on the disk."""
        return (self.host,) if self.host else ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folder as a preview names it, nothing for a remote on a host."""
        return (self.folder,) if self.folder else ()

    @property
    def scope(self) -> str:
        """What an "always" covers: the host; a remote on the disk is covered by nothing."""
        return f"the host {self.host}" if self.host else f"the repository {self.folder}"


def address(context: ToolContext, given: str, base: Path | None = None) -> Address:
    """Return a remote as it will be used; a folder on the disk is relative to `base`, else to the working folder.

    Raises ToolError for any but https, http to this machine, and a folder on the disk.
    """
    base = base or context.folder.resolve()
    if "\\" in given or not given.isprintable() or given.startswith("-") or given != given.strip() or not given:
        raise ToolError("That is no address of a repository. Use one such as https://example.org/name.git")
    if "://" not in given:
        if "::" in given or re.match(r"[^/]*@?[^/]*:", given):
            raise ToolError("Only https addresses are used, not ssh or others. Use https://HOST/NAME.git with GIT_TOKEN.")
        return _on_disk(context, base, given)
    try:
        parts = urlsplit(given)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise ToolError("The address has no valid host or port.") from None
    if parts.scheme == "file" and not parts.netloc and not parts.query and not parts.fragment:
        return _on_disk(context, base, unquote(parts.path))
    if "@" in parts.netloc:
        raise ToolError("The address holds a user or password. Leave them out: the token is taken from GIT_TOKEN in .env.")
    if parts.scheme not in ("https", "http"):
        raise ToolError(f"{parts.scheme}:// is not used here. Use https://HOST/NAME.git")
    if parts.scheme == "http" and not is_this_machine(host):
        raise ToolError("http shows everybody on the way what is sent. Use https.")
    shown = f"[{host}]" if ":" in host else host
    if (not _HOST.fullmatch(host) and not is_address(host)) or parts.netloc.lower() not in (shown, f"{shown}:{port}"):
        raise ToolError("The address has no valid host. Use ASCII, for other letters the xn-- form.")
    path = parts.path.rstrip("/")
    if parts.query or parts.fragment or not _PATH.fullmatch(path) or "/.." in unquote(path):
        raise ToolError("The address has an odd path. Use one such as https://example.org/group/name.git")
    usual = {"https": 443, "http": 80}[parts.scheme]
    named = shown if port in (None, usual) else f"{shown}:{port}"
    return Address(f"{parts.scheme}://{named}{path}", named)


def _on_disk(context: ToolContext, base: Path, given: str) -> Address:
    root = context.folder.resolve()
    try:
        target = (base / given).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise ToolError(f"There is no repository at {given!r}.") from None
    if target.is_relative_to(root):
        target = context.path(str(target))
    inner = target / ".git"
    folder = inner if os.path.lexists(inner) else target
    if not (folder / "objects").is_dir() or not (folder / "HEAD").is_file():
        raise ToolError(f"There is no repository at {given!r}.")
    return Address(str(folder), folder=folder)


@contextmanager
def connected(variables: Variables, private: Path, remote: Address, env: Mapping[str, str], folder: Path) -> Iterator[Connection]:
    """Give git as it may talk to `remote` and to nothing else, with the token at hand for that one host."""
    if remote.folder:
        allowed = {**env, **environment(private), "GIT_ALLOW_PROTOCOL": "file"}
        sealed = seal(remote.folder, private)
        before = f"{shlex.quote('GIT_COMMON_DIR=' + str(sealed.common))} {shlex.quote(program())}"
        yield Connection(git_in(folder, allowed | _own(env)), remote, f"env {before} ")
        return
    scheme = remote.url.partition(":")[0]
    allowed = {**env, **environment(private, network=True), "GIT_ALLOW_PROTOCOL": scheme}
    if scheme == "http":
        allowed = {name: value for name, value in allowed.items() if not name.lower().endswith("_proxy")}
    token, user = variables.get("GIT_TOKEN"), variables.get("GIT_USER") or _USER
    if not token:
        yield Connection(git_in(folder, allowed | _own(env)), remote)
        return
    if "\n" in token or "\0" in token or "\n" in user:
        raise ToolError("GIT_TOKEN or GIT_USER has a line end in it. Ask the user to set it anew.")
    reading, writing = os.pipe()
    try:
        os.write(writing, token.encode())  # a token is far shorter than what a pipe holds
        os.close(writing)
        asked = _askpass(private, f"{scheme}://{remote.host}", user, reading)
        git = git_in(folder, allowed | _own(env) | {"GIT_ASKPASS": str(asked)}, fds=(reading,))
        yield Connection(git, remote)
    finally:
        os.close(reading)


def _own(env: Mapping[str, str]) -> dict[str, str]:
    """Return which repository the environment points to."""
    names = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_CEILING_DIRECTORIES")
    return {name: env[name] for name in names if name in env}


def _askpass(private: Path, site: str, user: str, handle: int) -> Path:
    """Write the program that git asks: it knows the user and the site, and reads the token from a pipe only git inherits."""
    quoted = shlex.quote(user)
    script = private / "askpass"
    name = re.sub(r"[^A-Za-z0-9._~-]", lambda found: f"%{ord(found.group()):02X}", user)
    with_user = site.replace("://", f"://{name}@")
    for_user, for_token = (
        shlex.quote(f"{what} for '{where}': ") for what, where in (("Username", site), ("Password", with_user))
    )
    script.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        f"  {for_user}) printf '%s\\n' {quoted} ;;\n"
        f"  {for_token}) exec cat /dev/fd/{handle} ;;\n"
        "  *) exit 1 ;;\n"
        "esac\n"
    )
    script.chmod(0o700)
    return script


@dataclass(frozen=True, slots=True)
class Connection:
    """Git at the end of a line to one remote."""

    git: Any
    remote: Address
    program: str = ""  # what runs the other end, where that is on this disk

    def fetch(self, *refspecs: str) -> None:
        """Bring commits for these refspecs. Raises ToolError saying why it did not work."""
        other = [f"--upload-pack={self.program}upload-pack"] if self.program else []
        quiet = ("--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--no-tags", "--quiet")
        self._call("fetch", *quiet, *other, "--end-of-options", self.remote.url, *refspecs)

    def push(self, refspec: str) -> None:
        """Send what the refspec names. Raises ToolError saying why it did not work."""
        other = [f"--receive-pack={self.program}receive-pack"] if self.program else []
        quiet = ("--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no", "--porcelain")
        self._call("push", *quiet, *other, "--end-of-options", self.remote.url, refspec)

    def branches(self) -> tuple[str, dict[str, str]]:
        """Return the remote's own branch, "" where it has none, and each of its branches with its commit."""
        other = [f"--upload-pack={self.program}upload-pack"] if self.program else []
        listed = self._call("ls-remote", "--symref", *other, "--end-of-options", self.remote.url, "HEAD", "refs/heads/*")
        head, found = "", {}
        for line in listed.splitlines():
            value, _, ref = line.partition("\t")
            if value.startswith("ref: refs/heads/") and ref == "HEAD":
                head = value.removeprefix("ref: refs/heads/")
            elif ref.startswith("refs/heads/"):
                found[ref.removeprefix("refs/heads/")] = value
        return head, found

    def _call(self, command: str, *arguments: str) -> str:
        how = {"with_extended_output": True, "with_exceptions": False, "kill_after_timeout": SECONDS}
        # Past GitPython's check of options, which forbids naming the program at the other end of the line; that is ours.
        code, out, err = self.git.execute(["git", command, *arguments], **how)
        if code != 0:
            raise ToolError(_why(command, self.remote, f"{out}\n{err}"))
        return str(out)


_REASONS = (
    (("could not read Username", "could not read Password"), "it wants a token, and there is none. Set GIT_TOKEN in .env."),
    (("Authentication failed", "returned error: 401"), "it does not accept the token. Set GIT_TOKEN in .env anew."),
    (("returned error: 403",), "the token has no right to this. The person can give it one, or set another GIT_TOKEN."),
    (("returned error: 404", "not found"), "there is no such repository, or GIT_TOKEN has no right to see it."),
    (("Could not resolve host", "Couldn't resolve"), "its name is not known. Is the machine offline, or the name wrong?"),
    (("Failed to connect", "Couldn't connect", "Connection refused"), "nobody answers there. Try later."),
    (("non-fast-forward", "fetch first", "stale info"), "it has commits that are not here. Use git.pull first."),
    (
        ("unable to update url base from redirection", "returned error: 30"),
        "it redirects, which is not followed. Use its new address.",
    ),
    (("SSL certificate", "certificate verif"), "its certificate is not trusted."),
    (("too slow", "timed out"), "it is too slow or does not answer. Try later."),
)


def _why(command: str, remote: Address, told: str) -> str:
    where = remote.host or str(remote.folder)
    reason = next((why for signs, why in _REASONS if any(one in told for one in signs)), "")
    return f"git {command} with {where} did not work: {reason or said(told, 600) or 'git gave no reason.'}"


def refuse_hooks(remote: Address) -> None:
    """Refuse to push to a repository on the disk that has hooks: they would not be run, and may be there to forbid something."""
    hooks = remote.folder / "hooks" if remote.folder else None
    there = [one for one in _HOOKS if hooks and (hooks / one).exists()]
    if there:
        raise ToolError(f"{remote.folder} has a hook ({there[0]}), which is not run from here. A person can push to it.")
