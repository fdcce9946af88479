"""Whether a plugin's import changed what everybody else stands on: builtins, modules of others, what signals do."""

from __future__ import annotations

import builtins
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from foundry.plugins.cards import PluginProblem
from foundry.plugins.modules import PACKAGE

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD", "SIGALRM", "SIGWINCH")
_MISSING = object()


class Watch:
    """Remembers builtins, modules and signals as they are when it is made."""

    def __init__(self) -> None:
        self._builtins = dict(vars(builtins))
        self._modules = {name: one for name, one in sys.modules.items() if not _is_own(name)}
        self._named = {
            name: dict(vars(one)) for name, one in self._modules.items() if name != "builtins" and isinstance(one, ModuleType)
        }
        self._signals = {name: signal.getsignal(getattr(signal, name)) for name in _SIGNALS if hasattr(signal, name)}

    @contextmanager
    def put_back(self, name: str) -> Iterator[None]:
        """Import plugin `name` inside; raises PluginProblem for what it put in another's place, which goes back."""
        try:
            yield
        finally:
            found = [*self._builtin(), *self._module(), *self._named_in_others(), *self._signal()]
        if found:
            raise PluginProblem(f"replaces {found[0]}, which is not its own", f"{name}/__init__.py")

    def _builtin(self) -> Iterator[str]:
        there = dict(vars(builtins))
        vars(builtins).update(self._builtins)
        yield from (f"builtins.{name}" for name, one in self._builtins.items() if there.get(name, _MISSING) is not one)

    def _module(self) -> Iterator[str]:
        there = dict(sys.modules)
        sys.modules.update(self._modules)
        yield from (f"the module {name}" for name, one in self._modules.items() if there.get(name, _MISSING) is not one)

    def _named_in_others(self) -> Iterator[str]:
        for name, known in self._named.items():
            module = vars(self._modules[name])
            for attribute, now in list(module.items()):
                # Modules set names of their own as they are used; what the plugin defined itself, it put there.
                if attribute in known and now is not known[attribute] and _is_own(getattr(now, "__module__", "")):
                    module[attribute] = known[attribute]
                    yield f"{name}.{attribute}"

    def _signal(self) -> Iterator[str]:
        for name, handler in self._signals.items():
            if signal.getsignal(getattr(signal, name)) is not handler:
                yield f"what {name} does"


def _is_own(name: Any) -> bool:
    return isinstance(name, str) and (name == PACKAGE or name.startswith(PACKAGE + "."))
