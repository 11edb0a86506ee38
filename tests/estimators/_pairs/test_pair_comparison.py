import numpy as np

from flatmin.estimators._pairs.pair_comparison import compare_pairs

RNG = np.random.default_rng(0)
ROWS, COLUMNS = (part.ravel() for part in np.meshgrid(range(30), range(12), indexing="ij"))
KEPT = RNG.permutation(360)[:250]
PAIRS = np.stack([ROWS, COLUMNS], axis=1)[KEPT].astype(str)
OFFSETS = RNG.standard_normal(30)[ROWS[KEPT]] + RNG.standard_normal(12)[COLUMNS[KEPT]]
VALUES = OFFSETS + 0.1 * RNG.standard_normal(250)


def oracle(pairs, values, others):
    """Return the true offsets, with intervals that contain every second value."""
    true = {tuple(pair): value for pair, value in zip(PAIRS.tolist(), OFFSETS, strict=True)}
    found = np.array([true[tuple(pair)] for pair in others.tolist()])
    half = np.where(np.arange(len(found)) % 2, 10.0, -10.0)
    return found, found - half, found + half


def test_all_folds_are_compared_on_the_same_pairs():
    seen = []
    found = compare_pairs(PAIRS, VALUES, oracle, 0, lambda done, total: seen.append((done, total)))
    assert seen == [(k, 5) for k in range(5)]
    assert len(found.values) == 250
    np.testing.assert_array_equal(np.sort(found.values), np.sort(VALUES))
    overall = found.overall()
    assert 0.08 < overall["error"] < 0.12
    assert overall["error"] < overall["error_offsets"] < 0.2 < 1 < overall["error_mean"]
    assert not overall["offsets_are_as_good"]
    assert abs(overall["coverage"] - 0.5) < 0.02


def test_no_prediction_sees_its_own_value():
    def checked(pairs, values, others):
        assert not set(map(tuple, pairs.tolist())) & set(map(tuple, others.tolist()))
        return (np.zeros(len(others)),) * 3

    twice = np.concatenate([PAIRS, PAIRS[:50]])
    found = compare_pairs(twice, np.concatenate([VALUES, VALUES[:50]]), checked, 1, lambda *_: None)
    assert found.overall()["offsets_are_as_good"]
    assert found.counts.min() >= 1


def test_too_few_pairs_are_not_compared():
    assert compare_pairs(PAIRS[:4], VALUES[:4], oracle, 0, lambda *_: None) is None
    alone = np.array([[str(k), str(k)] for k in range(20)])
    assert compare_pairs(alone, np.arange(20.0), oracle, 0, lambda *_: None) is None
