"""Whether an own plugin, or a package's, can be imported, found out in a child that it may loop in, crash or end as it likes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from foundry.agent.folder import AgentFolder
from foundry.errors import FoundryError
from foundry.files import read_json, write_json
from foundry.plugins.cards import PluginProblem
from foundry.processes import Finished, clean_environment, run
from foundry.settings import cache_folder

if TYPE_CHECKING:
    from foundry.plugins.installed import Offer
    from foundry.sandbox.jail import Cell, Level

SECONDS = 10.0
_NOISE_LIMIT = 1024 * 1024
_VERSION = 2
_HASHED_WHOLE = 4 * 1024 * 1024
_LONGEST_DESCRIPTION = 1000
_MOST_TOLD = 60_000  # what the pipe holds without a reader
_MARK = "foundry-verdict "
_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)')


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a plugin's import: its tools, or what is wrong and where (`file` relative to plugins/).

    `specs` tells of each tool its id, description, schema and effects (none declared: null), as JSON data. `level` is that of the
    jail that it was imported in, "" for none.
    """

    ok: bool
    file: str = ""
    line: int = 0
    message: str = ""
    tools: tuple[str, ...] = ()
    specs: tuple[Mapping[str, Any], ...] = ()
    level: str = ""

    def problem(self) -> PluginProblem:
        """Return the failed verdict as a problem."""
        return PluginProblem(self.message, self.file, self.line)


def check_plugin(
    python: Path,
    folder: AgentFolder,
    name: str,
    *,
    seconds: float = SECONDS,
    cell: Cell | None = None,
    level: Level | None = None,
) -> Verdict:
    """Return whether plugins/NAME imports and its tools have schemas, told by a child of `python`.

    The child has no secrets, no input and an empty current folder; what it prints is dropped. A good verdict, and that of
    an endless loop, is remembered for as long as the plugin, the lock and the interpreter stay the same. With a `cell` the child
    is jailed in it; raises NotReadyError where no jail holds, and otherwise nothing of its own.
    """
    try:
        memory = _memory(_fingerprint(python, folder, name, "jailed" if cell else "free"))
        if (known := _remembered(memory)) is not None:
            return known
        verdict = _tried(python, folder.plugins.resolve(), name, seconds, (cell, level) if cell else None)
    except OSError as error:
        return Verdict(False, name, 0, f"could not be checked: {error.strerror or error}")
    if verdict.ok or _is_slow(verdict):
        _remember(memory, verdict)
    return verdict


def check_installed(python: Path, folder: AgentFolder, offer: Offer, code: str, *, seconds: float = SECONDS) -> Verdict:
    """Return whether a package's plugin imports and its tools have schemas, told by a child of `python` as for an own plugin.

    `code` is the hash of the package's files; `file` of the verdict is relative to site-packages.
    """
    from foundry.plugins.installed import source_of

    named = f"{offer.name}={offer.target}"
    file, line = source_of(offer)
    try:
        digest = hashlib.sha256(f"{_VERSION}\0{sys.version}\0{python}\0{named}\0{offer.info}\0{code}\0".encode())
        digest.update(folder.lock.read_bytes() if folder.lock.is_file() else b"")
        memory = _memory(digest.hexdigest())
        if (known := _remembered(memory)) is not None:
            return known
        verdict = _tried(python, offer.site.resolve(), named, seconds)
    except OSError as error:
        return Verdict(False, file, 0, f"could not be checked: {error.strerror or error}")
    if not verdict.ok and verdict.file.partition("/")[0].removesuffix(".py") != offer.top:
        verdict = replace(verdict, file=file, line=(not verdict.file and verdict.line) or line)
    if verdict.ok or _is_slow(verdict):
        _remember(memory, verdict)
    return verdict


