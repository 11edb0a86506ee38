from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin.linalg.metric import Metric
from flatmin.losses import Absolute
from flatmin.parametrizations import Hadamard
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.flatness import Flatness
from flatmin.report import words
from flatmin.report.caveats import caution, caveats
from flatmin.report.proof import NORM_PROOF, proof
from flatmin.report.vocabulary import DETERMINED, PLAIN, PRODUCT, SEMIDEFINITE, SIGNED, SPLIT, vocabulary_of
from flatmin.solution import Status

CERTIFICATE = Certificate(
    holds=True,
    objective="interpolating",
    value=2.0,
    lower_bound=2.0 - 1e-8,
    relative_gap=5e-9,
    relative_residual=1e-12,
    whitened_residual=1e-11,
    dual=np.ones(3),
    dual_norm=1.0,
    bound_kind="dense",
    unique=True,
    q=2,
    injectivity=0.5,
    margin=0.25,
)


@pytest.mark.parametrize("status", Status)
def test_verdict_says_everything_the_status_says(status: Status) -> None:
    verdict = words.verdict(status)
    assert verdict.good is status.certified
    assert verdict.headline.startswith("Certified: " if status.certified else "Not certified: ")
    assert verdict.headline.endswith(".")
    said = f"{verdict.headline} {verdict.advice}".lower().replace(",", "").replace(".", "").replace(";", "").split()
    assert set(status.value.lower().replace(",", "").replace(".", "").replace(";", "").split()) <= set(said)


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
        ({"q": None, "margin": None, "injectivity": None}, "no measurement sees"),
        ({"unique": None}, "neither yes nor no"),
    ],
)
def test_uniqueness_details(changes: dict, expected: str) -> None:
    assert expected in proof(replace(CERTIFICATE, **changes), 3)[3].text


def test_gap_of_either_sign_and_of_zero_value() -> None:
    def bound(**changes):
        return proof(replace(CERTIFICATE, **changes), 3)[1]

    assert bound().holds is True
    assert "its size is what counts" in bound(relative_gap=-1e-9).text
    assert bound(relative_gap=0.25, holds=False).holds is False
    assert "25 %" in bound(relative_gap=0.25, holds=False).text
    assert bound(relative_gap=-0.25, holds=False).holds is False
    assert bound(value=0.0, lower_bound=0.0, relative_gap=0.0).holds is True


def test_fit_is_part_of_the_proof_unless_penalised() -> None:
    assert proof(replace(CERTIFICATE, relative_residual=1e-3, holds=False), 3)[0].holds is False
    assert proof(replace(CERTIFICATE, relative_residual=1e-3, objective="penalised"), 3)[0].holds is None
    hidden = proof(replace(CERTIFICATE, whitened_residual=1e-3, holds=False), 3)[0]
    assert hidden.holds is False
    assert "0.001 of the matrix" in hidden.text
    assert "one given" in proof(CERTIFICATE, 1)[0].text


def test_limits_below_and_above_the_counting_bound() -> None:
    def said(**changes):
        defaults = {
            "shape": (10, 8),
            "rank": 2,
            "n_measurements": 200,
            "exact": True,
            "metric_power": 1.0,
            "error": None,
        }
        return " ".join(caveats(**{**defaults, **changes}))

    assert "200 measurements: 6.2 for each" in said()
    assert "not a discovery" in said(n_measurements=20)
    assert "the noise" in said()
    assert "pulls the solution" in said(exact=False)
    assert "This solution is not the truth" in said(error=0.1)
    assert "The two agree" in said(error=1e-9)
    assert "not the flat one" in said(metric_power=0.5)
    assert said(rank=0).startswith("Flattest does not mean true")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"relative_residual": 1e-3}, ["the relative residual is 1.0e-03, above 1e-08", "Fit the data"]),
        ({"whitened_residual": 1e-3}, ["the whitened residual is 1.0e-03, above 1e-07", "Fit the data"]),
        ({"relative_gap": 0.25}, ["the relative gap is 2.5e-01", "Find a flatter solution"]),
        ({"relative_gap": -0.25, "relative_residual": 0.1}, ["relative residual is 1.0e-01", "and the relative gap"]),
        ({"bound_kind": "estimated"}, ["only estimated", "Try a smaller problem"]),
        (
            {"relative_gap": 0.25, "relative_residual": 9.0, "objective": "penalised"},
            ["Not certified: the relative gap"],
        ),
        ({"relative_gap": float("nan")}, ["the relative gap is nan"]),
    ],
)
def test_judgement_says_what_failed_and_what_to_do(changes: dict, parts: list[str]) -> None:
    line = words.judgement(replace(CERTIFICATE, holds=False, unique=None, **changes))
    assert line.startswith("Not certified: ")
    assert line.endswith(".")
    assert all(part in line for part in parts)


