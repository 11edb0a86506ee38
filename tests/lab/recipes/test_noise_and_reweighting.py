"""Noise, reweighting, scaling: cells against independent oracles, verdicts on made-up results."""

import numpy as np
import pytest
from scipy.optimize import least_squares

import flatmin as fm
from flatmin.errors import InputError
from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.power_law import claim_of_ratio, geometric_mean, power_law
from flatmin.lab.recipes import growing_size, noise, reweighting

#: Error over that of the oracle, and rank, as claimed.
CLAIMED = {
    "exact": (2.9, 15),
    "penalised": (2.2, 2),
    "refit": (1.0, 2),
    "cross-validated": (1.6, 9),
    "oracle": (1.0, 2),
}
#: The largest exponents of processor time that are claimed, in cells for completion and in d otherwise.
EXPONENTS = {
    "matrix-sensing": 3.5,
    "bilinear-sensing": 3.0,
    "matrix-completion": 1.25,
    "robust-pca": 3.0,
    "covariance": 3.0,
    "phase-retrieval": 3.0,
    "quadratic-network": 3.0,
}
#: Where success of each method sets in.
SET_IN = {"flat": 2.2, "reweighted": 1.15}


def made_up(recipe, metrics_of, **part):
    """Return evidence with made-up metrics for every trial of a recipe with these parameters."""
    rng = np.random.default_rng(0)
    trials = [t for t in recipe.trials() if all(t.parameters[name] in values for name, values in part.items())]
    return Evidence(recipe, [Result(trial, metrics_of(dict(trial.parameters), rng), 0.1) for trial in trials])


def verdicts(evidence):
    return [claim.verdict for claim in evidence.experiment.judge(evidence)]


class TestLogarithms:
    def test_a_power_is_found_exactly(self):
        x = np.array([1.0, 2.0, 4.0, 8.0])
        assert power_law(x, 3 * x**1.7) == pytest.approx((1.7, 1.7, 1.7))

    def test_the_interval_covers_as_often_as_it_says(self):
        rng, x = np.random.default_rng(1), np.repeat([1.0, 2.0, 4.0, 8.0, 16.0], 6)
        covered = 0
        for _ in range(1000):
            _, low, high = power_law(x, x**2 * np.exp(0.3 * rng.standard_normal(len(x))))
            covered += low <= 2 <= high
        assert 940 <= covered <= 999

    def test_a_curve_that_bends_has_a_wide_interval(self):
        x = np.repeat([1.0, 2.0, 4.0, 8.0, 16.0], 40)
        wobble = np.exp(0.01 * np.random.default_rng(2).standard_normal(len(x)))
        _, low, high = power_law(x, np.exp(np.log(x) ** 2) * wobble)
        assert high - low > 1
        assert np.diff(power_law(x, x**2 * wobble)[1:])[0] < 0.02

    def test_too_few_decide_nothing(self):
        assert power_law([2.0, 3.0], [1.0, 2.0])[1:] == (-np.inf, np.inf)
        assert np.isnan(power_law([2.0], [1.0])[0])
        assert np.isnan(power_law([], [])[0])
        assert claim_of_ratio("x", [], below=1).verdict == "undecided"
        assert claim_of_ratio("x", [0.5], below=1).verdict == "undecided"

    @pytest.mark.parametrize("values", [[0.0, 1.0], [-1.0], [np.nan], [np.inf]])
    def test_bad_values_are_named(self, values):
        with pytest.raises(InputError, match="positive finite"):
            geometric_mean(values)
        with pytest.raises(InputError, match="y has"):
            power_law([1.0] * len(values), values)

    def test_lengths_must_agree(self):
        with pytest.raises(InputError, match="equal lengths"):
            power_law([1.0, 2.0], [1.0])
        with pytest.raises(InputError, match="no values"):
            geometric_mean([])


