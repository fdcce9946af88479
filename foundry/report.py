"""The error door: every end of a process as an exit code; a bug becomes one line and the path of a paste-ready report."""

from __future__ import annotations

import errno
import os
import platform
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path

from foundry.console import Console
from foundry.errors import FoundryError
from foundry.settings import state_folder
from foundry.text import visible

_REPORTS_KEPT = 20
# What the disk, its owner or whoever named a path answers for, and no bug of ours.
_REFUSED = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ESTALE),
}


class _Bug(FoundryError):
    """Something nobody foresaw; exit 3."""

    code = "bug"
    exit_code = 3


class Ended(BaseException):
    """A signal asked the process to end; its exit code is 128 + `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


def guarded(
    console: Console, debug: bool, func: Callable[[], int | None], clean: Callable[[str], str] = lambda text: text
) -> int:
    """Return the exit code of `func`, any error shown once; `clean` takes secrets out of the report of a bug."""
    try:
        return func() or 0
    except FoundryError as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.interrupted()
        return 130
    except Ended as ended:
        _flush()
        return 128 + ended.number
    except BrokenPipeError:
        stop_writing()
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EIO:  # the terminal is gone
            stop_writing()
            return 128 + signal.SIGHUP
        if isinstance(error, OSError) and error.errno in _REFUSED and error.filename is not None:
            console.error(_refused(error, clean))
            return FoundryError.exit_code
        if debug:
            console.note(clean(traceback.format_exc()))
        console.error(_bug(error, clean))
        return _Bug.exit_code


def _refused(error: OSError, clean: Callable[[str], str]) -> FoundryError:
    """Return as an expected failure that the system refused a file or folder."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = (
        "Make room and do it again." if full else "Look at who owns it and what stands there; foundry doctor looks at the home."
    )
    told = clean(f"{os.fsdecode(error.filename)}: {error.strerror}")
    return FoundryError(told, hint, code="disk_full" if full else "disk")


def _flush() -> None:
    """Write what is still unwritten, but nothing into a closed terminal: Python would end with a code of its own."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        stop_writing()


def stop_writing() -> None:
    """Send what is still unwritten nowhere: whoever read our output has left."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def in_background(error: Exception, clean: Callable[[str], str]) -> str:
    """Return one line about a failure that nobody waited for, with the path of its report, which is written here."""
    told, path = _reported(error, clean)
    return f"Something failed in the background: {told}{f' (its report: {path})' if path else ''}"


def _bug(error: Exception, clean: Callable[[str], str]) -> _Bug:
    told, path = _reported(error, clean)
    if not path:
        return _Bug(f"a bug in Foundry: {told}", "Run it again with --debug and report what it shows.")
    return _Bug(f"a bug in Foundry: {told}", f"Report it with the text of {path}; it holds no secret.")


def _reported(error: Exception, clean: Callable[[str], str]) -> tuple[str, Path | None]:
    """Return what the error says on one line, and the path of the report written about it; None where that cannot be."""
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    told = clean(said)[:300]  # cut last: half a secret is not known as one
    try:
        return told, _write(clean(_report(error)))
    except OSError:
        return told, None


def _report(error: Exception) -> str:
    """Return what a maintainer needs: versions and the traceback, with the user's home folder as ~."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("agent-foundry")
    except PackageNotFoundError:
        ours = "unknown"
    where = f"foundry {ours}, Python {platform.python_version()}, {platform.platform()}"
    # No source lines' values, no arguments, no environment: a traceback names places, its last line the error.
    trace = "".join(traceback.format_exception(error))
    return re.sub(re.escape(str(Path.home())) + r"(?=[/\\])", "~", f"{where}\n\n{trace}")


def _write(text: str) -> Path:
    folder = state_folder() / "reports"
    folder.mkdir(mode=0o700, exist_ok=True)
    for old in sorted(folder.glob("*.txt"))[: -_REPORTS_KEPT + 1]:
        old.unlink(missing_ok=True)
    at = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    path = next(one for number in count() if not (one := folder / f"{at}{f'-{number}' if number else ''}.txt").exists())
    path.write_text(visible(text), "utf-8")
    path.chmod(0o600)
    return path
