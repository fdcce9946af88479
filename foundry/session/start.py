"""Where an agent's main.py enters: options and hand-off read, the agent held, a face chosen; the exit code comes back."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from foundry.agent.folder import AgentFolder
from foundry.agent.handoff import receive
from foundry.agent.options import RunOptions, from_argv
from foundry.console import Console, utf8_streams
from foundry.errors import FoundryError
from foundry.processes import hand_to_installers
from foundry.report import guarded
from foundry.session.opening import Opening


def main(folder: Path, argv: Sequence[str] | None = None) -> int:
    """Run the agent in `folder` as `argv` asks and return the exit code; every error is shown here, once."""
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries log, a server's words in it, is not for the screen
    options = from_argv(sys.argv[1:] if argv is None else argv)
    handoff = receive(os.environ)
    if handoff:
        hand_to_installers(handoff.installers)
    with utf8_streams():
        if options.mcp == "serve":
            from foundry.session.mcp.wires import only_messages

            only_messages()
        console = Console(as_json=options.output == "json")
        opening = Opening(AgentFolder(Path(folder).absolute()), options, handoff, console)
        return guarded(console, options.debug, lambda: _run(opening), opening.clean)


def _run(opening: Opening) -> int:
    from foundry.agent.lock import hold_shared
    from foundry.session.approvals import check_mode

    check_mode(opening.options.mode)
    try:
        with hold_shared(opening.folder, "run") as opening.held:
            if opening.options.mcp:
                from foundry.session.mcp import entrances

                return entrances.enter(opening)
            if _is_chat(opening.options):
                from foundry.session.chat import chat

                return chat(opening)
            from foundry.session.wire import one_shot

            return one_shot(opening)
    except FoundryError as error:
        raise error.for_agent(opening.folder.name) from None
    finally:
        opening.close()


def _is_chat(options: RunOptions) -> bool:
    """Return whether a person is there to talk: nothing asked for a single answer, and a terminal on both sides."""
    return not options.prompt and options.output == "text" and sys.stdin.isatty() and sys.stdout.isatty()
