"""The scripted model, and that the server playing the same script says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.errors import ProviderError
from foundry.files import BadFileError
from foundry.messages import Message, PromptProgress
from foundry.models.catalog import Choice, connect
from foundry.models.model import Model, ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.settings import load_settings
from tests.model_server import model_server
from tests.models.asking import HELLO, TOOLS, answer, asked, chat, pieces, said, with_model


def scripted(*steps: dict[str, Any]) -> ScriptedModel:
    return ScriptedModel(script({"steps": steps}), ModelInfo("scripted:test", 8192))


def test_steps_are_said_in_order_with_what_was_said_before() -> None:
    async def talk(model: Model) -> list[str]:
        history = [*HELLO, Message("tool", "12:00", call_id="c1")]
        return [said(await pieces(model, history)) for _ in range(2)]

    assert with_model(scripted({"text": "You: {user}", "chunk": 2}, {"text": "It says: {result}"}), talk) == [
        "You: Hello!",
        "It says: 12:00",
    ]


def test_a_script_that_ran_out_fails_loudly() -> None:
    async def talk(model: Model) -> None:
        await pieces(model)
        await pieces(model)

    with pytest.raises(ProviderError, match="no further step") as caught:
        with_model(scripted({"text": "once"}), talk)

    assert caught.value.fault == "answer"


def test_a_scripted_error_is_a_providers() -> None:
    with pytest.raises(ProviderError) as caught:
        asked(scripted({"error": {"status": 429, "retry_after": 2}}))

    assert (caught.value.fault, caught.value.retry_after) == ("rate", 2)


def test_progress_and_cuts_can_be_scripted() -> None:
    assert asked(scripted({"text": "x", "progress": 9}))[:2] == [PromptProgress(0, 9), PromptProgress(9, 9)]
    with pytest.raises(ProviderError, match="cut"):
        asked(scripted({"text": "x", "finish": ""}))


@given(
    st.text(max_size=60), st.integers(0, 9), st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=2), max_size=3)
)
def test_the_model_and_the_server_say_the_same(text: str, chunk: int, arguments: list[dict[str, int]]) -> None:
    step = {
        "text": text.encode("utf-8", "replace").decode(),
        "chunk": chunk,
        "calls": [{"name": "calc.add", "arguments": one} for one in arguments],
    }
    with model_server([step]) as server:
        served = answer(asked(chat(server.url), tools=TOOLS)).message
    direct = answer(asked(scripted(step), tools=TOOLS)).message

    assert served.content == direct.content
    assert [(one.name, one.arguments) for one in served.calls] == [(one.name, one.arguments) for one in direct.calls]


def test_a_script_is_a_model_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    file.write_text(json.dumps({"steps": [{"text": "from a file"}], "loop": True}))

    assert said(asked(connect(Choice(f"scripted:{file}", ""), {}, load_settings(None, {}), None))) == "from a file"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"steps": []}, "at least one"),
        ({"step": [{"text": "x"}]}, 'did you mean "steps"'),
        ({"steps": [{"txt": "x"}]}, 'did you mean "text"'),
        ({"steps": [{"chunk": 3}]}, "none of"),
        ({"steps": [{"calls": [{"arguments": {}}]}]}, '"name"'),
        ({"steps": ["x"]}, "no object"),
    ],
)
def test_a_script_that_means_nothing_is_refused(tmp_path: Path, data: dict[str, Any], word: str) -> None:
    file = tmp_path / "script.json"
    file.write_text(json.dumps(data))

    with pytest.raises(BadFileError, match=word):
        connect(Choice(f"scripted:{file}", ""), {}, load_settings(None, {}), None)
