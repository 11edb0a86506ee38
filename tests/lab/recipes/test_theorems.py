"""Theorems counted over a grid: real cells, and verdicts on made-up results."""

import pytest

from flatmin.lab import recipes
from flatmin.lab.recipes import theorems
from flatmin.lab.recipes._integer_instances import MODELS
from tests.lab.paper import evidence_of, set_in, verdicts


def results(delay=0.0, later=0.0, off=0.0, lost=0.0, false=False, found_late=False):
    """Return what is found if both boundaries are the statistical dimension, changed in one way.

    ``delay`` is that of theorems and ``off`` shifts both, in units of the recipe's scale; ``later`` increases both by
    this factor. ``lost`` is the share of draws that are never theorems, and ``false`` makes theorems of all draws.
    ``found_late`` makes draws of every model recovered at the same boundary.
    """

    def metrics(cell, chance):
        at = (theorems.predicted(cell) or 0.7 * theorems._scale(cell)) * (1 + later) + off * theorems._scale(cell)
        # Where all fits are equally flat, the truth may be found before it is the only fit.
        early = 0.4 * theorems._scale(cell) if cell["panel"] in theorems.DETERMINED and not found_late else 0.0
        success = set_in(at - early, cell["m"], chance)
        theorem = set_in(at + delay * theorems._scale(cell), cell["m"], chance) and chance * 0.999 >= lost
        return {"success": success, "theorem": false or theorem}

    return metrics


def judged(words, **changed):
    return verdicts(evidence_of("theorems", results(**changed), repetitions=20), words)


def test_what_theory_says_is_confirmed():
    evidence = evidence_of("theorems", results(), repetitions=20)
    claims = evidence.experiment.judge(evidence)
    assert [claim.verdict for claim in claims] == ["holds"] * len(claims)
    assert len(claims) == 3 + len(MODELS) + 2 * len(theorems.GAUSSIAN) + len(theorems.DETERMINED)


@pytest.mark.parametrize(
    ("words", "changed", "verdict"),
    [
        ("The number of theorems", {"false": True}, "fails"),
        ("Where flatness selects the solution", {"lost": 0.05}, "fails"),
        ("In covariance estimation and phase retrieval", {"lost": 0.05}, "fails"),
        ("Completion: by how much c", {"delay": 0.3}, "fails"),
        ("Covariance estimation: by how much c", {"found_late": True}, "fails"),
        ("Phase retrieval: by how much c", {"found_late": True}, "fails"),
        ("set in after", {"delay": 0.12}, "fails"),
        ("the largest distance", {"off": 0.5}, "fails"),
        ("differs", {"later": 0.15}, "fails"),
    ],
)
def test_each_claim_can_be_refuted(words, changed, verdict):
    assert verdict in judged(words, **changed)


def test_a_small_part_leaves_claims_open():
    few = evidence_of("theorems", results(), repetitions=1, chosen=lambda cell: cell["d"] == 8 and cell["m"] < 30)
    assert set(verdicts(few, "exceeds")) == {"undecided"}
    none = evidence_of("theorems", results(), repetitions=1).select(panel="none")
    assert {claim.verdict for claim in theorems.judge(none)} == {"undecided"}


def test_figures_show_recovery_and_theorems_of_every_model():
    evidence = evidence_of("theorems", results(delay=0.2), repetitions=3)
    displays = {display.name: display for display in evidence.experiment.show(evidence)}
    assert len(displays) == 3 * len(MODELS)
    for panel in MODELS:
        shares = [
            [row[4] for row in displays[f"map-{panel}-{outcome}"].table()[1]] for outcome in ("success", "theorem")
        ]
        assert sum(shares[0]) > sum(shares[1]) > 0
        assert {line.label for line in displays[f"boundary-{panel}"].lines} == set(theorems.OUTCOMES.values())
    assert not displays["boundary-robust-pca"].dashed
    assert displays["boundary-gaussian"].plot().ax_.get_xlabel() == "dimension d"


def test_cells_have_no_more_measurements_than_matter():
    for cell in recipes.find("theorems").cells:
        d, model = cell["d"], MODELS[cell["panel"]]
        symmetric = model.among in ("symmetric", "semidefinite")
        assert 1 <= cell["m"] <= (d * (d + 1) // 2 if symmetric else d * d)
        assert set(cell) == {"panel", "d", "m"}


@pytest.mark.parametrize(("name", "m"), [("gaussian", 58), ("robust-pca", 58), ("phase-retrieval", 40)])
def test_a_theorem_keeps_its_proof_and_a_failure_its_reason(name, m):
    found = theorems.decide({"panel": name, "d": 8, "m": m}, 1)
    assert found["theorem"]
    assert found["success"]
    assert found["missing"] is None
    assert found["proved_gap"] < 1e-10
    assert found["proof_bytes"] == len(found["proof.json"]) + len(found["instance.npz"])
    few = theorems.decide({"panel": name, "d": 8, "m": 12 if name != "robust-pca" else 33}, 1)
    assert not few["theorem"]
    assert few["missing"]
    assert not {"proof.json", "instance.npz"} & few.keys()
