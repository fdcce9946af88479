"""Where a URL leads: read strictly, one spelling only, and never to an address inside this machine or its network."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from foundry.plugins.api import ToolError

LONGEST = 2000
_PORTS = {"http": 80, "https": 443}
_LEAST_PORT = 1024  # below it only 80 and 443: no page is served where mail, ssh and the like are
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)+(?!-)[a-z0-9-]{2,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# What browsers read otherwise than Python's codec does: the name that is shown must be the one that is meant.
_AMBIGUOUS = re.compile("[\u00df\u03c2\u200c\u200d]")
_INNER_NAMES = frozenset(
    ("localhost", "localdomain", "local", "internal", "intranet", "private", "lan", "corp", "home", "arpa", "onion")
)

# Python's is_global differs between its releases, so what is refused stands here; IPv6 is refused but for what is global.
_REFUSED_V4 = [
    ipaddress.IPv4Network(one)
    for one in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's own services for a machine, at an address that looks public
    )
]
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = [
    ipaddress.IPv6Network(one)
    for one in (
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4 holds any IPv4 address
        "2620:4f:8000::/48",
        "3fff::/20",
    )
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Resolve = Callable[..., Sequence[tuple[Any, ...]]]
Allowed = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart: `host` in ASCII and lower case, an IPv6 address without brackets; `path` with its query, in ASCII."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def place(self) -> str:
        """The host as people write it, with its port where that is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.place}{self.path}"

    @property
    def is_address(self) -> bool:
        return ":" in self.host or self.host.replace(".", "").isdigit()


def target_of(url: str) -> Target:
    """Return where a URL leads. Raises ToolError for what is no plain http or https URL, without looking up anything."""
    url = url.strip(" ")
    if len(url) > LONGEST:
        raise ToolError(f"The URL is longer than {LONGEST} characters.")
    odd = next((one for one in url if one == "\\" or unicodedata.category(one)[0] in "CZ"), "")
    if odd:
        raise ToolError(f"The URL has a character that no URL has (U+{ord(odd):04X}). Write it percent-encoded, such as %20.")
    if not (found := _URL.fullmatch(url)):
        raise ToolError("Only URLs that begin with http:// or https:// can be fetched.")
    scheme, authority, path = found[1].lower(), found[2], found[3]
    if "@" in authority:
        raise ToolError("A URL with a user name in it is not fetched. Leave out what stands before the @.")
    if not (parts := _AUTHORITY.fullmatch(authority)):
        raise ToolError(f"The URL's host {authority[:100]!r} cannot be read. Write it as https://host/path.")
    port = int(parts[2]) if parts[2] else _PORTS[scheme]
    if port not in _PORTS.values() and not _LEAST_PORT <= port <= 65535:
        raise ToolError(f"Port {port} is not fetched from: only 80, 443 and those from {_LEAST_PORT} on.")
    path = path if path.startswith("/") else f"/{path}"
    return Target(scheme, _host(parts[1]), port, quote(path, safe="%/:?[]@!$&'()*+,;=~|-._"))


def _host(given: str) -> str:
    if given.startswith("["):
        return _v6(given[1:-1])
    if _AMBIGUOUS.search(given):
        raise ToolError("The URL's host has a letter that is read in two ways. Write the host in its xn-- form.")
    try:
        name = given.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise ToolError(f"The URL's host {given[:100]!r} is no host's name.") from None
    last = name.rpartition(".")[2]
    if _NUMBER.fullmatch(last):
        return _v4(name)
    if last in _INNER_NAMES:
        raise ToolError(f"{name!r} is a name inside this machine or its network. Only public pages can be fetched.")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ToolError(f"The URL's host {name[:100]!r} is no public host's name, such as example.org.")
    return name


def _v4(text: str) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise ToolError(f"The URL's host {text[:100]!r} is an odd spelling of an address, which is not fetched.") from None
    return str(address)


def _v6(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ToolError(f"The URL's host [{text[:100]}] is no address that can be fetched.") from None
    return str(address)


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public network's: not of this machine, a private network or a special use."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return not any(found in one for one in _REFUSED_V4)
    if found.scope_id:
        return False
    if found in _NAT64:  # how a network that has only IPv6 names every public IPv4 address
        return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    return found in _GLOBAL_V6 and not any(found in one for one in _REFUSED_V6)


def is_of_this_machine(address: str) -> bool:
    """Return whether an IP address is one of this machine's own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))  # sends nothing; only an own address can be bound
    except OSError:
        return False
    return True


def is_elsewhere(address: str, own: Allowed = is_of_this_machine) -> bool:
    """Return whether an IP address is public and none of this machine's own, which may be public too."""
    return is_public(address) and not own(address)


def addresses_of(target: Target, resolve: Resolve, allowed: Allowed, seconds: float) -> list[str]:
    """Return the addresses of a target's host, from one answer of the resolver, in its order.

    Raises ToolError where there is none, any of them is not `allowed`, or no answer came within `seconds`.
    """
    found = [target.host] if target.is_address else _looked_up(target, resolve, seconds)
    if not found:
        raise ToolError(f"The name {target.host} has no address.")
    check_addresses(target, found, allowed)
    return found


def check_addresses(target: Target, addresses: Sequence[str], allowed: Allowed) -> None:
    """Raise ToolError where a single one of a target's addresses is not `allowed`; which one is nobody's business."""
    if not all(allowed(one) for one in addresses):
        raise ToolError(f"{target.place} leads inside this machine or its network. Only public pages can be fetched.")


def _looked_up(target: Target, resolve: Resolve, seconds: float) -> list[str]:
    outcome: list[Any] = []

    def look_up() -> None:
        try:
            outcome.append(resolve(target.host, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            outcome.append(error)

    # The system's resolver cannot be interrupted; a thread can be left behind.
    asking = threading.Thread(target=look_up, name="resolve", daemon=True)
    asking.start()
    asking.join(max(seconds, 0))
    if not outcome:
        raise ToolError(f"The name {target.host} was not resolved within {seconds:.0f} s. Is this machine offline?")
    if isinstance(outcome[0], BaseException):
        raise ToolError(f"The name {target.host} cannot be resolved: there is no such host, or this machine is offline.")
    return list(dict.fromkeys(str(one[4][0]) for one in outcome[0]))
