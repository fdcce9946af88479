"""Which system calls jailed code may make: a seccomp program in classic BPF for x86_64 and aarch64, without a library."""

from __future__ import annotations

import errno
import platform
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

Profile = Literal["command", "function"]

_LOAD, _AND, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_MPTCP, _NETLINK = 262, 16
_SETUID_BITS = 0o6000
# CLONE_NEWTIME shares its bit with the exit signal's mask in clone() and cannot be asked for there.
_NEW_NAMESPACES = 0x7E020000
_CLONE_THREAD = 0x00010000
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423

# One table per architecture: name, x86_64, aarch64 (-1: it has none). Calls since 424 have one number everywhere.
_TABLE = """
ptrace 101 117|process_vm_readv 310 270|process_vm_writev 311 271|kcmp 312 272|add_key 248 217|request_key 249 218|keyctl 250 219
bpf 321 280|perf_event_open 298 241|userfaultfd 323 282|mount 165 40|umount2 166 39|pivot_root 155 41|chroot 161 51|setns 308 268
unshare 272 97|clone 56 220|fork 57 -1|vfork 58 -1|execve 59 221|execveat 322 281|swapon 167 224|swapoff 168 225|reboot 169 142
init_module 175 105|finit_module 313 273|delete_module 176 106|kexec_load 246 104|kexec_file_load 320 294|acct 163 89
settimeofday 164 170|clock_settime 227 112|clock_adjtime 305 266|adjtimex 159 171|sethostname 170 161|setdomainname 171 162
syslog 103 116|lookup_dcookie 212 18|vhangup 153 58|quotactl 179 60|open_by_handle_at 304 265|name_to_handle_at 303 264
fanotify_init 300 262|memfd_create 319 279|shmget 29 194|semget 64 190|msgget 68 186|mq_open 240 180|iopl 172 -1|ioperm 173 -1
modify_ldt 154 -1|uselib 134 -1|nfsservctl 180 42|move_pages 279 239|migrate_pages 256 238|vmsplice 278 75|socket 41 198
socketpair 53 199|ioctl 16 29|chmod 90 -1|fchmod 91 52|fchmodat 268 53|chown 92 -1|lchown 94 -1|fchownat 260 54
setxattr 188 5|lsetxattr 189 6|removexattr 197 14|lremovexattr 198 15|utime 132 -1|utimes 235 -1|utimensat 280 88|futimesat 261 -1
truncate 76 45|open 2 -1|openat 257 56|openat2 437 437|creat 85 -1|mkdir 83 -1|mkdirat 258 34|mknod 133 -1|mknodat 259 33
kill 62 129|tkill 200 130|tgkill 234 131|rt_sigqueueinfo 129 138|rt_tgsigqueueinfo 297 240|pidfd_send_signal 424 424
io_uring_setup 425 425|io_uring_enter 426 426|io_uring_register 427 427|open_tree 428 428|move_mount 429 429|fsopen 430 430
fsconfig 431 431|fsmount 432 432|fspick 433 433|clone3 435 435|pidfd_getfd 438 438|process_madvise 440 440|mount_setattr 442 442
quotactl_fd 443 443|memfd_secret 447 447|fchmodat2 452 452|setxattrat 463 463|removexattrat 466 466|open_tree_attr 467 467
file_setattr 469 469|inotify_add_watch 254 27
"""
_REFUSED = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise"),
    *("add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "open_tree", "move_mount", "open_tree_attr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    *("swapon", "swapoff", "reboot", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "acct"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "syslog", "vhangup"),
    *("lookup_dcookie", "quotactl", "quotactl_fd", "open_by_handle_at", "name_to_handle_at", "fanotify_init", "nfsservctl"),
    *("iopl", "ioperm", "modify_ldt", "uselib", "move_pages", "migrate_pages", "vmsplice"),
    # Memory that no process's size shows, and names shared with the host.
    *("memfd_secret", "shmget", "semget", "msgget", "mq_open"),
)
# Answered "no such call", which programs take as a request to use the older one that can be looked into.
_UNKNOWN = ("clone3", "openat2", "fchmodat2", "memfd_create", "setxattrat", "removexattrat", "file_setattr")
# Landlock does not guard these, so where no mount namespace hides the host's files they would reach all of the user's.
_BY_PATH = (
    *("chmod", "fchmodat", "chown", "lchown", "fchownat", "setxattr", "lsetxattr", "removexattr", "lremovexattr"),
    *("utime", "utimes", "futimesat", "inotify_add_watch"),
)
_SIGNALS = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "creat": 1, "mkdir": 1, "mkdirat": 2}
_CREATES = 0x400040  # O_CREAT and O_TMPFILE: without them the mode's register holds anything


