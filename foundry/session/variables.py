"""The variables of a live session: what the agent was given, read where it stands now; the person asked for what is missing."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from foundry.agent import trust
from foundry.agent.definition import VARIABLE_NAME, load_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import Redactor, read_env, set_value
from foundry.errors import FoundryError
from foundry.models.catalog import KEY_OF
from foundry.plugins.api import ToolError, Variables
from foundry.plugins.built_ins import BUILT_INS, env_of
from foundry.plugins.strict import on_loop
from foundry.text import one_line

if TYPE_CHECKING:
    from foundry.session.terminal import Asker

_LONGEST_WHY = 300
# What this process, the loader, a shell, git, TLS or a runtime obeys: no model has a say in that, though a person may, by hand.
_OBEYED = re.compile(
    r"(FOUNDRY|PYTHON|LD|DYLD|GIT|SSH|SSL|CURL|OPENSSL|UV|PIP|VIRTUAL_ENV|CONDA|XDG|BASH|ZSH|LC|LESS|PERL5?|RUBY|NODE|NPM|JAVA|JDK"
    r"|MALLOC|GLIBC|GCONV|OLLAMA|REQUESTS|OTEL|OPENAI|OPENROUTER|ANTHROPIC)(_.*|$)"
    r"|(PYTHON|LD|DYLD|GIT|PG|RUBY|PERL|BASH|LESS|PROMPT)[A-Z0-9]*"
    r"|(.*_)?(PROXY|PATH|HOME|OPTIONS|OPTS|PRELOAD|CA_BUNDLE|CONFIG_FILE)|SHELL|ENV|IFS|CDPATH|PS[0-4]|USER|LOGNAME|EDITOR|VISUAL"
    r"|PAGER|BROWSER|DISPLAY|TMP|TEMP|TMPDIR|TERM|TERMINFO|COLUMNS|LINES|LANG|LANGUAGE|TZ|TZDIR|MAIL|HOSTALIASES|LOCALDOMAIN"
    r"|LOCPATH|NLSPATH|NETRC",
    re.IGNORECASE,
)
# Of these a built-in tool says itself what it does with them: GIT_TOKEN is no variable that git obeys.
_OF_TOOLS = frozenset(name for one in BUILT_INS.values() for name in one.variables)


class SessionVariables(Variables):
    """What the agent in `folder` was given in its .env and by the shell; `asks` is the person's terminal, None for nobody."""

    def __init__(self, folder: AgentFolder, redactor: Redactor, asks: Asker | None = None) -> None:
        self._folder = folder
        self._redactor = redactor
        self._asks = asks
        self._one_at_a_time = threading.Lock()
        self._waits = False

    def get(self, name: str) -> str:
        own = self._own()
        if name not in own and name not in self._known():
            return ""
        value = own.get(name) or os.environ.get(name, "")
        self._redactor.learn({name: value})  # it may stand there only since this session began
        return value

    def names(self) -> Mapping[str, tuple[str, bool]]:
        own, known = self._own(), self._known()
        return {
            name: (known.get(name, ""), bool(own.get(name) or os.environ.get(name)))
            for name in (*known, *(one for one in own if one not in known))
        }

    def ask(self, name: str, why: str) -> bool:
        check_askable(name)
        if self._asks is None:
            by_hand = f"foundry env {self._folder.name} set {name}"
            raise ToolError(f"Nobody is there to give {name} a value. A person sets it with: {by_hand}")
        with self._one_at_a_time:
            shown = self._shown(name, why)
            self._waits = True
            try:
                value = on_loop(self._asks.secret(name, shown))
            finally:
                self._waits = False
            if value:
                self._keep(name, value)
            return bool(value)

    def stop(self) -> None:
        """Take back the question that is open, if one is: the call that it was asked for is over."""
        if self._waits and self._asks:
            self._asks.no()

    def _keep(self, name: str, value: str) -> None:
        """Put what the person typed into the agent's .env; it is a secret before it stands anywhere."""
        self._redactor.learn({name: value})
        try:
            with trust.own_change(self._folder):
                set_value(self._folder.env_file, name, value)
        except FoundryError as error:
            raise ToolError(f"{name} could not be kept: {error.message}") from None
        except OSError as error:
            raise ToolError(f"{name} could not be kept: {error.strerror}") from None
        os.environ[name] = value

    def _shown(self, name: str, why: str) -> str:
        """Return what the person reads above the question: whose words they are, where the value goes, what it replaces."""
        said = one_line(why, _LONGEST_WHY)
        asks = f"{self._folder.name} asks for a value" + (f" and says: {said}" if said else ".")
        there = "It has a value already; a new one takes its place. " if self.names().get(name, ("", False))[1] else ""
        return f"{asks}\n{there}It is kept in the agent's .env for its tools, and not shown to the model. Enter alone gives none."

    def _own(self) -> dict[str, str]:
        try:
            return read_env(self._folder.env_file)
        except FoundryError as error:
            raise ToolError(f"The agent's variables cannot be read: {error.message}") from None

    def _known(self) -> dict[str, str]:
        try:
            return env_of(load_definition(self._folder.config))
        except FoundryError as error:
            raise ToolError(f"The agent's variables cannot be read: {error.message}") from None


def check_askable(name: str) -> None:
    """Accept a variable that a model may have a person set. Raises ToolError for any other, saying who sets it."""
    if not VARIABLE_NAME.fullmatch(name):
        raise ToolError(f"{one_line(name, 60)!r} is no variable's name: letters, digits and _, not starting with a digit.")
    if name.upper() in KEY_OF.values():
        raise ToolError(f"{name} is the key of a model's provider. Only the user sets it, by: foundry env")
    if _OBEYED.fullmatch(name) and name not in _OF_TOOLS:
        raise ToolError(f"{name} is obeyed by Foundry, the system or other programs, so no tool asks for it.")
