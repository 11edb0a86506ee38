from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flatmin.linalg.metric import Metric
from flatmin.proofs.flatness import Flatness
from flatmin.report import words
from flatmin.report.proof import proof
from flatmin.report.vocabulary import DETERMINED, SPLIT
from flatmin.solution import Status
from tests.report.made import CERTIFICATE


@pytest.mark.parametrize("status", Status)
def test_verdict_says_everything_the_status_says(status: Status) -> None:
    verdict = words.verdict(status)
    assert verdict.good is status.certified
    assert verdict.headline.startswith("Certified: " if status.certified else "Not certified: ")
    assert verdict.headline.endswith(".")
    said = f"{verdict.headline} {verdict.advice}".lower().replace(",", "").replace(".", "").replace(";", "").split()
    assert set(status.value.lower().replace(",", "").replace(".", "").replace(";", "").split()) <= set(said)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"relative_residual": 1e-3}, ["the relative residual is 1.0e-03, above 1e-08", "Fit the data"]),
        ({"whitened_residual": 1e-3}, ["the whitened residual is 1.0e-03, above 1e-07", "Fit the data"]),
        ({"residual_reach": 1e-3}, ["the residual could lower the bound by a share of 1.0e-03", "Fit the data"]),
        ({"relative_gap": 0.25}, ["the relative gap is 2.5e-01", "Find a flatter solution"]),
        ({"relative_gap": -0.25, "relative_residual": 0.1}, ["relative residual is 1.0e-01", "; the relative gap"]),
        ({"relative_gap": 0.25, "rounding": 0.25}, ["rounding hides 2e-01 of the value", "Give rows"]),
        ({"bound_kind": "estimated", "rounding": 1.0}, ["rounding hides", "similar sizes"]),
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


def test_unseen_directions_are_told_wherever_a_proof_is() -> None:
    blind = replace(CERTIFICATE, unseen=2)
    among = (
        "This compares matrices that vanish in 2 directions, which measurements see by less than 1e-12 or not at all."
    )
    assert words.judgement(blind).endswith(among)
    assert words.judgement(blind, DETERMINED).endswith(among)
    assert words.verdict(Status.flat_minimum, certificate=blind).advice.endswith(among)
    assert proof(blind, 3)[1].text.endswith(among)
    assert proof(blind, 3, terms=DETERMINED)[1].text.endswith(among)
    assert among in proof(blind, 3)[3].text
    assert proof(replace(blind, margin_kind="dense"), 3, terms=DETERMINED)[2].text.endswith(among)
    assert "This compares" not in proof(CERTIFICATE, 3)[3].text
    assert "directions" not in words.judgement(replace(blind, holds=False, relative_gap=0.5))
    assert words.scope(CERTIFICATE) == ""


def test_unmeasured_directions_are_counted_beside_whole_rows() -> None:
    seen, blind = Metric(np.ones(3)), Metric(np.array([1.0, 1.0, 0.0]))
    mixed = Metric.root(np.ones((3, 3)))
    assert words.unmeasured((seen, blind)) == []
    assert words.unmeasured((mixed, seen))[0].startswith("2 directions of the rows are not measured")
    part = Metric.root(np.diag([0.0, 1.0, 1.0]) @ np.ones((3, 3)) @ np.diag([0.0, 1.0, 1.0]))
    assert words.unmeasured((seen, part))[0].startswith("1 direction of the columns is not measured")


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
