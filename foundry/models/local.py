"""The embedded model as a session sees it: one process per user and model, started when needed and shared by lease."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from foundry import processes
from foundry.console import Progress, one_line
from foundry.errors import FoundryError, NotReadyError
from foundry.files import BadFileError, read_json
from foundry.models import weights
from foundry.models.local_server import Place, ServerConfig, write_config
from foundry.models.weights_table import Weights
from foundry.settings import Settings, state_folder

START_SECONDS = 180.0
# What a model this small must be told beside its tools; measured by tests/benchmarks/tool_calls.py, and so are its words.
SMALL_TIER_GUIDANCE = (
    "What a file says, which files there are, where a word stands or what time it is you know only from a tool: call it first, "
    "then answer in one or two sentences from its result. All else needs no tool: just answer."
)


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """A running embedded model: where and with which key it answers, and the open lease that keeps it alive.

    `lease_fd` is inheritable: whoever has it open, also after exec, counts as a session. Close it to let go.
    """

    url: str
    key: str
    model: str
    window: int
    lease_fd: int = -1

    def release(self) -> None:
        """Let go of the model; it stays loaded for a while for the next session."""
        if self.lease_fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.lease_fd)


@dataclass(frozen=True, slots=True)
class RunningModel:
    """One embedded model that is loaded now."""

    model: str
    pid: int
    window: int


def ensure(
    settings: Settings, progress: Progress, consent: Callable[[str], bool] | None, python: str = sys.executable
) -> LocalAddress:
    """Return the address of the embedded model, which answers and stays loaded as long as the lease in it is open.

    What is missing is brought and started first: weights (`consent` as in weights.fetch), then the process, run by `python`.
    Raises NotReadyError when engine or weights cannot be had, FoundryError when the engine does not start.
    """
    wanted = weights.needed(settings)
    config = _config(wanted, settings)
    place = Place(Path(config.folder))
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The lease comes first: from here on a server that is there does not end under our feet.
    lease = os.open(place.lease, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lease, fcntl.LOCK_SH)
        state = _answering(place)
        if state is None:
            with _start_lock(place, progress):
                state = _answering(place) or _start(place, config, wanted, settings, progress, consent, python)
        os.set_inheritable(lease, True)
        return LocalAddress(state["url"], state["key"], state["model"], state["window"], lease)
    except BaseException:
        os.close(lease)
        raise


def status() -> list[RunningModel]:
    """Return the embedded models that are loaded now."""
    found = []
    for place in _places():
        state = _answering(place)
        if state:
            found.append(RunningModel(state["model"], state["pid"], state["window"]))
    return found


def stop() -> list[str]:
    """End every embedded model of this user, in use or not, and return their names."""
    return [place.folder.name.split("@")[0] for place in _places() if _end(place)]


# the process ------------------------------------------------------------------------------------------------------------


def _config(wanted: Weights, settings: Settings) -> ServerConfig:
    """Return how the model is to be run; each way of running has a folder of its own, so that upgrades do not clash."""
    window = 8192 if weights.memory() >= 6 * weights.GIB else 4096
    threads = settings["local_threads"] or min(os.cpu_count() or 1, 8)
    template = files("foundry.models").joinpath("tooljson.jinja").read_text("utf-8")
    way = hashlib.sha256(f"{wanted.sha256} {window} {threads} {template}".encode()).hexdigest()[:8]
    return ServerConfig(
        folder=str(state_folder() / "local" / f"{wanted.name}@{way}"),
        weights="",
        model=wanted.name,
        key="",
        window=window,
        threads=threads,
        idle=settings["local_idle"],
        template=template,
    )


def _start(
    place: Place,
    config: ServerConfig,
    wanted: Weights,
    settings: Settings,
    progress: Progress,
    consent: Callable[[str], bool] | None,
    python: str,
) -> dict[str, Any]:
    """Start the server and return its state. Raises FoundryError with the last line of its log when it does not come up."""
    # A server that is loading though its starter was killed, or that is slow to answer, is as good as one of ours.
    state = _wait_other(place, wanted.name, progress)
    if state:
        return state
    _end(place)
    _check_engine(python)
    path = weights.fetch(wanted, settings, progress, consent)
    ready = ServerConfig(**{**_fields(config), "weights": str(path), "key": secrets.token_hex(24)})
    file = place.folder / "config.json"
    argv = [python, "-P", "-m", "foundry.models.local_server", str(file)]
    pid = 0
    try:
        write_config(ready, file)
        pid = processes.start_daemon(argv, env=processes.clean_environment({"OMP_WAIT_POLICY": "PASSIVE"}), log=place.log)
        return _wait_ready(place, wanted.name, pid, progress)
    except BaseException:
        if pid:
            _signal(pid, signal.SIGTERM)
        file.unlink(missing_ok=True)  # without it, a server that was just being started ends by itself
        raise


def _fields(config: ServerConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ServerConfig.__slots__}


def _wait_other(place: Place, name: str, progress: Progress) -> dict[str, Any] | None:
    """Return the state of a server that lives but does not answer yet; None when there is none or it stays silent."""
    begun = time.monotonic()
    told = False
    while _locked(place.server):
        state = _answering(place)
        if state:
            return state
        if time.monotonic() - begun > (20.0 if place.state.exists() else START_SECONDS):
            return None
        if not told:
            progress.step(f"waiting for the embedded model {name}, which is loading")
        told = True
        time.sleep(0.1)
    return None


def _wait_ready(place: Place, name: str, pid: int, progress: Progress) -> dict[str, Any]:
    """Return the state as soon as the server `pid`, our child, answers. Raises FoundryError with the last line of its log."""
    progress.step(f"loading the embedded model {name}")
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        ended = _reaped(pid)
        state = _answering(place)
        if state:
            return state
        if ended:
            told = _last_line(place.log)
            raise FoundryError(f"the embedded model {name} did not start: {told}", f"The engine's log: {place.log}")
        time.sleep(0.05)
    raise FoundryError(
        f"the embedded model {name} did not start in {START_SECONDS:.0f} seconds", f"The engine's log: {place.log}"
    )


def _check_engine(python: str) -> None:
    """Raise NotReadyError unless `python` has the engine."""
    probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('xllamacpp') is None)"
    try:
        if processes.run([python, "-P", "-c", probe], timeout=30).code == 0:
            return
    except OSError as error:
        raise NotReadyError(f"{python}: cannot be started: {error.strerror}", "See: foundry doctor") from None
    raise NotReadyError(
        "the embedded model's engine is not installed",
        "Install Foundry with its [local] extra (agent-foundry[local]), or set a provider's key, or start Ollama.",
    )


# who is there -----------------------------------------------------------------------------------------------------------


def _places() -> Iterator[Place]:
    base = state_folder() / "local"
    if base.is_dir():
        yield from (Place(one) for one in sorted(base.iterdir()) if one.is_dir())


def _answering(place: Place) -> dict[str, Any] | None:
    """Return the state of the server in `place` if it is alive, is ours by its lock, and answers to its key."""
    try:
        state = read_json(place.state)
        url, key = str(state["url"]), str(state["key"])
        int(state["pid"]), int(state["window"]), str(state["model"])
    except (BadFileError, KeyError, TypeError, ValueError):
        return None
    return state if _locked(place.server) and _answers(url, key) else None


def _answers(url: str, key: str) -> bool:
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.hostname != "127.0.0.1":
        return False
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=5)
    try:
        connection.request("GET", parts.path + "/models", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _locked(file: Path) -> bool:
    """Return whether a living process holds `file` locked."""
    try:
        handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _end(place: Place) -> bool:
    """End the server in `place` if there is one; its lock says that the pid in it is the server's and no other's."""
    was = _locked(place.server)
    for how in (signal.SIGTERM, signal.SIGKILL):
        if not _locked(place.server):
            break
        try:
            pid = int(place.server.read_text())
        except (OSError, ValueError):
            return False
        _signal(pid, how)
        until = time.monotonic() + 5
        while _locked(place.server) and time.monotonic() < until:
            time.sleep(0.05)
    if _locked(place.server):
        return False
    place.state.unlink(missing_ok=True)
    return was


def _signal(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, how)


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


@contextmanager
def _start_lock(place: Place, progress: Progress) -> Iterator[None]:
    """Hold the right to start this server alone."""
    with place.start.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step("waiting for another session that starts the embedded model")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _last_line(log: Path) -> str:
    try:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return one_line(lines[-1], 300) if lines else "its log is empty"