def _tried(python: Path, plugins: Path, name: str, seconds: float, jailed: tuple[Cell, Level | None] | None = None) -> Verdict:
    """Let a child import the plugin and return what it, or its end, says. Raises OSError."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(reader, False)
        argv = [str(python), "-P", "-m", "foundry.plugins.check", str(plugins), name, str(writer), str(seconds)]
        if jailed:
            return _tried_in_jail(argv, *jailed, reader, writer, plugins, name, seconds)
        with tempfile.TemporaryDirectory(prefix="foundry-check-") as scratch:
            ended = run(
                argv,
                cwd=Path(scratch),
                env=clean_environment({"PYTHONDONTWRITEBYTECODE": "1"}),
                timeout=seconds + 5,
                limit=_NOISE_LIMIT,
                pass_fds=[writer],
            )
        return _judged(_read(reader), ended, plugins, name, seconds)
    finally:
        os.close(reader)
        os.close(writer)


def _tried_in_jail(
    argv: list[str], cell: Cell, level: Level | None, reader: int, writer: int, plugins: Path, name: str, seconds: float
) -> Verdict:
    from foundry.sandbox import jail

    bounds = replace(cell.bounds, seconds=seconds + 5, output=_NOISE_LIMIT)
    held = replace(cell, bounds=bounds, env={**cell.env, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"})
    ended = jail.run(argv, held, pass_fds=[writer], level=level)
    told = _read(reader)
    if ended.ended in ("output", "memory", "disk", "processes"):
        return Verdict(
            False, f"{name}/__init__.py", 0, f"takes more {ended.ended} than it may when it is imported", level=ended.level
        )
    code = ended.code if ended.code <= 128 else 128 - ended.code  # a signal, as processes tell it
    finished = Finished(code, ended.out, ended.err, ended.ended == "time")
    return replace(_judged(told, finished, plugins, name, seconds), level=ended.level)


def _read(reader: int) -> str:
    """Return what the child wrote into the pipe, without waiting for whoever may still hold its other end."""
    gathered = bytearray()
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(reader, 65536):
            gathered += chunk
    return gathered.decode("utf-8", "replace")


def _judged(told: str, ended: Finished, plugins: Path, name: str, seconds: float) -> Verdict:
    """Turn the child's last words, which may be a verdict or a dump of where it was, into a verdict."""
    marked = [line for line in told.splitlines() if line.startswith(_MARK)]
    if marked and ended.code == 0 and not ended.timed_out:
        try:
            verdict = _verdict(json.loads(marked[-1].removeprefix(_MARK)))
        except (ValueError, TypeError, KeyError, RecursionError):
            return Verdict(False, f"{name}/__init__.py", 0, "tells of itself what nobody can read")
        if verdict.ok and max(len(ended.out), len(ended.err)) >= _NOISE_LIMIT:
            return Verdict(False, f"{name}/__init__.py", 0, "prints more than 1 MiB when it is imported")
        return verdict
    file, line = _dumped_place(told, plugins, name)
    if "Timeout (" in told or ended.timed_out:
        return Verdict(False, file, line, f"{_SLOW} {seconds:g} s")
    if marked or "os._exit" in told:
        return Verdict(False, file, line, f"ends the process with code {ended.code} when it is imported")
    if ended.code < 0:
        return Verdict(False, file, line, f"kills the process when it is imported ({_signal_name(-ended.code)})")
    last = next((one for one in reversed(ended.err.splitlines()) if one.strip()), "")
    return Verdict(False, file, line, f"ends the process with code {ended.code} when it is imported: {last[:200]}".rstrip(": "))


_SLOW = "its import does not end within"


def _is_slow(verdict: Verdict) -> bool:
    return verdict.message.startswith(_SLOW)


def _dumped_place(told: str, plugins: Path, name: str) -> tuple[str, int]:
    """Return the innermost place in the plugins folder that a dump names; innermost stands first."""
    for file, line in _FRAME.findall(told):
        with contextlib.suppress(ValueError):
            return Path(file).relative_to(plugins).as_posix(), int(line)
    return f"{name}/__init__.py", 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# the memory -------------------------------------------------------------------------------------------------------------


def _fingerprint(python: Path, folder: AgentFolder, name: str, where: str) -> str:
    """Return a hash of all that a verdict depends on; outside the jail there is a network, so an import may end otherwise."""
    digest = hashlib.sha256(f"{_VERSION}\0{sys.version}\0{python}\0{name}\0{where}\0".encode())
    root = folder.plugins / name
    files = [folder.lock, *sorted(path for path in root.rglob("*") if "__pycache__" not in path.parts)]
    for path in files:
        if not path.is_file():
            continue
        about = path.stat()
        digest.update(f"{path.relative_to(folder.path).as_posix()}\0{about.st_size}\0".encode("utf-8", "surrogateescape"))
        whole = about.st_size <= _HASHED_WHOLE
        digest.update(path.read_bytes() if whole else str(about.st_mtime_ns).encode())
    return digest.hexdigest()


def _memory(fingerprint: str) -> Path | None:
    """Return where the verdict is remembered; None where the user's cache cannot be written."""
    try:
        return cache_folder() / "verdicts" / f"{fingerprint}.json"
    except OSError:
        return None


def _remembered(path: Path | None) -> Verdict | None:
    if path is None:
        return None
    try:
        return _verdict(read_json(path))
    except (FoundryError, TypeError, KeyError):
        return None


def _remember(path: Path | None, verdict: Verdict) -> None:
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(verdict))


def _verdict(data: dict[str, Any]) -> Verdict:
    specs = tuple(dict(one) for one in data["specs"])
    told = bool(data["ok"]), str(data["file"]), int(data["line"]), str(data["message"]), tuple(data["tools"])
    return Verdict(*told, specs, str(data["level"]))


