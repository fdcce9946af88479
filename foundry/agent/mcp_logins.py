"""Logins at MCP servers: the tokens that a person's browser got, in the user's state folder and nowhere else.

One file for each agent beside its standing, mode 0600; a login counts for the server's entry as it was, and for no other.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from foundry.agent.folder import AgentFolder
from foundry.agent.mcp_servers import McpServer, entry_hash
from foundry.agent.standing import logins_file
from foundry.files import BadFileError, read_json, write_json

_EARLY = 30.0  # seconds before its end at which a token counts as expired: it is still on its way then
Need = Literal["", "needed", "there"]


@dataclass(frozen=True, slots=True)
class Login:
    """One login: tokens with when they end (seconds since 1970, 0: not said), and all that renewing them takes.

    `challenge` is what the server said when it last asked for a login, "" while none is needed.
    """

    entry: str = ""
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    expires: float = 0.0
    scope: str = ""
    issuer: str = ""
    token_endpoint: str = ""
    resource: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    client_auth: str = ""
    challenge: str = ""

    @property
    def expired(self) -> bool:
        """Whether its access token has ended or is about to."""
        return bool(self.expires) and time.time() > self.expires - _EARLY

    def secrets(self, name: str) -> dict[str, str]:
        """Return what of it nobody may see, each by what it is called instead."""
        found = {"token": self.access_token, "refresh token": self.refresh_token, "client secret": self.client_secret}
        return {f"{what} of the MCP server {name}": value for what, value in found.items() if value}


def login_of(agent: AgentFolder, server: McpServer) -> Login:
    """Return the login at this server as its entry is now, an empty one where there is none."""
    found = _read(agent).get(server.name)
    return found if found and found.entry == entry_hash(server, agent) else Login()


def need_of(agent: AgentFolder, server: McpServer) -> Need:
    """Return whether a login at the server is needed, is there, or was never asked for."""
    if not server.logs_in or server.oauth.get("grant") == "client_credentials":
        return ""
    login = login_of(agent, server)
    if login.challenge or (login.expired and not login.refresh_token) or (server.asks_login and not login.access_token):
        return "needed"
    return "there" if login.access_token else ""


def keep_login(agent: AgentFolder, server: McpServer, change: Callable[[Login], Login]) -> Login:
    """Replace the login at the server by what `change` makes of it, one process at a time, and return it. Raises OSError."""
    with _locked(agent):
        kept = _read(agent)
        entry = entry_hash(server, agent)
        old = kept.get(server.name, Login())
        new = replace(change(old if old.entry == entry else Login()), entry=entry)
        _write(agent, {**kept, server.name: new})
        return new


def forget_login(agent: AgentFolder, name: str) -> bool:
    """Forget the login at the server called so; return whether there was one. Raises OSError."""
    if name not in _read(agent):
        return False
    with _locked(agent):
        kept = _read(agent)
        there = kept.pop(name, Login())
        _write(agent, kept)
        return bool(there.access_token)


def _read(agent: AgentFolder) -> dict[str, Login]:
    with suppress(BadFileError, TypeError, ValueError, AttributeError):
        return {name: _login(one) for name, one in read_json(logins_file(agent)).items()}
    return {}


def _login(data: Mapping[str, Any]) -> Login:
    known = {one.name for one in fields(Login)} & data.keys()
    given: dict[str, Any] = {name: float(data[name]) if name == "expires" else str(data[name]) for name in known}
    return Login(**given)


def _write(agent: AgentFolder, logins: Mapping[str, Login]) -> None:
    write_json(logins_file(agent), {name: asdict(one) for name, one in logins.items()}, 0o600)


@contextmanager
def _locked(agent: AgentFolder) -> Iterator[None]:
    place = logins_file(agent)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(place.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
