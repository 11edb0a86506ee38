from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.exact import ExactStatement
from flatmin.report.exact_proof import exact_proof_section
from flatmin.report.page import Page, Verdict, render
from flatmin.report.vocabulary import PRODUCT, vocabulary_of
from tests.proofs.exact.integer_problems import sensing


def section_of(problem, solution=None):
    solution = solution or fm.flat_minimum(problem)
    proof = fm.prove(problem, solution)
    terms = vocabulary_of(problem, solution.certificate)
    return exact_proof_section(proof, float(np.linalg.norm(solution.matrix)), terms), proof


@pytest.fixture(scope="module")
def solved():
    problem = fm.families.matrix_sensing.sample((8, 6), 1, 48).problem
    return problem, fm.flat_minimum(problem)


def statement(proof, **numbers):
    """Return the section's statement about a theorem whose numbers are replaced by others."""
    kind = {"gap": "gap", "beta": "B", "radius": "F"}[next(iter(numbers))]
    old = proof.statement(kind)
    exact = {**old.numbers, **{name: Fraction(x) for name, x in numbers.items()}}
    proof = replace(proof, statements=(ExactStatement(kind, exact, old.words),))
    return exact_proof_section(proof, 2.0, PRODUCT).statements[0]


def test_the_section_has_the_theorems_their_checks_and_the_command():
    section, proof = section_of(sensing())
    assert [s.text.partition(". ")[0] for s in section.statements] == [s.kind for s in proof.statements]
    assert all(statement.holds for statement in section.statements)
    assert section.statements[-1].title == "X̂ is the only flattest solution for the given data"
    page = render(Page("t", "k", "s", Verdict(True, "h"), [], [section]))
    assert f"python checker.py proof.json instance.npz --sha256 {proof.sha256}" in page
    assert "flatmin/proofs/checker.py" in page
    assert "Must it be trusted?" in page


def test_what_is_missing_has_its_reason():
    section, _ = section_of(fm.families.phase_retrieval.sample(8, 1, 60).problem)
    missing = [statement for statement in section.statements if statement.holds is None]
    titles = ["An upper bound for the best solution", "Whether it is the only solution for these data"]
    assert [statement.title for statement in missing] == titles
    assert missing[0].text.startswith("Not proved: X̂ does not fit")


def test_numbers_are_short_and_rounded_to_the_safe_side(solved):
    section, proof = section_of(*solved)
    lower, upper = (float(section.statements[i].text.split()[-1].rstrip(".")) for i in (0, 1))
    assert lower <= proof.statement("V").numbers["lower"] <= proof.statement("U").numbers["upper"] <= upper
    assert upper - lower < 1e-2 * upper
    assert max(len(word) for s in section.statements for word in s.text.split()) < 20


def test_the_point_and_its_data_are_defined_before_the_theorems(solved):
    section, proof = section_of(*solved)
    text = " ".join(section.prose)
    assert text.index("X̂ is the matrix L C Rᵀ of the arrays") < text.index("The distance of X̂ from the solution")
    assert "data b̂ = A(X̂)" in proof.statement("B").words
    far = exact_proof_section(replace(proof, distance=0.5), 2.0, PRODUCT)
    assert "25\N{NO-BREAK SPACE}% of its norm" in " ".join(far.prose)
    assert "do not carry over" in " ".join(far.prose)
    assert "do not carry over" not in text


def test_titles_follow_from_the_numbers(solved):
    _, proof = section_of(*solved)
    for numbers, holds, title in (
        ({"gap": "1.234e-9"}, True, "The two bounds agree up to a share of 1.24"),
        ({"gap": 0}, True, "The two bounds are equal"),
        ({"gap": "0.5101"}, None, "The two bounds differ by up to 51.1\N{NO-BREAK SPACE}%"),
        ({"beta": 0}, True, "X̂ is the only flattest solution for the given data"),
        ({"beta": "1.001e-16"}, True, "from the given ones by 1.01"),
        ({"beta": "0.03001"}, None, "differ from the given ones by 3.01\N{NO-BREAK SPACE}% or less"),
        ({"radius": "1.001e-3"}, True, "Every solution this flat lies within a relative distance of 0.0501"),
        ({"radius": 2}, None, "Other solutions may be far away"),
    ):
        found = statement(proof, **numbers)
        assert (found.holds, title in found.title) == (holds, True), found
        assert bool(found.word) is (holds is None)


def test_solutions_that_are_not_flat_and_noise_are_not_good_news():
    instance = fm.families.matrix_sensing.sample((9, 7), 1, 20)
    solution = fm.flat_minimum(instance.problem)
    U, s, Vt = np.linalg.svd(instance.truth)
    truth = U[:, :1] * s[0], Vt[:1].T
    steep, _ = section_of(instance.problem, replace(solution, factors=truth))
    gap = next(s for s in steep.statements if "gap. " in s.text)
    assert (gap.holds, gap.title.startswith("The two bounds differ by up to ")) == (None, True)
    noisy = fm.families.phase_retrieval.sample(8, 1, 48, noise=0.05).problem
    section, proof = section_of(noisy)
    assert proof.statement("B").floats["beta"] > 1e-3
    unique = next(s for s in section.statements if "B. X̂" in s.text)
    assert unique.holds is None
    assert "The given data are different" in unique.text


def test_theorems_about_zero_name_the_zero_matrix(solved):
    A = solved[0].measurement
    section, _ = section_of(fm.Problem(A, np.zeros(A.size)))
    assert "X̂ is the zero matrix" in " ".join(section.prose)
    unique = next(s for s in section.statements if s.text.startswith("T. "))
    assert unique.title.startswith("The zero matrix is the only")


def test_titles_say_that_unmeasured_columns_are_left_out():
    A = fm.measurements.Entries(np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4), (4, 5))
    problem = fm.Problem(A, np.outer(np.arange(1.0, 5), [1.0, 2, 3]).ravel())
    section, _ = section_of(problem)
    about = [s.title for s in section.statements if s.text[:2] in {"B.", "F.", "T."}]
    assert len(about) >= 2
    assert all(title.endswith("among matrices that vanish where nothing is measured") for title in about)