# the child --------------------------------------------------------------------------------------------------------------


def _judge(plugins: Path, name: str) -> Verdict:
    """Import the plugin here and look at its classes; no object of them is made."""
    from foundry.plugins.meddling import Watch
    from foundry.plugins.modules import classes_of, import_plugin, problem_of
    from foundry.plugins.strict import check_class

    watch = Watch()
    try:
        with watch.put_back(name):
            module = import_plugin(plugins, name)
        classes = classes_of(module)
        if not classes:
            raise PluginProblem("has no class with a method marked @kernel_function", f"{name}/__init__.py", 1)
        tools: list[str] = []
        specs: list[dict[str, Any]] = []
        for one in classes:
            found = _tools_of(one, name, plugins, check_class)
            tools += found
            specs += _specs(one, found)
        if twice := next((tool for tool in tools if tools.count(tool) > 1), ""):
            raise PluginProblem(f"two methods are the tool {twice}", f"{name}/__init__.py")
    except BaseException as error:
        problem = problem_of(error, plugins)
        message = f"{problem.message}. {problem.hint}" if problem.hint else problem.message
        return Verdict(False, problem.file or f"{name}/__init__.py", problem.line, message[:2000])
    return Verdict(True, tools=tuple(tools), specs=tuple(specs))


def _judge_installed(site: Path, named: str) -> Verdict:
    """Import a package's plugin here, named `plugin=module:Class`, and look at its class; no object of it is made."""
    from foundry.plugins.installed import Offer, import_offered, problem_in
    from foundry.plugins.meddling import Watch
    from foundry.plugins.strict import check_class

    name, _, target = named.partition("=")
    offer = Offer(name, target, site / "unknown.dist-info")
    watch = Watch()
    try:
        with watch.put_back(offer.top):
            found = import_offered(offer)
        return Verdict(True, tools=tuple(check_class(found, name)))
    except BaseException as error:
        problem = problem_in(offer, error)
        message = f"{problem.message}. {problem.hint}" if problem.hint else problem.message
        return Verdict(False, problem.file, problem.line, message[:2000])


def _tools_of(one: type, name: str, plugins: Path, check_class: Any) -> list[str]:
    try:
        found: list[str] = check_class(one, name)
        return found
    except PluginProblem as problem:
        source = getattr(sys.modules.get(one.__module__), "__file__", "") or ""
        if not problem.file and Path(source).is_relative_to(plugins):
            problem.file = Path(source).relative_to(plugins).as_posix()
        raise


def _specs(one: type, tools: list[str]) -> Iterator[dict[str, Any]]:
    """Yield what a person is shown of each tool of a class."""
    from foundry.plugins.schema import parameters_of
    from foundry.plugins.strict import marked_methods

    for tool, method in zip(tools, marked_methods(one), strict=True):
        described = " ".join(str(getattr(method, "__kernel_function_description__", "") or "").split())[:_LONGEST_DESCRIPTION]
        declared = getattr(method, "__foundry_effects__", None)
        does = None if declared is None else [str(effect) for effect in declared]
        yield {"id": tool, "description": described, "schema": parameters_of(method).schema, "effects": does}


def _tell_exits(writer: int) -> None:
    """Make os._exit say where it was called before it ends the process."""
    end = os._exit

    def told(code: int = 0) -> NoReturn:
        frame: FrameType | None = sys._getframe(1)
        lines = ["os._exit"]
        while frame:
            lines.append(f'File "{frame.f_code.co_filename}", line {frame.f_lineno}')
            frame = frame.f_back
        os.write(writer, ("\n".join(lines) + "\n").encode("utf-8", "replace")[:30000])
        end(code)

    os._exit = told  # type: ignore[assignment]


def main(argv: list[str]) -> int:
    """Check one plugin in this process and write the verdict into the pipe; argv is its folder, name, fd, seconds."""
    import faulthandler

    plugins, name, writer, seconds = Path(argv[0]), argv[1], int(argv[2]), float(argv[3])
    os.set_inheritable(writer, False)
    faulthandler.enable(writer)
    faulthandler.dump_traceback_later(seconds, exit=True, file=writer)
    _tell_exits(writer)
    sys.argv = [""]
    verdict = _judge_installed(plugins, name) if "=" in name else _judge(plugins, name)
    faulthandler.cancel_dump_traceback_later()
    told = f"\n{_MARK}{json.dumps(asdict(verdict))}\n".encode()
    if len(told) > _MOST_TOLD:
        told = f"\n{_MARK}{json.dumps(asdict(replace(verdict, specs=())))}\n".encode()[:_MOST_TOLD]
    os.write(writer, told)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
