"""An agent's own environment: real packages, hard-linked from uv's cache, relocatable, made from one hashed lock."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundry import processes
from foundry.agent.folder import AgentFolder
from foundry.agent.installer import WHEELS_ONLY, Uv
from foundry.agent.record import AgentRecord, new_id, now
from foundry.agent.wheel import Wheel, runtime_wheel
from foundry.console import Progress
from foundry.errors import FoundryError, NotReadyError, UsageError
from foundry.files import BadFileError, read_bytes, write_text

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRAS = r"(?:\s*\[[A-Za-z0-9._,\s-]*\])?"
_BOUND = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9._*+!-]+"
_REQUIREMENT = re.compile(rf"{_NAME}{_EXTRAS}(?:\s*{_BOUND}(?:\s*,\s*{_BOUND})*)?(?:\s*;[ \w.'\"()<>=!~+-]+)?")
_LOCK_LINE = re.compile(
    rf"\s*(?:#.*)?|({_NAME}){_EXTRAS}==[A-Za-z0-9._+!-]+(?:\s*;[ \w.'\"()<>=!~+-]+)?\s*\\|\s+--hash=sha256:[0-9a-f]{{64}}\s*\\?"
)
_PYTHON = re.compile(r"3\.(1[1-9]|[2-9][0-9])")
_STARTS = "import importlib.util as u, sys; sys.exit(0 if u.find_spec('foundry') and u.find_spec('semantic_kernel') else 3)"
_MAX_LOCK = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Needs:
    """What an environment must offer: its Python as X.Y, the user's dependencies, the extras of the agent's tools."""

    python: str
    dependencies: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What an environment is made of: the lock, the Foundry in it, its Python as X.Y."""

    lock: str
    wheel: Wheel
    python: str


def uv_for(folder: AgentFolder, *, offline: bool, progress: Progress, held: Sequence[int] = ()) -> Uv:
    """Return uv set up for this agent's environment."""
    uv = Uv(folder.path, folder.path.parent.parent / ".foundry" / "uv-cache", offline, progress, held)
    if uv.apart and not uv.spare_cache.exists():
        progress.note(f"This home is on another filesystem than uv's cache; it gets a cache of its own: {uv.spare_cache}")
    return uv


def check_python(python: str) -> str:
    """Return `python` as X.Y, the running one's for an empty text. Raises UsageError."""
    if python and not _PYTHON.fullmatch(python):
        raise UsageError(f"{python!r} is no Python that agents can have", "Give it as X.Y, from 3.11 on.", code="bad_python")
    return python or "{}.{}".format(*sys.version_info)


def check_dependencies(dependencies: Iterable[str]) -> tuple[str, ...]:
    """Return the requirements, stripped, without doubles. Raises UsageError for what is none or points to a URL or a path."""
    checked = []
    for one in dependencies:
        text = one.strip()
        if not _REQUIREMENT.fullmatch(text) or len(text) > 300:
            raise UsageError(
                f"{one!r} is no dependency an agent can have",
                'A package\'s name and, if you like, bounds: "rich" or "rich>=14,<15". URLs, paths and options are not taken.',
                code="bad_dependency",
            )
        checked.append(text)
    return tuple(dict.fromkeys(checked))


def runtime_lock() -> str:
    """Return the lock of the runtime itself, as shipped."""
    return (Path(__file__).parent / "runtime.lock").read_text(encoding="utf-8")


def tools_lock() -> str:
    """Return the lock of the runtime with all that the standard library's tools need, as shipped."""
    return (Path(__file__).parent / "tools.lock").read_text(encoding="utf-8")


def read_lock(folder: AgentFolder) -> str:
    """Return requirements.lock. Raises BadFileError for a line that is no hashed version: it could make uv run other things."""
    return checked_lock(read_bytes(folder.lock, _MAX_LOCK), str(folder.lock), folder.name)


def checked_lock(raw: bytes, where: str, name: str) -> str:
    """Return the text of a lock of the agent `name`. Raises BadFileError, naming `where`, as `read_lock` does."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadFileError(f"{where}: not UTF-8", f"Remove it and make it anew: foundry sync {name}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not _LOCK_LINE.fullmatch(line):
            raise BadFileError(f"{where}:{number}: not a version with its hash", f"Remove the file, then: foundry sync {name}")
    return text


def pins(lock: str) -> set[tuple[str, str]]:
    """Return the packages a lock names, each with its version."""
    found = (re.match(rf"({_NAME}){_EXTRAS}==([A-Za-z0-9._+!-]+)", line) for line in lock.splitlines())
    return {(_plain(one[1]), one[2]) for one in found if one}


def of_this_runtime(lock: str) -> bool:
    """Return whether the lock pins every package of the runtime in the version that the shipped lock does."""
    return pins(runtime_lock()) <= pins(lock)


def names_all(lock: str, dependencies: Iterable[str]) -> bool:
    """Return whether the lock has an entry for each of the dependencies."""
    named = {name for name, _ in pins(lock)}
    wanted = (re.match(_NAME, one) for one in dependencies)
    return all(found and _plain(found[0]) in named for found in wanted)


def make(target: Path, needs: Needs, uv: Uv, *, lock: str = "", kept: str = "") -> Plan:
    """Make the environment `target` from `lock` or, without one, from a new one, and return what it was made of."""
    wheel = runtime_wheel()
    plan = Plan(lock or resolve(needs, uv, wheel, kept=kept), wheel, needs.python)
    build(target, plan, uv)
    return plan


def new_record(blueprint: str, needs: Needs, plan: Plan) -> AgentRecord:
    """Return the record of an agent with this environment, made now, with an id of its own."""
    return AgentRecord(
        blueprint=blueprint,
        python=plan.python,
        runtime_version=plan.wheel.version,
        runtime_hash=plan.wheel.hash,
        dependencies=needs.dependencies,
        extras=needs.extras,
        runtime_lock=_digest(runtime_lock()),
        created=now(),
        id=new_id(),
    )


def stale(folder: AgentFolder, made: AgentRecord | None, needs: Needs) -> str:
    """Return why the agent's lock does not serve `needs` any more, or an empty text."""
    if not folder.lock.exists():
        return "it was missing"
    if made is None:
        return "it was not known what it had been made for"
    if made.dependencies != needs.dependencies or made.extras != needs.extras:
        return "the dependencies or tools were changed"
    if made.runtime_lock != _digest(runtime_lock()):
        return "this Agent Foundry has another runtime"
    return ""