@dataclass(frozen=True, slots=True)
class Machine:
    """What the filter must know of a processor: its audit number and the column of the table."""

    audit: int
    column: int


MACHINES: Mapping[str, Machine] = {"x86_64": Machine(0xC000003E, 1), "aarch64": Machine(0xC00000B7, 2)}


def supported(machine: str = "") -> bool:
    """Return whether there is a filter for this processor."""
    return (machine or platform.machine()) in MACHINES


@cache
def program(
    profile: Profile, *, network: bool = False, by_path: bool = False, truncate: bool = False, machine: str = ""
) -> bytes:
    """Return the filter as the array of instructions that the kernel takes.

    `by_path` also refuses what changes modes, owners and times by path, `truncate` cutting a file by path: for where
    no mount namespace hides the rest of the disk. Raises KeyError for a processor without a table.
    """
    told = MACHINES[machine or platform.machine()]
    numbers = _numbers(told.column)
    code = [_ins(_LOAD, 4), _ins(_JUMP_EQUAL, told.audit, 1, 0), _ins(_RETURN, _KILL), _ins(_LOAD, 0)]
    if told.column == 1:  # the x32 calls are the same kernel functions by other numbers
        code += [_ins(_JUMP_AT_LEAST, 0x40000000, 0, 1), _ins(_RETURN, _ERROR | errno.ENOSYS)]
    refused = [*_REFUSED, *(_BY_PATH if by_path else ()), *(("truncate",) if truncate else ())]
    if profile == "function":
        refused += ["fork", "vfork", "execve", "execveat", "socket", "socketpair", *_SIGNALS]
    for name in refused:
        code += _refuse(numbers, name, errno.EPERM)
    for name in _UNKNOWN:
        code += _refuse(numbers, name, errno.ENOSYS)
    for name, block in _looked_into(profile, network, by_path).items():
        if name not in refused and name in numbers:
            code += [_ins(_JUMP_EQUAL, numbers[name], 0, len(block)), *block]
    return b"".join([*code, _ins(_RETURN, _ALLOW)])


def _looked_into(profile: Profile, network: bool, by_path: bool) -> dict[str, list[bytes]]:
    """Return the calls whose arguments decide, each with the instructions that end in an answer."""
    blocks = {name: _unless_bits(at, _SETUID_BITS) for name, at in _MODES.items()}
    for name, at in {"open": 1, "openat": 2}.items():
        mode = _unless_bits(at + 1, _SETUID_BITS)
        blocks[name] = [_argument(at), _ins(_JUMP_ANY_BIT, _CREATES, 0, len(mode) - 1), *mode]
    blocks["mknod"], blocks["mknodat"] = _device(1), _device(2)
    blocks["clone"] = _only_threads() if profile == "function" else _unless_bits(0, _NEW_NAMESPACES)
    blocks["ioctl"] = [_argument(1), *_answers([_TIOCSTI, _TIOCLINUX, _TIOCSETD], errno.EPERM), _ins(_RETURN, _ALLOW)]
    blocks["socket"] = _sockets(network)
    blocks["socketpair"] = [_argument(0), _ins(_JUMP_EQUAL, socket.AF_UNIX, 1, 0), *_end(errno.EACCES)]
    if by_path:  # utimensat without a path is futimens(): the file is open already, so Landlock had its say
        blocks["utimensat"] = [_argument(1), _ins(_JUMP_EQUAL, 0, 1, 0), *_end(errno.EPERM)]
    return blocks


