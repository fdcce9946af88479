"""A .env is changed line by line and reads back exactly; secret values do not get past the redactor, whole or in pieces."""

from __future__ import annotations

import base64
import json
import stat
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.secrets import Redactor, read_env, resolve_keys, set_value, template, unset_value
from foundry.errors import UsageError
from foundry.files import BadFileError

quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
values = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60) | st.text(
    "ab'\"\\#$={}  \n\r\t`nrux", max_size=20
)
others = st.lists(
    st.sampled_from(
        [
            "A=1",
            "export B='two words'",
            'C="line\\nbreak"  # why',
            "# a comment with KEY=old",
            "#KEY=",
            "# KEY=   # what it is for",
            "",
            "   ",
            "D=",
            "E= # nothing",
            "F",
            "G='spread\nover lines\n# KEY=\n'",
            "KEY=was # remark",
            "  KEY = 'was'# close",
            "KEY",
            "H=${KEY}",
        ]
    ),
    max_size=8,
)


@quick
@given(value=values, lines=others, newline=st.sampled_from(["\n", "\r\n", "\r"]), last=st.booleans())
@example(value="${X}", lines=["KEY=1"], newline="\n", last=True)
@example(value="\\", lines=["KEY='x' # c"], newline="\r\n", last=False)
@example(value="a\r\nb", lines=[], newline="\r\n", last=False)
@example(value='it\'s "so" # not', lines=["# KEY="], newline="\n", last=False)
def test_any_value_reads_back_exactly_and_nothing_else_changes(
    tmp_path: Path, value: str, lines: list[str], newline: str, last: bool
) -> None:
    path = tmp_path / ".env"
    path.write_bytes((newline.join(lines) + (newline if last else "")).encode())
    before = read_env(path)

    set_value(path, "KEY", value)

    assert read_env(path) == {**before, "KEY": value}
    kept = [line for line in lines if "KEY" not in line or "\n" in line]
    place = 0
    for line in kept:
        place = path.read_bytes().index(line.encode(), place) + len(line.encode())
    set_value(path, "KEY", value)
    assert read_env(path) == {**before, "KEY": value}
    assert unset_value(path, "KEY")
    assert read_env(path) == {name: one for name, one in before.items() if name != "KEY"}


def test_only_the_line_of_the_key_changes(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbf# first\r\nA = 'x'   # keep\r\n\r\nexport KEY=old   # why\r\nZ=${A}\r\n")

    set_value(path, "KEY", "new one")

    assert path.read_bytes() == b"\xef\xbb\xbf# first\r\nA = 'x'   # keep\r\n\r\nexport KEY='new one'   # why\r\nZ=${A}\r\n"
    assert read_env(path) == {"A": "x", "KEY": "new one", "Z": "${A}"}


def test_a_new_file_and_a_changed_one_are_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    set_value(path, "A", "1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    path.chmod(0o644)
    set_value(path, "A", "2")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir() if "env" in one.name] == [".env"]


def test_a_template_line_is_filled_in_place_and_comes_back_on_unset(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    text = template({"SEARCH_KEY": "Key of the\nsearch service", "OTHER": ""})
    path.write_text(text)
    assert text == "# Key of the search service\n# SEARCH_KEY=\n\n# OTHER=\n"
    assert read_env(path) == {}

    set_value(path, "SEARCH_KEY", "abc")
    assert path.read_text() == "# Key of the search service\nSEARCH_KEY=abc\n\n# OTHER=\n"

    assert unset_value(path, "SEARCH_KEY")
    assert path.read_text() == text
    assert not unset_value(path, "SEARCH_KEY")


def test_of_two_assignments_the_last_counts_and_unset_takes_both(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("K=1\nA=x\nK=2\n")

    set_value(path, "K", "3")
    assert path.read_text() == "K=1\nA=x\nK=3\n"

    unset_value(path, "K")
    assert path.read_text() == "# K=\nA=x\n"


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"A=1\n\nthis is no assignment\nB=2\n", ":3:"),
        (b"A=1\nB='never closed\n", ":2:"),
        (b"A=1\nB=\xff\xfe\n", ":2: not UTF-8"),
        (b"A=\0\n", "NUL"),
    ],
)
def test_an_unreadable_line_is_named_and_the_file_left_alone(tmp_path: Path, raw: bytes, place: str) -> None:
    path = tmp_path / ".env"
    path.write_bytes(raw)

    for change in (lambda: read_env(path), lambda: set_value(path, "A", "2"), lambda: unset_value(path, "A")):
        with pytest.raises(BadFileError) as caught:
            change()
        assert f"{path}{place}" in caught.value.message or place in caught.value.message
        assert "never closed" not in caught.value.message
    assert path.read_bytes() == raw


