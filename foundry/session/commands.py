"""The slash commands of the chat: what they are called, what they do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from foundry.console import Block, Facts
from foundry.errors import FoundryError
from foundry.files import nearest
from foundry.messages import Message
from foundry.session.opening import Ready

COMMANDS = {
    "/help": "what can be typed here",
    "/tools": "the tools this agent has",
    "/mcp": "its MCP servers, and what of them waits to be accepted",
    "/model": "the model it thinks with; with PROVIDER:NAME another one from here on",
    "/edit": "edit mode: build this agent's own plugins together, each change shown first",
    "/run": "leave edit mode",
    "/reload": "take up what you changed in this agent's files by hand",
    "/history": "the versions of this agent's code",
    "/undo": "take the last change of its code back; with a number, go back to that version",
    "/redo": "take the last undo back",
    "/clear": "forget the conversation so far",
    "/usage": "tokens used in this session",
    "/save": "with FILE: write the conversation as Markdown",
    "/exit": "end the session (also: exit, Ctrl+D)",
}
EDIT_COMMANDS = {"/edit", "/run", "/reload", "/history", "/undo", "/redo"}  # done in session/edit/commands.py
_KEYS = {
    "Enter": "sends; Alt+Enter or Ctrl+J makes a new line",
    "Ctrl+C": "stops an answer; at the prompt it ends the session",
    "Ctrl+Z": "puts the chat aside; fg in the shell goes on with it",
    "//x": "sends /x to the agent",
}
_SPEAKER = {"user": "You", "assistant": "Agent", "tool": "Tool"}


@dataclass(frozen=True, slots=True)
class Said:
    """What a typed line means: text for the agent, the end of the session, or a command with its argument."""

    text: str = ""
    command: str = ""
    argument: str = ""
    end: bool = False


def understand(line: str) -> Said:
    """Return what a typed line means. Raises FoundryError for a command that is none, naming the nearest."""
    stripped = line.strip()
    if stripped in {"exit", "/exit"}:
        return Said(end=True)
    if stripped.startswith("//"):
        return Said(text=stripped[1:])
    if not stripped.startswith("/"):
        return Said(text=line.strip("\n"))
    word, _, argument = stripped.partition(" ")
    if word in COMMANDS:
        return Said(command=word, argument=argument.strip())
    close = nearest(word, COMMANDS)
    hint = f"Did you mean {close}?" if close else "/help"
    raise FoundryError(f"there is no command {word}", f"{hint} To send it as text, type /{word}", code="no_command")


def answer(said: Said, ready: Ready) -> Block:
    """Do a command and return what there is to say. Raises FoundryError when it cannot be done."""
    session = ready.session
    if said.command == "/tools":
        tools = [(tool.spec.id, tool.spec.description) for tool in ready.toolbox.tools]
        return Facts(tools) if tools else "It has no tools."
    if said.command == "/model":
        return f"{ready.started.model} ({ready.choice.why}), a window of {ready.started.window:,} tokens"
    if said.command == "/clear":
        session.clear()
        return "The conversation is forgotten."
    if said.command == "/usage":
        about = "about " if session.usage.estimated else ""
        return f"{about}{session.usage.input:,} tokens read, {session.usage.output:,} written"
    return save(said.argument, ready)


def help_text() -> Block:
    """Return the list of commands and keys."""
    return Facts([*COMMANDS.items(), *_KEYS.items()])


def save(name: str, ready: Ready) -> str:
    """Write the conversation to a new file, without secrets. Raises FoundryError; an existing file is never replaced."""
    if not name:
        raise FoundryError("/save needs a file", "For instance: /save talk.md")
    path = Path(name).expanduser()
    text = f"# Conversation with {ready.started.agent}\n\n" + "\n".join(map(_told, ready.session.history))
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise FoundryError(f"{path} is already there", "Choose another name.") from None
    except OSError as error:
        raise FoundryError(f"{path} cannot be written: {error.strerror}", "Choose another place.") from None
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write(ready.redactor.clean(text))
    return f"saved to {path}"


def _told(message: Message) -> str:
    lines = [f"## {_SPEAKER.get(message.role, message.role)}{f' {message.name}' if message.name else ''}", ""]
    if message.role == "tool":
        fence = "`" * max(3, _longest_ticks(message.content) + 1)
        lines += [fence, message.content, fence]
    elif message.content:
        lines.append(message.content)
    lines += [f"Calls `{call.name}` with `{call.arguments}`" for call in message.calls]
    return "\n".join([*lines, ""])


def _longest_ticks(text: str) -> int:
    longest = run = 0
    for one in text:
        run = run + 1 if one == "`" else 0
        longest = max(longest, run)
    return longest
