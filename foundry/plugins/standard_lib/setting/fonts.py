"""The fonts of a document: which one has a character, words shaped by HarfBuzz, and what was used of each put into the PDF."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from foundry.plugins.standard_lib.setting.system_fonts import system_faces

REPLACEMENT = "\ufffd"
# The bundled families by (bold, italic); a font that lacks a style is slanted or thickened.
_TEXT = {(False, False): "figo", (True, False): "figbo", (False, True): "figit", (True, True): "figbi"}
_CODE = {(False, False): "fimo", (True, False): "fimbo"}
_MORE_TEXT = {(False, False): "notos", (True, False): "notosbo", (False, True): "notosit", (True, True): "notosbi"}
_MORE_CODE = ("ubuntm", "cascadia")
_SIGNS = ("symbol1", "symbol2", "math", "music", "cascadia")
# What Adobe's readers bring themselves for Chinese, Japanese and Korean: the codec tells which characters it has.
_BROUGHT = (("HeiseiKakuGo-W5", "cp932"), ("STSong-Light", "gbk"), ("MSung-Light", "big5"), ("HYGothic-Medium", "cp949"))
_EAST_ASIAN = ("Hani", "Hira", "Kana", "Hang", "Bopo")  # shaped alike, and mixed in every sentence
_MOST_SHAPED = 100_000
# Code joins no letters; the figures of tables stand below one another.
_FEATURES: dict[str, dict[str, bool]] = {"": {}, "code": {"liga": False, "calt": False}, "table": {"tnum": True}}
_UNNEEDED = (b"GSUB", b"GPOS", b"GDEF", b"name", b"post", b"cmap", b"OS/2", b"DSIG", b"STAT", b"kern")


class Glyph(NamedTuple):
    """A glyph as it is drawn: how far it moves on, and by how much it is shifted, in thousandths of the font's size."""

    number: int
    advance: float
    right: float
    up: float
    text: str


class Face:
    """A font that is embedded: its characters, its shaping, and the glyphs that were used of it."""

    def __init__(self, key: str, face: Any, styled: tuple[bool, bool] = (False, False)) -> None:
        import uharfbuzz

        self.key = key
        self.face = face
        self.styled = styled
        self.font = uharfbuzz.Font(face)
        self.scale = 1000 / face.upem
        self.used: dict[int, str] = {}
        self._shaped: dict[tuple[str, bool, str], tuple[Glyph, ...]] = {}

    @cached_property
    def characters(self) -> frozenset[int]:
        """The code points it has glyphs for."""
        return frozenset(self.face.unicodes)

    def has(self, char: str) -> bool:
        """Return whether it has a glyph for a character."""
        return ord(char) in self.characters

    def shaped(self, text: str, from_right: bool, kind: str) -> tuple[Glyph, ...]:
        """Return the glyphs of a text in the order they are drawn; `kind` is code, table or ""."""
        key = (text, from_right, kind)
        found = self._shaped.get(key)
        if found is None:
            if len(self._shaped) > _MOST_SHAPED:
                self._shaped.clear()
            found = self._shaped[key] = self._shape(text, from_right, kind)
        return found

    def _shape(self, text: str, from_right: bool, kind: str) -> tuple[Glyph, ...]:
        import uharfbuzz

        buffer = uharfbuzz.Buffer()
        buffer.cluster_level = uharfbuzz.BufferClusterLevel.MONOTONE_CHARACTERS
        buffer.add_str(text)
        buffer.guess_segment_properties()
        buffer.direction = "rtl" if from_right else "ltr"
        uharfbuzz.shape(self.font, buffer, _FEATURES[kind])
        starts = sorted({info.cluster for info in buffer.glyph_infos})
        ends = dict(zip(starts, [*starts[1:], len(text)], strict=True))
        rest = {start: text[start:end] for start, end in ends.items()}
        glyphs = []
        for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            said = self._said(info.codepoint, text[info.cluster : ends[info.cluster]], rest[info.cluster])
            rest[info.cluster] = rest[info.cluster].replace(said, "", 1)
            advance, right, up = (one * self.scale for one in (place.x_advance, place.x_offset, place.y_offset))
            glyphs.append(Glyph(info.codepoint, advance, right, up, said))
        return tuple(glyphs)

    def _said(self, number: int, cluster: str, rest: str) -> str:
        """Return what of its cluster's text a glyph stands for, so that the text can be copied and searched."""
        for char in rest:
            if len(cluster) > 1 and self.font.get_nominal_glyph(ord(char)) == number:
                return char
        return rest

    def use(self, glyph: Glyph) -> None:
        """Remember that a glyph is drawn."""
        if not self.used.get(glyph.number):
            self.used[glyph.number] = glyph.text

    def width(self, number: int) -> float:
        """Return how far a glyph moves on by itself, in thousandths of the size."""
        return float(self.font.get_glyph_h_advance(number) * self.scale)