def _sockets(network: bool) -> list[bytes]:
    """Answer for socket(): none, or with the network only plain TCP, UDP and the kernel's routing table."""
    if not network:
        return [_ins(_RETURN, _ERROR | errno.EACCES)]
    mptcp = [_argument(2), _ins(_JUMP_EQUAL, _MPTCP, 0, 1), _ins(_RETURN, _ERROR | errno.EPROTONOSUPPORT), _ins(_RETURN, _ALLOW)]
    # Only streams and datagrams; the kind's upper bits are SOCK_CLOEXEC and SOCK_NONBLOCK.
    kind = [
        _argument(1),
        _ins(_AND, 0xF),
        _ins(_JUMP_EQUAL, 1, 2, 0),
        _ins(_JUMP_EQUAL, 2, 1, 0),
        _ins(_RETURN, _ERROR | errno.EPERM),
        *mptcp,
    ]
    route = [_argument(2), _ins(_JUMP_EQUAL, 0, 1, 0), *_end(errno.EPERM)]
    return [
        _argument(0),
        _ins(_JUMP_EQUAL, _NETLINK, 0, len(route)),
        *route,
        _ins(_JUMP_EQUAL, socket.AF_INET, 2, 0),
        _ins(_JUMP_EQUAL, socket.AF_INET6, 1, 0),
        _ins(_RETURN, _ERROR | errno.EACCES),
        *kind,
    ]


def _only_threads() -> list[bytes]:
    return [
        _argument(0),
        _ins(_JUMP_ANY_BIT, _NEW_NAMESPACES, 1, 0),
        _ins(_JUMP_ANY_BIT, _CLONE_THREAD, 1, 0),
        *_end(errno.EPERM),
    ]


def _device(argument: int) -> list[bytes]:
    """Let mknod make plain files and pipes; devices, and setuid bits on anything, are refused."""
    kinds = [0, 0o100000, 0o010000]
    checks = [_ins(_JUMP_EQUAL, kind, len(kinds) - at, 0) for at, kind in enumerate(kinds)]
    return [
        _argument(argument),
        _ins(_JUMP_ANY_BIT, _SETUID_BITS, len(kinds) + 1, 0),
        _ins(_AND, 0o170000),
        *checks,
        _ins(_RETURN, _ERROR | errno.EPERM),
        _ins(_RETURN, _ALLOW),
    ]


def _unless_bits(argument: int, bits: int) -> list[bytes]:
    return [_argument(argument), _ins(_JUMP_ANY_BIT, bits, 0, 1), *_end(errno.EPERM)]


def _end(error: int) -> list[bytes]:
    """Return the two answers: the error for who falls in, "allowed" for who jumps one further."""
    return [_ins(_RETURN, _ERROR | error), _ins(_RETURN, _ALLOW)]


def _answers(values: Iterable[int], error: int) -> list[bytes]:
    return [part for one in values for part in (_ins(_JUMP_EQUAL, one, 0, 1), _ins(_RETURN, _ERROR | error))]


def _refuse(numbers: Mapping[str, int], name: str, error: int) -> list[bytes]:
    return _answers([numbers[name]], error) if name in numbers else []


def _argument(which: int) -> bytes:
    """Load the low half of an argument; both processors are little-endian."""
    return _ins(_LOAD, 16 + 8 * which)


def _ins(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _numbers(column: int) -> dict[str, int]:
    rows = (row.split() for row in _TABLE.replace("\n", "|").split("|") if row)
    return {row[0]: int(row[column]) for row in rows if int(row[column]) >= 0}
