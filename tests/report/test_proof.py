"""The statements of a proof, for certificates of every kind."""

from dataclasses import replace

import pytest

from flatmin.report import words
from flatmin.report.proof import NORM_PROOF, proof
from flatmin.report.vocabulary import DETERMINED
from tests.report.made import CERTIFICATE


@pytest.mark.parametrize("kind", ["dense", "cholesky", "probabilistic", "estimated", "another"])
def test_proof_says_what_proves_the_norm(kind: str) -> None:
    norm = proof(replace(CERTIFICATE, bound_kind=kind), 3)[2]
    assert norm.holds is (kind != "estimated")
    assert NORM_PROOF.get(kind, kind) in norm.text


def test_an_estimated_norm_proves_nothing() -> None:
    fit, bound, norm, unique = proof(replace(CERTIFICATE, bound_kind="estimated", holds=False, unique=None), 3)
    assert fit.holds is True
    assert (bound.holds, norm.holds, unique.holds) == (None, False, None)


@pytest.mark.parametrize("unique", [True, False, None])
def test_uniqueness_in_words(unique: bool | None) -> None:
    statement = proof(replace(CERTIFICATE, unique=unique), 3)[3]
    assert statement.holds is unique
    assert "3 numbers" in statement.text
    assert "0.25" in statement.text
    assert words.unique_word(unique) in ("yes", "no", "undecided")


def test_uniqueness_is_silent_without_a_proof_of_flatness() -> None:
    silent = replace(CERTIFICATE, holds=False, unique=None, q=None, injectivity=None, margin=None)
    text = proof(silent, 3)[3].text
    assert text == "Nothing is said about other solutions before this one is proved to be the flattest solution."


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"injectivity": None, "unique": None}, "too much memory"),
        ({"injectivity": 0.0, "unique": False}, "do not tell all such cores apart"),
        ({"q": 0}, "only the zero matrix"),
        ({"q": 1}, "singular values is 1"),
        ({"margin": 1.0}, "No other one is above 0"),
        ({}, "any other solution this flat lies within about 1 % of it"),
        ({"unseen": 1}, "vanish in 1 direction, which measurements see"),
        ({"unique": None}, "so it remains open"),
    ],
)
def test_uniqueness_details(changes: dict, expected: str) -> None:
    assert expected in proof(replace(CERTIFICATE, **changes), 3)[3].text


def test_gap_of_either_sign_and_of_zero_value() -> None:
    def bound(**changes):
        return proof(replace(CERTIFICATE, **changes), 3)[1]

    assert bound().holds is True
    assert "only its absolute value matters" in bound(relative_gap=-1e-9).text
    assert bound(relative_gap=0.25, holds=False).holds is False
    assert "25\N{NO-BREAK SPACE}%" in bound(relative_gap=0.25, holds=False).text
    assert bound(relative_gap=-0.25, holds=False).holds is False
    assert bound(value=0.0, lower_bound=0.0, relative_gap=0.0).holds is True


def test_fit_is_part_of_the_proof_unless_penalised() -> None:
    assert proof(replace(CERTIFICATE, relative_residual=1e-3, holds=False), 3)[0].holds is False
    assert proof(replace(CERTIFICATE, relative_residual=1e-3, objective="penalised"), 3)[0].holds is None
    hidden = proof(replace(CERTIFICATE, whitened_residual=1e-3, holds=False), 3)[0]
    assert hidden.holds is False
    assert "0.001 relative to the matrix" in hidden.text
    assert "one given" in proof(CERTIFICATE, 1)[0].text


@pytest.mark.parametrize(
    ("changes", "expected", "holds"),
    [
        ({}, "The margin is 0.25: the smallest eigenvalue of W orthogonal to X", True),
        ({"unique": False}, "Another positive semidefinite matrix that fits the data was found", False),
        ({"unique": None, "margin": None}, "No such vector was found here", None),
        ({"unique": None, "margin_kind": "estimated"}, "an estimate proves nothing", None),
        ({"unique": None}, "The best one found has a margin of 0.25, which is too little", None),
        ({"unique": None, "holds": False}, "before this one fits", None),
    ],
)
def test_the_uniqueness_dual_is_explained(changes: dict, expected: str, holds: bool | None) -> None:
    statements = proof(replace(CERTIFICATE, **{"margin_kind": "dense", **changes}), 3, terms=DETERMINED)
    assert statements[2].holds is holds
    assert expected in statements[2].text
    assert "Flatness says nothing here" in statements[1].text
    assert all("dual matrix's singular values" not in s.text for s in statements)


def test_bounds_are_short_and_rounded_to_the_safe_side() -> None:
    found = proof(replace(CERTIFICATE, value=21.1495942973, relative_gap=4.3211e-13, dual_norm=1 + 2**-40), 3)
    assert "a scaled trace of 21.15." in found[1].text
    assert "4.33\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10⁻¹³" in found[1].text
    assert "exceeds 1 by at most 9.1\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10⁻¹³" in found[2].text
    assert "it does not exceed 1" in proof(replace(CERTIFICATE, dual_norm=0.7), 3)[2].text


def test_the_trace_of_all_solutions_is_known_only_from_one_that_fits() -> None:
    texts = [proof(replace(CERTIFICATE, holds=holds), 3, terms=DETERMINED)[1].text for holds in (True, False)]
    assert ["has the same trace, 2, because" in text for text in texts] == [True, False]
    assert "has the same trace because" in texts[1]
