"""How a question is put to the files: to ripgrep first where there is one, then to our own search, which alone is shown.

So the answer is the same with and without ripgrep: its part is to say where looking is worth while.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.grep_pattern import Sieve, sieve_of
from foundry.plugins.standard_lib.grep_ripgrep import Counted, counted
from foundry.plugins.standard_lib.grep_tree import Listing
from foundry.plugins.standard_lib.grep_worker import Request, Search, Summary
from foundry.plugins.standard_lib.worker import answers, command, last_words
from foundry.processes import Running, TimedOut, clean_environment, end_group, start

_WORTH_TWO = 500
_WORTH_RIPGREP = 2
_FIRST = 1000
_SURE = 200  # of more files than these, ripgrep's own numbers are told, which are a little off at times
_FOR_RIPGREP = 0.7
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


@dataclass(slots=True)
class Answer:
    """What was found: `shown` by file, in order, as Search yields it; all matches and their files, `about` so many.

    `stopped` says that time ran out before all of the `searched` files that were to be searched; `late` are those that alone
    took too long.
    """

    shown: list[dict[str, Any]] = field(default_factory=list)
    matches: int = 0
    files: int = 0
    searched: int = 0
    done: int = 0
    about: bool = False
    stopped: bool = False
    late: list[str] = field(default_factory=list)


def answer(question: Question, context: ToolContext, listing: Listing, ripgrep: str, deadline: float) -> Answer:
    """Return what the listed files say; with no `ripgrep` they are all searched by us. Raises ToolError."""
    sieve = sieve_of(question.pattern)
    two = listing.files >= _WORTH_TWO and (os.cpu_count() or 1) > 1
    with _workers(1 if ripgrep else 1 + two, question) as workers:
        if ripgrep and listing.files >= _WORTH_RIPGREP:
            until = time.monotonic() + (deadline - time.monotonic()) * _FOR_RIPGREP
            counts = counted(ripgrep, sieve.looser, context.folder.resolve(), listing, until)
            if counts is not None:
                return _where_counted(question, context, listing, counts, workers, deadline)
        chunks: _Chunks = [(number, one.folder, one.names) for number, one in enumerate(listing.chunks)]
        shares = [chunks[0::2], chunks[1::2]] if len(workers) == 2 else [chunks]
        found = _searched([_request(question, context, one, sieve, None, deadline) for one in shares], question, workers)
        found.searched += listing.files
        return found


def _where_counted(
    question: Question, context: ToolContext, listing: Listing, counts: Counted, workers: _Workers, deadline: float
) -> Answer:
    """Return what the files with counted lines say: the first of them searched again, of the others the count."""
    paths = sorted({*counts.lines, *listing.unsure}, key=lambda one: one.replace("/", "\0"))
    found = _again(question, context, paths[:_FIRST], workers, deadline)
    if len(paths) > _FIRST and not found.stopped and sum(map(_matching, found.shown)) < question.most:
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
    for number, path in enumerate(paths):
        at = path.rfind("/") + 1
        chunks.append((number, path[:at], [path[at:]]))
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
def _workers(number: int, question: Question) -> Iterator[_Workers]:
    """Give processes that search; none for a text as it is, in its own case: that can hold up nobody, so we search ourselves.

    They are started early, to be ready when it is known what they are to do.
    """
    here = number < 2 and question.plain and not question.pattern.flags & re.IGNORECASE
    started: _Workers = []
    try:
        for _ in range(0 if here else number):
            started.append(start(command("grep_worker"), env=clean_environment()))
        yield started
    finally:
        for one in started:
            end_group(one)


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
