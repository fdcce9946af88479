"""A tool's parameters: from a method's signature to a short JSON schema, and from a model's arguments to checked values."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError

from foundry.files import nearest, no_constants, no_duplicates
from foundry.plugins.api import ToolError
from foundry.plugins.cards import PluginProblem

MAX_ARGUMENTS = 1_000_000
_MAX_SCHEMA = 20_000
_CONTAINERS = {"list_type", "dict_type", "model_type", "model_attributes_type", "dataclass_type", "set_type", "tuple_type"}


class _Schema(GenerateJsonSchema):
    ignored_warning_kinds: typing.ClassVar[set[Any]] = {"non-serializable-default", "skipped-choice"}  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Parameters:
    """A method's parameters: `schema` for the model, `names` from the fields of the pydantic model to the real parameters.

    `always` are the fields whose default stands in a Field(…), where Python itself would not find it.
    """

    model: type[BaseModel]
    schema: dict[str, Any]
    names: Mapping[str, str]
    always: frozenset[str]

    def canonical(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as JSON data, as they will be passed. Raises ToolError naming each wrong one."""
        checked = self._checked(arguments)
        try:
            return checked.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
        except PydanticSerializationError:  # a type of the plugin's own that reads JSON and does not write it
            return dict(arguments)

    def values(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the method wants them. Raises ToolError naming each wrong one."""
        checked = self._checked(arguments)
        return {self.names[name]: getattr(checked, name) for name in checked.model_fields_set | self.always}

    def _checked(self, arguments: Mapping[str, Any]) -> BaseModel:
        try:
            return self.model.model_validate(dict(arguments))
        except ValidationError as error:
            first = error
        except Exception as error:
            raise ToolError(f"Wrong arguments: {type(error).__name__}: {error}") from None
        try:
            return self.model.model_validate(self._mended(arguments, first))
        except ValidationError:
            raise ToolError("Wrong arguments. " + "; ".join(self._told(one) for one in first.errors()[:5])) from None

    def _mended(self, arguments: Mapping[str, Any], error: ValidationError) -> dict[str, Any]:
        """Return the arguments with what small models get wrong put right: null for a default, JSON text for a list or object."""
        mended = dict(arguments)
        required = self.schema.get("required", [])
        for one in error.errors():
            name = str(one["loc"][0])
            if name not in mended:
                continue
            if mended[name] is None and name not in required:
                del mended[name]
            elif one["type"] in _CONTAINERS and len(one["loc"]) == 1 and isinstance(mended[name], str):
                try:
                    mended[name] = json.loads(mended[name])
                except (ValueError, RecursionError):
                    continue
        return mended

    def _told(self, error: Any) -> str:
        where = ".".join(str(part) for part in error["loc"])
        if error["type"] == "missing":
            return f"{where}: missing"
        if error["type"] == "extra_forbidden":
            known = list(self.names.values())
            close = nearest(where, known)
            meant = f"did you mean {close}?" if close else f"known: {', '.join(known) or 'none'}"
            return f"{where}: unknown argument, {meant}"
        message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
        shown = repr(error["input"])
        return f"{where}: {message}, not {shown}" if len(shown) < 60 else f"{where}: {message}"


def parameters_of(method: Callable[..., Any]) -> Parameters:
    """Return the parameters of a bound method. Raises PluginProblem, its line the method's, for what no schema can say."""
    code = getattr(inspect.unwrap(method), "__code__", None)
    try:
        return _parameters(method)
    except PluginProblem as problem:
        problem.line = problem.line or (code.co_firstlineno if code else 0)
        raise


def parse_arguments(text: str) -> dict[str, Any]:
    """Return the arguments a model wrote as JSON text. Raises ToolError saying what is wrong with it."""
    if not text.strip():
        return {}
    if len(text) > MAX_ARGUMENTS:
        raise ToolError(f"The arguments are {len(text)} characters long; at most {MAX_ARGUMENTS} are accepted.")
    try:
        data = json.loads(text, strict=False, object_pairs_hook=no_duplicates, parse_constant=no_constants)
        if isinstance(data, str) and data.lstrip().startswith("{"):
            data = json.loads(data, strict=False, object_pairs_hook=no_duplicates, parse_constant=no_constants)
        json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ToolError(f"The arguments are not JSON: {error.msg} at character {error.pos}. Send one JSON object.") from None
    except RecursionError:
        raise ToolError("The arguments are nested too deeply.") from None
    except ValueError as error:
        raise ToolError(f"The arguments are not usable JSON: {error}") from None
    if not isinstance(data, dict):
        raise ToolError(f"The arguments are a JSON {_KINDS.get(type(data), 'value')}, not an object. Send one JSON object.")
    return data


_KINDS: dict[type, str] = {list: "list", str: "text", int: "number", float: "number", bool: "boolean", type(None): "null"}


def _parameters(method: Callable[..., Any]) -> Parameters:
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    always: set[str] = set()
    hints = _hints(method)
    for index, (name, one) in enumerate(inspect.signature(method).parameters.items()):
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
            raise PluginProblem(f"{method.__name__}: a tool cannot take {stars}{name}; each parameter has a name and a type")
        if _is_hidden(hints.get(name)):
            if one.default is one.empty:
                raise PluginProblem(f"{method.__name__}: {name} is hidden from the model and has no default")
            continue
        # Field names of our own: a parameter may be called _x, schema or model_config, which pydantic keeps for itself.
        fields[f"a{index}"] = _field(name, hints.get(name, Any), one.default)
        names[f"a{index}"] = name
        if isinstance(one.default, FieldInfo) and not one.default.is_required():
            always.add(f"a{index}")
    try:
        config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)
        model = create_model(method.__name__, __config__=config, **fields)
        schema = short_schema(model)
    except (PydanticUserError, NameError, TypeError, ValueError) as error:
        text = str(error).split("\n")[0]
        raise PluginProblem(f"{method.__name__}: a parameter's type has no JSON schema: {text}") from None
    if len(json.dumps(schema)) > _MAX_SCHEMA:
        raise PluginProblem(f"{method.__name__}: its parameters' schema is longer than {_MAX_SCHEMA} characters")
    return Parameters(model, schema, names, frozenset(always))


