"""Drawing on a page: runs of glyphs, lines, boxes, pictures and links, as ReportLab's canvas takes them."""

from __future__ import annotations

from typing import Any

from foundry.plugins.standard_lib.setting.fonts import Brought, Embedding, Face, Fonts
from foundry.plugins.standard_lib.setting.text import Colour, Line, Run

SHADE: Colour = (0.955, 0.96, 0.97)
RULE: Colour = (0.80, 0.83, 0.86)


class Drawing:
    """One PDF in the making; coordinates are points from the page's lower left corner."""

    def __init__(self, file: Any, size: tuple[float, float], fonts: Fonts, title: str) -> None:
        from reportlab.pdfgen.canvas import Canvas

        self.canvas = Canvas(file, pagesize=size, invariant=1, pageCompression=1, pdfVersion=(1, 5))
        self.canvas.setTitle(title)
        self.canvas.setAuthor("")
        self.canvas.setSubject("")
        self.canvas.setCreator("Agent Foundry")
        self.canvas.setProducer("ReportLab")
        self.fonts = fonts
        self.anchors: set[str] = set()

    def line(self, line: Line, x: float, y: float) -> None:
        """Draw a line of text from `x` on the baseline `y`."""
        for at, run in line.runs:
            if run.style.shaded:
                self.box(x + at - 1.2, y - run.style.size * 0.27, run.width + 2.4, run.style.size * 1.24, SHADE, 1.5)
        for at, run in line.runs:
            self._run(run, x + at, y)
            if run.style.link:
                self._link(run, x + at, y)
            if run.style.struck:
                self.rule(x + at, y + run.style.size * 0.28, run.width, run.style.colour, 0.06 * run.style.size)

    def _run(self, run: Run, x: float, y: float) -> None:
        if isinstance(run.face, Brought):
            run.face.drawn = True
            self.canvas.setFillColorRGB(*run.style.colour)
            self.canvas.setFont(run.face.key, run.style.size)
            self.canvas.drawString(x, y, run.text)
            return
        style, face = run.style, run.face
        slant = 0.2 if style.italic and not face.styled[1] else 0
        bold = style.bold and not face.styled[0]
        paint = " ".join(_n(one) for one in style.colour)
        thick = f"{paint} RG 2 Tr {_n(style.size * 0.035)} w" if bold else "0 Tr"
        shown = _shown(face, run, style.size)
        said = _said_otherwise(run)
        head = f"q {paint} rg BT /{face.key} {_n(style.size)} Tf {thick} 1 0 {_n(slant)} 1 {_n(x)} {_n(y)} Tm"
        self.canvas.addLiteral(f"{head} {said}{shown} {'EMC ' if said else ''}ET Q")

    def _link(self, run: Run, x: float, y: float) -> None:
        size = run.style.size
        area = (x, y - size * 0.25, x + run.width, y + size * 0.95)
        target = run.style.link
        if not target.startswith("#"):
            self.canvas.linkURL(target, area, relative=0, kind="URI")
        elif target[1:] in self.anchors:
            self.canvas.linkAbsolute("", target[1:], area)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour, radius: float = 0) -> None:
        """Fill a box whose lower left corner is given."""
        self.canvas.setFillColorRGB(*colour)
        if radius:
            self.canvas.roundRect(x, y, width, height, radius, stroke=0, fill=1)
        else:
            self.canvas.rect(x, y, width, height, stroke=0, fill=1)

    def rule(self, x: float, y: float, width: float, colour: Colour = RULE, thickness: float = 0.6) -> None:
        """Draw a horizontal line."""
        self.canvas.setStrokeColorRGB(*colour)
        self.canvas.setLineWidth(thickness)
        self.canvas.line(x, y, x + width, y)

    def picture(self, picture: Any, x: float, y: float, width: float, height: float) -> None:
        """Draw a picture, one of ReportLab's ImageReader, in a box whose lower left corner is given."""
        self.canvas.drawImage(picture, x, y, width, height, mask="auto")

    def tick(self, x: float, y: float, size: float, colour: Colour, done: bool) -> None:
        """Draw a task's box on the baseline `y`, with a tick where it is done."""
        self.canvas.setStrokeColorRGB(*colour)
        self.canvas.setLineWidth(0.7)
        self.canvas.roundRect(x, y - size * 0.08, size * 0.78, size * 0.78, 1.2, stroke=1, fill=0)
        if done:
            self.canvas.setLineWidth(1.1)
            path = self.canvas.beginPath()
            path.moveTo(x + size * 0.15, y + size * 0.32)
            path.lineTo(x + size * 0.33, y + size * 0.10)
            path.lineTo(x + size * 0.65, y + size * 0.56)
            self.canvas.drawPath(path, stroke=1, fill=0)

    def anchor(self, name: str, y: float) -> None:
        """Make a place of this page that links lead to."""
        self.canvas.bookmarkHorizontal(name, 0, y)

    def page(self) -> None:
        """End the page."""
        self.canvas.showPage()

    def save(self) -> None:
        """Write the document with the fonts that were used."""
        used = [face for face in self.fonts.faces if face.used]
        self.canvas._doc.delayedFonts.extend(Embedding(face, number) for number, face in enumerate(used))
        self.canvas.save()


def _n(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") or "0"


def _shown(face: Face, run: Run, size: float) -> str:
    """Return the operators that show the run's glyphs, each moved as the shaping says."""
    parts: list[str] = []
    owed = 0.0  # how far the pen stands behind where the next glyph belongs, in thousandths
    rise = 0.0
    hexes = ""

    def flush() -> None:
        nonlocal hexes
        if hexes:
            parts.append(f"<{hexes}>")
            hexes = ""

    operators: list[str] = []
    for glyph in run.glyphs:
        face.use(glyph)
        if glyph.up != rise:
            flush()
            operators += [f"[{' '.join(parts)}] TJ", f"{_n(glyph.up * size / 1000)} Ts"]
            parts, rise = [], glyph.up
        if abs(owed + glyph.right) >= 0.5:
            flush()
            parts.append(_n(-(owed + glyph.right)))
            owed = -glyph.right
        hexes += f"{glyph.number:04X}"
        owed += glyph.advance - round(face.width(glyph.number))
    flush()
    return " ".join([*operators, f"[{' '.join(parts)}] TJ", *(["0 Ts"] if rise else [])])


def _said_otherwise(run: Run) -> str:
    """Return the mark that says a run's text where its glyphs, one by one, would be read as another."""
    if run.level % 2 or ("".join(glyph.text for glyph in run.glyphs) == run.text and _plain(run)):
        return ""
    return f"/Span <</ActualText <FEFF{run.text.encode('utf-16-be').hex().upper()}>>> BDC "


def _plain(run: Run) -> bool:
    assert isinstance(run.face, Face)
    return all(run.face.used.get(glyph.number, glyph.text) == glyph.text for glyph in run.glyphs)
