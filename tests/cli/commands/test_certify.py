import json
import time

import numpy as np
import pytest

import flatmin as fm
from flatmin.cli import solution_file

pytestmark = pytest.mark.usefixtures("without_report")


@pytest.fixture
def solved(flatmin, tmp_path):
    flatmin("generate", "bilinear-sensing", "p.npz", "--shape", "8,6", "--rank", "1")
    flatmin("recover", "bilinear-sensing", "p.npz")
    with np.load(tmp_path / "p-flat" / "solution.npz") as data:
        return {name: data[name] for name in ("L", "R", "matrix", "dual")}


@pytest.mark.parametrize("keys", [("L", "R"), ("matrix",), ("L", "R", "dual"), ("matrix", "dual")])
def test_certify_takes_anyones_solution(flatmin, tmp_path, solved, keys):
    np.savez(tmp_path / "mine.npz", **{key: solved[key] for key in keys})
    run = flatmin("certify", "bilinear-sensing", "p.npz", "mine.npz", "--json")
    assert run.code == 0
    fields = json.loads(run.out)
    assert fields["holds"] is True
    assert fields["unique"] is True


def test_certify_takes_flatmins_own_solution(flatmin, solved):
    run = flatmin("certify", "bilinear-sensing", "p.npz", "p-flat/solution.npz")
    assert run.code == 0
    assert run.out.startswith("Certified: no solution is flatter; any other solution this flat lies within")
    assert "relative_gap" in run.out


@pytest.mark.parametrize(
    "spoil",
    [
        {"matrix": lambda X: 1.01 * X},
        {"dual": lambda y: 1.01 * y},
        {"dual": lambda y: y + 0.01 * np.linspace(-1, 1, len(y))},
    ],
)
def test_certify_refuses_what_is_not_flattest(flatmin, tmp_path, solved, spoil):
    arrays = {key: spoil.get(key, lambda a: a)(solved[key]) for key in ("matrix", "dual")}
    np.savez(tmp_path / "spoilt.npz", **arrays)
    run = flatmin("certify", "bilinear-sensing", "p.npz", "spoilt.npz", "--json")
    scaled_dual_only = set(spoil) == {"dual"} and json.loads(run.out)["relative_gap"] < 1e-6
    assert run.code == (0 if scaled_dual_only else 1)
    assert json.loads(run.out)["holds"] is scaled_dual_only


def test_certify_says_what_failed_and_what_to_do(flatmin, tmp_path, solved):
    np.savez(tmp_path / "spoilt.npz", matrix=1.01 * solved["matrix"], dual=solved["dual"])
    run = flatmin("certify", "bilinear-sensing", "p.npz", "spoilt.npz")
    assert run.code == 1
    assert run.out.startswith("Not certified: the relative residual is 1.0e-02, above 1e-08")
    assert "Fit the data more closely" in run.out.splitlines()[0]


@pytest.mark.parametrize("keys", [("L", "R", "dual"), ("L", "R"), ("matrix",)])
def test_a_penalised_solution_is_judged_as_one(flatmin, tmp_path, keys):
    flatmin("generate", "matrix-sensing", "n.npz", "--noise", "0.1", "--shape", "8,6", "--rank", "1")
    flatmin("recover", "matrix-sensing", "n.npz", "--alpha", "0.1", "--metric-power", "0.5")
    with np.load(tmp_path / "n-flat" / "solution.npz") as data:
        np.savez(tmp_path / "mine.npz", **{key: data[key] for key in (*keys, "description")})
    for options in (("--as-claimed",), ("--alpha", "0.1", "--metric-power", "0.5")):
        run = flatmin("certify", "matrix-sensing", "n.npz", "mine.npz", "--json", *options)
        assert run.code == 0
        fields = json.loads(run.out)
        asked = {name: fields[name] for name in ("objective", "alpha", "metric_power", "weight", "tau")}
        assert asked == {"objective": "penalised", "alpha": 0.1, "metric_power": 0.5, "weight": None, "tau": None}


