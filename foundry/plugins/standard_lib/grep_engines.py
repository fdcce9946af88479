"""How a question is put to the files: to ripgrep first where there is one, then to our own search, which alone is shown.

So the answer is the same with and without ripgrep: its part is to say where looking is worth while.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.grep_pattern import Sieve, sieve_of
from foundry.plugins.standard_lib.grep_ripgrep import Counted, counted, is_sayable_glob
from foundry.plugins.standard_lib.grep_tree import MOST_FILES, Listing, Tree, Wanted
from foundry.plugins.standard_lib.grep_worker import Request, Search, Summary
from foundry.plugins.standard_lib.worker import answers, command, last_words
from foundry.plugins.standard_lib.worker_spare import Spare
from foundry.processes import Running, TimedOut, clean_environment, end_group, start

WORKER = "grep_worker"
_WORTH_TWO = 500
_WORTH_RIPGREP = 2
_SURE = 200  # of more files than these, ripgrep's own numbers are told, which are a little off at times
_MOST_OF = 0.9
_FOR_RIPGREP = 0.7
_SECONDS_NEAR = 4.0
_IN_HAND = 0.25

_Chunks = list[tuple[int, str, list[str]]]
_Workers = list[Running]
_Result = tuple[list[dict[str, Any]], Summary | None]


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for: `most` matching lines are shown, `around` lines before and after each; `plain` is a text as it is."""

    pattern: re.Pattern[str]
    plain: bool
    most: int
    around: int

    @property
    def any_case(self) -> bool:
        """Return whether upper and lower case are one."""
        return bool(self.pattern.flags & re.IGNORECASE)

    def in_any_case(self) -> Question:
        """Return the same question, upper and lower case being one."""
        return replace(self, pattern=re.compile(self.pattern.pattern, self.pattern.flags | re.IGNORECASE))


