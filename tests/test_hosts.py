"""What counts as this machine: its loopback name and addresses, nothing that only looks like them."""

from __future__ import annotations

import pytest

from foundry.hosts import is_address, is_this_machine


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize(
    "host",
    ["", "localhost.example.org", "127.0.0.1.example.org", "0177.0.0.1", "2130706433", "0.0.0.0", "[::1]", "::1%lo", "10.0.0.1"],
)
def test_nothing_else_is(host: str) -> None:
    assert not is_this_machine(host)


def test_an_address_has_no_zone_and_no_brackets() -> None:
    assert is_address("2001:db8::1")
    assert not any(map(is_address, ("fe80::1%eth0", "[::1]", "example.org")))
