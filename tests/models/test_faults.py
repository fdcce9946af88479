"""What every failure of a provider becomes: its kind, one clear line, what to do, and no key."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.errors import ProviderError
from foundry.models.faults import Door, from_status, parse_wait
from tests.model_server import model_server
from tests.models.asking import KEY, asked, chat

LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."


def failure(error: dict[str, Any], provider: str = "openai") -> ProviderError:
    with model_server([{"error": error}]) as server, pytest.raises(ProviderError) as caught:
        asked(chat(server.url, provider=provider))
    return caught.value


@pytest.mark.parametrize(
    ("status", "message", "fault"),
    [
        (401, "Incorrect API key", "auth"),
        (403, "not allowed", "auth"),
        (402, "no credit", "auth"),
        (429, "slow down", "rate"),
        (429, "You exceeded your current quota", "auth"),
        (408, "late", "timeout"),
        (500, "oops", "server"),
        (503, "<html>busy</html>", "server"),
        (529, "overloaded", "server"),
        (400, "bad parameter", "request"),
        (404, "no such model", "request"),
        (422, "unprocessable", "request"),
        (400, LONG, "context"),
        (400, "request (3031 tokens) exceeds the available context size (1024 tokens)", "context"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "context"),
        (413, "Request too large", "context"),
    ],
)
def test_an_error_answer_is_told_by_its_kind(status: int, message: str, fault: str) -> None:
    error = failure({"status": status, "message": message})

    assert error.fault == fault
    assert error.exit_code == 5
    assert error.code == f"provider_{fault}"
    assert error.hint
    assert "\n" not in error.message
    assert "<html>" not in error.message


def test_a_refused_key_names_its_variable_and_the_command() -> None:
    assert "foundry env NAME set OPENAI_API_KEY" in failure({"status": 401, "message": "no"}).hint


def test_no_message_holds_a_key() -> None:
    other = "AIzaSyCanary0123456789abcdefghijklmnop"
    error = failure({"status": 401, "message": f"Incorrect API key provided: {KEY}, {other} or sk-proj-****abcd."})

    assert KEY not in error.message
    assert other not in error.message
    assert "abcd." not in error.message


def test_the_wait_a_provider_asks_for_is_taken() -> None:
    assert failure({"status": 429, "retry_after": 7}).retry_after == 7


def test_a_wait_may_be_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert parse_wait("Thu, 01 Jan 2026 00:00:09 GMT", now) == 9
    assert parse_wait("Wed, 31 Dec 2025 00:00:09 GMT", now) == 0


@given(st.text(max_size=30))
def test_any_wait_is_seconds_or_nothing(text: str) -> None:
    assert (parse_wait(text) or 0) >= 0


@given(st.integers(400, 599), st.text(max_size=400))
def test_any_error_answer_is_one_line_without_the_key(status: int, said: str) -> None:
    error = from_status(Door("openai:m", "https://host/v1", "OPENAI_API_KEY", KEY), status, said + KEY)

    assert KEY not in error.message
    assert len(error.message.splitlines()) == 1
    assert len(error.message) < 400


@pytest.mark.parametrize(
    ("provider", "word"), [("ollama", "ollama serve"), ("local", "foundry model stop"), ("openai", "OPENAI_BASE_URL")]
)
def test_nobody_listening_says_what_to_start(provider: str, word: str) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/v1"
        with pytest.raises(ProviderError) as caught:
            asked(chat(url, provider=provider))

    assert caught.value.fault == "connection"
    assert word in caught.value.hint


def test_a_silent_provider_times_out() -> None:
    with model_server([{"text": "late", "delay": 1.0}]) as server, pytest.raises(ProviderError) as caught:
        asked(chat(server.url, timeout=0.1))

    assert caught.value.fault == "timeout"


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(ProviderError) as caught:
        asked(chat("http://no-such-host.invalid/v1"))

    assert caught.value.fault == "connection"
    assert "no-such-host.invalid" in caught.value.message


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"message": "Overloaded", "code": 529}, "server"),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, "rate"),
        ({"message": LONG, "code": "context_length_exceeded"}, "context"),
    ],
)
def test_an_error_inside_the_stream_is_told_by_its_kind(error: dict[str, Any], fault: str) -> None:
    with model_server([{"text": "So", "fail": error}]) as server, pytest.raises(ProviderError) as caught:
        asked(chat(server.url))

    assert caught.value.fault == fault