class Brought:
    """A font for Chinese, Japanese or Korean that is not embedded: the reader's program brings it."""

    styled = (False, False)

    def __init__(self, name: str, codec: str) -> None:
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.cidfonts import UnicodeCIDFont

        self.key = name
        self.codec = codec
        self.drawn = False
        pdfmetrics.registerFont(UnicodeCIDFont(name))
        self.font = pdfmetrics.getFont(name)

    def has(self, char: str) -> bool:
        """Return whether it has a glyph for a character."""
        try:
            return ord(char) >= 0x1100 and bool(char.encode(self.codec))
        except UnicodeEncodeError:
            return False

    def shaped(self, text: str, from_right: bool, kind: str) -> tuple[Glyph, ...]:
        """Return one glyph a character: nothing is known of the font but its widths."""
        return tuple(Glyph(ord(char), self.font.stringWidth(char, 1000), 0, 0, char) for char in text)


AnyFace = Face | Brought


class Fonts:
    """All fonts of one document; `missing` are the characters none had, `brought` the fonts the reader's program must have."""

    def __init__(self) -> None:
        self.missing: dict[str, int] = {}
        self.brought: dict[str, Brought] = {}
        self.faces: list[Face] = []
        self._bundled: dict[str, Face] = {}
        self._system: list[Face] = []
        self._system_left: Iterator[Any] = iter(system_faces())
        self._found: dict[tuple[str, bool, bool, bool, str], AnyFace | None] = {}

    def face_for(self, char: str, bold: bool, italic: bool, mono: bool, script: str = "") -> AnyFace | None:
        """Return the font to draw a character with, None where none has it; `script` prefers one of the brought ones."""
        key = (char, bold, italic, mono, script)
        if key not in self._found:
            self._found[key] = next((one for one in self._chain(*key) if one.has(char)), None)
        return self._found[key]

    def _chain(self, char: str, bold: bool, italic: bool, mono: bool, script: str) -> Iterator[AnyFace]:
        if mono:
            yield self._bundle(_CODE.get((bold, italic), _CODE[bold, False]), (bold, False))
            yield from (self._bundle(name, (False, False)) for name in _MORE_CODE)
        yield self._bundle(_TEXT[bold, italic], (bold, italic))
        yield self._bundle(_MORE_TEXT[bold, italic], (bold, italic))
        yield from (self._bundle(name, (False, False)) for name in _SIGNS)
        yield from self._system
        for one in self._system_left:
            self._system.append(self._new(one, (False, False)))
            yield self._system[-1]
        if unicodedata.category(char) != "Co":
            yield from (self._bring(*one) for one in sorted(_BROUGHT, key=lambda one: one[1] != script))

    def _bundle(self, name: str, styled: tuple[bool, bool]) -> Face:
        if name not in self._bundled:
            import pymupdf_fonts
            import uharfbuzz

            self._bundled[name] = self._new(uharfbuzz.Face(uharfbuzz.Blob(pymupdf_fonts.fontbuffers[name]())), styled)
        return self._bundled[name]

    def _new(self, face: Any, styled: tuple[bool, bool]) -> Face:
        self.faces.append(Face(f"G{len(self.faces) + 1}", face, styled))
        return self.faces[-1]

    def _bring(self, name: str, codec: str) -> Brought:
        if name not in self.brought:
            self.brought[name] = Brought(name, codec)
        return self.brought[name]


def script_of(text: str) -> str:
    """Return the codec of the East Asian language a text is in by its letters, "" where they do not say."""
    for char in text:
        if "\u3040" <= char <= "\u30ff":
            return "cp932"
        if "\uac00" <= char <= "\ud7a3":
            return "cp949"
    return "gbk"


def scripts(text: str) -> list[str]:
    """Return the script each character is shaped in: its own, or for what belongs to none that before it, else that after it."""
    if text.isascii():
        return ["Latn"] * len(text)
    found = [_script(char) for char in text]
    last = next((one for one in found if one), "")
    for at, one in enumerate(found):
        last = found[at] = one or last
    return found


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    import uharfbuzz

    buffer = uharfbuzz.Buffer()
    buffer.add_str(char)
    buffer.guess_segment_properties()
    return "Hani" if buffer.script in _EAST_ASIAN else str(buffer.script or "")


