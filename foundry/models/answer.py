"""The pieces of a streamed answer, put together: text as it comes, calls only once they are whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from foundry.messages import ToolCall, Usage

REPEATS = "repeats"
_SAME = 160


@dataclass
class _Growing:
    index: int | None
    id: str
    name: str
    arguments: str = ""


@dataclass
class Answer:
    """What has arrived so far; `finish` is empty until the provider said that it is done."""

    finish: str = ""
    read: int = 0
    written: int = 0
    counted: bool = False
    shown: int = 0
    texts: list[str] = field(default_factory=list)
    _growing: list[_Growing] = field(default_factory=list)

    @property
    def truncated(self) -> bool:
        """Whether the provider's length limit ended the answer, or we did; then calls in it may be partial."""
        return self.finish in ("length", REPEATS)

    @property
    def repeats(self) -> bool:
        """Whether the text has come to say the same over and over, as small models do without end.

        It is so when its last 160 characters, and its last three periods, are what stands one period before them.
        """
        text = self.text
        if len(text) <= 2 * _SAME:
            return False
        period = len(text) - _SAME - text.rfind(text[-_SAME:], 0, -1)
        span = max(_SAME, 3 * period)
        return period <= _SAME and text[-span:] == text[-span - period : -period]

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def count(self, usage: Any) -> None:
        """Take the provider's count; the last one of an answer holds."""
        read, written = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
        if isinstance(read, int) and isinstance(written, int):
            self.read, self.written, self.counted = read, written, True

    def usage(self, read: int, written: int) -> Usage:
        """Return the provider's count, or the given estimates where it made none."""
        return Usage(self.read, self.written) if self.counted else Usage(read, written, estimated=True)

    def add_call(self, index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> None:
        """Add a piece of a call.

        Servers differ: pieces belong together by index; some send every call of an answer with the same index or none, so that
        a new id, or a new name after a whole one, starts another call.
        """
        current = self._belonging(index, call_id, name)
        if current is None:
            current = _Growing(index, call_id or "", name or "")
            self._growing.append(current)
        else:
            current.id = current.id or call_id or ""
            current.name = current.name or name or ""
        current.arguments += arguments or ""

    def _belonging(self, index: int | None, call_id: str | None, name: str | None) -> _Growing | None:
        for one in reversed(self._growing):
            if index is not None and one.index is not None and one.index != index:
                continue
            if call_id and one.id:
                if call_id == one.id:
                    return one
                continue
            starts_anew = name and one.name and _whole(one.arguments)
            return None if starts_anew else one
        return None

    def calls(self) -> list[ToolCall]:
        """Return the calls in the order they began, those fused into one taken apart."""
        return [call for one in self._growing for call in _apart(one)]


def _apart(call: _Growing) -> Iterable[ToolCall]:
    """One call, or several where a server glued the argument objects of parallel calls of one tool together."""
    text = call.arguments.strip()
    pieces = _objects(text)
    if len(pieces) < 2:
        return [ToolCall(call.id, call.name, text)]
    return [ToolCall("" if at else call.id, call.name, piece) for at, piece in enumerate(pieces)]


def _objects(text: str) -> list[str]:
    decoder, pieces, at = json.JSONDecoder(), [], 0
    while at < len(text):
        if text[at] != "{":
            return []
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        pieces.append(text[at:end])
        at = end
        while at < len(text) and text[at].isspace():
            at += 1
    return pieces


def _whole(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
