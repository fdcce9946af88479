"""What one turn looks like in the chat: the answer as it arrives, a quiet line for each tool, what is going on below them."""

from __future__ import annotations

import json
import time

from foundry.console import Console, fit, one_line, visible, width_of
from foundry.errors import FoundryError
from foundry.markdown import MarkdownStream
from foundry.messages import (
    Answered,
    Event,
    Failed,
    HistoryTrimmed,
    Notice,
    PromptProgress,
    Retrying,
    TextDelta,
    ToolCall,
    ToolDecided,
    ToolOutput,
    ToolRequested,
    ToolReturned,
    TurnEnded,
)

_SHORT = 60  # a result of one line this long is shown itself
_WORTH_TELLING = 2.0  # seconds


class Face:
    """Shows the events of one turn; `tick` once a second tells how long it has been waited for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._markdown = MarkdownStream(console, apart=True)
        self._calls: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._text_above = False
        self._wait_for("thinking")

    def show(self, event: Event) -> None:
        """Show one event; what is no text ends the open block first."""
        if isinstance(event, TextDelta):
            self._waiting = ""
            self._text_above = True
            self._markdown.feed(event.text)
            return
        if isinstance(event, Answered | Failed | TurnEnded):
            self._markdown.end()
        if isinstance(event, PromptProgress):
            self._wait_for(f"reading {event.done:,} of {event.total:,} tokens")
        elif isinstance(event, ToolRequested):
            self._calls[event.call.id] = described(event.call)
            self._waiting = ""  # a person may be asked now, on a line that no clock should write over
        elif isinstance(event, ToolDecided | ToolReturned):
            self._tool(event)
        elif isinstance(event, ToolOutput):
            self._output(event.text)
        elif isinstance(event, TurnEnded):
            self._ended(event)
        else:
            self._beside(event)

    def tick(self) -> None:
        """Bring the line that says what is waited for up to date."""
        if self._waiting:
            seconds = int(time.monotonic() - self._since)
            self._console.status(f"{self._waiting} …" + (f" {seconds} s" if seconds >= _WORTH_TELLING else ""))

    def _wait_for(self, what: str) -> None:
        self._waiting, self._since = what, time.monotonic()
        self.tick()

    def _apart(self) -> None:
        """Keep a line of ours from the text above it."""
        if self._text_above:
            self._console.note("")
        self._text_above = False

    def _beside(self, event: Event) -> None:
        if isinstance(event, Retrying):
            self._apart()
            self._console.step(f"{event.reason}; again in {event.wait:.1f} s")
            self._wait_for("waiting")
        elif isinstance(event, HistoryTrimmed):
            what = "turn is" if event.turns == 1 else f"{event.turns} turns are"
            self._apart()
            self._console.step(f"the model's window is full: the oldest {what} forgotten")
        elif isinstance(event, Notice):
            self._apart()
            self._console.warn(event.text)
            self.tick()
        elif isinstance(event, Failed):
            self._apart()
            self._console.error(FoundryError(event.message, event.hint, code=event.code))

    def _tool(self, event: ToolDecided | ToolReturned) -> None:
        if isinstance(event, ToolDecided):
            if event.decision.allowed:
                self._running[event.call_id] = event.name
        else:
            self._running.pop(event.result.call_id, None)
            self._apart()
            ended = _result(event)
            room = max(self._console.columns() - width_of(ended) - 6, self._console.columns() // 2)
            self._console.step(f"{fit(self._calls.get(event.result.call_id, event.result.name), room)} → {ended}")
        self._wait_for(", ".join(self._running.values()) or "thinking")

    def _output(self, text: str) -> None:
        """Show lines of a command, each behind a bar, so that none of them looks like a line of ours."""
        self._apart()
        room = self._console.columns() - 1
        self._console.aside("\n".join(fit(f"  │ {visible(line.expandtabs(4))}", room) for line in text.split("\n")))
        self.tick()

    def _ended(self, event: TurnEnded) -> None:
        self._waiting = ""
        self._console.status("")
        if event.stop == "interrupted":
            self._apart()
            self._console.step("interrupted")
        elif event.stop == "limit":
            self._apart()
            self._console.warn("This answer ended at a limit of rounds, calls or time.")


def described(call: ToolCall) -> str:
    """Return a call on one line, as in clock.now() or read_write_code.read_file(path="a.py")."""
    from foundry.session.calls import shown_arguments  # loaded by now, but not to be loaded before the prompt is there

    given = shown_arguments(call)
    if isinstance(given, str):
        return one_line(f"{call.name}({given})")
    return one_line(
        f"{call.name}({', '.join(f'{name}={json.dumps(value, ensure_ascii=False)}' for name, value in given.items())})"
    )


def _result(event: ToolReturned) -> str:
    """Return the end of a call in a few words: a short result itself, what went wrong, else how much there is."""
    content = event.result.content.strip()
    took = f" ({event.seconds:.0f} s)" if event.seconds >= _WORTH_TELLING else ""
    if not event.result.ok:
        return one_line(content, 100) + took
    lines = content.count("\n") + 1
    if lines == 1 and len(content) <= _SHORT:
        return (one_line(content) or "nothing") + took
    return (f"{lines:,} lines" if lines > 1 else f"{len(content):,} characters") + took
