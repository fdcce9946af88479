"""The jail: runs commands so that they reach one folder, no network and nobody's secrets, and never outlive the call."""

from __future__ import annotations

import contextlib
import marshal
import os
import random
import resource
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from foundry import processes
from foundry.errors import FoundryError, NotReadyError
from foundry.sandbox import filters, seatbelt, stage, walls
from foundry.sandbox.cell import Bounds, Cell, Jailed, Level, Probe
from foundry.sandbox.watch import Watch, stop_all

__all__ = ["Bounds", "Cell", "Jailed", "Level", "Probe", "probe", "run", "stop_all"]

HOW = "Install bubblewrap (Debian, Ubuntu, Fedora, Arch: the package is called bubblewrap), or use a kernel with Landlock."
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CannotStart(FoundryError):
    """The jail stood, but the command could not be started in it: no such program, or it may not be run."""

    code = "cannot_start"


class _Broken(Exception):
    """The jail could not be built; the text says at which part."""


def run(
    argv: Sequence[str],
    cell: Cell,
    *,
    stdin: bytes = b"",
    pass_fds: Sequence[int] = (),
    on_output: Callable[[str, str], None] | None = None,
    on_started: Callable[[], None] | None = None,
    stop: threading.Event | None = None,
    allow_none: bool = False,
    level: Level | None = None,
) -> Jailed:
    """Run `argv` in the cell and return how it ended; `on_output` hears ("out" or "err", text) as it comes.

    `on_started` is called once the walls stand and the command begins. `stop` ends it, and then stop_all() does not.
    `level` asks for a weaker level than the best. Raises NotReadyError (code "no_jail") where no level holds and `allow_none`
    is false, CannotStart when the program is not there, FoundryError for a folder that cannot be given.
    """
    level = level or probe().level
    if level == "none" and not allow_none:
        raise NotReadyError("no jail holds on this machine: " + "; ".join(probe().findings), HOW, code="no_jail")
    try:
        with prepared(list(argv), cell, level, pass_fds) as ready:
            watched = partial(Watch, on_output=on_output, stop=stop, report=ready.report, on_started=on_started)
            return _watched(ready, cell, stdin, watched, level)
    except _Broken as error:
        raise NotReadyError(f"the jail (level {level}) could not be built: {error}", HOW, code="no_jail") from None


@cache
def probe() -> Probe:
    """Return the best level that holds here, found out by running something in it; asked once per process."""
    if sys.platform == "darwin":
        return seatbelt.probe()
    if not sys.platform.startswith("linux"):
        return Probe("none", (f"there is no jail for {sys.platform}",))
    findings: list[str] = []
    tried: tuple[Level, ...] = ("strong", "kernel")
    for level in tried:
        lacks = _lacks(level)
        if lacks is None:
            return Probe(level, tuple(findings))
        findings.append(lacks)
    return Probe("none", tuple(findings))


def _lacks(level: Level) -> str | None:
    """Return what keeps a level from holding here, None when it holds."""
    if not filters.supported():
        return "no list of system calls for this processor"
    if level == "strong" and not _bubblewrap():
        return "bubblewrap is not installed"
    if level == "kernel" and not stage.landlock_version():
        return "the kernel has no Landlock"
    try:
        with prepared(["/bin/sh", "-c", "exit 7"], Cell(bounds=Bounds(seconds=20)), level, ()) as ready:
            ended = _watched(ready, Cell(), b"", partial(Watch, on_output=None), level)
    except (OSError, _Broken, FoundryError) as error:
        return f"{'bubblewrap' if level == 'strong' else 'Landlock'} does not work here: {error}"
    return None if ended.code == 7 else f"level {level} does not work here: {ended.err.strip()[:300] or ended.ended}"


def _bubblewrap() -> str:
    return shutil.which("bwrap", path=_PATH) or shutil.which("bwrap") or ""


# one run ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """A jail about to be built: its command, environment, handles to pass, where it reports, where it writes on the disk."""

    argv: list[str]
    env: Mapping[str, str]
    handles: list[int]
    report: int
    report_writer: int
    places: list[Path]
    helpers: int


def _watched(ready: Ready, cell: Cell, stdin: bytes, watched: Callable[..., Watch], level: Level) -> Jailed:
    process = processes.start(ready.argv, env=ready.env, cwd=Path("/"), pass_fds=ready.handles)
    watch = watched(process, cell.bounds, ready.places, helpers=ready.helpers)
    os.close(ready.report_writer)
    ended = watch.run(stdin)
    seconds = watch.seconds
    err = watch.kept["err"].text()
    if level in ("strong", "kernel") and ended == "itself":
        _check_report(ready.report, process.returncode, err)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return Jailed(code, watch.kept["out"].text(), err, level, ended, seconds)


def _check_report(report: int, code: int, err: str) -> None:
    """Raise for a jail that was not built or a program that could not be started in it."""
    os.set_blocking(report, False)
    said: list[dict[str, Any]] = []
    with contextlib.suppress(BlockingIOError, EOFError), os.fdopen(os.dup(report), "rb", buffering=0) as file:
        while True:
            said.append(marshal.load(file))
    if not said:
        raise _Broken(err.strip()[-500:] or f"exit {code}")
    last = said[-1]
    if "failed" not in last:
        return
    if len(said) > 1:  # the walls stood; it was the program that did not start
        raise CannotStart(f"cannot start in the jail: {last['failed']}", "Is the program installed, and may it be run?")
    raise _Broken(last["failed"])