class TestNoise:
    @pytest.mark.parametrize("panel", noise.PANELS)
    def test_the_oracle_is_least_squares_from_the_truth(self, panel):
        name, (d1, d2), rank, m = noise.PANELS[panel]
        instance = fm.families.find(name).sample((d1, d2), rank, m, noise=0.1, seed=5)
        U, s, Vt = np.linalg.svd(instance.truth)
        factors = np.concatenate([U[:, :rank] * np.sqrt(s[:rank]), Vt[:rank].T * np.sqrt(s[:rank])])
        maps = [instance.problem.measurement.adjoint(row) for row in np.eye(m)] if panel == "sensing" else None

        def matrix(x):
            x = x.reshape(d1 + d2, rank)
            return x[:d1] @ x[d1:].T

        def residual(x):
            X = matrix(x)
            seen = np.einsum("mij,ij->m", maps, X) if maps else X[tuple(cells)]
            return seen - instance.problem.data

        cells = None if maps else (instance.problem.measurement.rows, instance.problem.measurement.cols)
        found = least_squares(residual, factors.ravel(), method="lm" if panel == "sensing" else "trf", xtol=1e-12)
        expected = np.linalg.norm(matrix(found.x) - instance.truth) / np.linalg.norm(instance.truth)
        metrics = noise.fit({"panel": panel, "method": "oracle", "noise": 0.1}, 5)
        assert metrics["error"] == pytest.approx(expected, rel=1e-4)
        assert metrics["over_oracle"] == 1.0
        assert metrics["rank_found"] == rank

    def test_methods_are_measured_on_the_same_draw(self):
        cell = {"panel": "sensing", "noise": 0.1}
        found = {
            method: noise.fit(cell | {"method": method}, 5) for method in ("exact", "penalised", "refit", "oracle")
        }
        instance = fm.families.matrix_sensing.sample((24, 20), 2, 320, noise=0.1, seed=5)
        for method in ("exact", "penalised"):
            s = fm.flat_minimum(instance.problem, alpha=0.0 if method == "exact" else "auto", seed=5)
            error = np.linalg.norm(s.matrix - instance.truth) / np.linalg.norm(instance.truth)
            assert found[method]["error"] == pytest.approx(error, rel=1e-6)
        for metrics in found.values():
            assert metrics["over_oracle"] == pytest.approx(metrics["error"] / found["oracle"]["error"])
        errors = instance.problem.data - instance.problem.measurement.forward(instance.truth)
        assert found["refit"]["sigma"] == pytest.approx(np.std(errors), rel=0.15)
        assert abs(found["refit"]["deviation"]) < 4
        # For Gaussian sensing A*A is m times the identity on average, and so is what is divided by.
        added = np.linalg.norm(instance.problem.measurement.adjoint(errors), 2) / 320
        weakest = np.linalg.svd(instance.truth, compute_uv=False)[1] / added
        assert found["exact"]["weakest"] == pytest.approx(weakest, rel=0.05)

    @pytest.mark.slow
    def test_cross_validation_is_that_of_the_library(self):
        metrics = noise.fit({"panel": "sensing", "method": "cross-validated", "noise": 0.3}, 5)
        instance = fm.families.matrix_sensing.sample((24, 20), 2, 320, noise=0.3, seed=5)
        cv = fm.cross_validate(instance.problem, n_alphas=30, ratio=5e-5, seed=5)
        assert metrics["error"] == pytest.approx(
            np.linalg.norm(cv.solution.matrix - instance.truth) / np.linalg.norm(instance.truth)
        )
        assert metrics["at_edge"] is False
        assert metrics["rank_found"] == cv.solution.rank > 2

    def made(self, changes=None, exponent=1.0, deviation=1.0, often=None, weakest=(1.5, 0.5), at_edge=0.0, **part):
        """Return evidence; with ``often``, a method has another rank so often; ``weakest`` is moderate and buried."""
        table = CLAIMED | (changes or {})

        def metrics_of(parameters, rng):
            level = parameters["noise"]
            over, rank = table[parameters["method"]]
            if often and parameters["method"] == often[0] and rng.random() < often[2]:
                rank = often[1]
            rank = rank if level < 3 else 0
            over *= np.exp(0.05 * rng.standard_normal())
            return {
                "error": 0.5 * level**exponent * over,
                "over_oracle": over,
                "rank_found": rank,
                "right_rank": rank == 2,
                "deviation": 0.45 * deviation * rng.standard_normal() if parameters["method"] == "refit" else None,
                "weakest": weakest[0] if level <= 0.3 else weakest[1] if level == 3 else 1.0,
                "at_edge": bool(rng.random() < at_edge) if parameters["method"] == "cross-validated" else None,
            }

        return made_up(recipes.find("noise"), metrics_of, **part)

    def test_what_confirms(self):
        assert set(verdicts(self.made())) == {"holds"}

    @pytest.mark.sampled(5)
    @pytest.mark.parametrize(
        ("changes", "words", "count"),
        [
            ({"changes": {"refit": (1.2, 2)}}, "the refit over that of the oracle", 2),
            ({"changes": {"refit": (1.0, 3)}}, "has the right rank", 2),
            ({"exponent": 0.7}, "how far the exponent", 4),
            ({"deviation": 3.0}, "standard deviations", 2),
            ({"changes": {"cross-validated": (2.1, 9)}}, "cross-validation over that of the oracle", 2),
            ({"changes": {"cross-validated": (1.1, 9)}}, "cross-validation over that of the oracle", 2),
            ({"changes": {"cross-validated": (1.6, 2)}}, "too large a rank", 2),
            ({"changes": {"exact": (0.9, 15)}}, "the error of an exact fit", 6),
            ({"changes": {"exact": (2.9, 3)}}, "at least twice", 2),
            # Just beyond the limits.
            ({"changes": {"refit": (1.08, 2)}}, "the refit over that of the oracle", 2),
            ({"often": ("refit", 3, 0.25)}, "has the right rank", 2),
            ({"exponent": 0.91}, "how far the exponent", 4),
            ({"exponent": 1.09}, "how far the exponent", 4),
            ({"deviation": 1.65}, "the mean square of the deviation", 1),
            ({"deviation": 2.1}, "at most three of its standard deviations", 1),
            ({"changes": {"cross-validated": (1.86, 9)}}, "cross-validation over that of the oracle", 2),
            ({"changes": {"cross-validated": (1.36, 9)}}, "cross-validation over that of the oracle", 2),
            ({"often": ("cross-validated", 2, 0.25)}, "too large a rank", 2),
            ({"changes": {"exact": (2.05, 15)}}, "exact fit over that of the penalised", 2),
            ({"often": ("exact", 3, 0.25)}, "at least twice", 2),
            ({"weakest": (0.99, 0.5)}, "the weaker component", 2),
            ({"weakest": (1.5, 1.01)}, "the weaker component", 2),
            ({"at_edge": 0.25}, "the weakest or the strongest penalty", 2),
        ],
    )
    def test_what_refutes(self, changes, words, count):
        evidence = self.made(**changes)
        failed = [claim.text for claim in evidence.experiment.judge(evidence) if claim.verdict == "fails"]
        assert sum(words in text for text in failed) == count

    @pytest.mark.parametrize(
        "changes",
        [
            {"changes": {"refit": (1.02, 2)}},
            {"exponent": 0.98},
            {"exponent": 1.02},
            {"changes": {"cross-validated": (1.75, 9)}},
            {"changes": {"cross-validated": (1.44, 9)}},
            {"changes": {"exact": (2.3, 4)}},
            {"weakest": (1.01, 0.99)},
        ],
    )
    def test_what_confirms_just_inside_the_limits(self, changes):
        assert set(verdicts(self.made(**changes))) == {"holds"}

    def test_intervals_of_two_panels_hold_together(self):
        """Ten of ten draws: the lower end p has p^10 = 0.05 / 4, and 60 of 60 have p^60 = 0.05 / 4."""
        claims = self.made().experiment.judge(self.made())
        (buried,) = (c for c in claims if "rank is too small" in c.text and c.text.startswith("In sensing"))
        (right,) = (c for c in claims if "has the right rank" in c.text and c.text.startswith("In sensing"))
        assert (buried.low, right.low) == pytest.approx((0.0125 ** (1 / 10), 0.0125 ** (1 / 60)))

    def test_a_rank_found_in_nothing_but_noise_refutes(self):
        evidence = self.made()
        for result in evidence.results:
            result.metrics["rank_found"] = max(result.metrics["rank_found"], 2)
        assert verdicts(evidence)[-2:] == ["fails", "fails"]

    def test_too_few_decide_nothing(self):
        nothing = Evidence(recipes.find("noise"), [])
        assert set(verdicts(nothing)) == {"undecided"}
        few = Evidence(nothing.experiment, self.made().results[:3])
        decided = [claim.text for claim in few.experiment.judge(few) if claim.verdict != "undecided"]
        assert [text for text in decided if "the weaker component" not in text] == []  # an extreme is what it is
        assert len(verdicts(nothing)) == len(verdicts(self.made()))

    def test_pictures(self):
        assert recipes.find("noise").show(Evidence(recipes.find("noise"), [])) == []
        shown = recipes.find("noise").show(self.made(panel=("sensing",)))
        assert [display.name for display in shown] == ["sensing-error", "sensing-ratio", "sensing-rank"]


