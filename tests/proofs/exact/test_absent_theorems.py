"""Every theorem that a proof lacks has a reason in plain words."""

import re
from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.exact.theorems import KINDS, PLAIN, reasons
from tests.proofs.exact.integer_problems import sensing
from tests.proofs.exact.test_assembly import FLOATS, graded, proved

#: Names of variables and of constants of proofs, which no reason may use.
JARGON = re.compile(r"constant|range_g|sigma|'g1'|this was not proved|missing|⪰|the point")


def few(name, share):
    """Return a problem with a share of the measurements, too few for uniqueness."""
    problem = FLOATS[name]().problem
    kept = np.arange(int(share * problem.measurement.size))
    return fm.Problem(problem.measurement.subset(kept), problem.data[kept], problem.parametrization)


def cases():
    for name in FLOATS:
        yield name, lambda name=name: (FLOATS[name]().problem, {})
    for name in ("sensing", "phases", "network", "completion"):
        yield f"penalised {name}", lambda name=name: (FLOATS[name]().problem, {"alpha": 0.01})
    yield "zero data", lambda: (fm.Problem(sensing().measurement, np.zeros(60)), {})
    yield "zero solution", lambda: (FLOATS["sensing"]().problem, {"alpha": 1e6})
    yield "singular metric", lambda: (graded(10), {})
    cells = [0, 0, 1, 1], [0, 0, 0, 1]
    yield "repeated cell", lambda: (fm.Problem(fm.measurements.Entries(*cells, (2, 2)), [1.0, 1.1, 2.0, 3.0]), {})
    yield "overdetermined", lambda: (fm.families.matrix_sensing.sample((5, 4), 1, 40).problem, {})


@pytest.mark.parametrize(("name", "case"), list(cases()), ids=lambda x: x if isinstance(x, str) else "")
def test_every_kind_of_theorem_is_proved_or_has_a_reason_in_plain_words(name, case):
    problem, settings = case()
    proof = proved(problem, **settings)
    found = {statement.kind for statement in proof.statements}
    assert (found | set(proof.absent)) - {"gap"} == set(KINDS)
    assert not found & set(proof.absent)
    for reason in proof.absent.values():
        assert not JARGON.search(reason), reason
        assert reason[0].islower() or reason[0] in "TXU"
        assert not reason.endswith(".")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("phases", "U", "does not fit the data exactly.*same scaled trace"),
        ("sensing", "T", "only up to rounding"),
        ("table", "T", "only up to rounding"),
    ],
)
def test_reasons_name_the_cause(name, kind, words):
    assert re.search(words, proved(FLOATS[name]().problem).absent[kind])


def test_a_solution_without_a_theorem_has_reasons():
    problem = sensing(m=22)
    solution = fm.flat_minimum(problem)
    dual = replace(solution.certificate, dual=np.zeros(22))
    proof = fm.prove(problem, replace(solution, certificate=dual))
    assert "B" in proof.absent
    assert {"F", "T"} <= set(proof.absent)


def test_refusals_of_the_checker_are_translated():
    class Sensing:
        objective, trace_is_determined = "interpolating", False

    for fragment, plain in PLAIN:
        assert reasons(Sensing, {}, {"V": f"the {fragment} x"}, is_zero=False)["V"] == plain


@pytest.mark.parametrize("data", [0.0, 1.0])
def test_measurements_of_nothing_are_refused(data):
    problem = fm.Problem(fm.measurements.Dense(np.zeros((3, 2, 2))), np.full(3, data))
    with pytest.raises(fm.InputError, match="all sensing matrices are zero"):
        proved(problem)