@pytest.mark.parametrize("unique", [True, False, None])
def test_judgement_of_a_proof(unique: bool | None) -> None:
    line = words.judgement(replace(CERTIFICATE, unique=unique))
    assert line == f"Certified: no solution is flatter; {words.unique_phrase(unique)}."
    penalised = words.judgement(replace(CERTIFICATE, unique=unique, objective="penalised"))
    assert penalised.startswith("Certified: no matrix has a smaller loss + alpha")


def test_unmeasured_directions_are_counted_beside_whole_rows() -> None:
    seen, blind = Metric(np.ones(3)), Metric(np.array([1.0, 1.0, 0.0]))
    mixed = Metric.root(np.ones((3, 3)))
    assert words.unmeasured((seen, blind)) == []
    assert words.unmeasured((mixed, seen))[0].startswith("2 directions of the rows are not measured")
    part = Metric.root(np.diag([0.0, 1.0, 1.0]) @ np.ones((3, 3)) @ np.diag([0.0, 1.0, 1.0]))
    assert words.unmeasured((seen, part))[0].startswith("1 direction of the columns is not measured")


def test_caution_only_where_measurements_are_too_few() -> None:
    assert caution(32, 200) == ""
    assert "32 degrees" in caution(32, 20)
    assert caution(0, 1) == ""


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.0, "0"),
        (1e-8, "10⁻⁸"),
        (-2.5e-7, "−2.5 × 10⁻⁷"),
        (123456.0, "123456"),
        (0.1 + 0.2, "0.3"),
        (1.5e300, "1.5 × 10³⁰⁰"),
        (12345.678, "12346"),
        (99.7, "99.7"),
        (999.7, "1000"),
        (0.99996, "1"),
        (float("nan"), "not known"),
        (float("-inf"), "minus infinite"),
    ],
)
def test_numbers(x: float, text: str) -> None:
    assert words.number(x).replace("\N{NO-BREAK SPACE}", " ") == text


def test_close_numbers_can_be_told_apart() -> None:
    assert words.number(0.14520601743, 10) != words.number(0.14520601726, 10)
    assert words.number(1.0000000106, 12) == "1.0000000106"


def test_another_norm_or_objective_is_named_as_what_it_is() -> None:
    flat = Flatness(1.0, 1.0, 2.0, 2.0, 0.0, 0.0, 1.0, 0.0)
    assert "scaled trace" not in proof(CERTIFICATE, 3, metric_power=0.0)[1].text
    assert "‖D1ᵖ X D2ᵖ‖" in words.flatness_facts(flat, CERTIFICATE, 0.5)[2].meaning
    assert "loss + alpha" in proof(replace(CERTIFICATE, objective="penalised"), 3)[1].text
    assert "not proved" in words.flatness_facts(flat, replace(CERTIFICATE, bound_kind="estimated"))[2].meaning


def test_flatness_explains_every_number() -> None:
    facts = words.flatness_facts(Flatness(1.0, 1.0, 2.0, 2.0, 0.0, float("inf"), 1.0, 0.0), CERTIFICATE)
    assert [fact.name for fact in facts][:3] == ["Scaled trace", "Fibre minimum", "Lower bound"]
    assert len(facts) == 8
    assert all(fact.meaning and fact.value for fact in facts)


def test_a_fit_that_is_the_only_one_needs_no_caution() -> None:
    assert "A fit need not be the truth" in caution(32, 20, DETERMINED)
    assert caution(32, 20, DETERMINED, unique=True) == ""
    assert "Flattest does not mean true" in caution(32, 20, SIGNED, unique=True)


@pytest.mark.parametrize("unique", [True, False, None])
def test_where_all_fits_are_flat_the_verdict_is_about_uniqueness(unique: bool | None) -> None:
    status = Status.unique_flat_minimum if unique else Status.flat_minimum
    verdict = words.verdict(status, DETERMINED, unique)
    assert verdict.good is bool(unique)
    assert "flattest" not in verdict.headline
    line = words.judgement(replace(CERTIFICATE, unique=unique), DETERMINED)
    assert line.startswith("Certified" if unique else "It fits the data: ")
    assert words.unique_phrase(unique, DETERMINED) in line
    failed = words.verdict(Status.not_certified, DETERMINED, unique)
    assert failed == words.verdict(Status.not_certified)


@pytest.mark.parametrize("unique", [True, False, None])
def test_splits_are_compared_with_splits(unique: bool | None) -> None:
    certificate = replace(CERTIFICATE, unique=unique)
    assert words.judgement(certificate, SPLIT).startswith("Certified: no split has a smaller ")
    statements = proof(certificate, 3, terms=SPLIT)
    assert [s.title for s in statements][:2] == ["The two parts add up to the data", "No split is better"]
    assert "flat" not in " ".join(f"{s.title} {s.text}" for s in statements)
    headline = words.verdict(Status.flat_minimum, SPLIT, unique).headline
    assert headline == "Certified: no split into low rank and gross errors is better."


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


