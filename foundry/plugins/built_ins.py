"""The table of built-in plugins: where each stands, the extra and packages it needs, the variables it can be given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foundry.agent.definition import AgentDefinition
from foundry.agent.mcp_servers import variables_of

_LIBRARY = "foundry.plugins.standard_lib"
_PLUGINS = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """One plugin that comes with Foundry.

    `extra` is what of the distribution it needs, "" nothing; `packages` are the modules without which a function of it cannot
    work, those under "" without which none can; `variables` are what it can be given in .env, with what for: one whose text
    starts with "optional" it can do without. `few` are the functions that a small model is told of, all if none are named: each
    costs it time and sureness of aim.
    """

    module: str
    cls: str
    summary: str
    extra: str = ""
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    few: tuple[str, ...] = ()

    @property
    def file(self) -> Path:
        """The file that its class is written in."""
        return _PLUGINS.joinpath(*self.module.removeprefix("foundry.plugins.").split(".")).with_suffix(".py")

    def missing(self, function: str, there: Callable[[str], bool]) -> str:
        """Return the first package that `function` of the plugin cannot do without and that is not `there`, or ""."""
        needed = (*self.packages.get("", ()), *self.packages.get(function, ()))
        return next((one for one in needed if not there(one)), "")


BUILT_INS: Mapping[str, BuiltIn] = {
    "read_write_code": BuiltIn(
        f"{_LIBRARY}.read_write_code", "ReadWriteCode", "Read, list and change the working folder's files."
    ),
    "grep_codebase": BuiltIn(
        f"{_LIBRARY}.grep_codebase",
        "GrepCodebase",
        "Search inside the working folder's files, and outline one of them.",
        extra="code",
        packages={"outline": ("tree_sitter",)},
    ),
    "terminal": BuiltIn(
        f"{_LIBRARY}.terminal",
        "Terminal",
        "Run commands in the working folder, in the jail, also in the background.",
        few=("run",),
    ),
    "python": BuiltIn(f"{_LIBRARY}.python", "Python", "Run Python in the working folder, in the jail."),
    "web_search": BuiltIn(
        f"{_LIBRARY}.web_search", "WebSearch", "Search the web and its news with DuckDuckGo.", "search", {"": ("ddgs",)}
    ),
    "web_page": BuiltIn(
        f"{_LIBRARY}.web_page", "WebPage", "Read a page of the public web as Markdown.", "web", {"": ("trafilatura", "httpcore")}
    ),
    "foundry_core": BuiltIn(
        "foundry.plugins.foundry_core.tools",
        "FoundryCore",
        "Make agents, look after them, run them.",
        few=("create_agent", "list_agents", "run_agent", "delete_agent"),
    ),
    "pdf": BuiltIn(
        f"{_LIBRARY}.pdf",
        "Pdf",
        "Make PDFs of Markdown and read the text of PDFs.",
        "pdf",
        {"write": ("reportlab", "markdown_it", "uharfbuzz", "pymupdf_fonts"), "read": ("pypdf",)},
    ),
    "git": BuiltIn(
        f"{_LIBRARY}.git",
        "Git",
        "Work in git repositories; nothing that a repository brings is run.",
        "git",
        {"": ("git",)},
        {
            "GIT_TOKEN": "optional: the token for pull, push and clone over https",
            "GIT_USER": "optional: the user that goes with it, x-access-token if not set",
            "GIT_AUTHOR_NAME": "optional: who commits; else the repository's user.name",
            "GIT_AUTHOR_EMAIL": "optional: the mail address of who commits; else the repository's user.email",
        },
    ),
    "github": BuiltIn(
        f"{_LIBRARY}.github",
        "GitHub",
        "Read, comment on and open GitHub's issues and pull requests.",
        "github",
        {"": ("github",)},
        {
            "GITHUB_TOKEN": "the token for GitHub, with the right to issues and pull requests",
            "GITHUB_BASE_URL": "optional: the API of a GitHub Enterprise, such as https://github.example.org/api/v3",
        },
    ),
    "email": BuiltIn(
        f"{_LIBRARY}.email",
        "Email",
        "Send mail by SMTP with TLS, or keep it as an .eml file.",
        variables={
            "SMTP_HOST": "the server that mail is handed to, such as mail.example.org",
            "SMTP_FROM": "who mail is from, such as Me <me@example.org>",
            "SMTP_USER": "optional: the name to log in with; most servers want one",
            "SMTP_PASSWORD": "optional: the password to log in with; some providers want one made for an app",
            "SMTP_PORT": "optional: 587 if not set",
            "SMTP_SECURITY": "optional: starttls (if not set), tls, or none for a server on this machine",
        },
    ),
    "database": BuiltIn(
        f"{_LIBRARY}.database",
        "Database",
        "SQL on SQLite files of the working folder or on a server: read, or changed when asked.",
        extra="database",
        variables={"DATABASE_URL": "optional: a server's database, such as postgresql://name:password@db.example.org/shop"},
    ),
    "environment": BuiltIn(f"{_LIBRARY}.environment", "Environment", "Which variables the agent has; ask the user for one."),
    "clock": BuiltIn(f"{_LIBRARY}.clock", "Clock", "Date and time here or in another time zone."),
}


def extras_of(definition: AgentDefinition) -> tuple[str, ...]:
    """Return the extras of Foundry that the agent's built-in tools need, sorted."""
    return tuple(sorted({BUILT_INS[name].extra for name in _named(definition.tools)} - {""}))


def env_of(definition: AgentDefinition) -> dict[str, str]:
    """Return the variables the agent is given, with what for: those its built-in tools know, those its config names."""
    found = {key: why for name in _named(definition.tools) for key, why in BUILT_INS[name].variables.items()}
    found = {**variables_of(definition), **found}
    return {**found, **{key: why or found.get(key, "") for key, why in definition.env.items()}}


def is_for_small(tool: str, definition: AgentDefinition) -> bool:
    """Return whether a small model is told of the tool with this id: always of one that the config names itself."""
    plugin, _, function = tool.partition(".")
    few = BUILT_INS[plugin].few if plugin in BUILT_INS else ()
    return not few or function in few or tool in definition.tools


def needs(name: str, package: str) -> str:
    """Return what is said of a built-in's tool whose package is missing."""
    return f'needs the package {package}, which the extra "{BUILT_INS[name].extra}" brings'


def _named(tools: Iterable[str]) -> Iterator[str]:
    """Yield the built-in plugins that entries of `tools` name, each once."""
    yield from dict.fromkeys(name for name in (tool.partition(".")[0] for tool in tools) if name in BUILT_INS)