class Embedding:
    """What of a font was used, as objects of the PDF; the document asks for them when it is written."""

    def __init__(self, face: Face, number: int) -> None:
        self.face = face
        self.number = number

    def addObjects(self, document: Any) -> None:
        """Add the font's subset, widths and characters to the PDF's objects."""
        from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName, PDFString

        face = self.face
        tag = "".join(chr(65 + self.number // 26**place % 26) for place in range(6))
        name = PDFName(f"{tag}+{_postscript_name(face.face)}")
        outlines = "CFF " in face.face.table_tags
        inner: dict[str, Any] = {
            **{"Type": PDFName("Font"), "Subtype": PDFName("CIDFontType0" if outlines else "CIDFontType2"), "BaseFont": name},
            "CIDSystemInfo": PDFDictionary({"Registry": PDFString("Adobe"), "Ordering": PDFString("Identity"), "Supplement": 0}),
            "FontDescriptor": document.Reference(self._descriptor(document, name, outlines)),
            "DW": 1000,
            "W": PDFArray([part for one in sorted(face.used) for part in (one, PDFArray([round(face.width(one))]))]),
        }
        if not outlines:
            inner["CIDToGIDMap"] = PDFName("Identity")
        outer = {
            **{"Type": PDFName("Font"), "Subtype": PDFName("Type0"), "BaseFont": name, "Encoding": PDFName("Identity-H")},
            "DescendantFonts": PDFArray([document.Reference(PDFDictionary(inner))]),
            "ToUnicode": document.Reference(_stream(_to_unicode(face.used))),
        }
        document.idToObject["BasicFonts"].dict[face.key] = document.Reference(PDFDictionary(outer))

    def _descriptor(self, document: Any, name: Any, outlines: bool) -> Any:
        from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName

        face = self.face
        extents = face.font.get_font_extents("ltr")
        up, down = round(extents.ascender * face.scale), round(extents.descender * face.scale)
        raw = _subset(face)
        file = _stream(raw, {"Subtype": PDFName("CIDFontType0C")} if outlines else {"Length1": len(raw)})
        return PDFDictionary(
            {
                **{"Type": PDFName("FontDescriptor"), "FontName": name, "Flags": 4, "FontBBox": PDFArray([-500, down, 1500, up])},
                **{"ItalicAngle": -12 if face.styled[1] else 0, "Ascent": up, "Descent": down, "CapHeight": 700, "StemV": 80},
                "FontFile3" if outlines else "FontFile2": document.Reference(file),
            }
        )


def _subset(face: Face) -> bytes:
    """Return the font with nothing but the glyphs used, their numbers kept; of one with cubic outlines just these."""
    import uharfbuzz

    wanted = uharfbuzz.SubsetInput()
    wanted.glyph_set.update({0, *face.used})
    flags = uharfbuzz.SubsetFlags
    wanted.flags = flags.RETAIN_GIDS | flags.NO_HINTING | flags.NOTDEF_OUTLINE | flags.NO_LAYOUT_CLOSURE
    if "fvar" in face.face.table_tags:
        wanted.pin_all_axes_to_default(face.face)
    wanted.drop_table_tag_set.update(int.from_bytes(tag, "big") for tag in _UNNEEDED)
    small = uharfbuzz.subset(face.face, wanted)
    if "CFF " in small.table_tags:
        return bytes(small.reference_table("CFF ").data)
    return bytes(small.blob.data)


def _postscript_name(face: Any) -> str:
    found = face.get_name(6) or "Font"
    return "".join(char for char in found if char.isascii() and (char.isalnum() or char in "-_")) or "Font"


def _stream(raw: bytes | str, more: Mapping[str, Any] | None = None) -> Any:
    from reportlab.pdfbase.pdfdoc import PDFDictionary, PDFStream, PDFZCompress

    return PDFStream(PDFDictionary(dict(more or {})), raw, filters=[PDFZCompress])


def _to_unicode(used: Mapping[int, str]) -> str:
    """Return the map from glyphs back to characters that copying and searching need."""
    pairs = [
        f"<{number:04X}> <{(text or chr(0x200B)).encode('utf-16-be').hex().upper()}>" for number, text in sorted(used.items())
    ]
    parts = (pairs[at : at + 100] for at in range(0, len(pairs), 100))
    body = "\n".join(f"{len(part)} beginbfchar\n" + "\n".join(part) + "\nendbfchar" for part in parts)
    return (
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
        "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
        "1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n"
        f"{body}\nendcmap\nCMapName currentdict /CMap defineresource pop\nend\nend"
    )