def resolve(needs: Needs, uv: Uv, wheel: Wheel, *, kept: str = "") -> str:
    """Return the lock of the runtime with what is needed beside it: exact, hashed, universal versions of all but Foundry.

    Versions of the shipped locks, then of the lock `kept`, are taken where they fit. Raises a FoundryError saying what does not.
    """
    shipped = runtime_lock()
    if not needs.dependencies and not needs.extras:
        return shipped
    uv.progress.step("Resolving the dependencies")
    wanted = [f"agent-foundry[{','.join(['agent', *needs.extras])}] @ {wheel.path.as_uri()}", *needs.dependencies]
    out = uv.beside / f".lock-{os.getpid()}.txt"
    try:
        ours = shipped + _blocks_missing_in(shipped, tools_lock())
        write_text(out, ours + _blocks_missing_in(ours, kept))
        uv.run_cached_first(
            *("pip", "compile", "--quiet", "--universal", "--python-version", needs.python),
            *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header"),
            *("--no-emit-package", "agent-foundry", *WHEELS_ONLY, "--output-file", str(out), "-"),
            stdin="\n".join(wanted) + "\n",
        )
        return out.read_text(encoding="utf-8")
    finally:
        out.unlink(missing_ok=True)


def build(target: Path, plan: Plan, uv: Uv) -> None:
    """Make the environment `target`, which must not exist, prove that it starts, and mark it whole. Raises FoundryError."""
    python = interpreter(plan.python)
    uv.progress.step(f"Making the environment (Python {plan.python})")
    fetched = () if os.sep in python else ("--offline",) if uv.offline else ()
    uv.run("venv", "--quiet", "--relocatable", "--no-project", "--python", python, *fetched, str(target))
    uv.progress.step("Installing its packages")
    wanted = f"{plan.lock}\nagent-foundry @ {plan.wheel.path.as_uri()} --hash=sha256:{plan.wheel.sha256}\n"
    uv.run_cached_first(
        *("pip", "sync", "--require-hashes", *WHEELS_ONLY, "--python", str(target / "bin" / "python"), "-"), stdin=wanted
    )
    uv.progress.step("Checking that it starts")
    verify(target)
    _marker(target).touch()


def verify(target: Path) -> None:
    """Start the environment's Python and let it find the runtime without importing it. Raises NotReadyError."""
    try:
        finished = processes.run([str(target / "bin" / "python"), "-I", "-c", _STARTS], timeout=60)
    except OSError as error:
        raise NotReadyError(
            f"the environment's Python does not start: {error.strerror}", "foundry doctor", code="broken_venv"
        ) from None
    if finished.code:
        last = (finished.err.strip().splitlines() or ["the runtime is not in it"])[-1]
        raise NotReadyError(f"the environment does not work: {last}", "foundry doctor", code="broken_venv")


def check(folder: AgentFolder) -> list[str]:
    """Return what is wrong with the agent's environment, by looking at the disk only; empty when it is whole."""
    if not os.path.lexists(folder.venv):
        return ["has no environment"]
    if not folder.python.exists():
        return ["its Python is gone"]
    if not _marker(folder.venv).exists():
        return ["its environment is incomplete"]
    return [] if folder.lock.exists() else ["its requirements.lock is missing"]


def interpreter(python: str) -> str:
    """Return the running Python's own path for its version (no search, no virtual environment), else X.Y for uv to find."""
    base = str(getattr(sys, "_base_executable", "") or "")
    own = python == "{}.{}".format(*sys.version_info) and os.access(base, os.X_OK)
    return base if own else python


def full_disk(error: OSError, what: str) -> FoundryError:
    """Return an OSError met while writing as an error that says what happened."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return FoundryError(f"{what}: the disk is full (or a quota is)", "Make room and do it again.", code="disk_full")
    return FoundryError(f"{what}: {error.strerror or error} ({error.filename or 'no file'})", "foundry doctor", code="disk")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _marker(venv: Path) -> Path:
    return venv / ".foundry-whole"


def _blocks_missing_in(lock: str, other: str) -> str:
    """Return the entries of `other` for packages that `lock` does not name."""
    named = {found[1].lower() for line in lock.splitlines() if (found := _LOCK_LINE.fullmatch(line)) and found[1]}
    taken, keep = [], False
    for line in other.splitlines():
        found = _LOCK_LINE.fullmatch(line)
        if found and found[1]:
            keep = found[1].lower() not in named
        if keep and not line.lstrip().startswith("#"):
            taken.append(line)
    return "\n".join(taken) + "\n" if taken else ""
