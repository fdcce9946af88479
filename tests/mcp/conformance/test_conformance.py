"""The public conformance suite (npm @modelcontextprotocol/conformance) against our client and server; what fails has its reason.

It needs Node 22, which npm brings; without npm, or a registry behind it, this is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SUITE, NODE = "@modelcontextprotocol/conformance@0.1.16", "node@22"
ROOT = Path(__file__).parents[3]
_TEXT = "results of an agent's tools are text"
_NOT_OFFERED = "not offered: an agent has tools, and its server says so"
_NO_QUESTIONS = "nobody is there: our server puts no question to its client"
# Every scenario that fails, with why.
SERVER_FAILS = {
    "logging-set-level": "no log messages are sent",
    "completion-complete": _NOT_OFFERED,
    **dict.fromkeys(("image", "audio", "embedded-resource", "mixed-content"), _TEXT),
    "with-logging": "no log messages are sent; what a tool says is sent as progress",
    "sampling": "an agent thinks with its own model and borrows none",
    "elicitation": _NO_QUESTIONS,
    "elicitation-sep1034-defaults": _NO_QUESTIONS,
    "elicitation-sep1330-enums": _NO_QUESTIONS,
    "json-schema-2020-12": "our tools' schemas are made from Python and hold no references",
    **dict.fromkeys(("list", "read-text", "read-binary", "templates-read", "subscribe", "unsubscribe"), _NOT_OFFERED),
    **dict.fromkeys(("get-simple", "get-with-args", "get-embedded-resource", "get-with-image"), _NOT_OFFERED),
}
_PREFIXES = ("tools-call-", "resources-", "prompts-")
SERVER_PASSES = 9
CLIENT_PASSES = 23
CLIENT_FAILS = {
    "elicitation-sep1034-client-defaults": "a server may not put questions to the person: the capability is not offered",
    "auth/2025-03-26-oauth-metadata-backcompat": "its metadata name another issuer than where they lie, which RFC 8414 refuses",
    "auth/cross-app-access-complete-flow": "no identity provider of a company is asked to exchange its tokens for others",
}
pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the command that is the suite."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("npm is not there, which brings Node and the suite")
    folder = tmp_path_factory.mktemp("node")
    got = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", NODE, SUITE], cwd=folder, capture_output=True, text=True, timeout=300
    )
    node = folder / "node_modules" / "node" / "bin" / "node"
    if got.returncode or not node.exists():
        pytest.skip(f"npm could not bring {NODE} and {SUITE}: {got.stderr[-300:]}")
    return [str(node), str(folder / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js")]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Start our server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "tests.mcp.conformance.server", str(port)]
    process = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, "XDG_STATE_HOME": str(tmp_path)})
    try:
        for _ in range(300):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp/"
    finally:
        process.terminate()
        process.wait(10)


def test_our_server(suite: list[str], url: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [*suite, "server", "--url", url, "--suite", "all"], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    summary = ended.stdout.partition("=== SUMMARY ===")[2]
    results = dict(re.findall(r"[✓✗] (\S+): \d+ passed, (\d+) failed", summary))
    assert len(results) == 32, ended.stdout[-2000:]
    failed = {name for name, count in results.items() if count != "0"}
    print(f"server: {len(results) - len(failed)} of {len(results)} scenarios", *sorted(failed), sep="\n  ")
    assert {name for name in failed if not _known(name)} == set()
    assert len(results) - len(failed) == SERVER_PASSES


def _known(name: str) -> bool:
    short = next((name.removeprefix(one) for one in _PREFIXES if name.startswith(one)), name)
    return name in SERVER_FAILS or short in SERVER_FAILS


def test_our_client(suite: list[str], tmp_path: Path) -> None:
    listed = subprocess.run([*suite, "list"], capture_output=True, text=True, timeout=60).stdout.partition("Client scenarios")[2]
    scenarios = re.findall(r"^  - (\S+)", listed, re.MULTILINE)
    assert len(scenarios) == 26
    command = f"{sys.executable} -m tests.mcp.conformance.client"
    passed = []
    for name in scenarios:
        argv = [*suite, "client", "--command", command, "--scenario", name]
        ended = subprocess.run(
            argv, cwd=tmp_path, capture_output=True, text=True, timeout=90, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        if ended.returncode == 0:
            passed.append(name)
    failed = [name for name in scenarios if name not in passed]
    print(f"client: {len(passed)} of {len(scenarios)} scenarios", *failed, sep="\n  ")
    assert set(failed) <= set(CLIENT_FAILS)
    assert len(passed) == CLIENT_PASSES