def _hints(method: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(method), include_extras=True)
    except Exception as error:
        raise PluginProblem(f"{method.__name__}: a parameter's type is not known: {error}") from None


def _is_hidden(hint: Any) -> bool:
    """Return whether the parameter carries Semantic Kernel's mark for one that a model never sees."""
    notes = getattr(hint, "__metadata__", ())
    return any(isinstance(one, dict) and one.get("include_in_function_choices") is False for one in notes)


def _field(name: str, hint: Any, default: Any) -> tuple[Any, Any]:
    base, *notes = (hint.__origin__, *hint.__metadata__) if typing.get_origin(hint) is Annotated else (hint,)
    if default is None:
        base = Optional[base]  # noqa: UP045 - built at run time from any type
    kept = [one for one in notes if not isinstance(one, str | dict)]
    annotation = Annotated[(base, *kept)] if kept else base
    extra: dict[str, Any] = {"alias": name}
    if meaning := _meaning(base, notes):
        extra["description"] = meaning
    if isinstance(default, FieldInfo):
        if default.description:
            extra["description"] = default.description
        bounds = list(default.metadata)
        annotation = Annotated[(annotation, *bounds)] if bounds else annotation
        given = {} if default.is_required() else {"default": default.get_default(call_default_factory=True)}
        return annotation, Field(**extra, **given)
    return annotation, Field(**extra) if default is inspect.Parameter.empty else Field(default, **extra)


def _meaning(base: Any, notes: list[Any]) -> str:
    """Return the text in `Annotated[X, "text"]`, also inside an Optional."""
    inner = [one for part in typing.get_args(base) for one in getattr(part, "__metadata__", ())] if _is_union(base) else []
    return " ".join(next((one for one in [*notes, *inner] if isinstance(one, str)), "").split())


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)


def short_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's JSON schema without references, titles and what a default already says. Raises PluginProblem."""
    raw = model.model_json_schema(mode="validation", schema_generator=_Schema)
    schema = _short(raw, raw.get("$defs", {}), ())
    schema.pop("additionalProperties", None)
    schema.pop("description", None)
    return {"type": "object", "properties": schema.get("properties", {}), **schema}


def _short(node: Any, known: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_short(one, known, inside) for one in node]
    if not isinstance(node, dict):
        return node
    if reference := node.get("$ref"):
        name = reference.rsplit("/", 1)[1]
        if name in inside:
            raise PluginProblem(f"the type {name} contains itself, which no short schema can say")
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return {**_short(known[name], known, (*inside, name)), **_short(beside, known, inside)}
    short: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("title", "discriminator", "$defs") or (key == "additionalProperties" and value in (True, False)):
            continue
        if key == "properties":
            short[key] = {name: _short(one, known, inside) for name, one in value.items()}
        else:
            short[key] = value if key in ("default", "const", "enum", "examples") else _short(value, known, inside)
    return _without_null(short)


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    """Return an optional field's schema as that of its type: who has nothing to say leaves the argument out."""
    if node.get("default", ...) is not None or "anyOf" not in node:
        return node
    rest = [one for one in node["anyOf"] if one != {"type": "null"}]
    beside = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
    return {**rest[0], **beside} if len(rest) == 1 else {**beside, "anyOf": rest}
