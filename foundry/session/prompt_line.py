"""The line that a person types into: several lines, completion of commands, nothing remembered on disk."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from foundry.session.commands import COMMANDS
from foundry.session.terminal import quiet_keys, typed_ahead

MARK = "\u276f "


def prompt_line(models: Callable[[], Sequence[str]]) -> Any:
    """Return a prompt_toolkit session that completes commands and `models`.

    Enter sends, Alt+Enter and Ctrl+J make a new line, pasted lines stay lines.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.input.vt100 import Vt100Input
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.output import create_output

    class Keys(Vt100Input):
        def cooked_mode(self) -> AbstractContextManager[None]:
            """Keep Enter being Enter while something is said above the prompt, too."""
            return quiet_keys()

    class Commands(Completer):
        def get_completions(self, document: Any, complete_event: Any) -> Iterator[Any]:
            text = document.text_before_cursor
            if text.startswith("/model "):
                typed = text.removeprefix("/model ")
                yield from (Completion(name, start_position=-len(typed)) for name in models() if name.startswith(typed))
            elif text.startswith("/") and "\n" not in text:
                for name, meaning in COMMANDS.items():
                    if name.startswith(text):
                        yield Completion(name, start_position=-len(text), display_meta=meaning)

    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: Any) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _new_line(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-z")
    def _suspend(event: Any) -> None:
        signal.raise_signal(signal.SIGTSTP)

    output: Any = create_output()
    output.enable_cpr = False  # a terminal that does not answer would hold up the first prompt for two seconds and be told so
    return PromptSession(
        MARK,
        input=Keys(sys.stdin),
        output=output,
        multiline=True,
        prompt_continuation="  ",
        completer=Commands(),
        complete_while_typing=True,
        complete_in_thread=True,
        key_bindings=keys,
        reserve_space_for_menu=4,
        include_default_pygments_style=False,
        enable_open_in_editor=False,
    )


def take_typed(line: Any) -> None:
    """Let `line` begin with what was typed before it stood, of whose Enters the terminal has made line feeds."""
    from prompt_toolkit.input.typeahead import store_typeahead
    from prompt_toolkit.input.vt100_parser import Vt100Parser

    keys: list[Any] = []
    parser = Vt100Parser(keys.append)
    parser.feed(typed_ahead().replace("\n", "\r"))
    parser.flush()
    store_typeahead(line.input, keys)
