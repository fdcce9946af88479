"""The agent's variables: which there are, by name only, and the person asked for a value that no model sees."""

from __future__ import annotations

from typing import Annotated

from foundry.plugins.api import ToolContext, ToolError, effects, kernel_function
from foundry.text import one_line

_MOST = 200


class Environment:
    """Tells the names of the agent's variables and lets the person set them."""

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    @kernel_function(description="Which environment variables this agent has, and whether each is set. Never their values.")
    @effects("reads")
    def names(self) -> str:
        """Return one line a variable: its name, whether it is set, what it is for. Raises ToolError where they cannot be read."""
        found = self.context.variables.names()
        if not found:
            return "This agent has no variables. Use ask to have the user give it one."
        lines = [
            f"{name}: {'set' if is_set else 'not set'}" + (f", {one_line(why)}" if why.strip() else "")
            for name, (why, is_set) in list(found.items())[:_MOST]
        ]
        return "\n".join([*lines, *([f"… and {len(found) - _MOST} more"] if len(found) > _MOST else [])])

    # That the person is asked, and types the value or does not, is all there is to allow: the gate need not ask before.
    @kernel_function(description="Ask the user to type a value for an environment variable, such as a key. You do not see it.")
    @effects("reads")
    def ask(self, name: Annotated[str, "Such as WEATHER_KEY"], why: Annotated[str, "What it is for, in a sentence"]) -> str:
        """Return whether the person gave it a value, which is kept in .env. Raises ToolError for names no tool may ask for."""
        if not why.strip():
            raise ToolError("why is empty: tell the user what the value is for.")
        return (
            f"{name} is set." if self.context.variables.ask(name, why) else f"{name}: the user gave no value. Go on without it."
        )