@contextmanager
def prepared(argv: list[str], cell: Cell, level: Level, pass_fds: Sequence[int]) -> Iterator[Ready]:
    """Yield all that a run needs; handles and scratch folders are gone afterwards."""
    with ExitStack() as stack:
        scratch: Path | None = None
        if level != "strong":
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="foundry-jail-"))).resolve()
        cwd = _cwd(cell, scratch)
        report, writer = os.pipe()
        stack.callback(os.close, report)
        stack.callback(_close, writer)
        env = _environment(cell, scratch)
        places = [one for one in (cell.writable and cwd, scratch) if one]
        if level in ("macos", "none"):
            command = seatbelt.command(argv, cell, cwd, scratch or cwd) if level == "macos" else argv
            yield Ready(_in_folder(command, cwd), env, [*pass_fds], report, writer, places, 1)
            return
        plan = _plan(argv, cell, cwd, level, scratch, env)
        if scratch and os.geteuid() == 0:
            os.chown(scratch, plan["uid"], -1)
        plan_fd = _file(stack, marshal.dumps(plan))
        room = walls.STAGE if level == "strong" else str(Path(__file__).parent)
        begin = f"import sys; sys.path.insert(0, {room!r}); import stage; sys.exit(stage.main())"
        staged = [str(walls.interpreter()), "-I", "-S", "-B", "-c", begin, str(plan_fd), str(writer)]
        handles = [plan_fd, writer, *pass_fds]
        if level == "strong":
            files = [_file(stack, text) for text in _people(plan["uid"] if os.geteuid() == 0 else os.getuid())]
            empties = [_file(stack, b"") for one in cell.masked if not one.is_dir()]
            around = walls.bubblewrap(
                _bubblewrap(), cell, cwd, root=os.geteuid() == 0, empties=empties, passwd=files[0], group=files[1]
            )
            yield Ready([*around, *staged], env, [*handles, *files, *empties], report, writer, places, 2)
        else:
            yield Ready(staged, env, handles, report, writer, places, 1)


def _close(handle: int) -> None:
    with contextlib.suppress(OSError):
        os.close(handle)


def _in_folder(argv: list[str], cwd: Path) -> list[str]:
    return ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(cwd), *argv]


def _cwd(cell: Cell, scratch: Path | None) -> Path:
    """Return where the command starts. Raises FoundryError for a folder that is missing or would be the whole disk."""
    if not cell.writable:
        return scratch or Path(walls.SCRATCH)
    folder = cell.writable.resolve()
    if not folder.is_dir():
        raise FoundryError(f"{folder}, where the command should run, is no folder", "Choose a folder that is there.")
    if any(Path(one).is_relative_to(folder) for one in ("/usr", "/etc", "/proc", "/dev")) or folder.is_relative_to("/proc"):
        raise FoundryError(f"{folder} cannot be given to the jail: it holds the system", "Choose a folder of your own.")
    return folder


def _plan(argv: list[str], cell: Cell, cwd: Path, level: Level, scratch: Path | None, env: Mapping[str, str]) -> dict[str, Any]:
    strong = level == "strong"
    rules = walls.rules_inside(cwd, cell.writable is not None) if strong else walls.rules_alone(cell, cwd, scratch or cwd)
    old = not strong and stage.landlock_version() < 3
    owned = walls.owned(cell, cwd)
    return {
        **{
            "argv": argv,
            "env": dict(env),
            "cwd": str(cwd),
            "rules": rules,
            "reaper": not strong,
            "network": cell.network,
            "scratch": str(scratch or ""),
        },
        **{
            "limits": _limits(cell.bounds, processes=strong),
            "owned": owned if strong else [],
            "uid": _private_uid(strong, owned),
        },
        "filter": filters.program("command", network=cell.network, by_path=not strong, truncate=old),
    }


def _private_uid(strong: bool, owned: Sequence[tuple[str, int, int]]) -> int:
    """Return the uid that a root's jail runs as: one that nobody else has, so that its processes can be counted."""
    if strong:
        return 1_900_000_000 + random.SystemRandom().randrange(1 << 24)
    return owned[0][1] if owned else 0


def _limits(bounds: Bounds, *, processes: bool) -> list[tuple[int, int]]:
    """Return the kernel's limits; that of processes counts all of a user's, so only where the jail has its own."""
    limits = [
        (resource.RLIMIT_CPU, bounds.cpu),
        (resource.RLIMIT_FSIZE, bounds.file_size),
        (resource.RLIMIT_NOFILE, bounds.files),
        (resource.RLIMIT_CORE, 0),
    ]
    limits += [(resource.RLIMIT_AS, bounds.address_space)] if bounds.address_space else []
    return [*limits, (resource.RLIMIT_NPROC, bounds.processes)] if processes else limits


def _people(uid: int) -> tuple[bytes, bytes]:
    """Return the jail's /etc/passwd and /etc/group: the one user in it."""
    gid = uid if os.geteuid() == 0 else os.getgid()
    return f"jail:x:{uid}:{gid}:jail:/tmp:/bin/sh\n".encode(), f"jail:x:{gid}:\n".encode()


def _environment(cell: Cell, scratch: Path | None) -> dict[str, str]:
    home = str(scratch or walls.SCRATCH)
    clean = {"PATH": _PATH, "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "TERM": "dumb", "USER": "jail", "LOGNAME": "jail"}
    return {**clean, "PYTHONUTF8": "1", **cell.env}


def _file(stack: ExitStack, content: bytes) -> int:
    """Return a handle of a file without a name that holds `content`, at its beginning."""
    handle = os.memfd_create("foundry")
    stack.callback(_close, handle)
    os.write(handle, content)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle
