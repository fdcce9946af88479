"""Searching the working folder by regular expression, in a process that can be ended when a pattern runs away."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

from foundry.plugins.api import ToolContext, ToolError, effects, kernel_function
from foundry.processes import run

_SECONDS = 10.0
_MOST = 60
_LONGEST_PATTERN = 2000


class GrepCodebase:
    """Searches the working folder's text files."""

    def __init__(self, context: ToolContext, seconds: float = _SECONDS) -> None:
        self.context = context
        self.seconds = seconds

    @kernel_function(description="Search inside files: which file defines a function or class, raises an error or has a word.")
    @effects("reads")
    def search(
        self, pattern: Annotated[str, "Text or regular expression"], path: str = ".", glob: Annotated[str, "Such as *.py"] = "*"
    ) -> str:
        """Return the matching lines by file, the first ones when there are many. Raises ToolError saying what to do instead."""
        if not pattern:
            raise ToolError("The pattern is empty.")
        if len(pattern) > _LONGEST_PATTERN:
            raise ToolError(f"The pattern is longer than {_LONGEST_PATTERN} characters.")
        top = self.context.path(path or ".")
        if not top.exists():
            raise ToolError(f"There is no {path!r}. Search in '.' or use list_files to see what is there.")
        request = {
            **{"folder": str(self.context.folder), "closed": [str(one) for one in self.context.closed], "top": str(top)},
            **{"pattern": pattern, "glob": glob or "*", "most": _MOST, "seconds": self.seconds},
        }
        argv = [sys.executable, "-P", "-m", "foundry.plugins.standard_lib.grep_worker"]
        ended = run(argv, stdin=json.dumps(request), timeout=self.seconds)
        lines = [json.loads(line) for line in ended.out.splitlines() if line.startswith("{") and line.endswith("}")]
        found = [one for one in lines if "file" in one]
        if ended.timed_out:
            return self._shown(found, f"(stopped after {self.seconds:g} s: the pattern is too slow or the folder too large)")
        if ended.code != 0 or not lines:
            last = (ended.err.strip().splitlines() or ["no reason given"])[-1]
            raise ToolError(f"The search failed: {last}")
        return self._shown(found, _summed_up(pattern, lines[-1], len(found)))

    def _shown(self, found: list[dict[str, Any]], note: str) -> str:
        """Return the matches that fit and the note below them."""
        room = self.context.limit - len(note) - 100
        taken: list[str] = []
        for one in found:
            line = f"{one['file']}:{one['line']}: {one['text']}"
            room -= len(line) + 1
            if room < 0:
                note = f"({len(taken)} of {len(found)} shown; narrow the search)\n{note}".strip()
                break
            taken.append(line)
        return "\n".join([*taken, note] if note else taken)


def _summed_up(pattern: str, told: dict[str, Any], shown: int) -> str:
    """Return what must be said below the matches: nothing found, more than shown, pattern taken literally."""
    said = []
    if told["literal"]:
        said.append(f"not a valid regular expression ({told['literal']}), so taken literally")
    if not told["matches"]:
        said.insert(0, f"no match for {pattern!r} in {told['searched']} files")
        if told["ignored"]:
            said.append("what .gitignore names was not searched; give its path to search it")
    elif shown < told["matches"]:
        said.append(f"{shown} of {told['matches']} matches in {told['files']} files shown; narrow the search")
    if told["any_case"]:
        said.append("upper and lower case ignored, as nothing matched exactly")
    return f"({'; '.join(said)})" if said else ""
