"""The settings in force: each with its value, the layer that gave it, its variable and its meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundry.console import Block, Table
from foundry.settings import Settings, Source


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting in force; `variable` is the environment name that sets it."""

    name: str
    value: str | int | float | bool
    source: Source
    variable: str
    meaning: str


@dataclass(frozen=True, slots=True)
class SettingsShown:
    """Every setting, in the order they are declared."""

    settings: tuple[SettingRow, ...]

    def shown(self) -> Sequence[Block]:
        rows = [(one.name, _told(one.value), one.source, f"{one.variable}: {one.meaning}") for one in self.settings]
        return [Table(("NAME", "VALUE", "SOURCE", "VARIABLE"), rows, styles={"default": "dim"}, last="below")]


def show_settings(settings: Settings) -> SettingsShown:
    """Return the settings with what each is, where that comes from and what it means."""
    return SettingsShown(
        tuple(
            SettingRow(value.setting.name, value.value, value.source, value.setting.variable, value.setting.meaning)
            for value in settings.values.values()
        )
    )


def _told(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value) or "-"
