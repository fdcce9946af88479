"""The Python tool: what it plans, what code in the jail gives back, and what it cannot do."""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.plugins.api import Changed, Plan, ToolContext, ToolError
from foundry.plugins.standard_lib.python import Python
from foundry.plugins.standard_lib.terminal import Terminal
from foundry.plugins.strict import bind
from foundry.sandbox import jail, snippet

pytestmark = pytest.mark.skipif(jail.probe().level not in ("strong", "kernel"), reason="no jail holds here")
AT_STRONG = pytest.mark.skipif(jail.probe().level != "strong", reason="a gap of the levels below strong, named in README")


def planned(folder: Path, code: str = "", limit: int = 20_000, **more: Any) -> Plan:
    return Python(ToolContext(folder, limit=limit)).run(code, **more)


def done(folder: Path, code: str, **more: Any) -> str:
    return planned(folder, code, **more).do()


def test_a_plan_shows_the_whole_code_and_runs_nothing(tmp_path: Path) -> None:
    print("level", jail.probe().level)
    code = "x = 1\nopen('made', 'w').write('x')\n"
    plan = planned(tmp_path, code)

    assert (plan.preview.command, plan.preview.folder) == (code, str(tmp_path))
    assert plan.preview.scope != planned(tmp_path, f"{code} ").preview.scope
    assert plan.preview.scope != planned(tmp_path, code, arguments=["a"]).preview.scope
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2"),
        ("x = 'ä'\nx * 2", "'ää'"),
        ("None", ""),
        ("print('said'); 3;", "said\n3"),
        ("x = 5", ""),
        ("def f():\n    return 7\nf()", "7"),
        ("from __future__ import annotations\ndef f(a: undefined): ...\nf.__annotations__", "{'a': 'undefined'}"),
        ("import sys; sys.argv", "['<code>']"),
        ("__name__", "'__main__'"),
        ("import asyncio, sys\nassert sys.stdin.read() == ''\nasync def f(): return 'late'\nasyncio.run(f())", "'late'"),
    ],
)
def test_the_last_expressions_value_is_shown(tmp_path: Path, code: str, shown: str) -> None:
    told = done(tmp_path, code)

    assert told.rpartition("[exit 0")[0].strip() == shown


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("def f():\n    1 / 0\nf()", ["Traceback", "line 3, in <module>", "f()", "line 2, in f", "1 / 0", "ZeroDivisionError"]),
        ("a b", ['File "<code>", line 1', "a b", "SyntaxError"]),
        ("import ast\nast.parse('a b')", ["Traceback", "line 2, in <module>", "ast.parse", "SyntaxError"]),
        ("class R:\n    def __repr__(self): raise ValueError('no')\nR()", ["line 2, in __repr__", "ValueError: no"]),
        ("raise KeyboardInterrupt", ["KeyboardInterrupt"]),
        ("b'\\xff'.decode()", ["line 1, in <module>", "UnicodeDecodeError"]),
    ],
)
def test_an_error_is_told_without_our_frames(tmp_path: Path, code: str, lines: list[str]) -> None:
    told = done(tmp_path, code)

    assert "[exit 1" in told
    assert "snippet.py" not in told
    place = 0
    for line in lines:
        place = told.index(line, place)


@pytest.mark.parametrize(
    ("code", "end"), [("import sys; sys.exit(3)", "exit 3"), ("import os; os._exit(4)", "exit 4"), ("exit", "exit 0")]
)
def test_the_exit_code_is_the_codes(tmp_path: Path, code: str, end: str) -> None:
    assert f"[{end}" in done(tmp_path, code)


def test_files_and_figures_that_it_made_are_named_with_their_size(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "changed.txt").write_text("old")
    time.sleep(0.05)
    code = (
        "import os\nos.makedirs('out/deep'); open('out/deep/data.csv', 'w').write('a,b\\n')"
        "\nopen('plot.PNG', 'wb').write(b'x' * 1234)\nopen('changed.txt', 'a').write('!')"
        "\nopen('/tmp/elsewhere', 'w').write('x')\nos.symlink('old.txt', 'link')"
        "\nos.environ['MPLBACKEND']"
    )
    told = done(tmp_path, code)

    assert "'Agg'" in told
    assert "[figures: plot.PNG (1,234 bytes) · files made or changed: changed.txt (4 bytes), out/deep/data.csv (4 bytes)]" in told
    assert "made or changed" not in done(tmp_path, "open('old.txt').read()")


def test_many_files_are_counted(tmp_path: Path) -> None:
    told = done(tmp_path, "for n in range(100): open(f'{n:03}.txt', 'w').close()", limit=3000)

    assert "029.txt (0 bytes), and 70 more]" in told
    assert len(told) <= 3000


def test_a_script_runs_with_its_arguments_and_its_own_folder_to_import_from(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "other.py").write_text("def f(): return 'imported'\n")
    text = "import sys, other\nprint(other.f(), sys.argv[1:], __file__, __name__)\n'no value of a script is shown'\n"
    (tmp_path / "sub" / "script.py").write_text(text)
    plan = planned(tmp_path, path="sub/script.py", arguments=["a b", "--c"])

    assert plan.preview.command == "python sub/script.py 'a b' --c"
    assert plan.preview.paths == (tmp_path / "sub" / "script.py",)
    assert f"{len(text)} bytes, sha256 " in plan.preview.summary
    told = plan.do()
    assert told.startswith(f"imported ['a b', '--c'] {tmp_path}/sub/script.py __main__\n[")
    assert "no value" not in told


