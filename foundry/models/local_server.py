"""The embedded model's process: loads the weights, answers on loopback, and ends when nobody has used it for a while.

Started by models/local.py as `python -P -m foundry.models.local_server CONFIG`; CONFIG is a private file, read once and
removed, because an argument list is for everybody to read. Three files beside the state tell the others about it:
  server   locked alone while this process lives; holds its pid, so that what is stopped is this and nothing else
  lease    locked shared by every session that uses the model; when the lock can be had alone, nobody does
  state    address, key and pid, there exactly while requests are answered
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foundry.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What a server is told: where its files lie and how to run the model."""

    folder: str
    weights: str
    model: str
    key: str
    window: int
    threads: int
    idle: float
    template: str


@dataclass(frozen=True, slots=True)
class Place:
    """One server's files; making one touches nothing."""

    folder: Path

    @property
    def server(self) -> Path:
        return self.folder / "server"

    @property
    def lease(self) -> Path:
        return self.folder / "lease"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def start(self) -> Path:
        return self.folder / "start"

    @property
    def log(self) -> Path:
        return self.folder / "log"


Engine = Callable[[ServerConfig], tuple[str, Any]]


def serve(config: ServerConfig, engine: Engine) -> int:
    """Run the model until it is idle or told to end; returns the exit code."""
    place = Place(Path(config.folder))
    with place.server.open("a+") as held:
        try:
            _wait_for(held, 10)
        except BlockingIOError:
            sys.stderr.write("another server of this model is running\n")
            return 1
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        place.state.unlink(missing_ok=True)
        address, alive = engine(config)
        over = threading.Event()
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda *_: over.set())
        write_json(place.state, _state(config, address), 0o600)
        _until_idle(place, config.idle, over)
        place.state.unlink(missing_ok=True)
        del alive
    return 0


def _wait_for(held: Any, seconds: float) -> None:
    """Take the server lock, waiting for one that is just ending. Raises BlockingIOError."""
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _state(config: ServerConfig, address: str) -> dict[str, Any]:
    return {"url": address + "/v1", "key": config.key, "pid": os.getpid(), "model": config.model, "window": config.window}


def _until_idle(place: Place, idle: float, over: threading.Event) -> None:
    """Return when `over` is set, or when nobody has held the lease for `idle` seconds; then the state is gone already."""
    last = time.monotonic()
    with place.lease.open("a") as lease:
        while not over.wait(min(2.0, max(idle / 4, 0.05))):
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                last = time.monotonic()
                continue
            if time.monotonic() - last >= idle:
                # Still alone: who comes now waits for this lock, finds no state, and starts anew.
                place.state.unlink(missing_ok=True)
                return
            fcntl.flock(lease, fcntl.LOCK_UN)


def xllamacpp_engine(config: ServerConfig) -> tuple[str, Any]:
    """Return the address of a server that has the weights loaded, and the object that keeps it alive."""
    # Before the import: OpenMP threads that spin while they wait cost a factor of ten where cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import xllamacpp

    wanted = xllamacpp.CommonParams()
    wanted.model.path = config.weights
    wanted.model_alias = {config.model}
    wanted.chat_template = config.template
    wanted.n_ctx, wanted.n_parallel = config.window, 1
    # A prompt is read in pieces of this size: progress is told, and a cancelled request is noticed, between two of them.
    wanted.n_batch = wanted.n_ubatch = 128
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = config.threads
    wanted.cache_ram_mib = 256
    wanted.verbosity, wanted.ui, wanted.endpoint_slots = 0, False, False
    wanted.hostnames, wanted.port = ["127.0.0.1"], 0
    wanted.api_keys, wanted.cors_origins = [config.key], "http://127.0.0.1"
    server = xllamacpp.Server(wanted)
    return server.listening_address, server


def main(argv: list[str], engine: Engine = xllamacpp_engine) -> int:
    """Serve as the file named in `argv` says; it is removed before anything else."""
    file = Path(argv[0])
    told = read_json(file)
    with contextlib.suppress(FileNotFoundError):
        file.unlink()
    return serve(ServerConfig(**told), engine)


def write_config(config: ServerConfig, file: Path) -> None:
    """Write what `main` reads, for this user alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, json.loads(json.dumps(asdict(config))), 0o600)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
