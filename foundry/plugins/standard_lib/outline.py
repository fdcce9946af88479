"""The symbols of a source file with their lines, found by tree-sitter, in a process that can be ended when a file is hostile."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from foundry.plugins.api import ToolError
from foundry.plugins.standard_lib.text_files import lines_of
from foundry.plugins.standard_lib.worker import ask, last_words
from foundry.plugins.standard_lib.worker_bounds import begun

if TYPE_CHECKING:
    from tree_sitter import Node

SECONDS = 10
MOST_BYTES = 2 * 1024 * 1024
_MEMORY = 1024 * 1024 * 1024
_MOST_SYMBOLS = 5000
_MOST_DEPTH = 30
_LONGEST_HEADER = 120
_LONGEST_LINE = 1000


Symbol = tuple[int, int, str]  # line, depth, header


class Language(NamedTuple):
    """How a language is known and read: its parser's module and function, and the kinds of nodes that are symbols."""

    name: str
    module: str
    function: str
    symbols: frozenset[str]
    endings: tuple[str, ...]


def _language(name: str, endings: str, symbols: str, module: str = "", function: str = "language") -> Language:
    module = module or f"tree_sitter_{name.lower()}"
    return Language(name, module, function, frozenset(symbols.split()), tuple(endings.split()))


_JAVASCRIPT = "class_declaration function_declaration generator_function_declaration method_definition class"
_TYPESCRIPT = (
    f"{_JAVASCRIPT} abstract_class_declaration interface_declaration type_alias_declaration enum_declaration "
    "internal_module module function_signature method_signature abstract_method_signature"
)
_C = "function_definition struct_specifier union_specifier enum_specifier type_definition preproc_function_def"
LANGUAGES = (
    _language("Python", ".py .pyi .pyw", "class_definition function_definition type_alias_statement"),
    _language("JavaScript", ".js .jsx .mjs .cjs", _JAVASCRIPT),
    _language("TypeScript", ".ts .mts .cts", _TYPESCRIPT, "tree_sitter_typescript", "language_typescript"),
    _language("TSX", ".tsx", _TYPESCRIPT, "tree_sitter_typescript", "language_tsx"),
    _language("Go", ".go", "function_declaration method_declaration type_spec type_alias"),
    _language(
        "Rust",
        ".rs",
        "function_item function_signature_item struct_item enum_item union_item trait_item impl_item mod_item type_item "
        "macro_definition",
    ),
    _language(
        "Java",
        ".java",
        "class_declaration interface_declaration enum_declaration record_declaration annotation_type_declaration "
        "method_declaration constructor_declaration compact_constructor_declaration",
    ),
    _language("C", ".c .h", _C),
    _language(
        "C++",
        ".cc .cpp .cxx .c++ .hh .hpp .hxx .ipp .inl",
        f"{_C} class_specifier namespace_definition alias_declaration concept_definition",
        "tree_sitter_cpp",
    ),
    _language(
        "C#",
        ".cs",
        "class_declaration struct_declaration interface_declaration enum_declaration record_declaration delegate_declaration "
        "namespace_declaration file_scoped_namespace_declaration method_declaration constructor_declaration "
        "destructor_declaration property_declaration local_function_statement operator_declaration indexer_declaration",
        "tree_sitter_c_sharp",
    ),
    _language(
        "PHP",
        ".php .phtml",
        "class_declaration interface_declaration trait_declaration enum_declaration function_definition method_declaration "
        "namespace_definition",
        "tree_sitter_php",
        "language_php",
    ),
    _language("Ruby", ".rb .rake .gemspec", "class module method singleton_method singleton_class"),
    _language("Bash", ".sh .bash .bats", "function_definition"),
)
_MARKDOWN = (".md", ".markdown", ".mdx", ".mdown")
_FUNCTIONS = frozenset(("arrow_function", "function_expression", "generator_function", "class", "lambda"))
_ASSIGNING = {"variable_declarator": "value", "public_field_definition": "value", "field_definition": "value", "pair": "value"}
_NEEDS_BODY = frozenset(("struct_specifier", "union_specifier", "enum_specifier", "class_specifier"))
_BODIES = ("body", "declaration_list")


def known() -> str:
    """Return the names of the languages, for people."""
    return ", ".join([*(one.name for one in LANGUAGES), "Markdown"])


def language_of(name: str, start: str) -> Language | None:
    """Return the language of a file by its name's ending, else by its first line; None for one that is not known."""
    ending = PurePath(name).suffix.lower()
    for one in LANGUAGES:
        if ending in one.endings:
            return one
    first = re.match(r"#!.*?\b(python|bash|sh|ruby|node|php)[\d.]*\b", start.partition("\n")[0])
    spoken = {"python": "Python", "bash": "Bash", "sh": "Bash", "ruby": "Ruby", "node": "JavaScript", "php": "PHP"}
    meant = spoken[first[1]] if first and not ending else ""
    return next((one for one in LANGUAGES if one.name == meant), None)


