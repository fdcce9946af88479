"""What fails in a session's background, where nobody waits for it: told once in a line, with a report that can be sent."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from foundry.report import in_background

_MOST_TOLD = 20


@contextlib.contextmanager
def background_told(tell: Callable[[str], object], clean: Callable[[str], str]) -> Iterator[None]:
    """Hand a line to `tell` for each different failure that is nobody's; `clean` takes secrets out.

    Those are failures of the running loop's callbacks and tasks, of threads, and what Python says it ignores.
    """
    told = set[str]()
    loop = asyncio.get_running_loop()

    def failed(error: object) -> None:
        if isinstance(error, Exception) and len(told) < _MOST_TOLD and repr(error) not in told:
            told.add(repr(error))
            tell(in_background(error, clean))

    def elsewhere(found: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            loop.call_soon_threadsafe(failed, found.exc_value)

    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook = sys.unraisablehook = elsewhere
    loop.set_exception_handler(lambda _, context: failed(context.get("exception")))
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        loop.set_exception_handler(None)
