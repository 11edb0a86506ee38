"""Formulas of a report as small pictures, found in its sentences by the signs that only formulas have.

The sentences of reports are also printed in terminals, so they have formulas in plain signs, such as ``‖LᵀL − RᵀR‖``.
Matplotlib typesets them, because few systems have a font from which a browser can typeset MathML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup
from markupsafe import escape as escaped

__all__ = ["typeset"]

SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀᵖ", [*"0123456789-+", r"\top ", "p"], strict=True))
SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ᵢⱼ", "0123456789+-ij", strict=True))
PAIRS = {"(": ")", "⟨": "⟩", "‖": "‖", "|": "|"}
#: Signs of which one makes a word a formula, also the names of operators before a parenthesis.
SURE = re.compile(rf"[‖⟨⟩√Σκλ{''.join(SUPERSCRIPTS)}{''.join(SUBSCRIPTS)}]|\*\(|\btr\(")
#: Words that belong to a formula if they stand next to one: letters, numbers and operators.
MAYBE = re.compile(r"[(|]*(?:[^\W\d_]\d?[*']?(?:\(\w\))?|\d+(?:\.\d+)?|alpha|[+−·=≤≥/×-])[)|]*[,.;:]?")
#: Numbers such as 9.7 × 10⁻⁷ stay text.
POWER_OF_TEN = re.compile(r"[(−]*(?:[\d.]+\s*×\s*)?10[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+[,.;:)]*")
OPERATORS, ENDS, ARTICLES = "+−·=≤≥/×-,", ",.;:", ("A", "a", "I")
#: Signs and their commands in TeX.
COMMANDS = {
    "−": "-", "·": r"\cdot ", "≤": r"\leq ", "≥": r"\geq ", "×": r"\times ", ",": r",\,", "Σ": r"\sum ", "‖": r"\Vert ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "λ": r"\lambda ", "κ": r"\kappa ", "alpha": r"\alpha ", "tr": r"\mathrm{tr}\,",
}  # fmt: skip
#: The size of letters for Matplotlib in points, and the length of an em of the page; this font has small letters.
SIZE, EM = 10.0, 9.0
#: Commands of SVG for the codes of a path of Matplotlib, and the number of their points.
DRAWN = {1: ("M", 1), 2: ("L", 1), 3: ("Q", 2), 4: ("C", 3), 79: ("Z", 1)}
HAT = "\N{COMBINING CIRCUMFLEX ACCENT}"
TOKEN = re.compile(r"\s+|\d+(?:\.\d+)?|alpha|tr|\w|.", re.DOTALL)


def typeset(text: object) -> Markup:
    """Return an escaped text in which formulas are pictures; a formula that cannot be read stays as it is.

    Examples
    --------
    >>> print(typeset("3 < 4"), typeset("the norm ‖X‖")[:57], "…")
    3 &lt; 4 the norm <svg class="formula" role="img" aria-label="‖X‖" …
    """
    parts = re.split(r"( +)", str(text))  # words, and spaces at odd positions
    out: list[str] = []
    position = 0
    for first, last in _spans(parts):
        out.append(_plain("".join(parts[position:first])))
        words = "".join(parts[first : last + 1])
        body = words.rstrip(ENDS)
        out.append(_math(body) + _plain(words[len(body) :]))
        position = last + 1
    out.append(_plain("".join(parts[position:])))
    return Markup("".join(out))  # noqa: S704  # all parts are escaped


def _plain(text: str) -> str:
    """Return a text with the signs of HTML escaped."""
    return str(escaped(text))


def _spans(parts: list[str]) -> list[tuple[int, int]]:
    """Return the first and last positions of formulas: words that are surely one, and what stands next to them."""
    spans: list[tuple[int, int]] = []
    for position in range(0, len(parts), 2):
        if (spans and position <= spans[-1][1]) or not _is_sure(parts[position]):
            continue
        first = last = position
        start = spans[-1][1] + 2 if spans else 0
        while first > start and _joins(parts[first - 2]) and not _ends(parts[first - 2]):
            first -= 2
        while last + 2 < len(parts) and (_is_open(parts[first : last + 1]) or not _ends(parts[last])):
            following = parts[last + 2]
            if not (_is_open(parts[first : last + 1]) or _joins(following) or _is_sure(following)):
                break
            last += 2
        while parts[first] in OPERATORS or (parts[first] in ARTICLES and parts[first + 2] not in OPERATORS):
            first += 2
        while parts[last] in OPERATORS or parts[last] in ARTICLES:
            last -= 2
        spans.append((first, last))
    return spans


def _is_sure(word: str) -> bool:
    return bool(SURE.search(word)) and not POWER_OF_TEN.fullmatch(word)


def _joins(word: str) -> bool:
    return bool(MAYBE.fullmatch(word))


def _ends(word: str) -> bool:
    return word[-1:] in ENDS


def _is_open(parts: list[str]) -> bool:
    """Return whether a bracket of these words is open."""
    text = "".join(parts)
    round_ones, angles = text.count("(") - text.count(")"), text.count("⟨") - text.count("⟩")
    return round_ones > 0 or angles > 0 or text.count("‖") % 2 == 1 or text.count("|") % 2 == 1


def _math(text: str) -> str:
    """Return the picture of a formula, or the escaped text if it has a sign that is not known or an open bracket."""
    try:
        formula = _Reader([sign for sign in TOKEN.findall(text) if not sign.isspace()]).row("")
    except (ValueError, IndexError):
        return _plain(text)
    d, width, height, depth = _outline(formula)
    return (
        f'<svg class="formula" role="img" aria-label="{_plain(text)}" width="{width:.3f}em" height="{height:.3f}em" '
        f'viewBox="0 {depth - height:.3f} {width:.3f} {height:.3f}" style="vertical-align:{-depth:.3f}em">'
        f'<path fill="currentColor" d="{d}"/></svg>'
    )


@cache
def _outline(formula: str) -> tuple[str, float, float, float]:
    """Return the outline of a formula in TeX as SVG, its width, its height and its depth below the line, in ems."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath, text_to_path

    font = FontProperties(size=SIZE, math_fontfamily="stix")
    path = TextPath((0, 0), f"${formula}$", prop=font)
    width, height, depth = text_to_path.get_text_width_height_descent(f"${formula}$", font, ismath=True)
    parts, position = [], 0
    points, codes = path.vertices / EM * [1, -1], path.codes
    while position < len(codes):
        command, count = DRAWN[int(codes[position])]
        numbers = " ".join(f"{x:.3f} {y:.3f}" for x, y in points[position : position + count])
        parts.append(command if command == "Z" else command + numbers)
        position += count
    return "".join(parts), width / EM, height / EM, depth / EM


