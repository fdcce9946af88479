"""Agents that really run without being built: their environment is made of links to this one's packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundry.agent.folder import AgentFolder, Home
from tests.commands.conftest import make_agent
from tests.conftest import FOUNDRY

MAIN = (
    "import sys\nfrom pathlib import Path\nfrom foundry.session.start import main\n"
    "sys.exit(main(Path(__file__).resolve().parent))\n"
)


def make_runnable(home: Home, name: str, files: Mapping[str, str] | None = None, **config: Any) -> AgentFolder:
    """Make an agent as `make_agent` does, whose Python has all that this one has."""
    folder = make_agent(home, name, {"main.py": MAIN, **(files or {})}, **config)
    folder.python.unlink()
    folder.python.symlink_to(Path(sys.executable).resolve())
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", folder.venv / "pyvenv.cfg")
    (folder.venv / "lib").symlink_to(Path(sys.prefix) / "lib")
    return folder


def script(path: Path, *steps: Mapping[str, Any]) -> str:
    """Write a script and return the name of the model that plays it."""
    path.write_text(json.dumps({"steps": steps}), "utf-8")
    return f"scripted:{path}"


def foundry(*words: str, given: str | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command with `given` piped in, or with nothing on stdin."""
    stdin = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
    return subprocess.run([*FOUNDRY, *words], capture_output=True, text=True, timeout=60, cwd=cwd, **stdin)


def started(*words: str, **more: Any) -> subprocess.Popen[str]:
    """Start the command, its streams piped."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*FOUNDRY, *words], text=True, **{**pipes, **more})


def of_process(pid: int, what: str) -> str:
    """Return a process's argv or initial environment as the system tells them to others."""
    return Path(f"/proc/{pid}/{what}").read_bytes().replace(b"\0", b"\n").decode("utf-8", "replace")
