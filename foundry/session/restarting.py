"""A session begun anew in the same process and with the same conversation, so that changed packages are loaded afresh."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, NoReturn

from foundry.agent.handoff import VARIABLE, Handoff, keep, kept
from foundry.messages import Message, ToolCall, Usage
from foundry.processes import clean_environment
from foundry.processes import replace as become
from foundry.session.opening import Opening, Ready


def restart(opening: Opening, ready: Ready) -> NoReturn:
    """Become this agent's main.py anew; what was said goes along in a file without a name."""
    session = ready.session
    talk = {"history": [asdict(one) for one in session.history], "usage": asdict(session.usage)}
    handoff = replace(opening.handoff or Handoff(), model=ready.started.model, why=ready.choice.why, conversation=keep(talk))
    options = replace(opening.options, mode=session.approvals.mode)
    definition_main = opening.folder.path / ready.definition.entry_file
    apart = ("-X", f"pycache_prefix={sys.pycache_prefix}") if sys.pycache_prefix else ()
    argv = [str(opening.folder.python), *apart, "-P", str(definition_main), *options.to_argv()]
    become(argv, clean_environment({VARIABLE: str(handoff.send())}))


def go_on(opening: Opening, ready: Ready) -> bool:
    """Take up the conversation that a restart handed over; return whether there was one."""
    talk = kept(opening.handoff.conversation) if opening.handoff else None
    if not isinstance(talk, Mapping):
        return False
    ready.session.history[:] = [_message(one) for one in talk["history"]]
    ready.session.usage = Usage(**talk["usage"])
    opening.always.read_unknown()
    return True


def _message(data: Mapping[str, Any]) -> Message:
    calls = tuple(ToolCall(**one) for one in data["calls"])
    return Message(**{**data, "calls": calls})
