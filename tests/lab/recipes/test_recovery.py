"""Recovery of random instances by flat minima."""

from flatmin.lab.recipes._recovery import RECOVERED, degrees, metrics_of_recovery


def test_an_instance_with_enough_measurements_is_recovered_with_a_certificate():
    found = metrics_of_recovery("matrix-sensing", (6, 6), 1, 34, 0)
    assert found["success"]
    assert found["error"] < RECOVERED
    assert (found["rank_found"], found["solved"], found["unique"]) == (1, "unique_flat_minimum", True)
    assert metrics_of_recovery("matrix-sensing", (6, 6), 1, 34, 0) == found


def test_too_few_measurements_do_not_determine_the_truth():
    assert not metrics_of_recovery("matrix-sensing", (6, 6), 2, 12, 0)["success"]


def test_symmetric_matrices_have_half_of_the_degrees():
    assert degrees("matrix-completion", 8, 2) == 2 * degrees("covariance", 8, 2) == 32