def test_each_model_has_its_voice() -> None:
    rng = np.random.default_rng(0)
    vectors, sensing = fm.measurements.RankOne(rng.standard_normal((9, 3))), rng.standard_normal((9, 3, 3))
    general = fm.measurements.Dense(sensing + sensing.transpose(0, 2, 1))
    cells = fm.measurements.Entries([0, 1], [1, 2], (3, 3))

    def terms(measurement, model, certificate=None, power=1.0, **loss):
        problem = fm.Problem(measurement, np.ones(measurement.size), model, **loss)
        return vocabulary_of(problem, certificate, power)

    assert terms(general, fm.Product()) == PRODUCT
    assert terms(general, fm.Gram()) == SEMIDEFINITE
    assert terms(vectors, fm.Gram()) == DETERMINED
    assert terms(vectors, fm.Gram(), replace(CERTIFICATE, objective="penalised")) == SEMIDEFINITE
    assert terms(vectors, fm.Gram(), power=0.5) == SEMIDEFINITE
    assert terms(vectors, fm.SignedGram()) == SIGNED
    assert terms(fm.measurements.Dense(sensing[:, :, :1]), Hadamard(3)) == PLAIN
    weighted = terms(cells, fm.Product(), loss=Absolute(weight=0.5))
    assert (weighted.splits, weighted.trace) == (True, "sum ‖X‖_* + 0.5 · ‖S‖₁")
    limited = terms(cells, fm.Product(), loss=Absolute(tau=2.0))
    assert limited.trace == "nuclear norm ‖X‖_*"
    assert limited.fits.endswith("errors ‖S‖₁ of at most 2")


def test_symmetric_models_speak_of_directions_once() -> None:
    mixed = Metric.root(np.ones((3, 3)))
    assert words.unmeasured((mixed, mixed)) == [
        "2 directions are not measured, or too weakly to count; the solution is zero along them."
    ]


def test_flatness_of_a_gram_model_has_no_balance() -> None:
    flat = Flatness(1.0, 1.0, 2.0, None, 0.0, 0.0, 1.0, 0.0)
    facts = {fact.name: fact for fact in words.flatness_facts(flat, CERTIFICATE, terms=DETERMINED)}
    assert not {"Balance", "Norm excess"} & set(facts)
    assert facts["Scaled trace"].meaning.startswith("8 tr(U* D U)")
    assert facts["Fibre minimum"].value == "not known"


def test_gross_errors_count_as_degrees_of_freedom() -> None:
    assert caution(32, 50, SPLIT, errors=18) == ""
    said = caution(32, 49, SPLIT, errors=18)
    assert said.startswith(
        "The best split need not be the true one: a matrix of this rank with 18 errors has 50 degrees"
    )
    assert said.endswith("more than the 49 observed cells.")


@pytest.mark.parametrize("unique", [True, False, None])
def test_penalised_solutions_are_compared_with_minimisers(unique: bool | None) -> None:
    penalised = replace(CERTIFICATE, unique=unique, objective="penalised")
    said = f"{words.judgement(penalised)} {proof(penalised, 3)[3].text}"
    assert "minimiser" in said
    assert "flat" not in said.replace("scaled trace", "")


@pytest.mark.parametrize(("bound", "margin"), [("probabilistic", "dense"), ("dense", "probabilistic")])
def test_what_is_left_to_chance_is_told_with_its_probability(bound: str, margin: str) -> None:
    sure = replace(CERTIFICATE, bound_kind="dense", margin_kind="dense")
    likely = replace(sure, bound_kind=bound, margin_kind=margin, failure_probability=2e-11)
    told = f"except with probability {words.number(2e-11)}"
    assert words.except_for(sure) == ""
    assert told not in words.judgement(sure)
    assert told in words.judgement(likely)
    page = words.verdict(Status.unique_flat_minimum, unique=True, certificate=likely)
    assert told in page.advice
    assert words.verdict(Status.unique_flat_minimum, unique=True, certificate=sure).advice in page.advice
    assert told not in words.verdict(Status.not_certified, certificate=likely).advice
    statements = " ".join(f"{s.title} {s.text}" for s in proof(likely, 3))
    assert told in statements
    assert told not in " ".join(f"{s.title} {s.text}" for s in proof(sure, 3))
    unknown = words.except_for(replace(likely, failure_probability=None))
    assert unknown == f"except with a probability of at most {words.number(1e-10)}"


def test_a_split_and_a_signal_tell_the_chance_of_their_margin() -> None:
    likely = replace(CERTIFICATE, margin_kind="probabilistic", failure_probability=3e-12)
    told = f"except with probability {words.number(3e-12)}"
    for terms in (SPLIT, DETERMINED):
        assert any(told in f"{s.title} {s.text}" for s in proof(likely, 3, terms=terms))
