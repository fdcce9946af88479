"""What jailed code can see: the system read-only, the folders it was given, nothing else; for bubblewrap and for Landlock."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from foundry.sandbox.cell import Cell

SCRATCH = "/tmp"  # inside: a filesystem in memory of the jail's own
STAGE = "/run/foundry"  # inside: this room, as stage.py starts quicker from its bytecode
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl", "ca-certificates", "pki", "crypto-policies"),
    *("localtime", "timezone", "mime.types", "protocols", "services", "nsswitch.conf", "terminfo", "fonts", "java-11-openjdk"),
    *("java-17-openjdk", "java-21-openjdk", "perl", "python3", "debian_version", "os-release", "login.defs"),
)
_ETC_NETWORK = ("resolv.conf", "hosts", "host.conf", "gai.conf")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# What programs ask of the machine, and nothing of any process.
_PROC = ("cpuinfo", "meminfo", "stat", "filesystems", "version", "loadavg", "uptime", "sys/kernel", "sys/vm/overcommit_memory")


def interpreter() -> Path:
    """Return the Python that the stage runs on: the one this process's environment was made from."""
    return Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()


def readable(cell: Cell) -> list[Path]:
    """Return what the cell may read beside the system: its list, and the interpreters of its environments and of the stage."""
    wanted = [Path(sys.base_prefix), interpreter().parent.parent]
    for one in cell.readable:
        wanted += [one, *_interpreter_of(one)]
    found = dict.fromkeys(view for one in wanted for view in (one.absolute(), one.resolve()) if one.exists())
    return [one for one in found if not any(one.is_relative_to(system) for system in _SYSTEM)]


def _interpreter_of(folder: Path) -> Iterator[Path]:
    """Yield where the Python of a virtual environment really lies: its bin/python is a link that leads out of it."""
    config = folder / "pyvenv.cfg"
    if not config.is_file():
        return
    for line in config.read_text("utf-8", "replace").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "home" and value.strip():
            home = Path(value.strip())
            yield from (home.parent, home.resolve().parent)
    real = (folder / "bin" / "python").resolve()
    if real.is_file():
        yield real.parent.parent


def bubblewrap(program: str, cell: Cell, cwd: Path, *, root: bool, empties: Sequence[int], passwd: int, group: int) -> list[str]:
    """Return bubblewrap's command up to the program to run; `empties` are handles of nothing, one per masked file."""
    bounds = cell.bounds
    argv = [program, "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    argv += ["--unshare-cgroup-try", "--hostname", "jail"]
    argv += ["--cap-drop", "ALL", *_rights_for_root()] if root else ["--unshare-user"]
    argv += [] if cell.network else ["--unshare-net"]
    for system in map(Path, _SYSTEM):
        if system.is_symlink():
            argv += ["--symlink", str(system.readlink()), str(system)]
        elif system.is_dir():
            argv += ["--ro-bind", str(system), str(system)]
    argv += _folders([*etc(cell.network), *readable(cell), cwd, Path("/run/foundry/x"), Path("/var/tmp")])
    for one in etc(cell.network):
        argv += ["--ro-bind-try", str(one.resolve()), str(one)]
    argv += ["--ro-bind-data", str(passwd), "/etc/passwd", "--ro-bind-data", str(group), "/etc/group"]
    argv += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(64 << 20), "--tmpfs", "/dev/shm"]
    argv += ["--perms", "1777", "--size", str(bounds.disk), "--tmpfs", SCRATCH, "--symlink", SCRATCH, "/var/tmp"]
    argv += _folders_in_scratch([*readable(cell), cwd])
    argv += ["--ro-bind", str(Path(__file__).parent), STAGE]
    inside = cell.writable and [cell.writable]
    argv += [part for one in _not_in(readable(cell), inside or []) for part in ("--ro-bind", str(one.resolve()), str(one))]
    if cell.writable:
        argv += ["--bind", str(cwd), str(cwd)]
    argv += [part for one in cell.pinned for part in ("--bind", str(one), str(one))]  # the system renames no mount point
    argv += [part for one in cell.fixed if not one.is_symlink() for part in ("--ro-bind", str(one), str(one))]
    argv += list(_masks(cell.masked, empties))
    folders = [one for one in cell.masked if one.is_dir()]
    if cell.writable:
        within = _in(readable(cell), cwd)
        ways = {way for one in within for way in one.parents if any(way != top and way.is_relative_to(top) for top in folders)}
        argv += [part for one in sorted(ways) for part in ("--perms", "0755", "--dir", str(one))]
        argv += [part for one in within for part in ("--ro-bind", str(one.resolve()), str(one))]
    argv += [part for one in folders for part in ("--remount-ro", str(one))]
    return [*argv, "--remount-ro", "/dev", "--remount-ro", "/", "--"]


