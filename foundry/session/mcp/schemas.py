"""A server's input schemas: bounded, without references, and arguments checked by them before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from foundry.plugins.api import ToolError

_LONGEST, _DEEPEST, _MOST_PARTS = 20_000, 24, 2_000  # characters, levels, parts with the references put in
_LONGEST_ARGUMENTS = 200_000
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # what every provider takes
_FOR_US = ("$schema", "$id", "$defs", "definitions", "$comment", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef")
# A pattern can take for ever; the server checks its own. The rest names other schemas or costs more than it tells.
_NOT_CHECKED = ("pattern", "patternProperties", "propertyNames", "format", "uniqueItems", "dependencies", "dependentSchemas")
_HOLD_DATA = ("default", "const", "enum", "examples")
_HOLD_NAMES = ("properties", "patternProperties", "dependentSchemas")


class BadSchema(ValueError):
    """A tool's schema cannot be used; the text says why."""


def flattened(schema: Any) -> dict[str, Any]:
    """Return a tool's input schema with the references put in. Raises BadSchema for one that is hostile or none."""
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        raise BadSchema("its input schema is no object's")
    try:
        if len(json.dumps(schema)) > _LONGEST:
            raise BadSchema(f"its input schema is longer than {_LONGEST} characters")
        flat = _Flattening(schema).part(schema, (), 0)
    except RecursionError:
        raise BadSchema("its input schema is nested too deeply") from None
    properties = flat.get("properties", {})
    if not isinstance(properties, dict) or not all(isinstance(one, dict | bool) for one in properties.values()):
        raise BadSchema("its input schema has no proper properties")
    if odd := next((name for name in properties if not _PROPERTY.fullmatch(name)), None):
        raise BadSchema(f"its parameter {odd[:80]!r} has a name that models cannot be given")
    required = flat.get("required", [])
    if not isinstance(required, list) or not all(isinstance(one, str) for one in required):
        raise BadSchema("its input schema has no proper list of what is required")
    _check_schema(flat)
    return {**flat, "type": "object", "properties": properties}


def for_model(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a flattened schema what a model is told: providers take nothing else at its top."""
    properties = {name: one if isinstance(one, dict) else {} for name, one in flat["properties"].items()}
    required = [one for one in flat.get("required", []) if one in properties]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def checked(flat: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments if the schema takes them. Raises ToolError naming what is wrong."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from referencing import Registry

    try:
        if len(json.dumps(arguments)) > _LONGEST_ARGUMENTS:
            raise ToolError(f"The arguments are longer than {_LONGEST_ARGUMENTS} characters.")
        found = list(_first(Draft202012Validator(_checkable(flat), registry=Registry()).iter_errors(dict(arguments)), 3))
    except RecursionError:
        raise ToolError("The arguments are nested too deeply.") from None
    if found:
        told = (f"{'.'.join(map(str, one.absolute_path)) or 'arguments'}: {one.message[:200]}" for one in found)
        raise ToolError("Wrong arguments. " + "; ".join(told))
    return dict(arguments)


def _first(errors: Any, most: int) -> Any:
    for _, one in zip(range(most), errors, strict=False):
        yield one


def _check_schema(flat: Mapping[str, Any]) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]

    try:
        Draft202012Validator.check_schema(_checkable(flat))
    except SchemaError as error:
        raise BadSchema(f"its input schema is none: {error.message[:200]}") from None


def _checkable(part: Any) -> Any:
    """Return a flattened schema without what is not checked here."""
    if isinstance(part, list):
        return [_checkable(one) for one in part]
    if not isinstance(part, Mapping):
        return part
    return {
        key: value
        if key in _HOLD_DATA
        else {name: _checkable(one) for name, one in value.items()}
        if key in _HOLD_NAMES and isinstance(value, Mapping)
        else _checkable(value)
        for key, value in part.items()
        if key not in _NOT_CHECKED
    }


class _Flattening:
    """Puts a schema's references to itself in, as many parts as are allowed."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = _MOST_PARTS

    def part(self, part: Any, inside: tuple[str, ...], depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise BadSchema(f"its input schema has more than {_MOST_PARTS} parts with the references put in")
        if depth > _DEEPEST:
            raise BadSchema(f"its input schema is nested deeper than {_DEEPEST} levels")
        if isinstance(part, list):
            return [self.part(one, inside, depth + 1) for one in part]
        if not isinstance(part, Mapping):
            return part
        if "$ref" in part:
            return self._followed(part, inside, depth)
        return {
            key: value
            if key in _HOLD_DATA
            else {name: self.part(one, inside, depth + 1) for name, one in value.items()}
            if key in _HOLD_NAMES and isinstance(value, Mapping)
            else self.part(value, inside, depth + 1)
            for key, value in part.items()
            if key not in _FOR_US
        }

    def _followed(self, part: Mapping[str, Any], inside: tuple[str, ...], depth: int) -> Any:
        reference = part["$ref"]
        beside = {key: value for key, value in part.items() if key != "$ref"}
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise BadSchema(f"its input schema refers to another place: {str(reference)[:80]!r}")
        if reference in inside:  # it contains itself: from here on the server checks
            return self.part(beside, inside, depth)
        target: Any = self._root
        for word in reference.removeprefix("#").split("/")[1:]:
            word = word.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or word not in target:
                raise BadSchema(f"its input schema refers to what is not there: {reference[:80]!r}")
            target = target[word]
        found = self.part(target, (*inside, reference), depth + 1)
        return {**found, **self.part(beside, inside, depth + 1)} if isinstance(found, dict) else found
