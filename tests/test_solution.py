"""Solutions: what they say, and how they are kept."""

import dataclasses
import json
import pickle

import numpy as np
import pytest

import flatmin as fm
from flatmin.solution import FORMAT_VERSION, RecoveryError
from flatmin.testing import check_solution


@pytest.fixture(scope="module")
def solved():
    p = fm.families.matrix_completion.sample((6, 5), 1, 18).problem
    return p, fm.flat_minimum(p)


def _same(a, b):
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f") and a.dtype == b.dtype
    if isinstance(a, dict | tuple):
        pairs = zip(a.values(), b.values(), strict=True) if isinstance(a, dict) else zip(a, b, strict=True)
        return len(a) == len(b) and all(_same(x, y) for x, y in pairs)
    return a == b


def test_round_trip(instance, solution, tmp_path):
    file = tmp_path / "solution.npz"
    solution.save(file)
    again = fm.Solution.load(file, instance.problem)
    assert vars(again.flatness) == vars(solution.flatness)
    assert again.certificate.scalars() == solution.certificate.scalars()
    for name in ("factors", "history", "undetermined", "matrix", "settings"):
        assert _same(getattr(again, name), getattr(solution, name)), name
    assert _same(again.certificate.dual, solution.certificate.dual)
    assert (again.status, again.rank, again.seconds, again.iterations) == (
        solution.status,
        solution.rank,
        solution.seconds,
        solution.iterations,
    )
    check_solution(again, instance.problem)
    assert fm.certify(instance.problem, again.factors, again.certificate.dual).holds


def _hermitian(m, dtype):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((m, 4, 4)) + (1j * rng.standard_normal((m, 4, 4)) if dtype is complex else 0)
    return fm.measurements.Dense(A + A.conj().transpose(0, 2, 1))


def _hermitian_problem(kind):
    rng = np.random.default_rng(1)
    dtype = complex if "complex" in kind else float
    U = rng.standard_normal((4, 2)) + (1j * rng.standard_normal((4, 2)) if dtype is complex else 0)
    A = _hermitian(6 if "below" in kind else 15, dtype)
    if "signed" in kind:
        return fm.Problem(A, A.forward(U * [1, -1] @ U.T), fm.SignedGram(rank=4))
    return fm.Problem(A, A.forward(U @ U.conj().T), fm.Gram())


@pytest.mark.parametrize("alpha", [0.0, 0.01])
@pytest.mark.parametrize("kind", ["gram, above", "gram, complex, below", "gram, complex, above", "signed, below"])
def test_round_trip_of_hermitian_models(kind, alpha, tmp_path):
    """Complex factors, signs, the constants of the radius and whatever parts there are."""
    p = _hermitian_problem(kind)
    s = fm.flat_minimum(p, alpha=alpha)
    parts = {"signal": s.factors[0][:, 0], "anything": np.eye(4)}
    s = dataclasses.replace(s, parts=parts)
    s.save(tmp_path / "s.npz")
    kept = ("factors", "history", "undetermined", "matrix", "settings")
    for loaded in (fm.Solution.load(tmp_path / "s.npz"), fm.Solution.load(tmp_path / "s.npz", p, alpha=alpha)):
        for name in kept:
            assert _same(getattr(loaded, name), getattr(s, name)), name
    assert _same(fm.Solution.load(tmp_path / "s.npz").parts, s.parts)
    again = fm.Solution.load(tmp_path / "s.npz", p, alpha=alpha)
    assert again.parametrization == s.parametrization == p.parametrization
    assert set(again.parts) == ({"signal"} if kind.startswith("gram") else set())
    assert again.signature == s.signature
    assert again.certificate.scalars() == s.certificate.scalars()
    assert again.certificate.stability == s.certificate.stability is not None
    assert again.certificate.radius == s.certificate.radius
    assert again.certificate.error_radius(0.1, 0.2) == s.certificate.error_radius(0.1, 0.2)
    assert np.iscomplexobj(again.factors[0]) == ("complex" in kind)
    check_solution(again, p)
    assert fm.certify(p, again.factors, again.certificate.dual, alpha=alpha).holds


def test_a_stranger_reads_signs_and_complex_columns(tmp_path):
    for kind in ("signed, below", "gram, complex, above"):
        s = fm.flat_minimum(_hermitian_problem(kind))
        s.save(tmp_path / "s.npz")
        with np.load(tmp_path / "s.npz", allow_pickle=False) as file:
            if kind.startswith("signed"):
                X = file["U_plus"] @ file["U_plus"].T - file["U_minus"] @ file["U_minus"].T
            else:
                X = file["U"] @ file["U"].conj().T
            np.testing.assert_allclose(file["matrix"], X, atol=1e-12 * np.linalg.norm(X))
            about = json.loads(str(file["description"]))
            assert about["shape"] == [4, 4]
            assert about["stability"]["space"] == s.certificate.stability.space