class TestReweighting:
    def test_every_line_has_cells(self):
        rng = np.random.default_rng(3)
        for m in (97, 100, 120, 300, 576):
            seen = reweighting.cells_for_every_line(24, m, 2, rng)
            assert seen.sum() == m
            assert min(seen.sum(axis=0).min(), seen.sum(axis=1).min()) >= 2

    def test_a_draw_that_needs_no_help_is_left_as_it_is(self):
        seen = reweighting.cells_for_every_line(10, 80, 1, np.random.default_rng(4))
        drawn = np.random.default_rng(4).choice(100, 80, replace=False)
        assert set(np.flatnonzero(seen)) == set(drawn)

    @pytest.mark.parametrize("m", [96, 577])
    def test_other_numbers_of_cells_are_refused(self, m):
        with pytest.raises(InputError, match=f"{m} cells"):
            reweighting.cells_for_every_line(24, m, 2, np.random.default_rng(0))

    @pytest.mark.parametrize("panel", reweighting.PANELS)
    def test_few_measurements_are_enough_for_the_lowest_rank_alone(self, panel):
        cell = {"panel": panel, "condition": 10.0, "oversampling": 1.5}
        flat, lowest = (reweighting.recover(cell | {"method": method}, 8) for method in reweighting.METHODS)
        assert flat["certified"]
        assert not flat["success"]
        assert lowest["success"]
        assert lowest["rank_found"] == 2
        assert lowest["trace"] > flat["trace"] * 1.001
        assert flat["trace_bound"] == pytest.approx(flat["trace"], rel=1e-6)

    def test_the_error_is_in_units_of_the_least_singular_value(self):
        cell = {"panel": "sensing", "condition": 1e5, "oversampling": 3.0, "method": "flat"}
        metrics = reweighting.recover(cell, 8)
        # One singular value of 1 and one of 1e-5: their norm over the least one.
        assert metrics["error_of_least"] / metrics["error"] == pytest.approx(np.sqrt(1 + 1e10), rel=1e-6)
        assert metrics["success"]

    def made(self, excess=1.05, late=0.0, set_in=None, together=1.0, missed=0.0, **part):
        """Return evidence; ``missed`` is the share of draws in which reweighting fails for no reason."""
        table = set_in or SET_IN

        def metrics_of(parameters, rng):
            method, x = parameters["method"], parameters["oversampling"]
            starts = {name: at + late * np.log10(parameters["condition"]) for name, at in table.items()}
            success, both = x > starts[method], x > max(starts.values())
            success &= method == "flat" or rng.random() >= missed
            bound = 100.0
            trace = bound * (1.0 if method == "flat" else together if both else excess * np.exp(rng.normal(0, 0.01)))
            return {"success": bool(success), "trace": trace, "trace_bound": bound, "certified": method == "flat"}

        return made_up(recipes.find("reweighting"), metrics_of, **part)

    def test_what_confirms(self):
        assert set(verdicts(self.made())) == {"holds"}

    @pytest.mark.sampled(5)
    @pytest.mark.parametrize(
        ("changes", "words", "count"),
        [
            ({"set_in": {"flat": 2.2, "reweighted": 2.2}}, "sets in before the flat", 6),
            ({"set_in": {"flat": 3.2, "reweighted": 2.2}}, "reweighting recovers the truth", 6),
            ({"set_in": {"flat": 1.2, "reweighted": 2.7}}, "the share in which reweighting fails", 2),
            ({"late": 0.6, "set_in": {"flat": 1.2, "reweighted": 1.2}}, "sets in at condition", 8),
            ({"excess": 1.0001}, "its scaled trace over the certified", 2),
            ({"together": 1.001}, "the largest relative excess", 1),
            # Just beyond the limits, as near as the grid allows.
            ({"set_in": {"flat": 1.6, "reweighted": 1.4}}, "sets in before the flat", 6),
            ({"set_in": {"flat": 3.2, "reweighted": 1.8}}, "reweighting recovers the truth", 6),
            ({"missed": 0.28}, "the share in which reweighting fails", 2),
            ({"late": 0.9, "set_in": {"flat": 1.2, "reweighted": 1.2}}, "sets in at condition 10 than", 4),
            ({"late": 0.24, "set_in": {"flat": 1.2, "reweighted": 1.2}}, "sets in at condition 100000 than", 4),
            ({"excess": 1.006}, "its scaled trace over the certified", 2),
            ({"together": 1 + 1.1e-6}, "the largest relative excess", 1),
        ],
    )
    def test_what_refutes(self, changes, words, count):
        evidence = self.made(**changes)
        failed = [claim.text for claim in evidence.experiment.judge(evidence) if claim.verdict == "fails"]
        assert sum(words in text for text in failed) == count

    @pytest.mark.parametrize(
        "changes",
        [
            {"set_in": {"flat": 2.2, "reweighted": 1.3}},
            {"set_in": {"flat": 2.9, "reweighted": 1.4}},
            {"late": 0.05},
            {"excess": 1.014},
            {"together": 1 + 0.9e-6},
        ],
    )
    def test_what_confirms_just_inside_the_limits(self, changes):
        found = verdicts(self.made(**changes))
        assert set(found) == {"holds"}

    def test_draws_without_a_certified_flat_minimum_do_not_count(self):
        evidence = self.made()
        for result in evidence.results:
            if result.trial.repetition % 2 and result.trial.parameters["method"] == "flat":
                result.metrics.update(certified=False, trace_bound=50.0)
        assert set(verdicts(evidence)) == {"holds"}

    def test_intervals_hold_together(self):
        """None of n draws fails: the upper end p has (1 − p)^n = 0.05 / 4; 3.0, 3.5 and 4.5 are beyond 2.9."""
        evidence = self.made(set_in={"flat": 2.9, "reweighted": 1.15})
        few, many = (c for c in evidence.experiment.judge(evidence) if "the share in which reweighting fails" in c.text)
        assert (few.high, many.high) == pytest.approx((1 - 0.0125 ** (1 / 120), 1 - 0.0125 ** (1 / 60)))

    def test_too_few_decide_nothing(self):
        recipe = recipes.find("reweighting")
        assert set(verdicts(Evidence(recipe, []))) == {"undecided"}
        one = [result for result in self.made().results if result.trial.repetition == 0][:2]
        assert set(verdicts(Evidence(recipe, one))) <= {"undecided", "holds"}
        assert "fails" not in verdicts(self.made(oversampling=(1.5,)))
        assert len(verdicts(Evidence(recipe, []))) == len(verdicts(self.made()))

    def test_pictures(self):
        recipe = recipes.find("reweighting")
        assert recipe.show(Evidence(recipe, [])) == []
        names = [display.name for display in recipe.show(self.made(panel=("completion",)))]
        assert names == ["completion-success", "completion-excess", "completion-boundary"]
        assert recipe.show(self.made(panel=("sensing",), oversampling=(1.1,)))[0].name == "sensing-success"


