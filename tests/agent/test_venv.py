"""Environments: what is refused before uv runs, what of uv's failures is understood, what a look at the disk finds."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent import venv
from foundry.agent.folder import AgentFolder
from foundry.agent.installer import Uv, failure
from foundry.console import Silent
from foundry.errors import FoundryError, NotReadyError, UsageError

GOOD = ["rich", "rich>=14", "rich >=14, <15", "uvicorn[standard]==0.30.*", "a.b-c_d~=1.0", 'tomli>=2; python_version < "3.12"']


@pytest.mark.parametrize("text", GOOD)
def test_a_plain_requirement_is_taken_as_it_is(text: str) -> None:
    assert venv.check_dependencies([text, f" {text} "]) == (text,)


@given(st.text(max_size=40))
def test_what_is_taken_is_one_line_without_options_urls_or_variables(text: str) -> None:
    try:
        (taken,) = venv.check_dependencies([text])
    except UsageError:
        return

    assert taken[0].isalnum()
    assert not set("\n\r@/\\$`#{}") & set(taken)


def test_the_shipped_lock_is_one_that_sync_accepts(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path)
    folder.lock.write_text(venv.runtime_lock())

    assert venv.read_lock(folder) == venv.runtime_lock()


NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: "
UNSATISFIABLE = "we can conclude that your requirements are unsatisfiable.\n\n"
SAID = {
    "disk_full": "error: Failed to install: x\n  cause: failed to write: No space left on device (os error 28)",
    "no_python": "error: No interpreter found for Python 3.19 in managed installations or search path\n\nhint: uv embeds",
    "offline": f"{NO_SOLUTION}Because flask was not found in the cache and you require flask, {UNSATISFIABLE}"
    "hint: Packages were unavailable because the network was disabled.",
    "no_network": "error: Request failed after 3 retries in 4.7s\n  cause: Failed to fetch: https://index.example/simple/openai/\n"
    "  cause: error sending request for url (https://index.example/simple/openai/)\n  cause: client error (Connect)",
    "unknown_package": f"{NO_SOLUTION}Because nosuch was not found in the package registry and you require it, {UNSATISFIABLE}",
    "unknown_version": f"{NO_SOLUTION}Because there is no version of rich==999 and you require rich==999, {UNSATISFIABLE}",
    "no_wheel": f"{NO_SOLUTION}Because pyfiglet==0.7 has no usable wheels and you require pyfiglet==0.7, {UNSATISFIABLE}"
    "hint: Wheels are required for `pyfiglet` because building from source is disabled for all packages",
    "conflict": f"{NO_SOLUTION}Because only agent-foundry[agent]==0.1.0 is available and\n         it depends on openai>=3.5,<4, "
    f"we can conclude that all of it do.\n         And because you require openai<2, {UNSATISFIABLE}",
    "hash_mismatch": "error: Failed to read `x`\n  cause: Hash mismatch for `x`\n\n         Expected:\n           sha256:00",
    "installer": "error: something new",
}


@pytest.mark.parametrize("code", SAID)
def test_what_uv_says_becomes_one_line_and_something_to_try(code: str) -> None:
    error = failure(SAID[code])

    assert error.code == code
    assert error.hint
    assert "\n" not in error.message
    assert "we can conclude" not in error.message


def test_a_python_that_could_not_be_fetched_is_no_fault_of_the_package_index() -> None:
    url = "https://host.example/releases/20260101/cpython-3.12.9%2B20260101-x86_64-unknown-linux-gnu-install_only.tar.gz"
    error = failure(f"error: Failed to download {url}\n  cause: Request failed after 3 retries\n  cause: client error (Connect)")

    assert error.code == "no_python"
    assert "Python 3.12" in error.message


@given(st.text())
def test_whatever_uv_says_is_an_error_that_can_be_shown(text: str) -> None:
    error = failure(text)

    assert error.message
    assert not set("\n\x1b\r") & set(error.message)


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EACCES, "disk")])
def test_a_failed_write_says_what_it_was(number: int, code: str) -> None:
    assert venv.full_disk(OSError(number, "words"), "scout could not be made").code == code


def test_a_look_at_the_disk_finds_what_is_wrong(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path)
    assert venv.check(folder) == ["has no environment"]
    folder.python.parent.mkdir(parents=True)
    folder.python.symlink_to(tmp_path / "gone")
    assert venv.check(folder) == ["its Python is gone"]
    folder.python.unlink()
    folder.python.symlink_to(sys.executable)
    assert venv.check(folder) == ["its environment is incomplete"]
    (folder.venv / ".foundry-whole").touch()
    assert venv.check(folder) == ["its requirements.lock is missing"]
    folder.lock.touch()
    assert venv.check(folder) == []


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    uv = Uv(tmp_path, tmp_path / "cache", offline=True, progress=Silent())

    with pytest.raises(NotReadyError, match=r"Python 3\.77") as caught:
        venv.make(tmp_path / "venv", venv.Needs("3.77"), uv)

    assert caught.value.code == "no_python"


def test_an_environment_without_the_runtime_does_not_pass(tmp_path: Path) -> None:
    uv = Uv(tmp_path, tmp_path / "cache", offline=True, progress=Silent())
    uv.run("venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))

    with pytest.raises(NotReadyError) as caught:
        venv.verify(tmp_path / "venv")

    assert caught.value.code == "broken_venv"


def test_a_configuration_of_uv_in_the_folder_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uv.toml").write_text("this is no configuration")
    monkeypatch.chdir(tmp_path)

    Uv(tmp_path, tmp_path / "cache").run("venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))

    assert (tmp_path / "venv" / "bin" / "python").exists()


def test_packages_come_from_a_cache_on_the_same_filesystem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has one filesystem only")
    monkeypatch.setenv("UV_CACHE_DIR", str(other / "nothing-here"))

    told = Uv(tmp_path, tmp_path / "near").run("cache", "dir")

    assert told.strip() == str(tmp_path / "near")
    with pytest.raises(FoundryError):
        Uv(tmp_path, tmp_path / "near").run("no-such-command")
