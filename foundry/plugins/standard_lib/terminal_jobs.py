"""Commands in the background: so many at once, each in a thread that its jail ends with, all of them ending with the session."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from foundry.plugins.api import ToolError
from foundry.plugins.standard_lib.terminal_output import Output

MOST = 8  # at once
_REMEMBERED = 16  # that have ended
_STARTS_WITHIN, _ENDS_WITHIN, _QUICK = 30.0, 10.0, 0.1  # seconds

_of_run: dict[str, Jobs] = {}
_guard = threading.Lock()


@dataclass(eq=False)
class Job:
    """One command in the background; `started` is set once it runs in its jail, `ended` once nothing of it is left."""

    number: int
    command: str
    output: Output
    stop: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    how: str = ""
    failed: str = ""
    since: float = field(default_factory=time.monotonic)

    def run(self, work: Callable[[Job], str]) -> None:
        """Do the work of the job's thread. The kernel ends a jail with the thread that started it, so this one stays."""
        try:
            self.how = work(self)
        except ToolError as error:
            self.failed = self.how = str(error)
        except BaseException as error:  # nobody else hears of it
            self.failed = self.how = f"{type(error).__name__}: {error}"
        finally:
            self.output.end()
            self.ended.set()
            self.started.set()

    def end(self) -> None:
        """Stop it and wait until nothing of it is left. Raises ToolError where that takes too long."""
        self.stop.set()
        if not self.ended.wait(_ENDS_WITHIN):
            raise ToolError(f"Job {self.number} is told to stop and has not ended yet. Look again.")

    def state(self) -> str:
        """Return on one line which job this is, and whether it runs or how it ended."""
        if self.ended.is_set():
            return f"job {self.number} ended: {self.how}"
        return f"job {self.number} runs since {time.monotonic() - self.since:.0f} s; look again with jobs, end it with stop"


class Jobs:
    """The jobs of one session."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._last = 0
        self._lock = threading.Lock()

    def check_room(self) -> None:
        """Raise ToolError where as many jobs run as may."""
        if len(list(self._running())) >= MOST:
            raise ToolError(f"{MOST} jobs run already. Stop one first.")

    def start(self, command: str, output: Output, work: Callable[[Job], str]) -> Job:
        """Return a new job that runs, or has ended quickly. Raises ToolError for one that cannot be started."""
        with self._lock:
            self.check_room()
            self._last += 1
            job = self._jobs[self._last] = Job(self._last, command, output)
            self._forget()
        threading.Thread(target=job.run, args=(work,), name=f"job {job.number}", daemon=True).start()
        if not job.started.wait(_STARTS_WITHIN):
            job.stop.set()
        job.ended.wait(_QUICK)
        if job.failed:
            self._jobs.pop(job.number, None)
            raise ToolError(job.failed)
        return job

    def find(self, number: int) -> Job:
        """Return a job. Raises ToolError where there is none of this number."""
        if job := self._jobs.get(number):
            return job
        raise ToolError(f"There is no job {number}. {self.listed()}")

    def listed(self) -> str:
        """Return a line for each job."""
        jobs = list(self._jobs.values())
        return "\n".join(map(_line, jobs)) or "There are no jobs. start begins one."

    def end(self) -> list[str]:
        """End all jobs and return what the person should know of those that were still running."""
        running = list(self._running())
        for one in running:
            one.stop.set()
        for one in running:
            one.ended.wait(_ENDS_WITHIN)
        return [f"{one.state()} ({one.command})" for one in running if "taken away" in one.how]

    def _running(self) -> Iterator[Job]:
        return (one for one in list(self._jobs.values()) if not one.ended.is_set())

    def _forget(self) -> None:
        ended = [one.number for one in self._jobs.values() if one.ended.is_set()]
        for number in ended[: max(len(ended) - _REMEMBERED, 0)]:
            del self._jobs[number]


def _line(job: Job) -> str:
    short = job.command if len(job.command) <= 100 else f"{job.command[:100]} …"
    new = f" · {job.output.waiting:,} new bytes" if job.output.waiting else ""
    how = job.how if job.ended.is_set() else f"runs since {time.monotonic() - job.since:.0f} s"
    return f"{job.number} · {' '.join(short.split())} · {how}{new}"


def jobs_of(run: str) -> Jobs:
    """Return the jobs of the session with this run's id, whichever tool object asks."""
    with _guard:
        atexit.unregister(end_all)
        atexit.register(end_all)  # for whoever leaves without ending them
        return _of_run.setdefault(run, Jobs())


def end_jobs(run: str) -> list[str]:
    """End the jobs of a session and return what the person should know of them."""
    with _guard:
        jobs = _of_run.pop(run, None)
    return jobs.end() if jobs else []


def end_all() -> None:
    """End the jobs of every session: this process ends."""
    for run in list(_of_run):
        end_jobs(run)
