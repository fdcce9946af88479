"""The tests of an own plugin, run by pytest in a process of their own: `python -m foundry.plugins.own_tests PLUGINS NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

NOT_THERE = 90  # exit code: pytest is not installed


def main(argv: list[str]) -> int:
    """Run plugins/NAME/tests and return pytest's exit code; `from foundry_plugins.NAME import …` works in them."""
    plugins, name = Path(argv[0]), argv[1]
    try:
        import pytest
    except ImportError:
        return NOT_THERE
    from foundry.plugins.cards import PluginProblem
    from foundry.plugins.modules import import_plugin

    try:
        import_plugin(plugins, name)
    except PluginProblem as problem:
        sys.stdout.write(f"{problem.told()}\n")
        return 1
    folder = plugins / name
    # Nothing of a folder above counts, nothing is written beside the code, and a module may have any name.
    apart = ["-c", "/dev/null", "--rootdir", str(folder), "--confcutdir", str(folder)]
    apart += ["-p", "no:cacheprovider", "--import-mode=importlib"]
    return int(
        pytest.main(
            ["-q", "--no-header", "--tb=short", "--color=no", "-o", "console_output_style=classic", *apart, str(folder / "tests")]
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