@pytest.mark.parametrize(("key", "value"), [("1A", "x"), ("A B", "x"), ("", "x"), ("A=", "x"), ("A", "x\0y"), ("A", "\ud800")])
def test_what_no_env_file_can_hold_is_refused(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(UsageError):
        set_value(tmp_path / ".env", key, value)
    assert not (tmp_path / ".env").exists()


def test_a_link_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("A=1\n")
    (tmp_path / ".env").symlink_to("shared")

    with pytest.raises(BadFileError, match="is a link"):
        set_value(tmp_path / ".env", "A", "2")

    assert (tmp_path / "shared").read_text() == "A=1\n"


def test_two_changes_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    threads = [threading.Thread(target=set_value, args=(path, f"K{n}", str(n))) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert read_env(path) == {f"K{n}": str(n) for n in range(8)}


def test_keys_come_from_the_agent_then_the_shell_then_the_home(tmp_path: Path) -> None:
    home, folder = Home(tmp_path), AgentFolder(tmp_path / "agents" / "a")
    home.prepare()
    folder.path.mkdir(parents=True)
    folder.env_file.write_text("A=agent\nB=\n")
    home.env_file.write_text("A=home\nB=home\nC=home\nD=home\n")
    shell = {"A": "shell", "B": "", "C": "shell"}

    found = resolve_keys(folder, home, ["A", "B", "C", "D", "E"], shell)

    assert found == {"A": ("agent", "agent"), "B": ("home", "home"), "C": ("shell", "shell"), "D": ("home", "home")}


SECRET = 'pa$$ "wörd"/+\\x & more'


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        json.dumps({"a": SECRET}),
        json.dumps({"a": SECRET}, ensure_ascii=False),
        json.dumps(json.dumps({"a": SECRET})),
        repr({"a": SECRET}),
        "https://x/?q=" + quote(SECRET, safe=""),
        "https://x/?q=" + quote(SECRET, safe="").lower(),
        *(base64.b64encode(b"x" * n + SECRET.encode() + b"y" * m).decode() for n in range(4) for m in range(4)),
        *(base64.urlsafe_b64encode(b"u:" * n + SECRET.encode()).decode() for n in range(4)),
    ],
)
def test_a_secret_is_found_however_it_is_written(said: str) -> None:
    cleaned = Redactor({"PASSWORD": SECRET, "SHORT": "seven77"}).clean("before " + said + " after seven77")

    assert "[PASSWORD]" in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after seven77")


def test_the_lines_of_a_key_file_are_secrets_too() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----\n"
    assert Redactor({"PEM": pem}).clean("cat: MIIEvQIBADANBgkqhkiG9w0B") == "cat: [PEM]"


pieces = st.lists(st.text("abcab[]", max_size=9), max_size=12)
secrets_of = st.dictionaries(st.sampled_from(["A", "B", "C"]), st.text("abc", min_size=8, max_size=12), max_size=3)


@quick
@given(parts=pieces, secrets=secrets_of, told=st.lists(st.integers(0, 20), max_size=4))
def test_what_comes_in_pieces_is_cleaned_as_the_whole_is(parts: list[str], secrets: dict[str, str], told: list[int]) -> None:
    for number, place in enumerate(told):
        if secrets and parts:
            secret = list(secrets.values())[number % len(secrets)]
            parts = [*parts[:place], *(secret[i : i + 1 + number] for i in range(0, len(secret), 1 + number)), *parts[place:]]
    redactor = Redactor(secrets)
    stream = redactor.stream()

    shown = "".join([stream.feed(part) for part in parts] + [stream.end()])

    assert shown == redactor.clean("".join(parts))


def test_only_what_could_begin_a_secret_is_held_back() -> None:
    stream = Redactor({"KEY": "sk-12345678"}).stream()

    assert stream.feed("hello s") == "hello "
    assert stream.feed("o sk-1234") == "so "
    assert stream.feed("5678!") == "[KEY]!"
    assert stream.feed("sk-9") == "sk-9"
    assert stream.end() == ""


def test_nothing_secret_is_nothing_changed() -> None:
    stream = Redactor({}).stream()
    assert stream.feed("text") == "text"
    assert Redactor({"A": "short"}).clean("short") == "short"