@pytest.mark.parametrize(("kind", "names"), [("signed", ["U_plus", "U_minus"]), ("gram", ["U"])])
def test_another_flat_minimum_of_a_hermitian_model_is_kept(kind, names, tmp_path):
    model = fm.SignedGram() if kind == "signed" else fm.Gram()
    p = fm.Problem(fm.measurements.Dense(np.eye(3)[None]), [2.0], model)
    s = fm.flat_minimum(p)
    s.save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as file:
        assert {f"alternative_{name}" for name in names} <= set(file)
    again = fm.Solution.load(tmp_path / "s.npz", p)
    assert again.certificate.unique is False
    assert _same(tuple(again.certificate.alternative), tuple(s.certificate.alternative))
    assert again.certificate.stability is None
    check_solution(again, p)


def test_signature_counts_columns_and_is_none_without_signs(solved):
    s = fm.flat_minimum(_hermitian_problem("signed, above"))
    assert s.signature == [1, 1] == [int(np.sum(np.linalg.eigvalsh(s.matrix) * sign > 1e-6)) for sign in (1, -1)]
    assert solved[1].signature is None
    assert fm.flat_minimum(_hermitian_problem("gram, above")).signature is None


@pytest.mark.parametrize(("part", "model"), [("signal", "phase retrieval"), ("sparse", "robust PCA")])
def test_parts_that_a_model_does_not_have(part, model, solved):
    with pytest.raises(fm.InputError, match=f"the solution has no part '{part}', expected one of {model}") as caught:
        getattr(solved[1], part)
    assert "\n" not in str(caught.value)


def test_parts_have_names(solved):
    sparse = np.ones(solved[1].matrix.shape)
    s = dataclasses.replace(solved[1], parts={"sparse": sparse})
    assert s.sparse is sparse
    assert s.low_rank is s.matrix
    assert set(s.arrays()) == {*solved[1].arrays(), "sparse"}


def test_a_stranger_can_read_the_file_without_flatmin(solved, tmp_path):
    p, s = solved
    s.save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["L"] @ file["R"].T, s.matrix)
        np.testing.assert_array_equal(file["matrix"], s.matrix)
        assert file["dual"].shape == p.data.shape
        assert int(file["format_version"]) == FORMAT_VERSION
        assert json.loads(str(file["description"]))["status"] == s.status.name


def test_loaded_solution_continues_as_warm_start(solved, tmp_path):
    p, s = solved
    s.save(tmp_path / "s.npz")
    assert fm.flat_minimum(p, warm_start=fm.Solution.load(tmp_path / "s.npz")).iterations <= s.iterations


def test_large_matrices_are_not_written(solved, tmp_path, monkeypatch):
    monkeypatch.setattr("flatmin.solution.LARGEST_SAVED_MATRIX", 4)
    assert set(solved[1].arrays()) == {"L", "R", "dual"}
    solved[1].save(tmp_path / "s.npz")
    np.testing.assert_array_equal(fm.Solution.load(tmp_path / "s.npz").matrix, solved[1].matrix)


def test_a_failing_save_leaves_the_old_file(solved, tmp_path, monkeypatch):
    file = tmp_path / "s.npz"
    file.write_bytes(b"precious")

    def fail(stream, **arrays):
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(fm.InputError, match="disk full"):
        solved[1].save(file)
    assert file.read_bytes() == b"precious"
    assert [f.name for f in tmp_path.iterdir()] == ["s.npz"]


def _truncated(path, solution):
    solution.save(path)
    path.write_bytes(path.read_bytes()[:-200])


def _without(key):
    def write(path, solution):
        solution.save(path)
        with np.load(path) as file:
            arrays = {k: v for k, v in file.items() if k != key}
        np.savez(path, **arrays)

    return write


def _with(**changes):
    def write(path, solution):
        solution.save(path)
        with np.load(path) as file:
            arrays = dict(file)
        with path.open("wb") as stream:
            np.savez(stream, **(arrays | changes))

    return write


def _description(change):
    def write(path, solution):
        solution.save(path)
        with np.load(path) as file:
            arrays = dict(file)
        arrays["description"] = np.array(json.dumps(change(json.loads(str(arrays["description"])))))
        with path.open("wb") as stream:
            np.savez(stream, **arrays)

    return write


