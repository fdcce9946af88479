"""The MCP servers an agent names: `mcp_servers` of agent.config.json read strictly, and what of them the person has accepted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from foundry.agent.definition import PLUGIN_NAME, VARIABLE_NAME, AgentDefinition
from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import is_secret_name
from foundry.agent.standing import change_standing, standing_of
from foundry.files import nearest
from foundry.hosts import is_this_machine

MOST_SERVERS = 32
_KEYS = ("command", "args", "env", "cwd")
_HTTP_KEYS = ("url", "headers", "oauth")
_OAUTH_KEYS = ("client_id", "client_secret", "private_key", "algorithm", "client_metadata_url", "issuer", "grant")
_GRANTS = ("authorization_code", "client_credentials")
_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "x-auth", "api-key", "apikey")
_HASHED_WHOLE = 8 * 1024 * 1024
_NEW = ""


@dataclass(frozen=True, slots=True)
class McpServer:
    """One server: a `command` that is started and talked to over its streams, or the `url` of one that runs elsewhere.

    Values of `env`, `headers` and `oauth` may hold references such as ${TOKEN}, which `resolved` puts in. `oauth` says how to
    log in where the server does not tell; `asks_login` that there is such an entry, if an empty one.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    oauth: Mapping[str, str] = field(default_factory=dict)
    asks_login: bool = False

    @property
    def logs_in(self) -> bool:
        """Whether it may ask for a login: it is reached over HTTP, and no header of its entry says who asks."""
        return bool(self.url) and "authorization" not in map(str.lower, self.headers)

    @property
    def host(self) -> str:
        """The host of its URL with the port if one is given, "" for a command."""
        return urlsplit(self.url).netloc

    def variables(self) -> tuple[str, ...]:
        """Return the variables that it refers to, each once."""
        texts = (*self.env.values(), *self.headers.values(), *self.oauth.values())
        return tuple(dict.fromkeys(name for text in texts for name in _REFERENCE.findall(text)))

    def folder(self, agent: AgentFolder) -> Path:
        """Return the folder that its command is started in: its `cwd`, counted from the agent's folder."""
        return agent.path / self.cwd

    def missing(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Return the variables it refers to that have no value."""
        return tuple(name for name in self.variables() if not values.get(name))

    def resolved(self, texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
        """Return its `env`, `headers` or `oauth` with the references replaced by values; these are secrets."""
        return {name: _REFERENCE.sub(lambda found: values.get(found.group(1), ""), text) for name, text in texts.items()}

    def facts(self, agent: AgentFolder) -> list[tuple[str, str]]:
        """Return what starting or reaching it does, all of it, without a secret."""
        if self.url:
            headers = [(f"header {name}", text) for name, text in self.headers.items()]
            logs_in = [(f"login {name}", text) for name, text in self.oauth.items()]
            return [("server", self.name), ("url", self.url), *headers, *logs_in]
        pairs = [("server", self.name), ("command", self.command)]
        pairs += [(f"argument {number}", one) for number, one in enumerate(self.args, 1)]
        pairs += [(f"variable {name}", text) for name, text in self.env.items()]
        return [*pairs, ("starts in", str(self.folder(agent)))]


def parse_servers(data: Mapping[str, Any]) -> dict[str, McpServer]:
    """Return the servers that `mcp_servers` names. Raises ValueError telling what is wrong with the first bad one."""
    if len(data) > MOST_SERVERS:
        raise ValueError(f"names {len(data)} servers; at most {MOST_SERVERS} are started")
    found = {}
    for name, entry in data.items():
        if not PLUGIN_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no server's name (lower-case letters, digits, _)")
        try:
            found[name] = _server(name, entry)
        except ValueError as error:
            raise ValueError(f'"{name}": {error}') from None
    return found


def usable(definition: AgentDefinition, taken: Iterable[str]) -> tuple[dict[str, McpServer], list[str]]:
    """Return the agent's servers and what is to be said of those left out: their tools would be called like others'."""
    servers = parse_servers(definition.mcp_servers)
    others = {*taken, *definition.plugins}
    said = [f'The MCP server "{name}" is left out: a plugin has that name. Rename it.' for name in servers if name in others]
    return {name: one for name, one in servers.items() if name not in others}, said


def variables_of(definition: AgentDefinition) -> dict[str, str]:
    """Return the variables that the agent's servers refer to, with what for."""
    servers = parse_servers(definition.mcp_servers).values()
    return {name: f'for the MCP server "{one.name}"' for one in servers for name in one.variables()}


# what was accepted -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pin:
    """What of a server the person has seen and accepted: the hash of its entry, and of each tool by the server's own name."""

    entry: str = ""
    tools: Mapping[str, str] = field(default_factory=dict)


def pin_of(folder: AgentFolder, name: str) -> Pin:
    """Return what was accepted of the server, nothing of one that is new."""
    known = dict(standing_of(folder).servers.get(name, {}))
    return Pin(known.pop(_NEW, ""), known)


def pin(folder: AgentFolder, name: str, change: Callable[[Pin], Pin]) -> Pin:
    """Replace what was accepted of the server by what `change` makes of it, and return it. Raises OSError, FoundryError."""

    def changed(old: Any) -> Any:
        known = dict(old.servers.get(name, {}))
        new = change(Pin(known.pop(_NEW, ""), known))
        return replace(old, servers={**old.servers, name: {_NEW: new.entry, **new.tools}})

    change_standing(folder, changed)
    return pin_of(folder, name)


def forget_pin(folder: AgentFolder, name: str) -> None:
    """Forget what was accepted of the server."""
    change_standing(folder, lambda old: replace(old, servers={one: pin for one, pin in old.servers.items() if one != name}))


def entry_hash(server: McpServer, agent: AgentFolder) -> str:
    """Return the hash of how it is started or reached, with the files of the agent's folder that its command names."""
    told = {**asdict(server), "files": dict(_files(server, agent))}
    return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _files(server: McpServer, agent: AgentFolder) -> Iterator[tuple[str, str]]:
    """Yield the files in the agent's folder that are part of the command, by hash: what they do is what was accepted."""
    root = agent.path.resolve()
    for text in (server.command, *server.args):
        try:
            path = (server.folder(agent) / text).resolve()
            if path.is_relative_to(root) and path.is_file() and path.stat().st_size <= _HASHED_WHOLE:
                yield text, hashlib.sha256(path.read_bytes()).hexdigest()
        except (OSError, ValueError, RuntimeError):
            continue


# reading -----------------------------------------------------------------------------------------------------------------


def _server(name: str, entry: Any) -> McpServer:
    if not isinstance(entry, Mapping):
        raise ValueError("must be an object")
    kind = entry.get("type", "")
    if kind == "sse":
        raise ValueError('the old "sse" transport is not spoken; servers that have it mostly have "http" too')
    known = ("type", *(_HTTP_KEYS if "url" in entry else _KEYS))
    for key in entry:
        if key not in known:
            close = nearest(key, (*_KEYS, *_HTTP_KEYS, "type"))
            raise ValueError(f'unknown key "{key}"' + (f', did you mean "{close}"?' if close else ""))
    if "url" in entry:
        if kind not in ("", "http", "streamable-http", "streamable_http", "streamableHttp"):
            raise ValueError(f'a server with a "url" is of the type "http", not {kind!r}')
        server = McpServer(name, url=_url(entry["url"]), headers=_headers(entry.get("headers", {})))
        if "oauth" in entry and not server.logs_in:
            raise ValueError('has a header "Authorization" and "oauth"; one of them says who asks')
        return replace(server, oauth=_oauth(entry.get("oauth", {})), asks_login="oauth" in entry)
    if "command" not in entry:
        raise ValueError('has neither "command" nor "url"')
    if kind not in ("", "stdio"):
        raise ValueError(f'a server with a "command" is of the type "stdio", not {kind!r}')
    return McpServer(
        name,
        command=_word(entry["command"], "command"),
        args=_args(entry.get("args", ())),
        env=_env(entry.get("env", {})),
        cwd=_plain(entry.get("cwd", ""), "cwd"),
    )


def _plain(value: Any, key: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f'"{key}" must be text')
    if _REFERENCE.search(value):
        raise ValueError(f'"{key}" takes no ${{NAME}}: others on this machine could read it; "env" and "headers" do')
    return value


def _word(value: Any, key: str) -> str:
    text = _plain(value, key)
    if not text.strip():
        raise ValueError(f'"{key}" is empty')
    return text


def _args(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError('"args" must be a list of texts')
    words = tuple(_plain(one, "args") for one in value)
    for place, word in enumerate(words):
        option, given, text = word.partition("=")
        following = words[place + 1] if place + 1 < len(words) else ""
        literal = text if given else "" if following.startswith("-") else following
        if option.startswith("-") and is_secret_name(_as_name(option)) and literal:
            raise ValueError(f'"args": {option} looks like a secret, which others could read there; give it by "env"')
    return words


def _env(value: Any) -> dict[str, str]:
    for name in _texts(value, "env"):
        if not VARIABLE_NAME.fullmatch(name):
            raise ValueError(f'"env": {name!r} is no environment variable\'s name')
    return {name: _valued(name, text, is_secret_name(name)) for name, text in value.items()}


def _headers(value: Any) -> dict[str, str]:
    for name, text in _texts(value, "headers").items():
        if not _HEADER.fullmatch(name) or re.search(r"[\x00-\x1f\x7f]", text):
            raise ValueError(f'"headers": {name!r} cannot be sent')
    secret = {name: is_secret_name(_as_name(name)) or any(one in name.lower() for one in _SECRET_HEADERS) for name in value}
    return {name: _valued(name, text, secret[name]) for name, text in value.items()}


def _oauth(value: Any) -> dict[str, str]:
    for key in _texts(value, "oauth"):
        if key not in _OAUTH_KEYS:
            raise ValueError(f'"oauth": unknown key "{key}"; there are {", ".join(_OAUTH_KEYS)}')
    found = {name: _valued(name, text, name in ("client_secret", "private_key")) for name, text in value.items()}
    for key in ("client_metadata_url", "issuer"):
        if key in found:
            _url(found[key])
    grant = found.get("grant", _GRANTS[0])
    if grant not in _GRANTS:
        raise ValueError(f'"oauth": "grant" is one of {", ".join(_GRANTS)}')
    secret = {"client_secret", "private_key"} & found.keys()
    if grant == "client_credentials" and not ({"client_id", "issuer"} <= found.keys() and len(secret) == 1):
        raise ValueError(
            '"oauth": client_credentials need "client_id", "client_secret" or "private_key", and "issuer", its only reader'
        )
    if grant != "client_credentials" and {"private_key", "algorithm"} & found.keys():
        raise ValueError('"oauth": a "private_key" is for the "grant" client_credentials')
    if "client_secret" in found and "client_id" not in found:
        raise ValueError('"oauth": a "client_secret" belongs to a "client_id"')
    return found


def _texts(value: Any, key: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(one, str) and "\0" not in one for one in value.values()):
        raise ValueError(f'"{key}" must be an object of texts')
    return dict(value)


def _valued(name: str, text: str, secret: bool) -> str:
    references = _REFERENCE.findall(text)
    for one in references:
        if not VARIABLE_NAME.fullmatch(one):
            raise ValueError(f'"{name}": ${{{one}}} names no environment variable')
    if secret and text and not references:
        raise ValueError(
            f'"{name}" looks like a secret, which does not belong in this file: write ${{NAME}} and set NAME in .env'
        )
    return text


def _as_name(text: str) -> str:
    return text.strip("-").replace("-", "_")


def _url(value: Any) -> str:
    text = _word(value, "url")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f'"url": {error}') from None
    if parts.scheme not in ("https", "http") or not host or re.search(r"[\s\x00-\x20\x7f]", text):
        raise ValueError('"url" must be an https:// address')
    if parts.scheme == "http" and not is_this_machine(host):
        raise ValueError('"url" must begin with https://: over http:// anybody on the way reads and changes what is said')
    if parts.username or parts.password or any(is_secret_name(_as_name(name)) for name, _ in parse_qsl(parts.query)):
        raise ValueError('"url" holds a secret, which does not belong in this file; give it by "headers"')
    return text