def headings(lines: list[str]) -> Iterator[Symbol]:
    """Yield the headings of a Markdown text, those in code and in front matter left out."""
    fence = "---" if lines[:1] == ["---"] else ""
    before = ""
    for number, whole in enumerate(lines, 1):
        line = whole[:_LONGEST_LINE].rstrip()
        if number > 1 and fence == "---":
            fence = "" if line in ("---", "...") else fence
        elif marks := re.match(r" {0,3}(`{3,}|~{3,})(.*)", line):
            fence = marks[1] if not fence else "" if marks[1].startswith(fence) and not marks[2] else fence
        elif not fence and (found := re.match(r" {0,3}(#{1,6})(?=[ \t]|$)", line)):
            text = re.sub(r"(^|[ \t])#+$", "", line[found.end() :].strip()).strip()
            yield number, len(found[1]) - 1, f"{found[1]} {text}"[:_LONGEST_HEADER]
        elif not fence and re.match(r" {0,3}(=+|-+)$", line) and _is_text(before):
            depth = 0 if "=" in line else 1
            yield number - 1, depth, f"{'#' * (depth + 1)} {before.strip()}"[:_LONGEST_HEADER]
        before = line


def _is_text(line: str) -> bool:
    return bool(line.strip()) and not re.match(r" {4}|\t| {0,3}([#>|+*-]|\d+[.)] )", line)


def symbols(language: Language, source: bytes) -> tuple[list[Symbol], bool]:
    """Return the symbols of a source text in UTF-8, and whether parts of it did not parse."""
    from tree_sitter import Language as Grammar
    from tree_sitter import Parser

    grammar = Grammar(getattr(importlib.import_module(language.module), language.function)())
    tree = Parser(grammar).parse(source)
    found: list[Symbol] = []
    # No recursion, and no list of a node's children: a hostile file nests and repeats as deep and as often as it likes.
    cursor = tree.walk()
    depths = [0]
    while True:
        node = cursor.node
        depth = depths[-1]
        if node is not None and node.is_named and _is_symbol(language, node):
            found.append((node.start_point[0] + 1, min(depth, _MOST_DEPTH), _header(source, node)))
            depth += 1
        if len(found) < _MOST_SYMBOLS and cursor.goto_first_child():
            depths.append(depth)
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found, tree.root_node.has_error
            depths.pop()


def _is_symbol(language: Language, node: Node) -> bool:
    kind = node.type
    if kind in _ASSIGNING and language.name in ("JavaScript", "TypeScript", "TSX"):
        value = node.child_by_field_name(_ASSIGNING[kind])
        return value is not None and value.type in _FUNCTIONS
    if kind not in language.symbols:
        return False
    if kind in ("class", "module"):  # the word itself has the same kind, and what an assignment names is told with it
        return node.child_by_field_name("name") is not None
    if kind in _NEEDS_BODY:
        return all(node.child_by_field_name(one) is not None for one in ("name", "body"))
    return True


def _header(source: bytes, node: Node) -> str:
    """Return what stands before a symbol's body, on one line."""
    bodies = (node.child_by_field_name(one) for one in _BODIES)
    body = next((one for one in bodies if one is not None), None)
    value = node.child_by_field_name("value")
    if body is None and value is not None:
        body = value.child_by_field_name("body")
    end = body.start_byte if body is not None and body.start_byte > node.start_byte else node.end_byte
    text = source[node.start_byte : min(end, node.start_byte + 8 * _LONGEST_HEADER)].decode("utf-8", "replace")
    if body is None:
        text = text.partition("\n")[0]
        text = text if node.type == "type_definition" else text.partition("{")[0]
    if node.type in ("type_spec", "type_alias"):  # Go's, of which the word "type" is no part
        text = f"type {text}"
    text = " ".join(text.split()).rstrip("{:;=").rstrip()
    return text if len(text) <= _LONGEST_HEADER else text[:_LONGEST_HEADER] + "…"


def outlined(name: str, text: str) -> tuple[list[str], str]:
    """Return an outline's lines and what must be said below them. Raises ToolError for a language that is not known."""
    if PurePath(name).suffix.lower() in _MARKDOWN:
        return _shown(headings(lines_of(text))), ""
    language = language_of(name, text[:200])
    if language is None:
        raise ToolError(f"{name} is in no language that can be outlined: {known()}. Use search or read_file instead.")
    source = ("\n".join(lines_of(text)) + "\n").encode()
    ended = ask("outline", {"language": language.name}, SECONDS, data=source)
    if ended.timed_out:
        raise ToolError(f"{name} could not be parsed within {SECONDS} s. Use search in it instead.")
    if ended.code != 0:
        last = last_words(ended.err, "its parser ended without a word")
        raise ToolError(f"{name} could not be parsed: {last}. Use search in it instead.")
    told = json.loads(ended.out)
    notes = ["parts of it do not parse"] if told["broken"] else []
    notes += [f"only the first {_MOST_SYMBOLS} symbols"] if told["cut"] else []
    return _shown(told["symbols"]), "; ".join(notes)


def _shown(found: Iterable[Symbol]) -> list[str]:
    return [f"{line}: {'  ' * depth}{header}" for line, depth, header in found]


def main() -> int:
    """Write the symbols of the source behind the request as JSON."""
    request, source = begun(_MEMORY)
    language = next(one for one in LANGUAGES if one.name == request["language"])
    found, broken = symbols(language, source)
    told: dict[str, Any] = {"symbols": found, "broken": broken, "cut": len(found) >= _MOST_SYMBOLS}
    sys.stdout.write(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