BAD_FILES = {
    "missing": lambda path, s: None,
    "empty": lambda path, s: path.write_bytes(b""),
    "text": lambda path, s: path.write_text("L,R\n1,2\n"),
    "directory": lambda path, s: path.mkdir(),
    "truncated": _truncated,
    "pickled": lambda path, s: path.write_bytes(pickle.dumps({"L": 1})),
    "pickled array": lambda path, s: np.savez(path, L=np.array([{}], dtype=object), format_version=1, description="{}"),
    "npy": lambda path, s: np.save(path.open("wb"), np.ones(3)),
    "foreign npz": lambda path, s: np.savez(path, L=np.ones((2, 1)), R=np.ones((2, 1))),
    "later version": _with(format_version=FORMAT_VERSION + 1),
    "no version": _without("format_version"),
    "text for a version": _with(format_version="one"),
    "no factor": _without("R"),
    "no dual": _without("dual"),
    "no description": _without("description"),
    "description is no JSON": _with(description="{"),
    "description is too deep": _with(description="[" * 5000),
    "description is empty": _with(description="{}"),
    "description is a number": _with(description="1"),
    "constants of another version": _description(lambda about: about | {"stability": {"space": "tangent"}}),
    "a part that is not there": _description(lambda about: about | {"parts": ["sparse"]}),
    "no name of a model": _description(lambda about: about | {"parametrization": ["Product"]}),
    "settings of no kind": _description(lambda about: about | {"settings": "alpha"}),
    "a dual of text": _with(dual=np.array(["a", "b"])),
    "a dual with holes": _with(dual=np.array([np.nan, 1.0])),
    "an unknown model": _description(lambda about: about | {"parametrization": "Nonsense"}),
    "factors of another model": _description(lambda about: about | {"parametrization": "SignedGram"}),
    "unknown status": _with(description='{"status": "splendid"}'),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_files_that_are_no_solutions_are_refused(kind, solved, tmp_path):
    path = tmp_path / "s.npz"
    BAD_FILES[kind](path, solved[1])
    with pytest.raises(fm.InputError, match=r"s\.npz") as caught:
        fm.Solution.load(path)
    assert "\n" not in str(caught.value)


HOSTILE = ["1" + 400 * "0", "-1", "1.5", "NaN", "Infinity", "1e308", '"x"', "null", "[]", "[1]", "{}", "true"]


def _places(about, before=()):
    """Return the path to every value of a description."""
    if not isinstance(about, dict | list):
        return [before]
    pairs = about.items() if isinstance(about, dict) else enumerate(about)
    return [before] * bool(before) + [place for key, part in pairs for place in _places(part, (*before, key))]


@pytest.fixture(scope="module")
def noisy():
    """A penalised solution of noisy data."""
    problem = fm.families.matrix_sensing.sample((4, 3), 1, 20, noise=0.1).problem
    return problem, fm.flat_minimum(problem, alpha="auto")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_numbers_in_a_file_are_refused_or_harmless(hostile, noisy, tmp_path):
    """A number that no float holds, or no number, in place of every second value of the description."""
    (p, s), file = noisy, tmp_path / "s.npz"
    s.save(file)
    with np.load(file) as archive:
        arrays = dict(archive)
    about, refused = str(arrays["description"]), 0
    for *path, last in _places(json.loads(about))[HOSTILE.index(hostile) % 2 :: 2]:
        changed = json.loads(about)
        place = changed
        for key in path:
            place = place[key]
        place[last] = "HOSTILE"
        arrays["description"] = np.array(json.dumps(changed).replace('"HOSTILE"', hostile))
        with file.open("wb") as stream:
            np.savez(stream, **arrays)
        try:
            loaded = fm.Solution.load(file)
            assert repr(loaded)
            assert repr(loaded.noise)
            fm.Solution.load(file, p, as_claimed=True)
            fm.refit(p, loaded)
        except fm.InputError:
            refused += 1
    assert refused > 5


def test_damaged_files_are_refused_or_harmless(solved, tmp_path):
    """Whatever bytes are overwritten, nothing but `InputError` comes out."""
    file = tmp_path / "s.npz"
    solved[1].save(file)
    whole, rng, refused = file.read_bytes(), np.random.default_rng(0), 0
    for _ in range(100):
        data = bytearray(whole)
        at, length = rng.integers(0, len(data)), rng.integers(1, 40)
        data[at : at + length] = rng.bytes(length)
        file.write_bytes(bytes(data))
        try:
            fm.Solution.load(file)
        except fm.InputError:
            refused += 1
    assert refused > 50


def test_a_file_is_believed_only_after_a_check(solved, tmp_path):
    """Statements of a file are claims; certificate and status come from the problem."""
    p, s = solved
    file = tmp_path / "s.npz"
    s.save(file)
    loaded = fm.Solution.load(file)
    assert loaded.certificate is None
    assert loaded.status is fm.Status.not_checked
    assert loaded.claimed["status"] == s.status.name == "unique_flat_minimum"
    assert loaded.claimed["holds"] is True
    stated = s.certificate.scalars()
    assert stated.pop("rigor") == "rounded"
    assert {name: loaded.claimed[name] for name in stated} == stated
    for ask in (loaded.raise_if_failed, lambda: loaded.checked_certificate, lambda: check_solution(loaded)):
        with pytest.raises((RecoveryError, fm.InputError), match=r"not_checked.*Solution\.load\(file, problem\)"):
            ask()
    checked = fm.Solution.load(file, p).raise_if_failed()
    assert checked.certificate.scalars() == s.certificate.scalars()
    assert checked.status is s.status
    assert "nothing" in repr(loaded)
    loaded.save(tmp_path / "again.npz")  # statements stay statements
    assert fm.Solution.load(tmp_path / "again.npz").claimed["holds"] is True
    assert not s.claimed


@pytest.mark.parametrize(
    "forged",
    [
        lambda s: {"L": 0 * s.factors[0]},
        lambda s: {"L": 1.01 * s.factors[0]},
        lambda s: {"dual": 1e3 * np.ones_like(s.duals[0])},
    ],
    ids=["zero", "larger", "dual"],
)
def test_changed_factors_or_duals_are_not_certified(forged, solved, tmp_path):
    p, s = solved
    file = tmp_path / "s.npz"
    _with(**forged(s))(file, s)
    loaded = fm.Solution.load(file)
    assert loaded.claimed["holds"] is True
    checked = fm.Solution.load(file, p)
    assert not checked.certificate.holds
    assert checked.status is fm.Status.not_certified
    assert checked.flatness.loss == pytest.approx(fm.flatness(p, checked.factors).loss)
    with pytest.raises(RecoveryError, match="not_certified"):
        checked.raise_if_failed()


def test_the_objective_of_a_file_must_be_the_one_that_is_asked(solved, tmp_path):
    """Zero minimises any loss with a huge alpha, which must be stated by whoever asks."""
    p, _ = solved
    s, file = fm.flat_minimum(p, alpha=1e12), tmp_path / "s.npz"
    s.save(file)
    assert not np.any(s.matrix)
    with pytest.raises(fm.InputError, match=r"s\.npz states alpha 1000000000000\.0, but alpha 0\.0 was"):
        fm.Solution.load(file, p)
    with pytest.raises(fm.InputError, match=r"pass metric_power=1\.0"):
        fm.Solution.load(file, p, alpha=1e12, metric_power=0.5)
    with pytest.raises(fm.InputError, match=r"as_claimed=True was passed together with alpha"):
        fm.Solution.load(file, p, alpha=1e12, as_claimed=True)
    for asked in ({"alpha": 1e12}, {"as_claimed": True}):
        assert fm.Solution.load(file, p, **asked).status is fm.Status.regularized_minimum
    _description(lambda about: about | {"settings": {}})(file, s)
    assert not fm.Solution.load(file, p).certificate.holds


def test_the_loss_of_a_file_must_be_that_of_the_problem(tmp_path):
    instance = fm.families.robust_pca.sample((12, 10), 1)
    p, file = instance.problem, tmp_path / "s.npz"
    weighted = fm.Problem(p.measurement, p.data, p.parametrization, fm.losses.Absolute(weight=0.5))
    s = fm.flat_minimum(weighted)
    dataclasses.replace(s, parts={"sparse": 0 * s.sparse}).save(file)
    with pytest.raises(fm.InputError, match=r"weight 0\.5, but weight 0\.28.*give the problem this weight"):
        fm.Solution.load(file, p)
    checked = fm.Solution.load(file, weighted)
    assert checked.status is s.status
    np.testing.assert_array_equal(checked.sparse, s.sparse)  # from the factors, not from the file


def test_a_file_of_another_model_is_refused(solved, tmp_path):
    solved[1].save(tmp_path / "s.npz")
    p = _hermitian_problem("gram, above")
    with pytest.raises(fm.InputError, match=r"has the model Product.*expected that of the problem: Gram"):
        fm.Solution.load(tmp_path / "s.npz", p)
    with pytest.raises(fm.InputError, match="problem is a str, expected a flatmin Problem"):
        fm.Solution.load(tmp_path / "s.npz", "p")
    with pytest.raises(fm.InputError, match="expected"):
        fm.Solution.load(tmp_path / "s.npz", fm.families.matrix_completion.sample((7, 5), 1, 18).problem)


def test_a_signal_follows_from_the_factors(tmp_path):
    p = fm.families.phase_retrieval.sample(4, 1, 24).problem
    s, file = fm.flat_minimum(p), tmp_path / "s.npz"
    dataclasses.replace(s, parts={"signal": np.ones((2, 2))}).save(file)
    checked = fm.Solution.load(file, p)
    assert checked.status is fm.Status.unique_flat_minimum
    np.testing.assert_array_equal(checked.signal, s.signal.reshape(2, 2))


def test_the_lowest_rank_is_only_claimed(tmp_path):
    """Any matrix that fits could state that a search found no lower rank."""
    p = fm.families.matrix_sensing.sample((12, 10), 1, 35).problem
    s, file = fm.reweighted_minimum(p), tmp_path / "s.npz"
    s.save(file)
    loaded = fm.Solution.load(file, p)
    assert loaded.status is fm.Status.not_certified
    assert loaded.claimed["status"] == "low_rank_interpolant"
    with pytest.raises(RecoveryError, match="No proof was found"):
        loaded.raise_if_failed()


def test_raise_if_failed(solved):
    p, s = solved
    assert s.raise_if_failed() is s
    failed = fm.flat_minimum(p, max_iter=0)
    with pytest.raises(RecoveryError, match="iteration_limit: The iteration limit was reached; raise max_iter"):
        failed.raise_if_failed()


def test_every_status_is_its_advice():
    for status in fm.Status:
        assert status.value.endswith(".")
        assert len(status.value) > 40
    assert [s.name for s in fm.Status if s.certified] == ["unique_flat_minimum", "flat_minimum", "regularized_minimum"]


def test_a_solution_is_frozen(solved):
    with pytest.raises(AttributeError):
        solved[1].seconds = 0.0


def test_another_flat_minimum_is_kept(tmp_path):
    """False only with another one in hand, also after a round trip."""
    p = fm.Problem(fm.measurements.Entries([0, 1], [0, 1], (2, 2)), [1.0, 2.0])
    s = fm.flat_minimum(p)
    s.save(tmp_path / "s.npz")
    again = fm.Solution.load(tmp_path / "s.npz", p)
    assert again.certificate.unique is False
    assert _same(tuple(again.certificate.alternative), tuple(s.certificate.alternative))
    check_solution(again, p)


def test_a_limit_on_the_rank_is_kept(tmp_path):
    A = fm.families.matrix_completion.sample((6, 5), 1, 18).problem
    s = fm.flat_minimum(fm.Problem(A.measurement, A.data, fm.Product(rank=3)))
    s.save(tmp_path / "s.npz")
    assert fm.Solution.load(tmp_path / "s.npz").parametrization == s.parametrization == fm.Product(rank=3)


def test_settings_of_any_number_type_are_kept(solved, tmp_path):
    """Whatever the solver accepts can be written, and reads back as plain numbers."""
    options = {
        "alpha": np.float64(0.1),
        "metric_power": np.int64(1),
        "max_rank": np.int32(4),
        "tol": np.float64(1e-8),
        "max_iter": np.int64(500),
        "time_limit": np.float32(60),
        "seed": np.uint8(3),
    }
    s = fm.flat_minimum(solved[0], **options)
    s.save(tmp_path / "s.npz")
    again = fm.Solution.load(tmp_path / "s.npz")
    assert again.settings == s.settings == pytest.approx({k: v.item() for k, v in options.items()})
    assert {type(v) for v in again.settings.values()} <= {int, float}


def test_saving_where_there_is_no_directory(solved, tmp_path):
    with pytest.raises(fm.InputError, match="nowhere"):
        solved[1].save(tmp_path / "nowhere" / "s.npz")


def test_what_is_printed_is_short_and_says_what_to_do(instance):
    s = fm.flat_minimum(instance.problem, alpha="auto")
    for shown in (s, s.certificate, s.flatness, s.noise):
        lines = repr(shown).splitlines()
        assert lines[0] == type(shown).__name__
        assert len(lines) <= 11
        assert "array" not in repr(shown)
    assert s.status.value in repr(s)
    assert f"of rank {s.rank}" in repr(s)
    assert s._repr_html_().count("<tr>") == len(s.facts())
