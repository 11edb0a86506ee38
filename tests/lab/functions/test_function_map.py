"""Maps of a user's function: estimates with intervals, boundaries, files, failures, stores and processes."""

import numpy as np
import pytest
from PIL import Image

from flatmin.errors import InputError
from flatmin.lab import phase_map, wilson

GRID = {"rank": [1, 2], "m": range(5, 35, 5)}
CALLS = []


def recovers(rank, m, seed):
    """Recovery of toys"""
    CALLS.append((rank, m))
    return m + np.random.default_rng(seed).integers(5) > 10 * rank


def cost(rank, m, seed):
    return rank * m + np.random.default_rng(seed).standard_normal()


def unreliable(rank, m, seed):
    if m == 5:
        raise ArithmeticError("too few")
    return recovers(rank, m, seed)


def broken(rank, m, seed):
    raise ArithmeticError("never")


class TestTruthValues:
    def test_shares_have_wilson_intervals(self):
        found = phase_map(recovers, GRID, repetitions=7)
        assert len(found.estimates) == 12
        assert {each.trials for each in found.estimates.values()} == {7}
        for (rank, m), each in found.estimates.items():
            low, high = wilson(round(7 * each.value), 7)
            assert (each.low, each.high) == (low, high)
            if abs(m + 2 - 10 * rank) > 4:
                assert each.value == (m > 10 * rank)

    def test_the_boundary_is_where_half_succeed(self):
        found = phase_map(recovers, {"rank": [1, 2], "m": range(4, 30)}, repetitions=20)
        for rank, boundary in found.boundaries.items():
            assert boundary.low < boundary.value < boundary.high
            assert abs(boundary.value - (10 * rank - 1.5)) < 1

    def test_success_may_end_as_the_second_parameter_grows(self):
        found = phase_map(lambda d, errors, seed: errors + seed % 3 < d, {"d": [10, 20], "errors": range(0, 31, 2)})
        assert list(found.boundaries) == [10, 20]
        assert all(abs(boundary.value - (d - 1)) < 3 for d, boundary in found.boundaries.items())

    def test_words_on_the_horizontal_axis(self):
        grid = {"method": np.array(["flat", "other"]), "m": np.arange(0, 10, 2)}
        found = phase_map(lambda method, m, seed: m > (3 if method == "flat" else 5), grid, repetitions=5)
        assert list(found.boundaries) == ["flat", "other"]


def test_numbers_have_means_with_intervals_and_curves():
    found = phase_map(cost, GRID, repetitions=30)
    assert found.table()[0] == ["rank", "m", "trials", "mean", "low", "high"]
    inside = [each.low <= rank * m <= each.high for (rank, m), each in found.estimates.items()]
    assert sum(inside) >= 10
    assert found.boundaries == {}
    assert found.plot().ax_.get_ylabel() == "mean"


def test_the_same_seed_gives_the_same_map_and_seeds_suit_old_generators():
    seeds = []

    def draw(a, b, seed):
        seeds.append(seed)
        return float(np.random.RandomState(seed).standard_normal())

    first, second, other = (phase_map(draw, {"a": [1], "b": [1, 2]}, seed=seed).estimates for seed in (3, 3, 4))
    assert first == second != other
    assert len(set(seeds)) == 40
    assert max(seeds) < 2**32


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "csv"])
def test_figure_and_table_are_saved(ending, tmp_path):
    found = phase_map(recovers, GRID, repetitions=2)
    file = found.save(tmp_path / f"map.{ending}")
    assert file.stat().st_size > 100
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    if ending == "csv":
        lines = file.read_text().splitlines()
        assert lines[0] == "rank,m,trials,share,low,high"
        assert len(lines) == 13
    if ending == "png":
        assert Image.open(file).width > 600


def test_it_is_summarised_in_words():
    text = str(phase_map(recovers, GRID, repetitions=5))
    assert text.startswith("Recovery of toys: 12 points, 60 evaluations\nrank = 1: half succeed at m = ")


def test_failures_are_left_out_and_told():
    found = phase_map(unreliable, GRID, repetitions=3)
    assert (1, 5) not in found.estimates
    assert "6 further evaluations failed, the first with: ArithmeticError: too few" in str(found)
    with pytest.raises(InputError, match="every evaluation of the function failed, the first with: ArithmeticError"):
        phase_map(broken, GRID, repetitions=1)


class TestStore:
    def test_a_larger_map_computes_only_what_is_missing(self, tmp_path):
        store = tmp_path / "map.db"
        phase_map(recovers, {"rank": [1], "m": [5, 10]}, repetitions=2, store=store)
        CALLS.clear()
        found = phase_map(recovers, {"rank": [1], "m": [5, 10, 15]}, repetitions=3, store=store)
        assert len(CALLS) == 5
        assert {each.trials for each in found.estimates.values()} == {3}

    def test_other_functions_have_no_results_there(self, tmp_path):
        store = tmp_path / "map.db"
        phase_map(recovers, GRID, repetitions=1, store=store)
        assert phase_map(cost, GRID, repetitions=1, store=store).table()[0][3] == "mean"

    def test_code_that_cannot_be_compared_needs_no_store(self, tmp_path):
        with pytest.raises(InputError, match="expected one at the top level of a module if there is a store"):
            phase_map(lambda rank, m, seed: True, GRID, store=tmp_path / "map.db")


@pytest.mark.slow
def test_processes_compute_the_same():
    one, two = (phase_map(recovers, GRID, repetitions=2, jobs=jobs) for jobs in (1, 2))
    assert one.estimates == two.estimates


REFUSED = [
    ({"function": lambda rank, m, seed: None}, "returned NoneType, expected a truth value, or a number"),
    ({"function": lambda rank, m, seed: "yes"}, "returned str, expected a truth value"),
    ({"jobs": 0}, "jobs is 0"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_refused(change, message):
    with pytest.raises(InputError, match=message) as caught:
        phase_map(**{"function": recovers, "grid": GRID, "repetitions": 1, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["map.jpg", "map", "missing/map.png"])
def test_files_that_cannot_be_written_are_refused(name, tmp_path):
    with pytest.raises(InputError):
        phase_map(recovers, {"rank": [1], "m": [1, 2]}, repetitions=1).save(tmp_path / name)