def _folders(targets: Iterable[Path]) -> list[str]:
    """Make the way to each mount one that every uid may walk: bubblewrap makes it for the caller's alone."""
    ways = {way for one in targets for way in one.parents if way != Path("/") and not _of_system(way)}
    return [part for one in sorted(ways) for part in ("--perms", "0755", "--dir", str(one))]


def _folders_in_scratch(targets: Iterable[Path]) -> list[str]:
    ways = {way for one in targets for way in one.parents if way != Path(SCRATCH) and way.is_relative_to(SCRATCH)}
    return [part for one in sorted(ways) for part in ("--perms", "0755", "--dir", str(one))]


def _of_system(path: Path) -> bool:
    return any(path.is_relative_to(one) for one in (*_SYSTEM, "/proc", "/dev", SCRATCH))


def _rights_for_root() -> list[str]:
    """Return what the stage needs to become another uid and to show the folder as that uid's; it gives all of it up."""
    names = ("SETUID", "SETGID", "SETPCAP", "SYS_ADMIN", "DAC_OVERRIDE", "KILL")
    return [part for name in names for part in ("--cap-add", f"CAP_{name}")]


def _in(paths: Iterable[Path], folder: Path) -> list[Path]:
    return [one for one in paths if one != folder and one.is_relative_to(folder)]


def _not_in(paths: Iterable[Path], folders: Sequence[Path]) -> list[Path]:
    return [one for one in paths if not any(one != folder and one.is_relative_to(folder) for folder in folders)]


def _masks(masked: Sequence[Path], empties: Sequence[int]) -> Iterator[str]:
    handles = iter(empties)
    for one in masked:
        if one.is_dir():
            yield from ("--perms", "0555", "--size", "65536", "--tmpfs", str(one))
        else:
            yield from ("--ro-bind-data", str(next(handles)), str(one))


def etc(network: bool) -> list[Path]:
    """Return the files of /etc that programs need and that say nothing of this machine's people."""
    return [path for name in (*_ETC, *(_ETC_NETWORK if network else ())) if (path := Path("/etc", name)).exists()]


def rules_inside(cwd: Path, writable: bool) -> list[tuple[str, str]]:
    """Return the Landlock rules within bubblewrap's walls: read what is there, write where it may be written."""
    places = [SCRATCH, "/dev/shm", *([str(cwd)] if writable else [])]
    return [("read", "/"), ("device", "/dev"), *(("write", one) for one in places)]


def rules_alone(cell: Cell, cwd: Path, scratch: Path) -> list[tuple[str, str]]:
    """Return the Landlock rules where they are the only walls."""
    rules = [("read", one) for one in (*_SYSTEM, *map(str, etc(cell.network)), *map(str, readable(cell)))]
    rules += [("read", str(path.resolve())) for path in etc(cell.network)]
    rules += [("read", f"/proc/{one}") for one in _PROC] + [("device", f"/dev/{one}") for one in _DEVICES]
    rules += [("read", str(Path(__file__).parent)), ("write", str(scratch))]
    if not cell.writable:
        return rules
    return [*rules, *_around(cwd, {*cell.fixed, *cell.masked}), *(("read", str(one)) for one in cell.fixed)]


def _around(folder: Path, protected: set[Path]) -> Iterator[tuple[str, str]]:
    """Allow writing in everything of `folder` but what is protected: Landlock cannot take back what it gave to a folder.

    So a folder that holds something protected can be listed, but nothing new can be made directly in it.
    """
    if not any(one.is_relative_to(folder) for one in protected):
        yield ("write", str(folder))
        return
    if folder in protected:
        return
    yield ("list", str(folder))
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _around(path, protected)
        elif path not in protected and entry.is_file(follow_symlinks=False):
            yield ("write", entry.path)


def owned(cell: Cell, cwd: Path) -> list[tuple[str, int, int]]:
    """Return the folders given to the cell with their owners, for a jail that runs as another uid."""
    folders = [cwd] if cell.writable else []
    folders += [one.resolve() for one in cell.readable if one.exists()]
    about = [(one, one.stat()) for one in folders]
    return [(str(one), told.st_uid, told.st_gid) for one, told in about if stat.S_ISDIR(told.st_mode)]