@dataclass(slots=True)
class Answer:
    """What was found: `shown` by file, in order, as Search yields it; all matches and their files, `about` so many.

    `stopped` says that time ran out before all of the `searched` files that were to be searched; `late` are those that alone
    took too long. `any_case` says that upper and lower case were one, as there was no match otherwise.
    """

    shown: list[dict[str, Any]] = field(default_factory=list)
    matches: int = 0
    files: int = 0
    searched: int = 0
    done: int = 0
    about: bool = False
    stopped: bool = False
    late: list[str] = field(default_factory=list)
    any_case: bool = False

    @property
    def is_nothing(self) -> bool:
        """Return whether there surely is no match."""
        return not self.matches and not self.late and not self.stopped


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look: in the files at a real path or below it, those below with a path that `wanted` takes, as `glob` says it.

    `spare` is the worker that the next question is put to.
    """

    tree: Tree
    top: Path
    wanted: Wanted | None
    glob: str
    spare: Spare

    def near(self) -> Listing | None:
        """Return what is enough for ripgrep to start with, as Tree.near() does."""
        return self.tree.near(self.top) if is_sayable_glob(self.glob) else None

    def files(self, deadline: float, only: Collection[str] | None = None) -> Listing:
        """Return the files, as Tree.files() does."""
        return self.tree.files(self.top, self.wanted, deadline, only)


@dataclass(frozen=True, slots=True)
class _Hits:
    """The files that ripgrep names, those of the listing only; `given` is what it was given to look into."""

    counts: Counted
    listing: Listing
    given: Listing


def answer(question: Question, places: Places, ripgrep: str, deadline: float) -> tuple[Answer, Listing]:
    """Return what the files say, and which they are; upper and lower case are one if there is no match otherwise.

    With no `ripgrep` they are all searched by us. Raises ToolError.
    """
    context = places.tree.context
    if ripgrep:
        with _workers(1, question, places.spare) as workers:
            hits = _hits(question, places, ripgrep, deadline)
            if hits is not None:
                return _of_hits(question, places, hits, ripgrep, workers, deadline)
    listing = places.files(deadline)
    found = _everywhere(question, context, listing, deadline)
    if found.is_nothing and not question.any_case:
        found = _everywhere(question.in_any_case(), context, listing, deadline)
        found.any_case = True
    return found, listing


def _everywhere(question: Question, context: ToolContext, listing: Listing, deadline: float) -> Answer:
    sieve = sieve_of(question.pattern)
    two = listing.files >= _WORTH_TWO and (os.cpu_count() or 1) > 1
    with _workers(1 + two, question) as workers:
        chunks: _Chunks = [(number, one.folder, one.names) for number, one in enumerate(listing.chunks)]
        shares = [chunks[0::2], chunks[1::2]] if len(workers) == 2 else [chunks]
        found = _searched([_request(question, context, one, sieve, None, deadline) for one in shares], question, workers)
        found.searched += listing.files
        return found


def _hits(question: Question, places: Places, ripgrep: str, deadline: float) -> _Hits | None:
    """Return the files that may have a match, upper and lower case being one; None where ripgrep is of no use.

    It starts before all of a large tree was looked at, if need be: then only the folders of what it finds are.
    """
    looser, root = sieve_of(question.in_any_case().pattern).looser, places.tree.context.folder.resolve()
    started = time.monotonic()
    until = started + (deadline - started) * _FOR_RIPGREP
    near = places.near()
    if near is not None:
        counts = counted(ripgrep, looser, root, near, min(until, started + _SECONDS_NEAR), places.glob)
        if counts is None:
            return None
        if not counts.cut:
            # Where it takes long it may look into much that is ignored far down: then that is found out.
            quick = time.monotonic() - started < _SECONDS_NEAR / 2
            few = len(counts.lines) <= places.tree.limits.first and counts.searched < MOST_FILES and not counts.odd
            listing = places.files(deadline, _folders(counts.lines) if few and quick else None)
            if not listing.whole:
                listing.files = counts.searched
            return _Hits(_only(counts, listing), listing, near)
        places.tree.deep.add(near.top)
    listing = places.files(deadline)
    if listing.files < _WORTH_RIPGREP:
        return None
    counts = counted(ripgrep, looser, root, listing, until)
    return None if counts is None else _Hits(counts, listing, listing)


def _folders(paths: Iterable[str]) -> set[str]:
    """Return the folders of the paths and all those above them."""
    found: set[str] = set()
    for path in paths:
        at = path.rfind("/")
        while at > 0 and path[: at + 1] not in found:
            found.add(path[: at + 1])
            at = path.rfind("/", 0, at)
    return found


def _only(counts: Counted, listing: Listing) -> Counted:
    """Return those of the counts that are of files in the listing."""
    known = counts.lines
    lines = {path: known[path] for folder, names in listing.chunks for name in names if (path := folder + name) in known}
    return replace(counts, lines=lines)


def _of_hits(
    question: Question, places: Places, hits: _Hits, ripgrep: str, workers: _Workers, deadline: float
) -> tuple[Answer, Listing]:
    context, listing = places.tree.context, hits.listing
    found = _where_counted(question, places, listing, hits.counts, workers, deadline)
    if found is None:  # too many to tell from what is written in another case
        until = time.monotonic() + (deadline - time.monotonic()) * _FOR_RIPGREP
        root, looser = context.folder.resolve(), sieve_of(question.pattern).looser
        exact = counted(ripgrep, looser, root, hits.given, until, places.glob) or hits.counts
        with _workers(1, question) as more:
            found = _where_counted(question, places, listing, _only(exact, listing), more, deadline, sure=True)
    assert found is not None
    if found.is_nothing and not question.any_case and (hits.counts.lines or listing.unsure):
        folded = question.in_any_case()
        with _workers(1, folded) as more:
            found = _where_counted(folded, places, listing, hits.counts, more, deadline, sure=True) or found
        found.any_case = True
    if listing.whole or found.matches or found.stopped:
        return found, listing
    whole = places.files(deadline)
    found.searched += whole.files - listing.files
    return found, whole


def _where_counted(
    question: Question,
    places: Places,
    listing: Listing,
    counts: Counted,
    workers: _Workers,
    deadline: float,
    sure: bool = False,
) -> Answer | None:
    """Return what the files with counted lines say: the first of them searched again, of the others the count.

    None where the count is of many lines that do not match, unless it is the best there is: `sure`.
    """
    context, first = places.tree.context, places.tree.limits.first
    paths = sorted({*counts.lines, *listing.unsure}, key=lambda one: one.replace("/", "\0"))
    found = _again(question, context, paths[:first], workers, deadline)
    if len(paths) > found.done and not found.stopped:
        told = sum(counts.lines.get(one, 0) for one in paths[: found.done])
        if not sure and not question.any_case and found.matches < told * _MOST_OF:
            return None
    if len(paths) > first and not found.stopped and sum(map(_matching, found.shown)) < question.most:
        with _workers(1, question) as more:
            found = _again(question, context, paths, more, deadline)
    rest = paths[found.done :]
    if rest and not found.stopped:
        found.matches += sum(counts.lines.get(one, 0) for one in rest)
        found.files += sum(one in counts.lines for one in rest)
        found.about = True
    found.done += listing.files - len(paths)
    found.stopped |= counts.cut
    found.searched += listing.files
    return found


def _again(question: Question, context: ToolContext, paths: list[str], workers: _Workers, deadline: float) -> Answer:
    """Return what our own search finds in files that ripgrep named."""
    chunks: _Chunks = []
    for path in paths:
        at = path.rfind("/") + 1
        if not chunks or chunks[-1][1] != path[:at]:
            chunks.append((len(chunks), path[:at], []))
        chunks[-1][2].append(path[at:])
    nothing_known = Sieve((), False, "")
    return _searched([_request(question, context, chunks, nothing_known, _SURE, deadline)] if chunks else [], question, workers)


def _request(
    question: Question, context: ToolContext, chunks: _Chunks, sieve: Sieve, enough: int | None, deadline: float
) -> Request:
    return Request(
        folder=str(context.folder.resolve()),
        closed=tuple(str(one.resolve()) for one in context.closed),
        pattern=question.pattern.pattern,
        flags=question.pattern.flags,
        chunks=chunks,
        most=question.most,
        of_a_file=max(question.most // 3, 1),
        around=question.around,
        needles=sieve.needles,
        folded=sieve.folded,
        enough=enough,
        seconds=max(deadline - time.monotonic() - _IN_HAND, 0.05),
    )


def _searched(requests: Sequence[Request], question: Question, workers: _Workers) -> Answer:
    """Return what our own search finds; `searched` is less by what turned out not to be searchable."""
    if workers and requests:
        with ThreadPoolExecutor(len(requests)) as threads:
            results = list(threads.map(_by_process, requests, workers))
    else:
        results = [_here(one) for one in requests]
    found = Answer()
    shown = sorted((one for some, _ in results for one in some), key=lambda one: one["at"])
    found.shown = list(_first(shown, question.most))
    for some, summary in results:
        told = summary or Summary(sum(_matching(one) for one in some), len(some), done=len(some), over=True)
        found.matches += told.matches
        found.files += told.files
        found.searched -= told.skipped
        found.done += told.done
        found.late += told.late
        found.stopped |= told.over and not told.enough
    return found


def _here(request: Request) -> _Result:
    search = Search(request)
    return list(search.run()), search.summary


@contextmanager
def _workers(number: int, question: Question, spare: Spare | None = None) -> Iterator[_Workers]:
    """Give processes that search; none for a text as it is, in its own case: that can hold up nobody, so we search ourselves.

    They are started early, to be ready when it is known what they are to do.
    """
    here = number < 2 and question.plain and not question.any_case
    started: _Workers = []
    try:
        for _ in range(0 if here else number):
            started.append(spare.take() if spare else start(command(WORKER), env=clean_environment()))
        yield started
    finally:
        for one in started:
            end_group(one)
        if spare and started:
            spare.refill()


def _by_process(request: Request, process: Running) -> _Result:
    timed_out = False
    try:
        out, err = process.communicate(json.dumps(asdict(request)).encode(), request.seconds + _IN_HAND)
    except TimedOut as ended:
        timed_out, out, err = True, ended.output or b"", b""
    lines = list(answers(out.decode()))
    found = [one for one in lines if "at" in one]
    if timed_out:
        return found, None
    if process.returncode != 0 or not lines:
        raise ToolError(f"The search failed: {last_words(err.decode('utf-8', 'replace'), 'no reason given')}")
    return found, Summary(**lines[-1])


def _first(files: Iterable[dict[str, Any]], most: int) -> Iterator[dict[str, Any]]:
    """Yield the files with the first matches, the last one without those that are too many."""
    for one in files:
        if most <= 0:
            return
        while _matching(one) > most:
            one["lines"].pop()
        most -= _matching(one)
        yield one


def _matching(file: dict[str, Any]) -> int:
    return sum(is_match for _, _, is_match in file["lines"])
