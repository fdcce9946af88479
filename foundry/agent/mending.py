"""Which undo brings back a plugin that stopped working."""

from __future__ import annotations

from foundry.agent.folder import AgentFolder
from foundry.agent.history import History
from foundry.errors import FoundryError


def undo_for(folder: AgentFolder, plugin: str) -> str:
    """Return in words which command takes back the last change of the plugin, an empty text where none does."""
    history = History(folder)
    try:
        last = history.last_touching(f"plugins/{plugin}/")
        if not last or not last.parent:
            return ""
        back = "" if last.number == history.head() else f" {last.parent}"
    except (FoundryError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # a history that cannot be read mends nothing, and is told of by the commands that need it
    what = f"takes back version {last.number}" if not back else f"goes back to before version {last.number}"
    return f"Mend it, or: foundry undo {folder.name}{back} ({what}, which changed it last)"
