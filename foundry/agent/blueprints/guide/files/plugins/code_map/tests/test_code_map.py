"""The plugin's own tests: venv/bin/python -P -m unittest discover plugins/code_map/tests"""

import tempfile
import unittest
from pathlib import Path

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.modules import import_plugin

CodeMap = import_plugin(Path(__file__).resolve().parents[2], "code_map").CodeMap


class TestCodeMap(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.code_map = CodeMap(ToolContext(self.folder))

    def test_outline_names_classes_methods_and_functions_with_their_lines(self) -> None:
        (self.folder / "shop.py").write_text("class Basket(dict):\n    def add(self, item): ...\n\nasync def pay(basket): ...\n")

        outline = self.code_map.outline("shop.py")

        assert outline == "1: class Basket(dict)\n  2: def add(self, item)\n4: async def pay(basket)"

    def test_outline_of_broken_code_names_the_line(self) -> None:
        (self.folder / "bad.py").write_text("x = 1\ndef (:\n")

        try:
            said = self.code_map.outline("bad.py")
        except ToolError as error:
            said = str(error)

        assert "line 2" in said

    def test_entry_points_are_declared_scripts_and_main_blocks(self) -> None:
        (self.folder / "pyproject.toml").write_text('[project.scripts]\nshop = "shop:main"\n')
        (self.folder / "shop.py").write_text('import sys\nif __name__ == "__main__":\n    sys.exit()\n')

        found = self.code_map.entry_points()

        assert found == "pyproject.toml: command shop runs shop:main\nshop.py:2: main block"


if __name__ == "__main__":
    unittest.main()
