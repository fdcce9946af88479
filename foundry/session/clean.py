"""Events without secrets: what every face passes them through before anything is shown or written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from foundry.agent.secrets import Redactor
from foundry.messages import Event, Failed, PromptProgress, TextDelta


class CleanEvents:
    """Call it with each event; it yields what may be shown. A secret that comes in pieces is held back until it is known."""

    def __init__(self, redactor: Redactor, agent: str) -> None:
        self._redactor = redactor
        self._agent = agent
        self._stream = redactor.stream()

    def __call__(self, event: Event) -> Iterator[Event]:
        if isinstance(event, TextDelta):
            if text := self._stream.feed(event.text):
                yield TextDelta(text)
            return
        if not isinstance(event, PromptProgress) and (held := self._stream.end()):
            yield TextDelta(held)
        if isinstance(event, Failed):  # its commands name the agent that they are for
            event = replace(event, hint=event.hint.replace(" NAME", f" {self._agent}"))
        yield _cleaned(event, self._redactor.clean)


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(_cleaned(one, clean) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _cleaned(getattr(value, one.name), clean) for one in fields(value)})
    return value
