"""Formulas in the sentences of reports become pictures; everything else is escaped text."""

import re
from html import unescape

import pytest

from flatmin.report import vocabulary
from flatmin.report.typesetting.formulas import TOKEN, _Reader, typeset


def formulas(text):
    """Return the formulas that are typeset, as plain text."""
    html = str(typeset(text))
    assert html.count("<svg") == html.count("</svg>") == html.count("<path")
    return [unescape(found) for found in re.findall(r'aria-label="([^"]*)"', html)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("‖LᵀL − RᵀR‖ in the nuclear norm; 0 when both factors are equally large.", ["‖LᵀL − RᵀR‖"]),
        ("8 tr(U* D U), with D the mean of the Aᵢ²: the part", ["8 tr(U* D U)", "Aᵢ²"]),
        ("8 tr(D (U₊U₊ᵀ + U₋U₋ᵀ)), with D the mean", ["8 tr(D (U₊U₊ᵀ + U₋U₋ᵀ))"]),
        ("norm 4‖D1ᵖ X D2ᵖ‖", ["4‖D1ᵖ X D2ᵖ‖"]),
        ("computes ŷ(x) = Σ vⱼ (uⱼᵀx)².", ["ŷ(x) = Σ vⱼ (uⱼᵀx)²"]),
        ("also has ⟨W, X'⟩ = ⟨λ, b⟩ = 0, so it has the range of X", ["⟨W, X'⟩ = ⟨λ, b⟩ = 0"]),
        ("Its matrix W = A*(λ), in units of the metric D, is", ["W = A*(λ)"]),
        ("√D⁻¹ A*(λ) √D⁻¹", ["√D⁻¹ A*(λ) √D⁻¹"]),
        ("A radius of ‖X‖ or more rules out little", ["‖X‖"]),
        ("an X with a smaller ‖X‖_* has larger errors in ‖S‖₁.", ["‖X‖_*", "‖S‖₁"]),
        ("loss + 4 alpha · (‖X‖_* + 0.1 · ‖S‖₁)", ["4 alpha · (‖X‖_* + 0.1 · ‖S‖₁)"]),
        ("less half of κ² − 1, over all draws", ["κ² − 1"]),
        ("The dual vector |xᵢ|²/m proves this", ["|xᵢ|²/m"]),
        ("(its size is ‖A(X') − b‖, in the units of the data).", ["‖A(X') − b‖"]),
        ("a share of 9.69 × 10⁻⁷ of I, A and 3", []),
        ("5.6\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10⁻¹⁵, at most 10⁻⁶.", []),
        ("A letter ‖ that stays open", []),
        ("x < y & z", []),
    ],
)
def test_formulas_are_found(text, found):
    assert formulas(text) == found


def test_a_text_without_formulas_is_escaped_and_nothing_else():
    assert str(typeset('5 < 6 & "x" <script>')) == "5 &lt; 6 &amp; &#34;x&#34; &lt;script&gt;"
    assert str(typeset("‖<script>‖")) == "‖&lt;script&gt;‖"


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("‖D1ᵖ X‖", r"\Vert D_1^{p}X\Vert "),
        ("LᵀL", r"L^{\top }L"),
        ("√D⁻¹ A*(λ)", r"\sqrt{D}^{-1}A^{*}(\lambda )"),
        ("4 alpha · ‖X‖_*", r"4\alpha \cdot \Vert X\Vert _{*}"),
        ("U₊ᵀU₋", r"U_{+}^{\top }U_{-}"),
        ("b̂ = A(X̂)", r"\hat{b}=A(\hat{X})"),
    ],
)
def test_scripts_roots_and_brackets_are_read(text, tex):
    signs = [sign for sign in TOKEN.findall(text) if not sign.isspace()]
    assert _Reader(signs).row("") == tex


def test_a_picture_stands_on_the_line_and_is_as_large_as_the_letters():
    html = str(typeset("LᵀL and Aᵢ"))
    heights = [float(h) for h in re.findall(r'height="([\d.]+)em"', html)]
    depths = [float(d) for d in re.findall(r"vertical-align:(-[\d.]+)em", html)]
    assert all(0.6 < height < 1.3 for height in heights)
    assert depths[1] < depths[0] <= 0


def test_every_formula_of_the_vocabulary_is_typeset():
    for name in ("PRODUCT", "SEMIDEFINITE", "SIGNED", "SPLIT", "PLAIN", "DETERMINED"):
        terms = getattr(vocabulary, name)
        for text in (terms.value, terms.dual_matrix, terms.balance, terms.trace_meaning):
            plain = re.sub(r"<[^>]*>", " ", re.sub(r"<svg.*?</svg>", " ", str(typeset(text))))
            assert not re.search("[‖⟨√ᵀ₊₋⁻²]", plain), text
