"""What stands before a session: options as arguments, the hand-off, the error door."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent.folder import Home
from foundry.agent.handoff import VARIABLE, Handoff, packed, receive, unpacked, with_env_file
from foundry.agent.options import RunOptions, from_argv
from foundry.agent.secrets import everything_secret
from foundry.console import Console
from foundry.errors import FoundryError, NotReadyError
from foundry.report import Ended, guarded
from foundry.settings import load_settings

WORDS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=60)


@given(
    WORDS, WORDS, st.sampled_from(["plan", "run"]), st.sampled_from(["text", "json", "events"]), st.integers(0, 99), st.booleans()
)
def test_options_survive_the_way_through_argv(prompt: str, folder: str, mode: str, output: str, rounds: int, debug: bool) -> None:
    options = RunOptions(prompt, folder, mode, output, "openai:x", rounds, rounds / 4, debug)
    assert from_argv(options.to_argv()) == options


@pytest.mark.parametrize("argv", [["--max-rounds", "0"], ["--mode", "wild"], ["--nonsense"], ["--timeout", "soon"]])
def test_wrong_options_end_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        from_argv(argv)
    assert ended.value.code == 2


def test_a_handoff_arrives_once_and_leaves_no_way_back() -> None:
    sent = Handoff(
        {"KEY": "value\n\u00e9"}, {"url": "u", "lease_fd": 7}, "python", "openai:x", "why", "/work", {"retries": [5, "flag"]}
    )
    environment = {VARIABLE: str(sent.send())}
    assert receive(environment) == sent
    assert environment == {}
    assert receive(environment) is None


@pytest.mark.parametrize("value", ["0", "2", "x", "", "9999"])
def test_a_handoff_that_is_none_is_passed_over(value: str) -> None:
    assert receive({VARIABLE: value}) is None


def test_too_much_for_a_pipe_is_refused() -> None:
    with pytest.raises(FoundryError, match="too long"):
        Handoff({"KEY": "x" * 70_000}).send()


def test_settings_keep_value_and_source_and_a_flag_goes_before_the_agents_env_file() -> None:
    settings = load_settings(None, {"FOUNDRY_RETRIES": "7"}).over("flag", {"max_rounds": 4})
    arrived = with_env_file(unpacked(packed(settings)), {"FOUNDRY_MAX_ROUNDS": "9", "OPENAI_BASE_URL": "http://here/v1"})
    assert (arrived["retries"], arrived["max_rounds"], arrived["openai_base_url"]) == (7, 4, "http://here/v1")
    assert arrived.source("retries") == "environment"


# the error door --------------------------------------------------------------------------------------------------------


def door(error: BaseException | None, debug: bool = False) -> tuple[int, str]:
    def work() -> int:
        if error:
            raise error
        return 0

    err = io.StringIO()
    code = guarded(Console(out=io.StringIO(), err=err), debug, work, lambda text: text.replace("hunter2-hunter2", "[KEY]"))
    return code, err.getvalue()


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 0), (FoundryError("no"), 1), (NotReadyError("no"), 4), (KeyboardInterrupt(), 130), (Ended(15), 143)],
)
def test_every_end_has_its_exit_code(error: BaseException | None, code: int) -> None:
    assert door(error)[0] == code


def test_a_bug_is_one_line_and_a_private_report_without_secrets(own_world: Path) -> None:
    code, said = door(RuntimeError("hunter2-hunter2 is gone"))
    assert code == 3
    assert "RuntimeError: [KEY] is gone" in said
    assert "Traceback" not in said
    (report,) = (own_world / "state" / "agent-foundry" / "reports").iterdir()
    text = report.read_text()
    assert "Traceback" in text
    assert "hunter2" not in text
    assert str(own_world) not in text
    assert stat.S_IMODE(os.stat(report).st_mode) == 0o600  # noqa: PTH116
    assert "Traceback" in door(RuntimeError("x"), debug=True)[1]


def test_a_report_holds_nothing_that_could_be_secret_in_the_shell_or_the_home(own_world: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("THING=plum-plum-plum\n")
    (tmp_path / "agents" / "scout").mkdir(parents=True)
    (tmp_path / "agents" / "scout" / ".env").write_text("OTHER=pear-pear-pear\n")
    shell = {"MY_API_KEY": "hunter2-hunter2", "GH_TOKEN": "token-token", "EDITOR": "some-editor"}
    clean = everything_secret(Home(tmp_path), shell).clean

    def work() -> int:
        raise RuntimeError("plum-plum-plum pear-pear-pear token-token some-editor " + "hunter2-hunter2" * 40)

    err = io.StringIO()
    guarded(Console(out=io.StringIO(), err=err), False, work, clean)
    (report,) = (own_world / "state" / "agent-foundry" / "reports").iterdir()
    for told in (err.getvalue(), report.read_text().split("RuntimeError")[-1]):
        assert "[THING] [OTHER] [GH_TOKEN] some-editor [MY_API_KEY]" in told
        assert "hunter" not in told


def test_old_reports_make_room(own_world: Path) -> None:
    folder = own_world / "state" / "agent-foundry" / "reports"
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"2000-{number:02}.txt").write_text("old")
    door(RuntimeError("new"))
    assert len(list(folder.iterdir())) == 20
