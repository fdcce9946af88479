"""The last process before jailed code: locks itself in (uid, limits, Landlock, seccomp), then becomes the command.

Runs alone under `python -I -S` inside the jail, so it imports nothing of Foundry and as little else as it can. It reads a
plan from a file descriptor, says what it reached on another (in marshal: json takes longer to import than all the rest to run),
and calls exec.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself is too slow to load here
    from typing import Any, NoReturn

_PDEATHSIG, _NO_DUMP, _SECCOMP, _SUBREAPER, _BOUNDING, _SECUREBITS, _NO_NEW_PRIVS = 1, 4, 22, 36, 24, 28, 38
_RULESET, _RULE, _RESTRICT = 444, 445, 446
_OPEN_TREE, _MOVE_MOUNT, _SET_ATTRIBUTES = 428, 429, 442
_EXECUTE, _WRITE, _READ, _READ_DIR, _REFER, _TRUNCATE, _DEVICE = 1, 2, 4, 8, 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DEVICE
# How many of the file rights a kernel knows, by the version of its Landlock.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}

libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """Follow the plan in file descriptor argv[1] and report to argv[2]; returns only when exec failed."""
    plan_fd, report_fd = int(sys.argv[1]), int(sys.argv[2])
    with os.fdopen(plan_fd, "rb") as file:
        plan = marshal.load(file)
    os.set_inheritable(report_fd, False)
    try:
        if plan["reaper"]:
            _split_off_a_reaper(report_fd, plan["scratch"])
        reached = lock_in(plan)
        os.chdir(plan["cwd"])
        os.write(report_fd, marshal.dumps(reached))
        os.execvpe(plan["argv"][0], plan["argv"], plan["env"])
    except OSError as error:
        told = f"{error.strerror}: {error.filename or plan['argv'][0]}"
        os.write(report_fd, marshal.dumps({"failed": told, "errno": error.errno or 0}))
    return 127


def lock_in(plan: dict[str, Any]) -> dict[str, Any]:
    """Take every right from this process that the plan does not leave it and return what was reached."""
    reached: dict[str, Any] = {"uid": os.geteuid()}
    if reached["uid"] == 0:
        reached["uid"] = _leave_root(plan)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        _fail("no_new_privs")
    reached["landlock"] = _landlock(plan)
    for which, value in plan["limits"]:
        _limit(which, value)
    if plan["filter"]:
        _seccomp(plan["filter"])
    reached["seccomp"] = bool(plan["filter"])
    return reached


def _fail(what: str) -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), what)


def _limit(which: int, value: int) -> None:
    class Limit(ctypes.Structure):
        _fields_ = [("soft", ctypes.c_uint64), ("hard", ctypes.c_uint64)]

    old = Limit()
    if libc.prlimit64(0, which, None, ctypes.byref(old)):
        _fail(f"limit {which}")
    bound = min(value, old.hard)
    if libc.prlimit64(0, which, ctypes.byref(Limit(bound, bound)), None):
        _fail(f"limit {which}")


# another uid --------------------------------------------------------------------------------------------------------------


def _leave_root(plan: dict[str, Any]) -> int:
    """Become the plan's uid where the folders can be shown as its own, else their owner; root keeps no right. Return the uid."""
    uid = plan["uid"]
    try:
        _show_as_own(plan["owned"], uid)
    except OSError:
        uid = plan["owned"][0][1]
    for right in range(64):
        libc.prctl(_BOUNDING, right, 0, 0, 0)
    os.setgroups([])
    if uid:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    else:
        _drop_rights()
    return int(uid)


def _drop_rights() -> None:
    """Stay uid 0 with no capability, and with none gained by exec (SECBIT_NOROOT and its locks)."""
    libc.prctl(_SECUREBITS, 0x2F, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()):
        _fail("capset")


def _show_as_own(owned: list[tuple[str, int, int]], uid: int) -> None:
    """Lay each folder over itself with its owner shown as `uid`: what the jail writes is the owner's on the disk."""
    trees = [(folder, _shown_as(folder, owner, group, uid)) for folder, owner, group in owned]
    for folder, tree in trees:
        if libc.syscall(_MOVE_MOUNT, tree, b"", -100, os.fsencode(folder), 4):
            _fail(folder)
        os.close(tree)


