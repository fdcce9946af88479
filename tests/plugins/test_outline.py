"""The outline of a file, as a model meets it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from foundry.plugins.standard_lib.outline import LANGUAGES

from .conftest import Workshop

SOURCES = {
    "a.py": (
        "import os\n\n@dec\nclass Shop(Base):\n    def total(\n        self, a: int\n    ) -> int:\n        def inner(): ...\n\n"
        "async def main(): ...\n",
        ["4: class Shop(Base)", "5:   def total( self, a: int ) -> int", "8:     def inner()", "10: async def main()"],
    ),
    "a.js": (
        "export class A extends B {\n  constructor(x) {}\n}\nconst f = async (a) => { return 1 };\nexport function* g() {}\n",
        ["1: class A extends B", "2:   constructor(x)", "4: f = async (a) =>", "5: function* g()"],
    ),
    "a.ts": (
        "export interface Shop<T> {\n  total(): number;\n}\nabstract class A { abstract z(): void; }\ntype Id = string;\n"
        "enum Color { Red }\nnamespace N { export function q() {} }\n",
        [
            *("1: interface Shop<T>", "2:   total(): number", "4: abstract class A", "4:   abstract z(): void"),
            *("5: type Id = string", "6: enum Color", "7: namespace N", "7:   function q()"),
        ],
    ),
    "a.tsx": ("function View(p: P) { return <A b={1}/>; }\n", ["1: function View(p: P)"]),
    "a.go": (
        "package main\ntype Shop struct {\n\tx int\n}\nfunc (s *Shop) Total() (int, error) { return 1, nil }\nfunc main() {}\n",
        ["2: type Shop struct", "5: func (s *Shop) Total() (int, error)", "6: func main()"],
    ),
    "a.rs": (
        "pub struct S<T> { a: T }\nimpl<T> S<T> {\n  pub fn new() -> Self { S{} }\n}\ntrait T { fn x(&self); }\n",
        ["1: pub struct S<T>", "2: impl<T> S<T>", "3:   pub fn new() -> Self", "5: trait T", "5:   fn x(&self)"],
    ),
    "A.java": (
        "public class Shop extends B {\n  Shop(int x) {}\n  int total() throws E { return 1; }\n  record P(int a) {}\n}\n",
        ["1: public class Shop extends B", "2:   Shop(int x)", "3:   int total() throws E", "4:   record P(int a)"],
    ),
    "a.c": (
        "#define MAX(a,b) ((a)>(b)?(a):(b))\nstruct s { int a; };\nstatic int *f(int a) { return 0; }\nstruct s x;\n",
        ["1: #define MAX(a,b) ((a)>(b)?(a):(b))", "2: struct s", "3: static int *f(int a)"],
    ),
    "a.cpp": (
        "namespace a {\ntemplate <typename T> class C : public D {\n  int m() const { return 1; }\n};\n}\nint C::n() { }\n",
        ["1: namespace a", "2:   class C : public D", "3:     int m() const", "6: int C::n()"],
    ),
    "a.cs": (
        "namespace A.B;\npublic class C<T> : D {\n  public int X { get; set; }\n  async Task<int> M(int a) => 1;\n}\n",
        ["1: namespace A.B", "2: public class C<T> : D", "3:   public int X", "4:   async Task<int> M(int a)"],
    ),
    "a.php": (
        "<?php\nclass C extends D {\n  public function m($a) { }\n}\nfunction f() {}\n",
        ["2: class C extends D", "3:   public function m($a)", "5: function f()"],
    ),
    "a.rb": (
        "module A\n  class B < C\n    def m(a)\n      1\n    end\n  end\nend\n",
        ["1: module A", "2:   class B < C", "3:     def m(a)"],
    ),
    "a.sh": ("f() { echo; }\nfunction g {\n  echo\n}\n", ["1: f()", "2: function g"]),
    "a.md": (
        "---\ntitle: x\n---\n# One\ntext\n## Two ##\n```\n# code\n```\nThree\n=====\n#no\n",
        ["4: # One", "6:   ## Two", "10: # Three"],
    ),
}


@pytest.fixture
def lib(workshop: Workshop) -> Workshop:
    workshop.load(tools=("grep_codebase",))
    return workshop


@pytest.mark.parametrize("name", SOURCES)
def test_symbols_are_told_with_their_lines_nested(lib: Workshop, name: str) -> None:
    source, lines = SOURCES[name]
    lib.write(name, source)

    assert lib.call("grep_codebase.outline", path=name).splitlines() == lines


def test_every_language_is_tried_here() -> None:
    endings = {Path(one).suffix for one in SOURCES}

    assert not [one.name for one in LANGUAGES if not endings.intersection(one.endings)]


def test_of_broken_source_what_parses_is_told(lib: Workshop) -> None:
    lib.write("a.py", "class Shop:\n    def total(self): ...\n\nx = = (\n\ndef later(): ...\n")

    assert lib.call("grep_codebase.outline", path="a.py").splitlines() == [
        *("1: class Shop", "2:   def total(self)", "6: def later()", "(parts of it do not parse)"),
    ]


def test_lines_are_those_of_the_file_whatever_its_encoding_and_line_ends(lib: Workshop) -> None:
    lib.write("a.py", "# ü\r\n\r\ndef grüße(): ...\r\n".encode("utf-16"))

    assert lib.call("grep_codebase.outline", path="a.py") == "3: def grüße()"


def test_a_script_without_an_ending_is_known_by_its_first_line(lib: Workshop) -> None:
    lib.write("tool", "#!/usr/bin/env python3\ndef main(): ...\n")

    assert lib.call("grep_codebase.outline", path="tool") == "2: def main()"


def test_what_cannot_be_outlined_says_why(lib: Workshop) -> None:
    lib.write("a.xyz", "?")
    lib.write("empty.py", "x = 1\n")
    lib.write("bin.py", b"\0\1")
    lib.write(".env", "KEY=canary")
    lib.write("huge.py", "x = 1\n" * 400_000)
    os.link(lib.folder / ".env", lib.folder / "notes.md")

    assert lib.call("grep_codebase.outline", path="a.xyz") == (
        "error: a.xyz is in no language that can be outlined: Python, JavaScript, TypeScript, TSX, Go, Rust, Java, C, C++, C#, "
        "PHP, Ruby, Bash, Markdown. Use search or read_file instead."
    )
    assert lib.call("grep_codebase.outline", path="empty.py") == "empty.py has no classes, functions or headings."
    assert lib.call("grep_codebase.outline", path="bin.py") == "error: bin.py is no text: binary file."
    assert lib.call("grep_codebase.outline", path="huge.py") == "error: huge.py is larger than 2 MiB. Use search in it."
    assert lib.call("grep_codebase.outline", path="zz.py") == "error: zz.py is no file. Use list_files to see what is there."
    assert "protected" in lib.call("grep_codebase.outline", path=".env")
    assert "another name of a protected file" in lib.call("grep_codebase.outline", path="notes.md")


def test_a_long_outline_is_cut_to_the_limit(workshop: Workshop) -> None:
    workshop.load(tools=("grep_codebase",), limit=1000)
    workshop.write("a.py", "".join(f"def function_{n}(): ...\n" for n in range(500)))

    text = workshop.call("grep_codebase.outline", path="a.py")

    assert len(text) <= 1000
    assert text.endswith(" of 500 shown; read the file from the last line on for more)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.py", "(" * 500_000),
        ("a.py", "def f():\n" + "".join(f"{' ' * n}def f():\n" for n in range(1, 1500))),
        ("a.js", "function f(){" * 100_000),
        ("a.js", "x=" + "[" * 300_000 + "]" * 300_000),
        ("a.cpp", "a<" * 300_000),
        ("a.cpp", "namespace a{" * 100_000),
        ("a.rb", "class A\n" * 100_000),
        ("a.rs", "mod m{" * 100_000),
        ("a.sh", "$(" * 300_000),
        ("a.php", "<?php " + "if(1){" * 100_000),
        ("a.md", "#" + " " * 1_000_000 + "x\n" + "# a\n" * 10_000),
        ("a.c", "int f(" * 200_000),
    ],
)
def test_a_hostile_file_neither_crashes_nor_hangs_the_tool(lib: Workshop, name: str, source: str) -> None:
    lib.write(name, source)

    started = time.monotonic()
    text = lib.call("grep_codebase.outline", path=name)

    assert time.monotonic() - started < 15
    assert len(text) <= 20_000
