"""What every test stands on: a home, state and cache of its own, no keys, no way to a paid provider."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

REAL_HOME = Path.home()
# In the background of a script Ctrl+C is ignored, under nohup a hangup, and children inherit that; tests need the ordinary world.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# A shared machine stalls now and then; how long an example takes is no property of ours.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give tests that share what is costly to make to one process; xdist's own mark for that says nothing to pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return shared(nodeid)

    return Sharing(config, log)


def shared(test: str) -> str:
    """Return what a test shares with others: a world that is played once, a server; itself where it shares nothing."""
    file = test.partition("::")[0]
    if file.endswith("/test_forty_ways.py"):
        return re.sub(r"\[.*(-\w+-\w+)\]$", r"\1", test)
    return file if file.endswith(("/test_database_server.py", "/test_database_mysql.py")) else test


@cache
def uv_cache() -> str:
    """The real cache of packages: environments are made from it without the network; losing it costs only time."""
    from uv import find_uv_bin

    return subprocess.run([find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point every folder that Foundry may touch into the test's own, and take every key and setting away."""
    packages = uv_cache()
    for name in list(os.environ):
        if name.startswith(("FOUNDRY_", "OPENAI_", "OPENROUTER_", "ANTHROPIC_", "OLLAMA_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    user = tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("XDG_STATE_HOME", str(user / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(user / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", packages)
    monkeypatch.setenv("FOUNDRY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_COLOR", "1")
    assert Path.home() != REAL_HOME
    return user


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty Foundry home."""
    folder = tmp_path / "home"
    folder.mkdir(exist_ok=True)
    return folder


FOUNDRY = [sys.executable, "-P", "-m", "foundry.foundry_cli"]
