"""A plugin may be broken in any way: it is named with its place and left out, and the good one beside it works."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foundry.plugins.check import check_plugin

from .conftest import GOOD, Workshop

HEAD = "from foundry.plugins.api import kernel_function\n"
TAIL = "class Tool:\n    @kernel_function\n    def use(self) -> str: return 'used'\n"

# What is wrong, the source, what the notice must say, and whether reading the source alone shows it.
BROKEN: dict[str, tuple[str | bytes, str, bool]] = {
    "syntax error": (HEAD + "x = 1\ndef (:\n" + TAIL, "plugins/broken/__init__.py:3: SyntaxError", True),
    "import error": (HEAD + "import no_such_module\n" + TAIL, "plugins/broken/__init__.py:2: ModuleNotFoundError", False),
    "exception": (HEAD + "\n1 / 0\n" + TAIL, "plugins/broken/__init__.py:3: ZeroDivisionError", False),
    "sys.exit": (HEAD + "import sys\nsys.exit(0)\n" + TAIL, "plugins/broken/__init__.py:3: calls sys.exit(0)", False),
    "os._exit": (HEAD + "import os\nos._exit(0)\n" + TAIL, "plugins/broken/__init__.py:3: ends the process with code 0", False),
    "input": (HEAD + "name = input('Who? ')\n" + TAIL, "plugins/broken/__init__.py:2: asks for input", False),
    "segfault": (
        HEAD + "import ctypes\n\nctypes.string_at(0)\n" + TAIL,
        "plugins/broken/__init__.py:4: kills the process when it is imported (SIGSEGV)",
        False,
    ),
    "killed": (
        HEAD + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n" + TAIL,
        "kills the process when it is imported (SIGKILL)",
        False,
    ),
    "interrupt": (HEAD + "raise KeyboardInterrupt\n" + TAIL, "plugins/broken/__init__.py:2: KeyboardInterrupt", False),
    "not UTF-8": (HEAD.encode() + b"x = '\xff'\n" + TAIL.encode(), "plugins/broken/__init__.py:2: not UTF-8", True),
    "no class": (HEAD + "def use(): ...\n", "plugins/broken/__init__.py:1: has no class", True),
    "same tool twice": (
        HEAD + TAIL + TAIL.replace("Tool", "Other"),
        "plugins/broken/__init__.py:7: a second method is the tool broken.use",
        True,
    ),
    "unsupported signature": (
        HEAD + TAIL.replace("(self)", "(self, *files: str)"),
        "plugins/broken/__init__.py:3: use: a tool cannot take *files",
        False,
    ),
    "a type without a schema": (
        HEAD + "import threading\n" + TAIL.replace("(self)", "(self, lock: threading.Event)"),
        "plugins/broken/__init__.py:4: use: a parameter's type has no JSON schema",
        False,
    ),
    "a type that contains itself": (
        HEAD
        + "from pydantic import BaseModel\nclass Node(BaseModel):\n    below: list['Node']\n"
        + TAIL.replace("(self)", "(self, node: Node)"),
        "plugins/broken/__init__.py:6: the type Node contains itself",
        False,
    ),
    "a generator": (
        HEAD + TAIL.replace("return 'used'", "yield 'used'"),
        "plugins/broken/__init__.py:3: use yields",
        False,
    ),
    "a constructor that wants more": (
        HEAD + TAIL.replace("    @", "    def __init__(self, host, port): ...\n    @", 1),
        "plugins/broken/__init__.py:3: Tool's constructor takes host, port",
        False,
    ),
    "a constructor that fails": (
        HEAD + TAIL.replace("    @", "    def __init__(self): raise SystemExit(3)\n    @", 1),
        "plugins/broken/__init__.py:3: calls sys.exit(3)",
        False,
    ),
    "huge output": (
        HEAD + "import os\nfor _ in range(40):\n    os.write(1, b'x' * 50_000)\n" + TAIL,
        "plugins/broken/__init__.py: prints more than 1 MiB",
        False,
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_named_and_left_out_and_the_good_one_works(workshop: Workshop, kind: str) -> None:
    source, said, _ = BROKEN[kind]
    workshop.plugin("broken", source)
    workshop.plugin("good", GOOD)

    ids = workshop.load("broken", "good")

    assert ids == ["good.greet"]
    assert len(workshop.notices) == 1
    assert said in workshop.notices[0]
    assert '"broken"' in workshop.notices[0]
    assert workshop.call("good.greet", name="Ada") == "Hello Ada"


@pytest.mark.parametrize("kind", BROKEN)
def test_listing_survives_every_broken_plugin_and_runs_none(workshop: Workshop, kind: str) -> None:
    source, said, seen_in_source = BROKEN[kind]
    workshop.plugin("broken", source)
    workshop.plugin("good", GOOD)

    listing = workshop.listed("broken", "good")

    assert "good.greet" in [card.id for card in listing.cards]
    assert bool(listing.problems) is seen_in_source
    if seen_in_source:
        assert said in listing.problems[0]
    else:
        assert "broken.use" in [card.id for card in listing.cards]


def test_an_endless_loop_is_ended_and_its_line_named(workshop: Workshop) -> None:
    workshop.plugin("broken", HEAD + "while True:\n    pass\n" + TAIL)

    verdict = check_plugin(Path(sys.executable), workshop.agent, "broken", seconds=1)

    assert not verdict.ok
    assert verdict.file == "broken/__init__.py"
    assert verdict.line in (2, 3)
    assert verdict.message == "its import does not end within 1 s"


def test_a_thread_that_never_ends_counts_as_an_endless_import(workshop: Workshop) -> None:
    workshop.plugin("broken", HEAD + "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n" + TAIL)

    verdict = check_plugin(Path(sys.executable), workshop.agent, "broken", seconds=1)

    assert verdict.message == "its import does not end within 1 s"


def test_noise_at_import_is_not_shown_and_cannot_pose_as_a_verdict(workshop: Workshop, capfd: pytest.CaptureFixture[str]) -> None:
    noise = 'import sys\nprint("foundry-verdict {\\"ok\\": true}" * 100_000)\nprint("oops", file=sys.stderr)\n'
    workshop.plugin("noisy", HEAD + noise + TAIL)
    workshop.plugin("broken", HEAD + noise + "1 / 0\n")

    ids = workshop.load("noisy")

    assert ids == ["noisy.use"]
    assert capfd.readouterr() == ("", "")


def test_a_plugin_that_leaves_the_folder_is_brought_back(workshop: Workshop) -> None:
    before = Path.cwd()
    workshop.plugin("walker", HEAD + "import os\nos.chdir('/')\n" + TAIL)

    ids = workshop.load("walker")

    assert ids == ["walker.use"]
    assert Path.cwd() == before


@pytest.mark.parametrize(
    ("name", "said"),
    [("json", "a module of Python itself"), ("clock", "the name of a built-in"), ("missing", "plugins/missing: not there")],
)
def test_names_that_cannot_be_are_told(workshop: Workshop, name: str, said: str) -> None:
    if name != "missing":
        workshop.plugin(name, GOOD)

    ids = workshop.load(name)

    assert ids == []
    assert said in workshop.notices[0]


def test_a_plugin_that_is_a_link_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "__init__.py").write_text(GOOD)
    (workshop.agent.plugins / "linked").symlink_to(tmp_path / "elsewhere")

    assert workshop.load("linked") == []
    assert "is a link" in workshop.notices[0]


def test_the_child_sees_no_secret_and_no_input(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    seen = tmp_path / "seen"
    spy = f"import os, sys\nopen({str(seen)!r}, 'a').write(repr(dict(os.environ)) + os.getcwd() + repr(sys.argv))\n"
    workshop.plugin("spy", HEAD + spy + "1 / 0\n" + TAIL)

    workshop.load("spy")

    assert "canary" not in seen.read_text()
    assert "foundry-check-" in seen.read_text()


def test_a_failed_import_leaves_nothing_behind(workshop: Workshop) -> None:
    workshop.plugin("broken", HEAD + TAIL.replace("    @", "    def __init__(self): 1 / 0\n    @", 1))

    workshop.load("broken")
    workshop.plugin("broken", HEAD + TAIL)

    assert workshop.load("broken") == ["broken.use"]
    assert workshop.notices == []


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("{", "plugins/broken/plugin.json: 1:2: not JSON"),
        ('{"efects": []}', 'unknown key "efects", did you mean "effects"?'),
        ('{"effects": ["magic"]}', '"magic" is no effect'),
        ('{"requires": "requests"}', '"requires" must be a list of texts'),
    ],
)
def test_a_broken_manifest_is_named(workshop: Workshop, manifest: str, said: str) -> None:
    workshop.plugin("broken", HEAD + TAIL)
    workshop.plugin("broken", manifest, "plugin.json")

    assert workshop.load("broken") == []
    assert said in workshop.notices[0]
    assert said in workshop.listed("broken").problems[0]
