"""The Python that runs a snippet or a script in the jail: exactly the bytes it is given, its last expression shown.

Runs alone under `python -I`, and imports nothing of Foundry. Reads one JSON object from stdin, which is empty afterwards.
"""

from __future__ import annotations

import ast
import base64
import json
import linecache
import os
import sys
import traceback
import types
from typing import Any

_LONGEST_VALUE = 20_000


def main() -> None:
    """Run what stdin says; leaves as the code does, with 1 for an exception that nobody caught."""
    request = json.loads(sys.stdin.buffer.read())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    source, name = base64.b64decode(request["source"]), request["name"]
    sys.argv = [name, *request["arguments"]]
    sys.path.insert(0, request["folder"])
    module = types.ModuleType("__main__")
    if request["script"]:
        module.__file__ = name
    sys.modules["__main__"] = module
    try:
        _run(source, name, vars(module), shows_value=not request["script"])
    except SystemExit:
        raise
    except BaseException as error:
        _tell(error)
        sys.stdout.flush()
        sys.exit(1)


def _run(source: bytes, name: str, space: dict[str, Any], *, shows_value: bool) -> None:
    tree = ast.parse(source, name)
    text = source.decode("utf-8", "replace")
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    last = tree.body.pop() if shows_value and tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), space)  # noqa: S102 - in the jail, which is what it is for
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), name, "eval"), space)  # noqa: S307
        if value is not None:
            shown = repr(value)
            cut = f" … ({len(shown):,} characters)" if len(shown) > _LONGEST_VALUE else ""
            sys.stdout.write(f"{shown[:_LONGEST_VALUE]}{cut}\n")


def _tell(error: BaseException) -> None:
    """Print the traceback that the code would have had without us."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and trace and trace.tb_frame.f_code.co_filename == ast.__file__:
        trace = None
    traceback.print_exception(error.with_traceback(trace))


if __name__ == "__main__":
    main()
