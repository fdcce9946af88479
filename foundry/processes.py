"""The only place that starts processes: a clean environment, limits, and the whole group ends with the call."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

# What a child may know of the shell: where things are, the language, the terminal, and how to reach the network.
_KEPT = {
    *("PATH", "HOME", "TMPDIR", "TEMP", "TMP", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL"),
    *("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM_PROGRAM", "EDITOR", "VISUAL", "PAGER"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
    *("SYSTEMROOT", "COMSPEC", "PATHEXT", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "PROGRAMDATA", "OLLAMA_HOST"),
}
_KEPT_BY_INSTALLERS = ("UV_", "PIP_")
# After many small pieces we take our time: waking up for each costs a program that writes them more than the wait costs us.
_PIECE, _MANY_PIECES, _NAP = 4096, 100, 0.003
_beginning = threading.Lock()  # held while a process begins
_handed: dict[str, str] = {}  # installers' variables that came from the shell by another way than the environment


Running = subprocess.Popen[bytes]
TimedOut = subprocess.TimeoutExpired


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended: its exit code (negative: the signal), what it wrote (cut at the limit), whether time ran out."""

    code: int
    out: str
    err: str
    timed_out: bool = False


def clean_environment(extra: Mapping[str, str] | None = None, *, installer: bool = False) -> dict[str, str]:
    """Return the environment for a child: the harmless part of ours plus `extra`; UV_* and PIP_* only for an `installer`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith("LC_") or (installer and name.startswith(_KEPT_BY_INSTALLERS))
    }
    return {**(_handed if installer else {}), **kept, "PYTHONUTF8": "1", **(extra or {})}


def installers_environment() -> dict[str, str]:
    """Return the variables that only installers get: UV_* and PIP_*; those handed over, then those of the environment."""
    ours = {name: value for name, value in os.environ.items() if name.startswith(_KEPT_BY_INSTALLERS)}
    return {**_handed, **ours}


def hand_to_installers(values: Mapping[str, str]) -> None:
    """Give installers these variables of the person's shell, which no plugin finds in the environment."""
    _handed.update({name: value for name, value in values.items() if name.startswith(_KEPT_BY_INSTALLERS)})


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes = b"",
    timeout: float | None = None,
    limit: int = 4 * 1024 * 1024,
    on_line: Callable[[str], None] | None = None,
    pass_fds: Sequence[int] = (),
    stop: threading.Event | None = None,
) -> Finished:
    """Run `argv` in a group of its own and return how it ended; `limit` bytes of each stream are kept, `on_line` hears stderr.

    The group is ended when time runs out, once `stop` is set, and when this call is left by an exception such as Ctrl+C.
    Raises OSError when the program cannot be started.
    """
    data = stdin.encode() if isinstance(stdin, str) else stdin
    process = _begin(
        argv,
        clean_environment() if env is None else env,
        cwd=cwd,
        stdin=subprocess.PIPE if data else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=tuple(pass_fds),
    )
    try:
        out, err, timed_out = _listen(process, data, timeout, limit, on_line, stop)
    finally:
        end_group(process)
    return Finished(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), timed_out)


def _begin(argv: Sequence[str], env: Mapping[str, str], **how: Any) -> Running:
    """Start `argv` in a session of its own. Raises OSError."""
    with _beginning:
        return subprocess.Popen(list(argv), env=dict(env), start_new_session=True, **how)


