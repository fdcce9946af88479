"""Which hosts are this machine, told by their name or address alone: nothing is looked up."""

from __future__ import annotations

import ipaddress


def is_address(host: str) -> bool:
    """Return whether a host is an IP address, one of IPv6 without brackets and without a zone."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def is_this_machine(host: str) -> bool:
    """Return whether a host is this machine by its loopback name or address."""
    return host.lower() == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
