"""Variables as tests hand them to a tool."""

from __future__ import annotations

from collections.abc import Mapping

from foundry.plugins.api import Variables


class Given(Variables):
    """Variables with these values, and nobody to ask."""

    def __init__(self, **values: str) -> None:
        self.values = values

    def get(self, name: str) -> str:
        return self.values.get(name, "")

    def names(self) -> Mapping[str, tuple[str, bool]]:
        return {name: ("", bool(value)) for name, value in self.values.items()}