def _listen(
    process: subprocess.Popen[bytes],
    data: bytes,
    timeout: float | None,
    limit: int,
    on_line: Callable[[str], None] | None,
    stop: threading.Event | None,
) -> tuple[bytes, bytes, bool]:
    """Feed stdin and gather both streams until they close, the process is gone for half a second, or time is up."""
    deadline = None if timeout is None else time.monotonic() + timeout
    gathered: dict[str, bytearray] = {"out": bytearray(), "err": bytearray()}
    line = bytearray()
    gone_since: float | None = None
    pieces = 0
    with selectors.DefaultSelector() as selector:
        assert process.stdout
        assert process.stderr
        selector.register(process.stdout, selectors.EVENT_READ, "out")
        selector.register(process.stderr, selectors.EVENT_READ, "err")
        if process.stdin:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, "in")
        while any(key.data != "in" for key in selector.get_map().values()):
            now = time.monotonic()
            if (deadline is not None and now >= deadline) or (stop and stop.is_set()):
                return bytes(gathered["out"]), bytes(gathered["err"]), True
            # A daemon the process left behind may hold the pipes open for ever.
            if process.poll() is not None:
                gone_since = gone_since or now
                if now - gone_since > 0.5:
                    break
            wait = 0.1 if deadline is None else min(0.1, deadline - now)
            for key, _ in selector.select(wait):
                if key.data == "in":
                    data = feed(selector, key.fileobj, data)  # type: ignore[arg-type]
                    continue
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                pieces += len(chunk) < _PIECE
                if pieces > _MANY_PIECES:
                    time.sleep(_NAP)
                room = limit - len(gathered[key.data])
                gathered[key.data] += chunk[: max(room, 0)]
                if key.data == "err" and on_line:
                    line = _lines(line + chunk, on_line)
    if deadline is None:
        process.wait()
    else:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.05))
    return bytes(gathered["out"]), bytes(gathered["err"]), process.poll() is None


def feed(selector: selectors.BaseSelector, stream: IO[bytes], data: bytes) -> bytes:
    """Write what a process's stdin takes now and return the rest; the stream is closed with its last byte."""
    try:
        written = os.write(stream.fileno(), data[:65536])
    except BlockingIOError:
        return data
    except BrokenPipeError:
        written = len(data)
    if written >= len(data):
        selector.unregister(stream)
        stream.close()
    return data[written:]


def _lines(buffer: bytearray, on_line: Callable[[str], None]) -> bytearray:
    *whole, rest = buffer.replace(b"\r", b"\n").split(b"\n")
    for one in whole:
        if one.strip():
            on_line(one.decode("utf-8", "replace"))
    return bytearray(rest)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the process's group and reap it: TERM, half a second, KILL."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, how)
        if _ended_within(process, 0.5):
            break
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Return whether the process and the rest of its group are gone before `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None and not _group_lives(process.pid):
            return True
        time.sleep(0.005)
    return False


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def start(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, pass_fds: Sequence[int] = ()) -> Running:
    """Start `argv` in a session of its own, its three streams as pipes; whoever asked watches and ends it. Raises OSError."""
    return _begin(
        argv,
        env,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=tuple(pass_fds),
    )


def start_daemon(argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> int:
    """Start a process that outlives us, its output in `log` (0600), and return its pid."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = _begin(argv, env, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle, cwd="/")
    finally:
        os.close(handle)
    process.returncode = 0  # it is nobody's child to wait for: silences the warning of an unreaped Popen
    return process.pid


def stop_group() -> None:
    """Stop this process and its group, as Ctrl+Z does, until the shell goes on with them; for the main thread.

    Never while a process begins: stopped before its program runs it would hold our thread that starts it (vfork),
    and the shell would wait for ever for all of us to stand still.
    """
    while not _beginning.acquire(timeout=0.5):
        os.kill(0, signal.SIGCONT)  # the terminal itself has stopped one that began
    try:
        with handling(signal.SIGTSTP, signal.SIG_DFL):
            os.kill(0, signal.SIGTSTP)
    finally:
        _beginning.release()


@contextlib.contextmanager
def handling(number: int, handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    """Have a signal do this meanwhile, and then again what it did before; for the main thread."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


async def on_terminal(argv: Sequence[str], *, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()) -> int:
    """Run a program that talks to the person, such as an editor, on our terminal and return its exit code; it ends with the call.

    Raises OSError when it cannot be started.
    """
    import asyncio

    # Where stdout is a file, the one-shot's answer goes there; the terminal is behind stderr.
    out = None if sys.stdout.isatty() else sys.stderr.fileno()
    environment = dict(clean_environment() if env is None else env)
    process = await asyncio.create_subprocess_exec(*argv, stdout=out, env=environment, pass_fds=tuple(pass_fds))
    try:
        with handling(signal.SIGTSTP, signal.SIG_DFL):  # it is stopped beside us and sees to the terminal itself
            return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 2)  # it puts the terminal back as it was


def replace(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Hand this process over to `argv`, so that signals, terminal and exit code need no forwarding; inheritable fds stay open.

    Where the system cannot (Windows), run it as a child and exit with its code.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if os.name == "posix":
        os.execve(argv[0], list(argv), dict(env))
    sys.exit(subprocess.call(list(argv), env=dict(env), close_fds=False))