def _shown_as(folder: str, owner: int, group: int, uid: int) -> int:
    """Return a handle of the folder's mount, and of those in it that hide or fix what is protected, with the owner mapped."""
    namespace = _namespace_mapping(owner, group, uid)
    tree = libc.syscall(_OPEN_TREE, -100, os.fsencode(folder), 1 | 0x8000 | os.O_CLOEXEC)
    if tree < 0:
        _fail(folder)
    attributes = (ctypes.c_uint64 * 4)(0x00100000, 0, 0, namespace)
    # All of them, or where one of the inner ones cannot be mapped, the folder alone.
    if all(libc.syscall(_SET_ATTRIBUTES, tree, b"", flags, attributes, 32) for flags in (0x9000, 0x1000)):
        _fail(folder)
    os.close(namespace)
    return int(tree)


def _namespace_mapping(owner: int, group: int, uid: int) -> int:
    """Return a handle of a user namespace in which `owner` and `group` are `uid` outside: what an idmapped mount wants."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, b"y" if libc.unshare(0x10000000) == 0 else b"n")
        libc.pause()
        os._exit(0)
    try:
        if os.read(ready, 1) != b"y":
            raise OSError(1, os.strerror(1), "user namespace")
        for name, inside in (("uid_map", owner), ("gid_map", group)):
            handle = os.open(f"/proc/{child}/{name}", os.O_WRONLY)
            try:
                os.write(handle, f"{inside} {uid} 1".encode())
            finally:
                os.close(handle)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)


# Landlock -----------------------------------------------------------------------------------------------------------------


def landlock_version() -> int:
    """Return the version of the kernel's Landlock; 0 where there is none."""
    return max(int(libc.syscall(_RULESET, None, 0, 1)), 0)


def _landlock(plan: dict[str, Any]) -> int:
    """Allow what the plan names beneath its paths and nothing else; return the version, 0 where it is missing."""
    version = landlock_version()
    if not version:
        return 0
    known = (1 << _RIGHTS.get(version, 16)) - 1
    net = 0 if version < 4 or plan["network"] else 3
    # From 6 on: no abstract sockets of, and no signals to, processes outside.
    attributes = (ctypes.c_uint64 * 3)(known, net, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc.syscall(_RULESET, attributes, size, 0)
    if ruleset < 0:
        _fail("landlock")
    reads = _EXECUTE | _READ | _READ_DIR
    rights = {"read": reads, "write": known & ~_DEVICE, "device": _READ | _WRITE | _TRUNCATE | _DEVICE, "list": _READ_DIR}
    for kind, path in plan["rules"]:
        _allow(ruleset, path, rights[kind] & known)
    if libc.syscall(_RESTRICT, ruleset, 0):
        _fail("landlock")
    os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow `rights` beneath `path`; one that is not there needs no rule."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if os.fstat(handle).st_mode & 0o170000 != 0o040000:
            rights &= _OF_FILES
        rule = rights.to_bytes(8, "little") + handle.to_bytes(4, "little", signed=True)
        if rights and libc.syscall(_RULE, ruleset, 1, rule, 0):
            _fail(path)
    finally:
        os.close(handle)


# seccomp ------------------------------------------------------------------------------------------------------------------


def _seccomp(program: bytes) -> None:
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    told = Program(len(program) // 8, program)
    if libc.prctl(_SECCOMP, 2, ctypes.byref(told), 0, 0):
        _fail("seccomp")


# the reaper ---------------------------------------------------------------------------------------------------------------


def _split_off_a_reaper(report_fd: int, scratch: str) -> None:
    """Fork: the child goes on to become the command; this process adopts all it leaves behind and ends it, then itself."""
    import signal

    libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    # A signal that can be caught: the tree is ended first. Whoever started us may have gone before this line.
    libc.prctl(_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    parent, me = os.getppid(), os.getpid()
    child = os.fork()
    if not child:
        libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != me:
            os._exit(1)
        return
    os.close(report_fd)
    for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(one, lambda *_: os._exit(_abandoned(scratch)))
    if parent == 1 and os.getppid() != parent:
        os._exit(_abandoned(scratch))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(_end_all(code if code >= 0 else 128 - code))


def _abandoned(scratch: str) -> int:
    """End everything, and remove the scratch that nobody is left to remove."""
    code = _end_all(143)
    import shutil

    shutil.rmtree(scratch, ignore_errors=True)
    return code


def _end_all(code: int) -> int:
    """Kill every descendant, round after round until none is left: each round's orphans come to us."""
    import signal

    for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    while True:
        for pid in _children(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        try:
            os.wait()  # one a round: whom it leaves behind is ours by now, alive, and never to be waited for
        except ChildProcessError:
            return code


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 - pathlib is not loaded here
            found = [int(one) for one in file.read().split()]
    except OSError:
        found = [one for one in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(one) == pid]  # noqa: PTH208
    return found


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
