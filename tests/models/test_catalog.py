"""Which model is meant, which is chosen, and what is known of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.errors import NotReadyError, UsageError
from foundry.models import ollama
from foundry.models.catalog import PROVIDERS, Choice, choose, connect, describe, split
from foundry.settings import Settings, load_settings
from tests.model_server import model_server
from tests.models.asking import asked, said

NOWHERE = "http://127.0.0.1:9"
KEYS = {"OPENAI_API_KEY": "one", "ANTHROPIC_API_KEY": "two", "OPENROUTER_API_KEY": "three"}


def settings(**environment: str) -> Settings:
    return load_settings(None, {"OLLAMA_HOST": NOWHERE, **environment})


@contextmanager
def running_ollama(models: dict[str, dict[str, Any]], running: list[dict[str, Any]] | None = None) -> Iterator[str]:
    """A stand-in for Ollama that knows `models`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listed = [{"name": name} for name in models] if self.path == "/api/tags" else running or []
            self.answer(200, {"models": listed})

        def do_POST(self) -> None:
            name = json.loads(self.rfile.read(int(self.headers["content-length"])))["model"]
            self.answer(200 if name in models else 404, models.get(name, {}))

        def answer(self, status: int, data: Any) -> None:
            raw = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


TALKER = {"capabilities": ["completion"], "details": {"parameter_size": "8.0B"}}
SMALL = {"capabilities": ["completion", "tools"], "details": {"parameter_size": "494.03M"}, "parameters": "num_ctx    2048\n"}
CALLER = {
    "capabilities": ["completion", "tools"],
    "details": {"parameter_size": "8.2B"},
    "model_info": {"qwen3.context_length": 40960},
}


