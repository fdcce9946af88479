"""doctor names what is wrong and what mends it, tells keys to nobody but their provider, and runs nothing of an agent's."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from foundry.agent.folder import Home
from foundry.console import Console, plain
from foundry.errors import NotFoundError
from foundry.plugins.foundry_core.validate_environment import Finding, Validation, validate_environment
from foundry.settings import Settings, load_settings
from tests.commands.conftest import make_agent

CANARY = "canary-9c02ab77"


def of(name: str, found: Validation) -> list[Finding]:
    return [one for one in found.findings if one.name == name]


def doctor(place: Home, name: str | None = None, **environment: str) -> Validation:
    return validate_environment(place, name, settings=load_settings(place.path), environment=environment)


@contextmanager
def provider(status: int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server on loopback that answers everything with `status` and notes path and key of each request."""
    seen: list[tuple[str, str]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization") or self.headers.get("x-api-key") or ""))
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_machine_with_what_is_needed_is_ready(place: Home) -> None:
    make_agent(place, "scout", {"requirements.lock": ""}, model="local:coder-1.5b")

    found = doctor(place, OPENAI_API_KEY="x")

    for name in ("python", "uv", "home", "hard links", "disk", "model"):
        assert [one.status for one in of(name, found)] == ["ok"], name
    assert "uv 0." in of("uv", found)[0].what
    assert not any(place.path.glob(".foundry-probe*"))


def test_without_any_way_to_a_model_it_is_not_ready(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_MODEL", "openai:gpt-5")

    found = doctor(place)

    (model,) = of("model", found)
    assert (model.status, found.ready) == ("bad", False)
    assert "OPENAI_API_KEY" in model.what + model.mend


@pytest.mark.parametrize(
    ("status", "told"), [(200, ""), (404, ""), (401, "refuses OPENAI_API_KEY"), (503, "in trouble"), (302, "")]
)
def test_a_provider_is_asked_at_its_own_address_only(
    place: Home, monkeypatch: pytest.MonkeyPatch, status: int, told: str
) -> None:
    with provider(status) as (url, seen):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        found = doctor(place, OPENAI_API_KEY=CANARY)

    assert seen == [("/v1/models", f"Bearer {CANARY}")]
    (finding,) = of("openai", found)
    assert finding.status == ("warn" if told else "ok")
    assert told in finding.what
    assert CANARY not in json.dumps(plain(found))


def test_a_provider_that_is_not_there_is_told_and_a_strange_key_not_shown(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert "does not answer" in of("openai", doctor(place, OPENAI_API_KEY=CANARY))[0].what

    found = doctor(place, OPENAI_API_KEY=CANARY + "\nx: y\u20ac")
    assert of("openai", found)[0].status == "warn"
    assert CANARY not in json.dumps(plain(found))


def test_offline_asks_nobody(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_OFFLINE", "1")
    with provider(200) as (url, seen):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        found = doctor(place, OPENAI_API_KEY="x")

    assert seen == []
    assert "not asked" in of("openai", found)[0].what


def test_each_agents_faults_are_findings_with_what_mends_them(place: Home, tmp_path: Path) -> None:
    make_agent(place, "broken", {"agent.config.json": "{"})
    make_agent(place, "half")
    (place.agents / "half" / "venv" / ".foundry-whole").unlink()
    make_agent(place, "keyless", env={"A_KEY": "for a"}, tools=["clokc"])
    make_agent(place, "copied", {"agent.config.json": '{"name": "other", "model": "opanai:x"}'})
    make_agent(place, "open", {".env": "A=1\n", "plugins/own/__init__.py": "def (\n"}, plugins=["own"])
    (place.agents / "open" / ".env").chmod(0o644)

    found = doctor(place)

    assert not found.ready
    assert next((one.status, one.mend) for one in of("agent half", found)) == ("bad", "foundry sync half")
    told = {
        name: " | ".join(f"{one.status} {one.what} {one.mend}" for one in of(f"agent {name}", found)) for name in place.names()
    }
    assert "bad broken: agent.config.json:1" in told["broken"]
    assert "bad A_KEY is not set (for a) foundry env keyless set A_KEY" in told["keyless"]
    assert 'Did you mean "clock"' in told["keyless"] or "clock" in told["keyless"]
    assert 'calls it "other"' in told["copied"]
    assert "openai:x" in told["copied"]
    assert "chmod 600" in told["open"]
    assert "own/__init__.py:1" in told["open"]


def test_one_agent_can_be_looked_at_alone(place: Home) -> None:
    make_agent(place, "good")
    make_agent(place, "broken", {"agent.config.json": "{"})

    assert of("agent broken", doctor(place, "good", OPENAI_API_KEY="x")) == []
    with pytest.raises(NotFoundError):
        doctor(place, "nobody")


def test_looking_runs_and_changes_nothing(place: Home, settings: Settings, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w')\n"
    make_agent(place, "scout", {"plugins/own/__init__.py": code, "main.py": code}, plugins=["own"])
    before = {path: path.lstat().st_mtime_ns for path in place.agents.rglob("*")}

    validate_environment(place, settings=settings, environment={})

    assert {path: path.lstat().st_mtime_ns for path in place.agents.rglob("*")} == before
    assert not mark.exists()


def test_a_home_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    away = Home(tmp_path / "not" / "yet")

    found = validate_environment(away, settings=load_settings(away.path), environment={"OPENAI_API_KEY": "x"}, probe=False)

    assert found.ready
    assert not away.path.exists()


def test_an_unreadable_home_env_is_a_finding(place: Home) -> None:
    place.env_file.write_text("no assignment\n")
    assert ".env:1" in of("keys", doctor(place))[0].what


def test_it_reads_as_a_table(place: Home) -> None:
    out = io.StringIO()
    Console(out=out).result(doctor(place, OPENAI_API_KEY="x"))
    assert "ok  " in out.getvalue()
    assert out.getvalue().rstrip().endswith("needed is there.") or "missing" in out.getvalue()