def test_a_script_that_is_not_what_was_shown_any_more_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("open('made', 'w')\n")
    plan = planned(tmp_path, path="script.py")
    (tmp_path / "script.py").write_text("open('evil', 'w')\n")

    with pytest.raises(Changed):
        plan.do()
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "evil").exists()
    assert plan.preview.scope != planned(tmp_path, path="script.py").preview.scope


def test_another_folder_than_the_one_shown_is_not_worked_in(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    plan = planned(work, "open('made', 'w')")
    work.rename(tmp_path / "old")
    work.mkdir()

    with pytest.raises(Changed):
        plan.do()
    assert not list(tmp_path.rglob("made"))


def test_another_name_of_a_protected_file_is_no_script(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY = 'canary'")
    (tmp_path / "a.py").hardlink_to(tmp_path / ".env")

    with pytest.raises(ToolError, match="another name of a protected file"):
        planned(tmp_path, path="a.py")


@pytest.mark.parametrize(
    "given",
    [
        *({}, {"code": " "}, {"code": "1", "path": "a.py"}, {"code": "1\0"}, {"code": "x" * 300_000}, {"code": "'\ud800'"}),
        *({"path": "../a.py"}, {"path": ".env"}, {"path": "missing.py"}, {"path": "."}, {"code": "1", "timeout": 0}),
        *({"code": "1", "timeout": 1e9}, {"code": "1", "arguments": ["\0"]}),
    ],
)
def test_what_cannot_be_run_is_refused_before_anybody_is_asked(tmp_path: Path, given: dict[str, Any]) -> None:
    (tmp_path / ".env").write_text("KEY=canary")
    with pytest.raises(ToolError):
        planned(tmp_path, **given)


def test_it_ends_when_its_time_is_up_with_what_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, time\nsubprocess.Popen(['/bin/sh', '-c', 'while :; do echo x > alive; sleep 0.05; done'],"
        " start_new_session=True)\ntime.sleep(60)"
    )
    assert "stopped: its time was up" in done(tmp_path, code, timeout=1.5)
    (tmp_path / "alive").unlink()
    time.sleep(0.3)
    assert not (tmp_path / "alive").exists()


def test_it_reaches_no_network_no_secret_and_nothing_protected(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=canary")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("[core]")
    code = """
import os, socket
said = []
for act in (lambda: socket.create_connection(("127.0.0.1", 1), 2), lambda: open(".git/config", "w"), lambda: open(".env").read(),
            lambda: os.rename(".git", "git"), lambda: open("HOME/.ssh/id").read(), lambda: os.listdir("/home")):
    try:
        said.append(str(act()))
    except OSError as error:
        said.append(type(error).__name__)
open(".npmrc", "w").close()
said
""".replace("HOME", str(Path.home()))
    told = done(tmp_path, code)

    assert "canary" not in told
    assert "ConnectionRefusedError" not in told
    assert not (tmp_path / ".npmrc").exists()
    assert [one.name for one in (tmp_path / ".git").iterdir()] == ["config"]
    assert (tmp_path / ".git" / "config").read_text() == "[core]"


@AT_STRONG
def test_it_is_the_agents_python_as_the_terminals_is(tmp_path: Path) -> None:
    code = "import sys; print(sys.prefix, sys.version_info[:2])"
    by_terminal = Terminal(ToolContext(tmp_path)).run(f'python -c "{code}"').do()

    assert done(tmp_path, code).splitlines()[0] == by_terminal.splitlines()[0]


def test_a_modules_name_of_the_folder_shadows_nothing_of_ours(tmp_path: Path) -> None:
    for name in ("json", "ast", "traceback", "sitecustomize", "usercustomize", "base64"):
        (tmp_path / f"{name}.py").write_text("print('shadowed')\n")

    told = done(tmp_path, "1 / 0")
    assert "shadowed" not in told
    assert "ZeroDivisionError" in told


def test_a_long_value_and_long_output_fit(tmp_path: Path) -> None:
    told = done(tmp_path, "print('first')\nlist(range(1_000_000))", limit=2000)

    assert told.startswith("first\n[0, 1, 2")
    assert "characters)" in told
    assert len(told) <= 2000


def test_the_model_calls_it_by_the_public_door(tmp_path: Path) -> None:
    (tool,) = bind(Python(ToolContext(tmp_path)), "python", "built-in", ToolContext(tmp_path))

    assert set(tool.spec.schema["properties"]) == {"code", "path", "arguments", "timeout"}
    assert tool.effects == {"runs"}
    assert tool.check({"code": "1", "arguments": ["a"]})["arguments"] == ["a"]
    with pytest.raises(ToolError):
        tool.check({"code": "1", "arguments": [{"a": 1}]})


LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)


@given(LITERALS)
def test_the_value_of_any_literal_is_shown_as_python_shows_it(value: object) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        snippet._run(f"x = {value!r}\nx\n".encode(), "<code>", {}, shows_value=True)

    assert said.getvalue() == ("" if value is None else f"{value!r}\n")