@pytest.mark.parametrize("name", ["openai:gpt-4o", "openrouter:openai/gpt-4.1", "ollama:qwen3:8b", "scripted:a b/c.json"])
def test_a_model_is_provider_and_name(name: str) -> None:
    assert ":".join(split(name)) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt-4o", FORM := "provider:name"),
        ("opnai:gpt-4o", 'Did you mean "openai:gpt-4o"'),
        ("openai:", FORM),
        (":x", FORM),
        ("", FORM),
    ],
)
def test_a_malformed_name_is_refused_with_the_form(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        split(name)

    assert words in caught.value.hint
    assert all(provider in caught.value.hint for provider in PROVIDERS)


@given(st.text(max_size=40))
def test_any_name_is_read_or_refused(name: str) -> None:
    try:
        provider, model = split(name)
    except UsageError:
        return

    assert provider in PROVIDERS
    assert model


def test_a_named_model_is_taken_before_all_else() -> None:
    assert choose("scripted:x.json", KEYS, settings()).name == "scripted:x.json"


def test_the_setting_is_a_named_model_and_says_where_it_stands() -> None:
    choice = choose("", KEYS, settings(FOUNDRY_MODEL="scripted:x.json"))

    assert choice == Choice("scripted:x.json", "FOUNDRY_MODEL")


@pytest.mark.parametrize("variable", list(KEYS))
def test_a_key_that_is_there_decides(variable: str) -> None:
    choice = choose("", {**dict.fromkeys(KEYS, ""), variable: KEYS[variable]}, settings(), embedded=True)

    assert choice.why == f"{variable} is set"
    assert choice.name.split(":")[0].upper() in variable


def test_without_a_key_a_running_ollamas_first_model_with_tools_is_taken() -> None:
    with running_ollama({"talker": TALKER, "caller:8b": CALLER, "small": SMALL}) as host:
        choice = choose("", {}, settings(OLLAMA_HOST=host), embedded=True)

    assert choice == Choice("ollama:caller:8b", "Ollama is running")


def test_an_ollama_without_such_a_model_is_passed_by() -> None:
    with running_ollama({"talker": TALKER}) as host:
        assert choose("", {}, settings(OLLAMA_HOST=host), embedded=True).name.startswith("local:")


def test_the_embedded_model_is_the_last_way() -> None:
    assert choose("", {}, settings(FOUNDRY_LOCAL_MODEL="coder-0.5b"), embedded=True).name == "local:coder-0.5b"


def test_no_way_to_a_model_names_the_three() -> None:
    with pytest.raises(NotReadyError) as caught:
        choose("", {}, settings(), embedded=False)

    assert caught.value.exit_code == 4
    assert all(word in caught.value.hint for word in ("foundry env NAME set", "Ollama", "agent-foundry[local]"))


def test_a_named_provider_without_its_key_is_not_ready() -> None:
    with pytest.raises(NotReadyError, match="ANTHROPIC_API_KEY") as caught:
        choose("anthropic:claude-sonnet-4-5", {}, settings())

    assert "foundry env NAME set ANTHROPIC_API_KEY" in caught.value.hint


def test_another_address_of_openai_needs_no_key() -> None:
    with model_server([{"text": "hello"}]) as server:
        there = settings(OPENAI_BASE_URL=server.url)
        model = connect(choose("openai:any", {}, there), {}, there, None)
        assert said(asked(model)) == "hello"

    assert server.requests[0].headers["authorization"] == "Bearer none"


@pytest.mark.parametrize("provider", ["openai", "openrouter", "anthropic"])
def test_every_provider_is_asked_at_its_address_with_its_key(provider: str) -> None:
    with model_server([{"text": "hello"}]) as server:
        there = settings(**{f"{provider.upper()}_BASE_URL": server.url + "/"})
        asked(connect(Choice(f"{provider}:some/model", ""), KEYS, there, None))

    assert server.bodies[0]["model"] == "some/model"
    assert server.requests[0].headers["authorization"] == f"Bearer {KEYS[f'{provider.upper()}_API_KEY']}"


def test_ollama_is_asked_at_its_compatible_address() -> None:
    with model_server([{"text": "hello"}]) as server:
        there = settings(OLLAMA_HOST=server.url.removesuffix("/v1").removeprefix("http://"))
        assert said(asked(connect(Choice("ollama:m", ""), {}, there, None))) == "hello"


@pytest.mark.parametrize("url", ["not a url", "http://[bad", "http://h:99999/v1", "ftp://x/", "http://", "http://a b/v1"])
def test_an_address_that_is_none_is_refused_by_its_variable(url: str) -> None:
    with pytest.raises(UsageError, match="OPENAI_BASE_URL"):
        connect(Choice("openai:m", ""), KEYS, settings(OPENAI_BASE_URL=url), None)


def test_blanks_around_a_key_are_no_part_of_it() -> None:
    with model_server([{"text": "hello"}]) as server:
        asked(connect(Choice("openai:m", ""), {"OPENAI_API_KEY": " sk-1\n"}, settings(OPENAI_BASE_URL=server.url), None))

    assert server.requests[0].headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("key", ["sk-ключ", "sk-a\nb", "sk a"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(NotReadyError, match="OPENAI_API_KEY") as caught:
        connect(Choice("openai:m", ""), {"OPENAI_API_KEY": key}, settings(), None)

    assert key not in caught.value.message + caught.value.hint


def test_the_embedded_model_has_to_be_running() -> None:
    with pytest.raises(NotReadyError, match="not running"):
        connect(Choice("local:coder-1.5b", ""), {}, settings(), None)


def test_an_unknown_embedded_model_is_refused() -> None:
    with pytest.raises(UsageError, match="no embedded model"):
        choose("local:coder-99b", {}, settings())


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("openai:gpt-4o-mini", 128_000),
        ("openai:gpt-4.1-mini", 1_047_576),
        ("openai:gpt-4", 8_192),
        ("openrouter:anthropic/claude-sonnet-4.5", 200_000),
        ("local:coder-1.5b", 4096),
        ("openai:never-heard-of", 8192),
        ("scripted:x", 8192),
    ],
)
def test_the_windows_that_are_known(name: str, window: int) -> None:
    assert describe(name, settings()).window == window


def test_the_setting_overrides_every_window() -> None:
    assert describe("openai:gpt-4o", settings(FOUNDRY_CONTEXT_WINDOW="1000")).window == 1000


@pytest.mark.parametrize(
    ("name", "running", "window", "tier"),
    [
        ("caller:8b", [], 4096, "full"),
        ("caller:8b", [{"name": "caller:8b", "context_length": 16384}], 16384, "full"),
        ("small", [], 2048, "small"),
        ("gone", [], 4096, "full"),
    ],
)
def test_an_ollama_models_window_is_what_it_is_run_with(name: str, running: list[dict[str, Any]], window: int, tier: str) -> None:
    with running_ollama({"caller:8b": CALLER, "small": SMALL}, running) as host:
        info = describe(f"ollama:{name}", settings(OLLAMA_HOST=host))

    assert (info.window, info.tier) == (window, tier)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":9999", "http://127.0.0.1:9999"),
        ("http://box", "http://box:80"),
        ("https://box/ollama/", "https://box:443/ollama"),
        ("[::1]:1", "http://[::1]:1"),
        ("box:notaport", "http://box:11434"),
        ("", "http://127.0.0.1:11434"),
    ],
)
def test_the_forms_of_ollamas_address(host: str, url: str) -> None:
    assert ollama.address(host) == url


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="OLLAMA_HOST"):
        ollama.address("http://[bad")


def test_something_else_on_ollamas_port_is_no_ollama() -> None:
    with model_server([{"text": "hello"}]) as server:
        assert ollama.installed(server.url.removesuffix("/v1")) is None


def test_choosing_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from foundry.models import catalog; from foundry.settings import load_settings\n"
        "s = load_settings(None, {'OLLAMA_HOST': 'http://127.0.0.1:9'})\n"
        "catalog.choose('', {}, s, True); catalog.describe('openai:gpt-4o', s)\n"
        "heavy = ('openai', 'semantic_kernel', 'httpx', 'httpx2', 'asyncio', 'ollama', 'pydantic')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)

    assert ran.stdout.strip() == "[]"
