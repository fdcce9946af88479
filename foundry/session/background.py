"""What fails in a session's background, where nobody waits for it: told once in a line, with a report that can be sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from foundry.report import in_background

_MOST_TOLD = 20


@contextlib.contextmanager
def background_told(tell: Callable[[str], object], clean: Callable[[str], str]) -> Iterator[None]:
    """Hand a line to `tell` for each different failure in the running loop that is nobody's; `clean` takes secrets out."""
    told = set[str]()

    def failed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and len(told) < _MOST_TOLD and repr(error) not in told:
            told.add(repr(error))
            tell(in_background(error, clean))

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(failed)
    try:
        yield
    finally:
        loop.set_exception_handler(None)
