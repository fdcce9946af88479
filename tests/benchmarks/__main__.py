"""`make bench`: every measurement, or those named: startup create run turn tool_calls."""

from __future__ import annotations

import importlib
import sys

NAMES = ("startup", "create", "run", "turn", "tool_calls")


def main() -> int:
    broken = 0
    for name in sys.argv[1:] or NAMES:
        print(f"\n{name}", flush=True)
        for figure in importlib.import_module(f"tests.benchmarks.{name}").figures():
            print(f"  {figure}", flush=True)
            broken += not figure.kept
    print(f"\n{broken} bounds broken" if broken else "\nevery bound kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
