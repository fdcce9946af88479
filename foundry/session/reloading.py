"""The tools of a running session taken up anew from the agent's folder, after its code was changed."""

from __future__ import annotations

from foundry.agent.definition import load_definition
from foundry.plugins.loader import load_tools
from foundry.session.opening import Opening, Ready


def reload_tools(opening: Opening, ready: Ready) -> list[str]:
    """Offer the tools that the agent has now, usable in the next round; return what is to be said of those left out.

    Raises BadFileError for a configuration that cannot be read, and then the tools stay as they were.
    """
    definition = load_definition(opening.folder.config)
    tools, notices = load_tools(opening.folder, definition, ready.toolbox.context)
    ready.toolbox.replace(tools)
    return [ready.redactor.clean(one) for one in notices]
