"""Problems of the core as tasks: what the referee sees, on every model."""

import numpy as np
import pytest
import torch

import flatmin as fm
from flatmin.errors import InputError
from flatmin.lab.race import FactoredTask, race
from flatmin.lab.race.tasks.factored_task import RANK_TOLERANCE
from tests.lab.race.small_tasks import instance, task

f = fm.families
SAMPLES = {
    "matrix-sensing": lambda s: f.matrix_sensing.sample((5, 4), 1, 18, seed=s),
    "bilinear-sensing": lambda s: f.bilinear_sensing.sample((5, 4), 1, 18, seed=s),
    "matrix-completion": lambda s: f.matrix_completion.sample((6, 5), 1, 22, seed=s),
    "phase-retrieval": lambda s: f.phase_retrieval.sample(4, 1, 20, seed=s),
    "robust-pca": lambda s: f.robust_pca.sample((6, 5), 1, seed=s),
    "covariance": lambda s: f.covariance.sample(4, 1, 12, seed=s),
    "quadratic-network": lambda s: f.quadratic_network.sample(4, (1, 1), 14, seed=s),
    "sparse-regression": lambda s: f.sparse_regression.sample(8, 2, 6, seed=s),
}
WHO = ["gradient-descent-small", "gradient-descent-large", "adam", "trace-penalty", "two-point", "noise-injection"]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("family", SAMPLES)
def test_the_gap_is_never_negative_along_a_trajectory(family):
    made = SAMPLES[family](0)
    result = race(made.problem, WHO, budget=60, seeds=2, trials=2, truth=made.truth)
    assert result.flattest.holds
    naive = []
    for curves in result.trajectories.values():
        assert curves["flatness_gap"].min() >= 0
        assert np.isfinite(curves["relative_error"]).all()
        naive.append((curves["scaled_trace"] / result.flattest.value - 1).min())
    # The control: a gap that forgets which data a point fits is negative.
    assert min(naive) < -0.5
    if family in ("phase-retrieval", "covariance"):
        assert max(curves["flatness_gap"].max() for curves in result.trajectories.values()) < 1e-10


def test_every_family_has_a_case():
    assert set(SAMPLES) == {*fm.families.names(), "sparse-regression"}


def test_the_gap_is_never_negative_for_chains():
    made = instance()
    chain = fm.Problem(fm.measurements.Identity((5, 4)), made.truth.ravel(), fm.Chain((4,)))
    result = race(chain, WHO[:4], budget=60, seeds=1, trials=2, truth=made.truth)
    assert min(curves["flatness_gap"].min() for curves in result.trajectories.values()) >= 0


def test_what_the_referee_sees_is_what_the_core_computes():
    model = task().model(3)
    observation, problem = task().observe(model), task().problem
    L, R = model.factors()
    exact = fm.flatness(problem, (L, R))
    assert observation.loss == pytest.approx(exact.loss)
    assert observation.scaled_trace == pytest.approx(exact.scaled_trace)
    truth = instance().truth
    assert observation.relative_error == pytest.approx(np.linalg.norm(L @ R.T - truth) / np.linalg.norm(truth))
    rank, balance = task().rank_and_balance(model)
    s = np.linalg.svd(L @ R.T, compute_uv=False)
    assert rank == np.sum(s > RANK_TOLERANCE * s[0])
    assert balance == pytest.approx(exact.balance)


def test_the_error_of_a_signal_is_up_to_its_phase():
    made = SAMPLES["phase-retrieval"](0)
    what = FactoredTask(made.problem, made.truth, rank=1)
    model = what.model(0)
    model.set_factors((1j * made.truth.reshape(-1, 1),))
    assert what.observe(model).relative_error < 1e-12


def test_without_a_truth_the_error_is_that_of_fresh_data():
    made = instance()
    other = fm.families.matrix_sensing.sample((5, 4), 1, 400, seed=9).problem.measurement
    fresh = fm.Problem(other, other.forward(made.truth))
    what = FactoredTask(made.problem, fresh=fresh)
    model = what.model(1)
    residual = other.forward(model.matrix()) - fresh.data
    observation = what.observe(model)
    assert observation.relative_error == pytest.approx(np.linalg.norm(residual) / np.linalg.norm(fresh.data))
    assert observation.relative_error != pytest.approx(np.sqrt(observation.loss) / what.label_scale, rel=0.01)
    # Among 400 directions it is the error on the truth, up to chance.
    assert observation.relative_error == pytest.approx(
        FactoredTask(made.problem, made.truth).observe(model).relative_error, rel=0.3
    )
    result = race(what, ["gradient-descent-small"], budget=60, seeds=1, trials=1)
    assert result.table[0]["relative_error"] is not None


def test_without_either_there_is_no_error():
    result = race(instance().problem, ["adam"], budget=20, seeds=1, trials=1)
    assert result.table[0]["relative_error"] is None
    assert "relative_error" not in result.trajectories["adam", 0]


@pytest.mark.parametrize("family", SAMPLES)
def test_random_weights_of_natural_size_make_data_of_the_right_size(family):
    what = FactoredTask(SAMPLES[family](0).problem)
    with torch.no_grad():
        size = float(what.model(0, 1.0)().square().mean().sqrt())
    assert size == pytest.approx(what.label_scale, rel=1e-6)


def test_what_cannot_be_a_task_is_refused():
    with pytest.raises(InputError, match="all zero"):
        FactoredTask(fm.Problem(instance().problem.measurement, np.zeros(18)))
    with pytest.raises(InputError, match="fresh measurements have the shape"):
        FactoredTask(instance().problem, fresh=SAMPLES["matrix-completion"](0).problem)
    with pytest.raises(InputError, match="truth has shape"):
        FactoredTask(instance().problem, np.zeros(5))
