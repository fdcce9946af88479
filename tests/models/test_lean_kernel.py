"""The contract with Semantic Kernel and openai: what the lean shim relies on; a red line names what a release changed."""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from foundry.models import lean_kernel
from foundry.plugins.api import kernel_function


def fresh(code: str, cwd: Path) -> str:
    """Run code in a fresh interpreter after the shim, and return what it printed."""
    head = "import sys\nfrom foundry.models import lean_kernel\nkernel = lean_kernel.load()\n"
    ran = subprocess.run(
        [sys.executable, "-P", "-W", "error::ResourceWarning", "-c", head + code], capture_output=True, text=True, cwd=cwd
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_pinned_release_is_installed() -> None:
    assert importlib.metadata.version("semantic-kernel") == "1.45.0", "read the head of lean_kernel.py, then move the pin"


@pytest.mark.parametrize(("name", "home"), lean_kernel.NAMES.items())
def test_every_name_is_where_the_shim_looks(name: str, home: str) -> None:
    assert hasattr(lean_kernel.load(), name), f"{home} no longer has {name}"


@pytest.mark.parametrize("name", lean_kernel.LAZY)
def test_the_packages_left_out_only_import_names(name: str, tmp_path: Path) -> None:
    file = Path(fresh(f"print(sys.modules[{name!r}].__file__)", tmp_path))
    body = ast.parse(file.read_text()).body
    does = {type(line).__name__ for line in body if not isinstance(line, ast.ImportFrom | ast.Expr)}

    assert does <= {"Assign"}, f"{name}/__init__.py does more than import now: {does}"


def test_every_name_of_a_package_left_out_is_still_found(tmp_path: Path) -> None:
    code = (
        "import openai.types as t, openai.types.responses as r\n"
        "print(t.ChatModel is not None, t.CompletionUsage.__name__, r.Response.__name__)"
    )

    assert fresh(code, tmp_path) == "True CompletionUsage Response"


def test_what_the_rest_of_the_world_imports_is_real_again(tmp_path: Path) -> None:
    code = "import numpy, aiohttp\nprint(hasattr(numpy, 'zeros'), hasattr(aiohttp, 'ClientSession'))"

    assert fresh(code, tmp_path) == "True True"


def test_what_was_left_out_was_left_out(tmp_path: Path) -> None:
    code = "print([m for m in ('numpy', 'aiohttp', 'scipy', 'av', 'aiortc', 'pymeta', 'azure.identity') if m in sys.modules])"

    assert fresh(code, tmp_path) == "[]"


def test_the_packages_are_bound_where_an_import_binds_them(tmp_path: Path) -> None:
    code = (
        "import semantic_kernel, openai\nimport semantic_kernel.kernel_pydantic\n"
        "print(semantic_kernel.Kernel is kernel.Kernel, semantic_kernel.kernel_pydantic.KernelBaseModel.__name__,"
        " openai.types.__name__, semantic_kernel.connectors.ai.open_ai.OpenAIChatCompletion is kernel.OpenAIChatCompletion)"
    )

    assert fresh(code, tmp_path) == "True KernelBaseModel openai.types True"


def test_handlebars_templates_load_the_real_thing(tmp_path: Path) -> None:
    code = """
import asyncio
from semantic_kernel.prompt_template import HandlebarsPromptTemplate, PromptTemplateConfig
config = PromptTemplateConfig(template="Hello {{name}}!", name="t", template_format="handlebars")
template = HandlebarsPromptTemplate(prompt_template_config=config)
print(asyncio.run(template.render(kernel.Kernel(), kernel.KernelArguments(name="Ada"))))
"""
    assert fresh(code, tmp_path) == "Hello Ada!"


def test_a_dotenv_file_of_the_working_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"OPENAI_ORG_ID=org-canary\n\xff\xfe broken")
    code = (
        "from semantic_kernel.connectors.ai.open_ai.settings.open_ai_settings import OpenAISettings\n"
        "print(OpenAISettings(chat_model_id='m').org_id)"
    )

    assert fresh(code, tmp_path) == "None"


def test_loading_after_openai_was_imported_works(tmp_path: Path) -> None:
    code = "import openai\nfrom foundry.models import lean_kernel\nprint(lean_kernel.load().AsyncOpenAI is openai.AsyncOpenAI)"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)

    assert ran.stdout.strip() == "True"


def test_loading_from_many_threads_is_loading_once(tmp_path: Path) -> None:
    code = """
import threading
from foundry.models import lean_kernel
got = []
threads = [threading.Thread(target=lambda: got.append(lean_kernel.load())) for _ in range(8)]
[one.start() for one in threads]
import json, asyncio, pydantic
[one.join() for one in threads]
print(len(got), len({id(one) for one in got}))
"""
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)

    assert ran.stdout.strip() == "8 1"


def test_what_semantic_kernel_logs_stays_off_the_terminal(tmp_path: Path) -> None:
    code = "import logging; logging.getLogger('semantic_kernel.any').error('loud')\nprint('quiet')"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", "from foundry.models import lean_kernel; lean_kernel.load()\n" + code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )

    assert (ran.stdout.strip(), ran.stderr) == ("quiet", "")


def test_a_class_decorated_by_our_api_is_a_plugin_for_semantic_kernel() -> None:
    class Sums:
        """Sums."""

        @kernel_function(description="Adds.")
        def add(self, a: int, b: int = 1) -> int:
            return a + b

    names = lean_kernel.load()
    kernel = names.Kernel()
    plugin = kernel.add_plugin(Sums(), plugin_name="sums")
    result = asyncio.run(kernel.invoke(plugin["add"], a=2, b=3))

    assert result.value == 5
    assert plugin["add"].metadata.description == "Adds."


def test_our_decorator_writes_the_marks_that_theirs_writes() -> None:
    from semantic_kernel.functions import kernel_function as theirs

    def tool(a: int) -> int:
        return a

    def marks(decorated: object) -> set[str]:
        return {name for name in vars(decorated) if name.startswith("__kernel_function")}

    mine, real = marks(kernel_function(tool)), marks(theirs(lambda a: a))
    assert real - {"__kernel_function_return_type_object__"} <= mine, "Semantic Kernel's decorator writes new marks"


def test_the_methods_we_override_are_still_called(tmp_path: Path) -> None:
    names = lean_kernel.load()
    source = inspect.getsource(names.OpenAIChatCompletion._inner_get_streaming_chat_message_contents)

    assert "self._prepare_chat_history_for_request(chat_history)" in source
    assert "await self._send_request(settings)" in source
    assert "isinstance(response, AsyncStream)" in source


def test_a_missing_semantic_kernel_is_not_ready(tmp_path: Path) -> None:
    code = """
import sys, json
sys.modules["semantic_kernel"] = None
from foundry.errors import NotReadyError
from foundry.models import lean_kernel
try:
    lean_kernel.load()
except NotReadyError as error:
    print(json.dumps([error.exit_code, error.hint]))
"""
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)

    status, hint = json.loads(ran.stdout)
    assert status == 4
    assert "foundry sync" in hint