def test_the_objective_is_asked_and_never_taken_from_the_file(flatmin, tmp_path, solved):
    """Zero is the minimum for a huge alpha; it is certified only if that is asked for."""
    zero = {name: 0 * solved[name] for name in ("L", "R")}
    np.savez(tmp_path / "zero.npz", **zero, description=json.dumps({"settings": {"alpha": 1e12}}))
    run = flatmin("certify", "bilinear-sensing", "p.npz", "zero.npz")
    assert (run.code, run.out, run.err.count("\n")) == (2, "", 1)
    for part in ("zero.npz states alpha 1000000000000.0, but alpha 0.0 was asked for", "--alpha", "--as-claimed"):
        assert part in run.err
    assert flatmin("certify", "bilinear-sensing", "p.npz", "zero.npz", "--alpha", "0.1").code == 2
    run = flatmin("certify", "bilinear-sensing", "p.npz", "zero.npz", "--as-claimed")
    assert run.code == 0
    assert run.out.splitlines()[1].startswith("This is about the objective that the file states")
    assert ["alpha", "1e+12"] in [line.split() for line in run.out.splitlines()]
    np.savez(tmp_path / "silent.npz", **zero)
    assert flatmin("certify", "bilinear-sensing", "p.npz", "silent.npz").code == 1
    assert flatmin("certify", "bilinear-sensing", "p.npz", "silent.npz", "--alpha", "1e12").code == 0
    run = flatmin("flatness", "bilinear-sensing", "p.npz", "zero.npz", "--json")
    assert json.loads(run.out)["loss"] > 0


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--as-claimed",), "mine.npz states no objective"),
        (("--as-claimed", "--alpha", "1"), "--alpha and --as-claimed exclude each other"),
        (("--as-claimed", "--metric-power", "1"), "--metric-power and --as-claimed exclude each other"),
        (("--alpha", "-1"), "--alpha is -1.0"),
        (("--metric-power", "2"), "--metric-power is 2.0"),
        (("--weight", "1"), "--weight is for robust-pca"),
        (("--alpha", "auto"), "'auto', expected a number"),
        (("--time-limit", "-1"), "--time-limit is -1.0"),
    ],
)
def test_options_that_do_not_go_together(flatmin, tmp_path, solved, options, part):
    np.savez(tmp_path / "mine.npz", L=solved["L"], R=solved["R"])
    run = flatmin("certify", "bilinear-sensing", "p.npz", "mine.npz", *options)
    assert (run.code, run.out, run.err.count("\n")) == (2, "", 1)
    assert part in run.err


def test_weight_and_tau_of_gross_errors_are_asked_too(flatmin, tmp_path):
    flatmin("generate", "robust-pca", "r.npz", "--shape", "12,10", "--rank", "1")
    flatmin("recover", "robust-pca", "r.npz", "--weight", "0.5")
    saved = "r-flat/solution.npz"
    run = flatmin("certify", "robust-pca", "r.npz", saved)
    assert run.code == 2
    assert "states weight 0.5, but weight 0.28" in run.err
    for options in (("--weight", "0.5"), ("--as-claimed",)):
        run = flatmin("certify", "robust-pca", "r.npz", saved, "--json", *options)
        assert json.loads(run.out)["weight"] == 0.5
        assert run.code == (0 if json.loads(run.out)["holds"] else 1)
    run = flatmin("certify", "robust-pca", "r.npz", saved, "--tau", "3")
    assert (run.code, "expected --weight 0.5, or --as-claimed" in run.err) == (2, True)
    flatmin("recover", "robust-pca", "r.npz", "--tau", "3", "--output", "t")
    run = flatmin("certify", "robust-pca", "r.npz", "t/solution.npz", "--as-claimed", "--json")
    assert (json.loads(run.out)["tau"], json.loads(run.out)["weight"]) == (3.0, None)
    flatness = flatmin("flatness", "robust-pca", "r.npz", "t/solution.npz", "--tau", "3", "--json")
    assert flatness.code == 0


@pytest.mark.parametrize(
    ("description", "part"),
    [
        ("hello", "'description'"),
        ("[]", "'description'"),
        ('{"settings": 3}', "'description'"),
        ('{"settings": {"alpha": "x"}}', "alpha is 'x'"),
        ('{"settings": {"alpha": Infinity}}', "alpha is inf"),
        ('{"settings": {"alpha": -1}}', "alpha is -1"),
        ('{"settings": {"alpha": 0.1, "metric_power": null}}', "metric_power is None"),
        ('{"settings": {"metric_power": 9}}', "metric_power is 9"),
        ('{"settings": {"alpha": 1' + 400 * "0" + "}}", "alpha is 1000000"),
        ('{"settings": {"weight": 0}}', "weight is 0"),
        ('{"settings": {"tau": true}}', "tau is True"),
        ('{"settings": {"weight": 1, "tau": 1}}', "weight and tau are both given"),
    ],
)
def test_damaged_settings_are_named(flatmin, tmp_path, solved, description, part):
    np.savez(tmp_path / "mine.npz", **solved, description=np.array(description))
    run = flatmin("certify", "bilinear-sensing", "p.npz", "mine.npz")
    assert run.code == 2
    assert run.out == ""
    assert run.err.count("\n") == 1
    assert "mine.npz has a damaged key 'description'" in run.err
    assert part in run.err


