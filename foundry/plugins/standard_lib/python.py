"""Python in the jail: a snippet or a script of the working folder, run by the agent's own interpreter."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from foundry.plugins.api import Changed, Plan, Preview, ToolContext, ToolError, effects, kernel_function, planned
from foundry.plugins.confined import read_up_to
from foundry.plugins.standard_lib.jailed_folder import JailedFolder
from foundry.plugins.standard_lib.terminal_output import Output, both, how_it_ended, told
from foundry.plugins.standard_lib.text_files import check_whole

_LONGEST_CODE = 200_000
_LARGEST_SCRIPT = 4 << 20
_LONGEST_RUN = 3600.0
_MOST_NAMED = 30
_MOST_LOOKED_AT = 200_000
_PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp")
_PASSED_OVER = frozenset(("venv", ".venv", "node_modules", "__pycache__"))
_COARSE = 5  # of Linux's clocks the one that stamps files: a few milliseconds behind


@dataclass(frozen=True, slots=True)
class _Source:
    """What is run: its bytes, what a traceback calls it, the folder its imports begin in, the arguments, whether it is a file."""

    raw: bytes
    name: str
    folder: Path
    arguments: tuple[str, ...]
    script: bool

    def request(self) -> bytes:
        data = {"source": base64.b64encode(self.raw).decode(), "name": self.name, "folder": str(self.folder)}
        return json.dumps({**data, "arguments": self.arguments, "script": self.script}).encode()


class Python:
    """Runs Python in the working folder."""

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    @kernel_function(
        description="Run Python: code, or a script of the working folder. Shows what it prints, the value of the last expression "
        "and the files it made. Save figures as files. No network."
    )
    @effects("runs")
    @planned
    def run(
        self,
        code: Annotated[str, "The code"] = "",
        path: Annotated[str, "Or a script"] = "",
        arguments: Annotated[list[str] | None, "Its arguments"] = None,
        timeout: Annotated[float, "Seconds it may take"] = 60.0,
    ) -> Plan:
        """Plan to run code; doing it returns output, files and how it ended. Raises ToolError for what cannot be run."""
        given = tuple(arguments or ())
        if not 0 < timeout <= _LONGEST_RUN:
            raise ToolError(f"timeout is more than 0 and at most {_LONGEST_RUN:g} seconds.")
        if bool(code.strip()) == bool(path):
            raise ToolError("Give either code or path.")
        if any("\0" in one for one in given) or sum(map(len, given)) > _LONGEST_CODE:
            raise ToolError("The arguments hold a NUL or are too long.")
        folder = JailedFolder(self.context)
        target = self.context.path(path) if path else None
        source = self._script(target, given) if target else self._snippet(code, folder.path, given)

        def do() -> str:
            if target and self._script(target, given) != source:
                raise Changed(f"{path} is not what was shown any more.")
            return self._run(source, folder, timeout)

        return Plan(self._preview(source, folder.path, target), do)

    def _snippet(self, code: str, folder: Path, arguments: tuple[str, ...]) -> _Source:
        if len(code) > _LONGEST_CODE or "\0" in code:
            raise ToolError(f"Code has at most {_LONGEST_CODE} characters and no NUL. Put it in a file and run that.")
        check_whole("code", code)
        return _Source(code.encode(), "<code>", folder, arguments, script=False)

    def _script(self, target: Path, arguments: tuple[str, ...]) -> _Source:
        name = self.context.name(target)
        raw = read_up_to(self.context, target, _LARGEST_SCRIPT)
        if len(raw) > _LARGEST_SCRIPT:
            raise ToolError(f"{name} is too large to be a script.")
        return _Source(raw, str(target), target.parent, arguments, script=True)

    def _preview(self, source: _Source, folder: Path, target: Path | None) -> Preview:
        digest = hashlib.sha256(json.dumps([source.raw.hex(), source.arguments]).encode()).hexdigest()[:16]
        if target:
            name = self.context.name(target)
            line = shlex.join(["python", name, *source.arguments])
            what = f"run the Python script {name} as it is now: {len(source.raw):,} bytes, sha256 {_sha(source.raw)}"
            scope = f"the Python script {name} as it is now with these arguments ({digest})"
            return Preview(what, command=line, folder=str(folder), paths=(target,), scope=scope)
        scope = f"this very Python code with these arguments ({digest})"
        return Preview("run this Python code", command=source.raw.decode(), folder=str(folder), scope=scope)

    def _run(self, source: _Source, folder: JailedFolder, seconds: float) -> str:
        from foundry.sandbox import snippet
        from foundry.sandbox.cell import Bounds

        runner = Path(snippet.__file__)
        output = Output(self.context)
        began = time.clock_gettime_ns(_COARSE) if sys.platform == "linux" else time.time_ns() - 10_000_000
        try:
            ended = folder.run(
                [sys.executable, "-I", "-B", "-u", "-X", "utf8", str(runner)],
                Bounds(seconds=seconds, cpu=int(seconds) + 1),
                stdin=source.request(),
                env={"MPLBACKEND": "Agg"},
                readable=(runner,),
                on_output=output.write,
            )
        finally:
            output.end()
        one = ended.jailed
        files = _files(folder.path, self.context, began)
        note = how_it_ended(one.code, one.ended, ended.away, one.level, one.seconds)
        told_of = f"[{files}]\n" if files else ""
        text = told(both(output), note, self.context.limit - len(told_of))
        said, _, last = text.rpartition("\n")
        return f"{said}\n{told_of}{last}".lstrip("\n")


def _sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]


def _files(folder: Path, context: ToolContext, since: int) -> str:
    """Return what lies in the folder and changed since, in nanoseconds of the epoch: pictures apart, each with its size."""
    found = sorted(_changed(folder, context, since))
    pictures = [one for one in found if one[0].lower().endswith(_PICTURES)]
    parts = []
    for what, some in (("figures", pictures), ("files made or changed", [one for one in found if one not in pictures])):
        if some:
            names = [f"{name} ({size:,} bytes)" for name, size in some[:_MOST_NAMED]]
            more = [f"and {len(some) - _MOST_NAMED} more"] if len(some) > _MOST_NAMED else []
            parts.append(f"{what}: {', '.join([*names, *more])}")
    return " · ".join(parts)


def _changed(folder: Path, context: ToolContext, since: int) -> Iterator[tuple[str, int]]:
    """Yield name and size of each file that a tool may read and that changed since, of so many entries as are looked at."""
    waiting, seen = [folder], 0
    while waiting and seen < _MOST_LOOKED_AT:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if entry.is_symlink():
                        continue
                    path = Path(entry.path)
                    if entry.is_dir():
                        if entry.name not in _PASSED_OVER and context.allows(path):
                            waiting.append(path)
                    elif (about := entry.stat()).st_ctime_ns >= since and entry.is_file() and context.allows(path):
                        yield context.name(path), about.st_size
        except OSError:  # it is gone again, or not to be looked into
            continue