@dataclass
class _Reader:
    """A reader of the signs of a formula, from left to right, which writes it in TeX."""

    signs: list[str]
    position: int = 0

    def row(self, closing: str) -> str:
        """Read up to a closing sign, or to the end if there is none."""
        out: list[str] = []
        while self.position < len(self.signs):
            if closing and self.signs[self.position] == closing:
                return "".join(out)
            out.append(self.scripted())
        if closing:
            raise ValueError(closing)
        return "".join(out)

    def scripted(self) -> str:
        """Read a letter, a number, an operator, a root or a bracket, with its sub- and superscripts."""
        base, sub, sup = self.base(), "", ""
        while self.position < len(self.signs):
            sign, following = self.signs[self.position], self.signs[self.position + 1 : self.position + 2]
            if sign in SUPERSCRIPTS:
                sup += SUPERSCRIPTS[sign]
            elif sign in SUBSCRIPTS:
                sub += SUBSCRIPTS[sign]
            elif sign == "'":
                sup += r"\prime "
            elif sign == "*" and base.isalpha():
                sup += "*"
            elif sign == HAT:
                base = rf"\hat{{{base}}}"
            elif sign == "_" and following == ["*"]:
                sub, self.position = "*", self.position + 1
            else:
                break
            self.position += 1
        return base + (f"_{{{sub}}}" if sub else "") + (f"^{{{sup}}}" if sup else "")

    def base(self) -> str:
        """Read a letter, a number, an operator, a root or a bracket."""
        sign = self.signs[self.position]
        self.position += 1
        if sign in PAIRS:
            inside = self.row(PAIRS[sign])
            self.position += 1
            return f"{COMMANDS.get(sign, sign)}{inside}{COMMANDS.get(PAIRS[sign], PAIRS[sign])}"
        if sign == "√":
            return rf"\sqrt{{{self.base()}}}"
        if sign in COMMANDS or sign in OPERATORS or sign[0].isdigit():
            return COMMANDS.get(sign, sign)
        if sign == "ŷ":
            return r"\hat{y}"
        if not (sign.isascii() and sign.isalpha()):
            raise ValueError(sign)
        digits = self.signs[self.position : self.position + 1]
        if digits and digits[0].isdigit() and sign.isupper():  # D1 and D2
            self.position += 1
            return f"{sign}_{digits[0]}"
        return sign