def test_flatness_of_unbalanced_factors(flatmin, tmp_path, solved):
    np.savez(tmp_path / "mine.npz", L=2 * solved["L"], R=solved["R"] / 2)
    run = flatmin("flatness", "bilinear-sensing", "p.npz", "mine.npz", "--json")
    assert run.code == 0
    fields = json.loads(run.out)
    assert fields["scaled_trace"] > 2 * fields["fibre_minimum"]
    assert fields["loss"] < 1e-15
    assert "scaled_trace" in flatmin("flatness", "bilinear-sensing", "p.npz", "mine.npz").out


@pytest.mark.parametrize("size", [1e154, 1e200, 1e308])
def test_a_flatness_that_overflows_is_refused(flatmin, tmp_path, solved, size):
    np.savez(tmp_path / "mine.npz", L=size * np.ones_like(solved["L"]), R=size * np.ones_like(solved["R"]))
    run = flatmin("flatness", "bilinear-sensing", "p.npz", "mine.npz")
    assert run.code == 2
    assert len(run.err.splitlines()) == 1


def test_flatness_needs_factors(flatmin, tmp_path, solved):
    np.savez(tmp_path / "mine.npz", matrix=solved["matrix"])
    run = flatmin("flatness", "bilinear-sensing", "p.npz", "mine.npz")
    assert run.code == 2
    assert "expected L and R" in run.err


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"L": np.ones((8, 1))}, "'R'"),
        ({"y": np.ones(3)}, "'L'"),
        ({"L": np.ones((7, 1)), "R": np.ones((6, 1))}, "(7, 1)"),
        ({"matrix": np.ones((6, 8))}, "(6, 8)"),
        ({"matrix": np.ones((8, 6)), "dual": np.ones(3)}, "(3,)"),
        ({"matrix": np.full((8, 6), np.nan)}, "NaN"),
    ],
)
def test_solutions_that_do_not_fit(flatmin, tmp_path, solved, arrays, part):
    np.savez(tmp_path / "mine.npz", **arrays)
    run = flatmin("certify", "bilinear-sensing", "p.npz", "mine.npz")
    assert run.code == 2
    assert part in run.err
    assert run.err.count("\n") == 1


def test_a_search_for_a_dual_vector_is_announced_and_can_be_limited(flatmin, monkeypatch, capsys, tmp_path, solved):
    saved = dict(np.load(tmp_path / "p-flat" / "solution.npz"))
    np.savez(tmp_path / "mine.npz", L=saved["L"], R=saved["R"])
    free = flatmin("certify", "bilinear-sensing", "p.npz", "mine.npz")
    assert (free.code, free.err) == (0, "")
    monkeypatch.setattr(solution_file, "PATIENCE", 0.0)
    with solution_file.announced("looking"):
        time.sleep(0.5)
    assert capsys.readouterr().err == "looking\n"
    assert flatmin("certify", "bilinear-sensing", "p.npz", "mine.npz", "--time-limit", "0").code == 1
    assert flatmin("certify", "bilinear-sensing", "p.npz", "mine.npz", "--time-limit", "soon").code == 2


def test_nothing_is_left_to_chance_if_that_is_asked_for(flatmin, monkeypatch, solved):
    asked, certify = [], fm.certify

    def noted(*arguments, randomized, **more):
        asked.append(randomized)
        return certify(*arguments, randomized=randomized, **more)

    monkeypatch.setattr("flatmin.certify", noted)
    for options in ((), ("--deterministic",)):
        assert flatmin("certify", "bilinear-sensing", "p.npz", "p-flat/solution.npz", *options).code == 0
    assert asked == [True, False]


def test_unseen_directions_are_told_beside_the_verdict(flatmin, tmp_path):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20, 6, 5))
    A[:, :, 4] = A[:, :, 3]
    X = np.outer(rng.standard_normal(6), [1.0, 2, 3, 1, 1])
    np.savez(tmp_path / "u.npz", A=A, b=np.einsum("mij,ij->m", A, X))
    run = flatmin("recover", "matrix-sensing", "u.npz")
    assert "among" in run.out
    assert json.loads((tmp_path / "u-flat" / "summary.json").read_text())["certificate"]["unseen"] == 1
    run = flatmin("certify", "matrix-sensing", "u.npz", "u-flat/solution.npz")
    assert run.code == 0
    assert "vanish in 1 direction, which measurements see by less than 1e-12 or not at all." in run.out.splitlines()[0]
    assert ["unseen", "1"] in [line.split() for line in run.out.splitlines()]
    run = flatmin("certify", "matrix-sensing", "u.npz", "u-flat/solution.npz", "--json")
    assert json.loads(run.out)["unseen"] == 1