class TestScaling:
    def test_a_cell_is_solved_and_timed(self):
        metrics = growing_size.solve({"family": "bilinear-sensing", "d": 20}, 3)
        assert metrics["measurements"] == 4 * 2 * (2 * 20 - 2)
        assert metrics["success"]
        assert metrics["processor"] > 0
        assert 0 < metrics["wall"] < 60

    @pytest.mark.parametrize("family", growing_size.SETTINGS)
    def test_every_family_has_enough_measurements(self, family):
        d = 60 if growing_size.SETTINGS[family][0] == 5 else 24
        assert growing_size.solve({"family": family, "d": d}, 1)["success"]

    def made(self, faster=0.0, success=1.0, bend=0.0, **part):
        """Return evidence of exponents 0.1 below the limits or ``faster``; in completion cells grow as d^1.1."""

        def metrics_of(parameters, rng):
            family, d = parameters["family"], parameters["d"]
            cells = d**1.1
            x = cells if family == "matrix-completion" else d
            base = 1e-6 * x ** (EXPONENTS[family] - 0.1 + faster) * np.exp(bend * np.log(d / 100) ** 2)
            seconds = base * np.exp(0.05 * rng.standard_normal())
            succeeds = bool(rng.random() < success)
            return {"processor": seconds, "wall": seconds, "measurements": 59 * cells, "success": succeeds}

        return made_up(recipes.find("scaling"), metrics_of, **part)

    def test_what_confirms(self):
        assert set(verdicts(self.made())) == {"holds"}

    @pytest.mark.sampled(5)
    def test_what_refutes(self):
        assert verdicts(self.made(faster=0.2)) == ["fails"] * 7 + ["holds"]
        assert verdicts(self.made(success=0.92)) == ["holds"] * 7 + ["fails"]
        assert verdicts(self.made(success=0.98)) == ["holds"] * 8

    def test_no_more_is_measured_than_there_are_unknowns(self):
        def count(family, d):
            return len(growing_size._drawn(fm.families.find(family), d, 0).problem.data)

        assert count("quadratic-network", 20) == 20 * 21 // 2  # 4 (3 · 20 − 3) would be 228
        assert count("covariance", 12) == 12 * 13 // 2  # 4 · 23 would be 92
        assert count("phase-retrieval", 10) == 10**2  # 6 · 19 would be 114, and a Hermitian matrix has d² unknowns
        for family, dimensions in growing_size.DIMENSIONS.items():
            if family in ("covariance", "quadratic-network"):
                assert count(family, dimensions[0]) < dimensions[0] * (dimensions[0] + 1) // 2
            elif family not in ("robust-pca", "matrix-completion"):
                assert count(family, dimensions[0]) < dimensions[0] ** 2

    def test_intervals_of_all_families_hold_together(self):
        evidence = self.made()
        part = evidence.select(family="covariance")
        d = [result.trial.parameters["d"] for result in part.results]
        claim = next(c for c in evidence.experiment.judge(evidence) if "for covariance" in c.text)
        expected = power_law(d, part.values("processor"), 1 - 0.05 / 7)
        assert (claim.estimate, claim.low, claim.high) == pytest.approx(expected)

    def test_what_bends_is_not_decided_by_many_draws(self):
        claim = recipes.find("scaling").judge(self.made(faster=0.3, bend=1.0))[0]
        assert claim.high - claim.low > 0.5

    def test_too_few_decide_nothing(self):
        recipe = recipes.find("scaling")
        assert set(verdicts(Evidence(recipe, []))) == {"undecided"}
        assert set(verdicts(Evidence(recipe, self.made().results[:2]))) == {"undecided"}
        claim = recipe.judge(self.made())[0]
        assert claim.text.endswith("for matrix-sensing, from d = 20 to 80")

    def test_pictures(self):
        recipe = recipes.find("scaling")
        assert recipe.show(Evidence(recipe, [])) == []
        (picture,) = recipe.show(self.made())
        assert picture.name == "time"
        assert len(picture.lines) == len(growing_size.SETTINGS)
