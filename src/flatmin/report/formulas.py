"""Formulas of a report as MathML, found in its sentences by the signs that only formulas have.

The sentences of reports are also printed in terminals, so they have formulas in plain signs, such as ``‖LᵀL − RᵀR‖``.
A browser shows MathML without any script.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup
from markupsafe import escape as escaped

__all__ = ["typeset"]

SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀᵖ", "0123456789−+⊤p", strict=True))
SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ᵢⱼ", "0123456789+−ij", strict=True))
PAIRS = {"(": ")", "⟨": "⟩", "‖": "‖", "|": "|"}
#: Signs of which one makes a word a formula, also the names of operators before a parenthesis.
SURE = re.compile(rf"[‖⟨⟩√Σκλ{''.join(SUPERSCRIPTS)}{''.join(SUBSCRIPTS)}]|\*\(|\btr\(")
#: Words that belong to a formula if they stand next to one: letters, numbers and operators.
MAYBE = re.compile(r"[(|]*(?:[^\W\d_]\d?[*']?(?:\(\w\))?|\d+(?:\.\d+)?|alpha|[+−·=≤≥/×-])[)|]*[,.;:]?")
#: Numbers such as 9.7 × 10⁻⁷ stay text.
POWER_OF_TEN = re.compile(r"[(−]*(?:[\d.]+\s*×\s*)?10[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+[,.;:)]*")
OPERATORS, ENDS, ARTICLES = "+−·=≤≥/×-,", ",.;:", ("A", "a", "I")
NAMES = {"alpha": "α"}
TOKEN = re.compile(r"\s+|\d+(?:\.\d+)?|alpha|tr|\w|.", re.DOTALL)


def typeset(text: object) -> Markup:
    """Return an escaped text in which formulas are MathML; a formula that cannot be read stays as it is.

    Examples
    --------
    >>> typeset("the norm ‖X‖, at most 3 < 4")
    Markup('the norm <math alttext="‖X‖"><mo>‖</mo><mi>X</mi><mo>‖</mo></math>, at most 3 &lt; 4')
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
    """Return MathML of a formula, or the escaped text if it has a sign that is not known or an open bracket."""
    reader = _Reader([sign for sign in TOKEN.findall(text) if not sign.isspace()])
    try:
        row = reader.row("")
    except (ValueError, IndexError):
        return _plain(text)
    return f'<math alttext="{_plain(text)}">{row}</math>'


@dataclass
class _Reader:
    """A reader of the signs of a formula, from left to right."""

    tokens: list[str]
    position: int = 0

    def row(self, closing: str) -> str:
        """Read up to a closing sign, or to the end if there is none."""
        out: list[str] = []
        while self.position < len(self.tokens):
            if closing and self.tokens[self.position] == closing:
                return "".join(out)
            out.append(self.scripted())
        if closing:
            raise ValueError(closing)
        return "".join(out)

    def scripted(self) -> str:
        """Read a letter, a number, an operator, a root or a bracket, with its sub- and superscripts."""
        base, sub, sup = self.base(), "", ""
        while self.position < len(self.tokens):
            sign, following = self.tokens[self.position], self.tokens[self.position + 1 : self.position + 2]
            if sign in SUPERSCRIPTS:
                sup += SUPERSCRIPTS[sign]
            elif sign in SUBSCRIPTS:
                sub += SUBSCRIPTS[sign]
            elif sign == "'":
                sup += "′"
            elif sign == "*" and base.startswith("<mi>"):
                sup += "*"
            elif sign == "_" and following == ["*"]:
                sub, self.position = "*", self.position + 1
            else:
                break
            self.position += 1
        lower, upper = (f"<mo>{part}</mo>" if part else "" for part in (sub, sup))
        if sub and sup:
            return f"<msubsup>{_one(base)}{lower}{upper}</msubsup>"
        return f"<msub>{_one(base)}{lower}</msub>" if sub else f"<msup>{_one(base)}{upper}</msup>" if sup else base

    def base(self) -> str:
        """Read a letter, a number, an operator, a root or a bracket."""
        sign = self.tokens[self.position]
        self.position += 1
        if sign in PAIRS:
            inside = self.row(PAIRS[sign])
            self.position += 1
            return f"<mo>{sign}</mo>{inside}<mo>{PAIRS[sign]}</mo>"
        if sign == "√":
            return f"<msqrt>{self.base()}</msqrt>"
        if sign == "Σ":
            return "<mo>∑</mo>"
        if sign in OPERATORS:
            return f"<mo>{_plain(sign)}</mo>"
        if sign[0].isdigit():
            return f"<mn>{sign}</mn>"
        if sign in NAMES or sign == "tr" or sign.isalpha():
            name = f"<mi>{NAMES.get(sign, sign)}</mi>"
            digits = self.tokens[self.position : self.position + 1]
            if digits and digits[0].isdigit() and sign.isupper():  # D1 and D2
                self.position += 1
                return f"<msub>{name}<mn>{digits[0]}</mn></msub>"
            return name
        raise ValueError(sign)


def _one(base: str) -> str:
    """Return several elements as one."""
    return base if base.count("<mi>") + base.count("<mn>") + base.count("<mo>") == 1 else f"<mrow>{base}</mrow>"
