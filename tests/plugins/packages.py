"""Packages as an installer leaves them in an agent's environment, whose Python is this one with all that it has beside them."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundry.agent.folder import AgentFolder, Home
from tests.commands.running import make_runnable

WEATHER = '''"""Weather of cities."""
from foundry.plugins.api import effects, kernel_function


class Weather:
    @kernel_function(description="Weather of a city.")
    @effects("reads")
    def look_up(self, city: str, days: int = 1) -> str:
        return f"Sun over {city}"

    @kernel_function(description="Warn of a storm.")
    @effects("network")
    def warn(self) -> str:
        return "warned"
'''


def site_of(folder: AgentFolder) -> Path:
    return folder.venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def make_with_packages(home: Home, name: str, files: Mapping[str, str] | None = None, **config: Any) -> AgentFolder:
    """Make an agent as `make_runnable` does, whose site-packages is a folder of its own that packages can be put into."""
    folder = make_runnable(home, name, files, **config)
    (folder.venv / "lib").unlink()
    site = site_of(folder)
    site.mkdir(parents=True)
    (site / "this_one.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", folder.venv / "pyvenv.cfg")
    return folder


def install(folder: AgentFolder, files: Mapping[str, str], entry: str, package: str = "weather_tools-1.0") -> Path:
    """Put a package with these files into the environment, offering `entry`; return its dist-info."""
    site = site_of(folder)
    info = site / f"{package}.dist-info"
    info.mkdir()
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (info / "entry_points.txt").write_text(f"[console_scripts]\nx = y:z\n\n[foundry.plugins]\n{entry}\n")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in (*files, f"{info.name}/RECORD")))
    return info
