"""Semantic Kernel's Kernel: every tool is a kernel function in it, and is invoked through it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from foundry.models import lean_kernel
from foundry.plugins.api import Plan, ToolError
from foundry.plugins.strict import BoundTool

_PLAN = "a plan"  # beside the arguments, and no parameter can be called that


class ToolKernel:
    """A kernel that knows the given tools; Semantic Kernel is loaded by `load` or by the first invocation."""

    def __init__(self, tools: Sequence[BoundTool]) -> None:
        self._tools = tools
        self._functions: dict[str, Any] = {}
        self._kernel: Any = None
        self._loading = asyncio.Lock()

    @property
    def loaded(self) -> bool:
        return self._kernel is not None

    def load(self) -> None:
        """Import Semantic Kernel and register the tools; blocks for a second the first time. Raises NotReadyError."""
        names = lean_kernel.load()
        kernel = names.Kernel()
        plugins: dict[str, dict[str, Any]] = {}
        function = _function_class(names)
        for tool in self._tools:
            plugin, _, name = tool.spec.id.partition(".")
            plugins.setdefault(plugin, {})[name] = self._functions[tool.spec.id] = function(
                method=_method(tool, name), plugin_name=plugin, parameters=_parameters(names, tool.spec.schema)
            )
        for plugin, functions in plugins.items():
            kernel.add_plugin(names.KernelPlugin(name=plugin, functions=functions))
        self._arguments, self._kernel = names.KernelArguments, kernel

    async def invoke(self, tool: BoundTool, arguments: Mapping[str, Any], plan: Plan | None = None) -> str:
        """Return the text of one tool's result, of doing the `plan` if there is one. Raises ToolError as the tool did."""
        if not any(one is tool for one in self._tools):
            raise ToolError("This tool was replaced while the call waited. Call it again.")
        if self._kernel is None:
            async with self._loading:  # one by one, so that calls of one answer begin in the model's order
                if self._kernel is None:
                    await asyncio.to_thread(self.load)
        given = self._arguments()
        given.update(arguments)  # not by keyword: a parameter may be called like one of its own
        given[_PLAN] = plan
        result = await self._kernel.get_function(*tool.spec.id.split(".", 1)).invoke(self._kernel, given)
        return str(result.value)


def _function_class(names: Any) -> Any:
    class StrictFunction(names.KernelFunctionFromMethod):  # type: ignore[misc]
        """A kernel function whose parameters may be called anything: Semantic Kernel fills `kernel`, `service` … itself."""

        def gather_function_parameters(self, context: Any) -> dict[str, Any]:
            given = dict(context.arguments)
            return {"plan": given.pop(_PLAN), "given": given}

    return StrictFunction


def _method(tool: BoundTool, name: str) -> Any:
    async def method(given: dict[str, Any], plan: Plan | None) -> str:
        return await (tool.call(given, plan) if plan else tool.call(given))

    marks: Any = method
    marks.__kernel_function__ = True
    marks.__kernel_function_name__ = name
    marks.__kernel_function_description__ = tool.spec.description
    marks.__kernel_function_return_type__ = "str"
    marks.__kernel_function_return_type_object__ = str
    marks.__kernel_function_return_description__ = ""
    marks.__kernel_function_return_required__ = True
    return method


def _parameters(names: Any, schema: Mapping[str, Any]) -> list[Any]:
    required = schema.get("required", ())
    return [
        names.KernelParameterMetadata(
            name=name,
            description=said.get("description", ""),
            default_value=None,
            type_="Any",
            type_object=None,
            is_required=name in required,
            schema_data=dict(said),
        )
        for name, said in schema.get("properties", {}).items()
    ]
