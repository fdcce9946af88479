"""Keeps the bounds that the kernel does not keep for a tree of processes: time, memory, processes, disk, output."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from foundry.processes import Running, TimedOut, feed
from foundry.sandbox.cell import Bounds, Ended

_FLOOD = 64

_under_way: set[Watch] = set()
_guard = threading.Lock()


def stop_all() -> None:
    """End every jailed command of this process that is under way but those that are stopped by an event of their own.

    Each says "interrupted".
    """
    with _guard:
        for one in _under_way:
            if not one.lasts:
                one.stop.set()


def running() -> list[Running]:
    """Return the outermost process of every jailed command that is under way."""
    with _guard:
        return [one.process for one in _under_way]


class Kept:
    """The beginning and the end of a stream, and how much there was between them."""

    def __init__(self, limit: int) -> None:
        self.half = max(limit // 2, 1)
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0

    def add(self, chunk: bytes) -> None:
        self.total += len(chunk)
        room = self.half - len(self.head)
        self.head += chunk[:room]
        self.tail += chunk[max(room, 0) :]
        if len(self.tail) > 2 * self.half:
            del self.tail[: -self.half]

    def text(self) -> str:
        tail = self.tail[-self.half :]
        dropped = self.total - len(self.head) - len(tail)
        told = f"\n[… {dropped} bytes left out …]\n" if dropped else ""
        return self.head.decode("utf-8", "replace") + told + tail.decode("utf-8", "replace")


class Watch:
    """One process tree under its bounds: `run()` returns what ended it, its streams being kept meanwhile."""

    def __init__(
        self,
        process: Running,
        bounds: Bounds,
        places: Sequence[Path],
        on_output: Callable[[str, str], None] | None,
        *,
        helpers: int,
        stop: threading.Event | None = None,
        report: int = -1,
        on_started: Callable[[], None] | None = None,
    ) -> None:
        self.process = process
        self.bounds = bounds
        self.on_output = on_output
        self.lasts = stop is not None
        self.stop = stop or threading.Event()
        self._report = report
        self._on_started = on_started
        self.kept = {"out": Kept(bounds.output), "err": Kept(bounds.output)}
        # A character may come in two chunks.
        self._decoders = {kind: codecs.getincrementaldecoder("utf-8")("replace") for kind in self.kept}
        self._helpers = helpers  # bubblewrap's own processes are no fault of the command's
        self._disk = _Disk(places, bounds.disk)
        self._started = time.monotonic()
        self._looked = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def run(self, data: bytes) -> Ended:
        """Feed `data`, gather the streams, and return once the tree has ended or was ended."""
        with _guard:
            _under_way.add(self)
        try:
            return self._run(data)
        finally:
            end_tree(self.process)
            with _guard:
                _under_way.discard(self)
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()

    def _run(self, data: bytes) -> Ended:
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        assert stdin
        assert stdout
        assert stderr
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ, "out")
            selector.register(stderr, selectors.EVENT_READ, "err")
            if data:
                os.set_blocking(stdin.fileno(), False)
                selector.register(stdin, selectors.EVENT_WRITE, "in")
            else:
                stdin.close()
            if self._on_started:
                selector.register(self._report, selectors.EVENT_READ, "report")
            while any(key.data in self.kept for key in selector.get_map().values()):
                if why := self._broken():
                    return why
                for key, _ in selector.select(self.bounds.look):
                    if key.data == "in":
                        data = feed(selector, stdin, data)
                    elif key.data == "report":
                        selector.unregister(key.fileobj)
                        self._started_at_last()
                    else:
                        self._read(selector, key)
        wait = 0.002
        while self.process.poll() is None:
            if why := self._broken():
                return why
            time.sleep(wait)
            wait = min(2 * wait, self.bounds.look)
        return "itself"

    def _started_at_last(self) -> None:
        if self._on_started:
            self._on_started()

    def _read(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        chunk = os.read(key.fd, 65536)
        if not chunk:
            selector.unregister(key.fileobj)
            return
        self.kept[key.data].add(chunk)
        if self.on_output:
            self.on_output(key.data, self._decoders[key.data].decode(chunk))

    def _broken(self) -> Ended | None:
        """Return which bound is broken, if any; the costly looks are taken every few hundredths of a second."""
        now = time.monotonic()
        if self.stop.is_set():
            return "interrupted"
        if now - self._started > self.bounds.seconds:
            return "time"
        if max(one.total for one in self.kept.values()) > _FLOOD * self.bounds.output:
            return "output"
        if now - self._looked < self.bounds.look:
            return None
        self._looked = now
        pids = list(tree(self.process.pid))
        if sum(map(_threads, pids)) > self.bounds.processes + self._helpers:
            return "processes"
        if held(pids) > self.bounds.memory:
            return "memory"
        return "disk" if self._disk.full() else None


class _Disk:
    """How much was written since the start: asked of the filesystem, and of the files only when that says it may be too much."""

    def __init__(self, places: Sequence[Path], limit: int) -> None:
        self.places = places
        self.limit = limit
        self.since = time.time() - 1
        self.free = [self._free(one) for one in places]
        self.next = 0.0

    def full(self) -> bool:
        if all(before - self._free(place) <= self.limit for place, before in zip(self.places, self.free, strict=True)):
            return False
        now = time.monotonic()
        if now < self.next:
            return False
        written = sum(_written(place, self.since) for place in self.places)
        took = time.monotonic() - now
        self.next = time.monotonic() + 5 * took
        return written > self.limit

    def _free(self, place: Path) -> int:
        try:
            told = os.statvfs(place)
        except OSError:
            return 0
        return told.f_bfree * told.f_frsize


def _written(folder: Path, since: float) -> int:
    """Return the bytes on disk of the files below `folder` that changed after `since`; links are not followed."""
    total = 0
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                        continue
                    about = entry.stat(follow_symlinks=False)
                    total += about.st_blocks * 512 if about.st_ctime >= since else 0
    return total


# the tree -----------------------------------------------------------------------------------------------------------------


def tree(pid: int) -> Iterator[int]:
    """Yield the pids of a process and of all that descend from it."""
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += children(one)


def children(pid: int) -> list[int]:
    """Return the children of a process; each thread has its own list of them."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - many times a second
            with contextlib.suppress(OSError):
                found += [int(one) for one in Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split()]
    except OSError:
        return []
    return found


def held(pids: Sequence[int]) -> int:
    """Return the bytes of memory that the processes hold."""
    return sum(_resident(one) for one in pids)


def _threads(pid: int) -> int:
    """Return how many threads a process has: to the kernel's own limit each is a process."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
    except OSError:
        return 0


def _resident(pid: int) -> int:
    """Return what a process holds of its own and of what it shares without a file, which a mapping may be made of."""
    try:
        told = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in told.splitlines() if line.startswith(("RssAnon:", "RssShmem:")))


def end_tree(process: Running) -> None:
    """End the process and its descendants: those who watch over them are asked first, then all are killed."""
    left: list[int] = []
    if process.poll() is None:
        left = list(tree(process.pid))
        with contextlib.suppress(OSError):
            process.terminate()
        if not _gone(process, 0.3):
            for one in {*left, *tree(process.pid)}:
                with contextlib.suppress(OSError):
                    os.kill(one, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline and any(map(_lives, left)):
        time.sleep(0.002)  # those inside go a moment after those who watched over them


def _lives(pid: int) -> bool:
    """Return whether a process does anything any more; one that has ended may wait for long to be asked how."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
    except OSError:
        return False
    return state not in b"ZX"


def _gone(process: Running, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except TimedOut:
        return False
    return True
