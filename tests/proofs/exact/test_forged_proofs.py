"""Forged proof files: false or malformed statements that are sealed, and that the checker must refuse by a sentence."""

import base64
import copy
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
from benchmarks.adversary.proofs import is_accepted
from benchmarks.adversary.small_proofs import PROBLEMS, proof_of

from flatmin.proofs import checker
from tests.proofs.exact.best_witness import instance_bytes, packed
from tests.proofs.exact.proof_file import seal


def files_of(name):
    """Return a proof as a dictionary, and the arrays of its instance."""
    text, instance = proof_of(name)
    with np.load(io.BytesIO(instance)) as stored:
        return json.loads(text), dict(stored)


def refused(proof, instance):
    """Return the checker's sentence about a sealed proof of an instance."""
    if isinstance(instance, dict):
        instance = instance_bytes(**instance)
    proof = copy.deepcopy(proof)
    proof["instance"]["sha256"] = hashlib.sha256(instance).hexdigest()
    with pytest.raises(checker.Refused) as refusal:
        checker.check_files(seal(proof), instance, None)
    assert str(refusal.value).strip()
    return str(refusal.value)


def unpacked(stored):
    return np.frombuffer(base64.b64decode(stored["base64"]), "<" + stored["dtype"]).reshape(stored["shape"]).copy()


@pytest.mark.parametrize("name", PROBLEMS)
def test_proofs_that_are_only_packed_again_are_accepted(name):
    proof, arrays = files_of(name)
    instance = instance_bytes(**arrays)
    proof["instance"]["sha256"] = hashlib.sha256(instance).hexdigest()
    assert checker.check_files(seal(proof), instance, proof["instance"]["sha256"])


MODELS = {
    "metric_power": [True, 2, 0.5, "1", None, -1],
    "complex": [0, 1, None, "false"],
    "cone": ["Rectangular", "", None, 1, []],
    "objective": ["", None, "Robust"],
    "measurement": ["", None, "Dense"],
    "alpha": ["0x1p-1", "nan", 1.0, 0],
    "weight": ["0x1p-1", "-0x1p-1"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in MODELS.items() for value in values])
def test_models_are_named_exactly(key, value):
    proof, arrays = files_of("sensing")
    proof["model"][key] = value
    refused(proof, arrays)


@pytest.mark.parametrize("alpha", ["0x0p+0", "-0x1p-7", "nan", "inf", "0x1p-7 ", "1e-3", "0x1p99999", None, 0.01])
def test_alpha_is_a_positive_number(alpha):
    proof, arrays = files_of("penalised sensing")
    proof["model"]["alpha"] = alpha
    refused(proof, arrays)


@pytest.mark.parametrize("weight", ["0x0p+0", "-0x1p-2", "nan", "inf", None])
def test_weight_is_a_positive_number(weight):
    proof, arrays = files_of("gross errors")
    proof["model"]["weight"] = weight
    refused(proof, arrays)


CONSTANTS = {
    "sensing": {
        "g1": [0.0, -1.0, np.inf, np.nan, 1e308],
        "g2": [0.0, -1.0, np.inf],
        "core": [0.0, -1.0, np.inf, 1e300],
        "delta": [0.0, -1.0, 1.0, 2.0, np.inf, np.nan],
        "sigma2": [0.0, -1.0, np.inf, np.nan, 1e300, 5e-324],
        "gamma": [-1.0, -np.inf, np.nan],
    },
    "covariance": {
        "t": [0.0, -1.0, 1e300, np.inf],
        "u": [0.0, -1.0, 1e300],
        "c": [np.inf, np.nan],
        "sigma2": [0.0, -1.0, 1e300],
    },
    "gross errors": {
        "kappa": [0.0, -1.0, 0.375, 1.0, np.inf],
        "delta": [0.0, -1.0, 1.5],
        "sigma2": [0.0, -1.0, 1e300],
    },
}
GUESSES = [(name, key, value) for name, all_ in CONSTANTS.items() for key, values in all_.items() for value in values]


@pytest.mark.parametrize(("name", "key", "value"), GUESSES)
def test_guesses_are_positive_and_tested(name, key, value):
    proof, arrays = files_of(name)
    assert key in proof["constants"]
    proof["constants"][key] = float(value).hex()
    proof["statements"] = [s for s in proof["statements"] if s["kind"] in {"U", "B", "F"}]
    refused(proof, arrays)


@pytest.mark.parametrize("key", ["L", "C", "R"])
@pytest.mark.parametrize(
    "change",
    [
        lambda F: F[:-1],
        lambda F: np.vstack([F, F[:1]]),
        lambda F: F.ravel(),
        lambda F: F[None],
        lambda F: F * 0,
        lambda F: F + 0j,
        lambda F: np.hstack([F, F]),
        lambda F: F[:, :0],
        lambda F: np.full_like(F, np.nan),
    ],
)
def test_points_of_other_shapes_are_refused(key, change):
    proof, arrays = files_of("sensing")
    proof["point"][key] = packed(change(unpacked(proof["point"][key])))
    refused(proof, arrays)


@pytest.mark.parametrize("shape", [[-1, 1], [6.0, 1], [True, 6], [6], [6, 1, 1], "6", None, [], [2**70, 1]])
def test_shapes_are_lists_of_whole_numbers(shape):
    proof, arrays = files_of("sensing")
    proof["point"]["L"]["shape"] = shape
    refused(proof, arrays)


@pytest.mark.parametrize("tail", ["=", "A===", " ", "\n", "!", "AAAA"])
def test_base64_has_one_form(tail):
    proof, arrays = files_of("sensing")
    proof["point"]["L"]["base64"] += tail
    refused(proof, arrays)


@pytest.mark.parametrize("name", ["value", "uniqueness"])
@pytest.mark.parametrize(
    "change", [lambda y: y[:-1], lambda y: np.append(y, 0), lambda y: y[:, None], lambda y: y + 0j]
)
def test_duals_of_other_lengths_are_refused(name, change):
    proof, arrays = files_of("sensing")
    proof["duals"][name] = packed(change(unpacked(proof["duals"][name])))
    refused(proof, arrays)


CELLS = [
    {"rows": lambda x: x - 8},
    {"cols": lambda x: x - 6},
    {"rows": lambda x: x.astype(float)},
    {"rows": lambda x: x.astype(float) + 0.5},
    {"rows": lambda x: x + 1},
    {"cols": lambda x: x * 0 + 6},
    {"cols": lambda x: x[:-1]},
    {"rows": lambda x: x[:, None], "cols": lambda x: x[:, None]},
    {"shape": lambda x: x.astype(float)},
    {"shape": lambda x: np.append(x, 1)},
    {"shape": lambda x: -x},
    {"shape": lambda x: x[:1]},
    {"b": lambda x: x[:-1]},
    {"b": lambda x: x[:, None]},
    {"b": lambda x: x + 0j},
    {"b": lambda x: np.where(x == x[0], np.nan, x)},
    {"b": lambda x: x.astype(str)},
]


@pytest.mark.parametrize("changes", CELLS)
def test_malformed_entries_are_refused(changes):
    proof, arrays = files_of("completion")
    refused(proof, arrays | {name: change(arrays[name]) for name, change in changes.items()})


@pytest.mark.parametrize("added", [{"weights": np.ones(37)}, {"A": np.ones((38, 8, 6))}, {"truth": np.ones(2)}])
def test_arrays_that_do_not_belong_are_refused(added):
    proof, arrays = files_of("completion")
    refused(proof, arrays | added)


def test_repeated_cells_do_not_prove_an_upper_bound():
    proof, arrays = files_of("completion")
    arrays["rows"][1], arrays["cols"][1] = arrays["rows"][0], arrays["cols"][0]
    proof["statements"] = [s for s in proof["statements"] if s["kind"] == "U"]
    refused(proof, arrays)


def test_a_point_that_does_not_vanish_in_unseen_rows_is_not_unique_among_those_that_do():
    proof, arrays = files_of("completion with unseen rows")
    L, R = unpacked(proof["point"]["L"]), unpacked(proof["point"]["R"])
    L[2], R[0] = 1, 1
    for changes in ({"L": packed(L)}, {"R": packed(R)}, {"L": packed(L), "R": packed(R)}):
        forged = {**proof, "point": proof["point"] | changes}
        forged["statements"] = [{"kind": "B", "beta": "1"}]
        refused(forged, arrays)


@pytest.mark.parametrize("name", ["network", "dense semidefinite"])
def test_sensing_matrices_of_symmetric_models_are_symmetric(name):
    proof, arrays = files_of(name)
    arrays["A"][3, 0, 1] += 2.0**-40
    refused(proof, arrays)


def test_cores_of_symmetric_models_are_symmetric():
    proof, arrays = files_of("network")
    C = unpacked(proof["point"]["C"])
    C[0, 1] += 2.0**-60
    proof["point"]["C"] = packed(C)
    refused(proof, arrays)


def errors_with(proof, **changes):
    """Return a proof whose errors S have other arrays."""
    S = {key: unpacked(proof["point"]["S"][key]) for key in ("rows", "cols", "values")}
    S = {key: packed(changes[key](value) if key in changes else value) for key, value in S.items()}
    statements = [s for s in proof["statements"] if s["kind"] in {"B", "T"}]
    return {**proof, "point": proof["point"] | {"S": S}, "statements": statements}


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": lambda x: x - 9},
        {"cols": lambda x: x - 8},
        {"rows": lambda x: np.full_like(x, x[0]), "cols": lambda x: np.full_like(x, x[0])},
        {"rows": lambda x: x[:-1]},
        {"rows": lambda x: x.astype(float)},
        {"values": lambda x: -x},
        {"values": lambda x: x * 0},
        {"values": lambda x: x * np.nan},
        {"rows": lambda x: x[:-1], "cols": lambda x: x[:-1], "values": lambda x: x[:-1]},
    ],
)
def test_errors_of_splits_are_in_observed_cells_once_and_have_the_signs_of_the_dual(changes):
    proof, arrays = files_of("integer gross errors")
    assert proof["point"]["S"]
    refused(errors_with(proof, **changes), arrays)


def test_errors_in_unobserved_cells_are_refused():
    proof, arrays = files_of("gross errors, missing cells")
    i, j = np.argwhere(np.isnan(arrays["Y"]))[0]
    forged = errors_with(
        proof,
        rows=lambda x: np.append(x, i),
        cols=lambda x: np.append(x, j),
        values=lambda x: np.append(x, 1.0),
    )
    refused(forged, arrays)


@pytest.mark.parametrize("Y", [np.full((9, 8), np.nan), np.full((9, 8), np.inf), np.zeros((9, 8, 1)), np.zeros((0, 8))])
def test_malformed_cells_are_refused(Y):
    proof, _ = files_of("gross errors")
    refused(proof, {"Y": Y})


def test_a_truth_that_does_not_fit_is_no_truth():
    proof, arrays = files_of("integer sensing")
    b = arrays["b"].astype(float)
    b[0] = np.nextafter(b[0], np.inf)
    for statements in ([{"kind": "B", "beta": "0"}, {"kind": "T"}], [{"kind": "B", "beta": "1e-3"}, {"kind": "T"}]):
        refused({**proof, "statements": statements}, arrays | {"b": b})


@pytest.mark.parametrize("kind", ["V", "U", "gap", "B", "F", "T"])
@pytest.mark.parametrize("change", ["more", "fewer", "null", "name"])
def test_statements_have_exactly_their_numbers(kind, change):
    proof, arrays = files_of("integer sensing")
    statement = next(s for s in proof["statements"] if s["kind"] == kind)
    match change:
        case "more":
            statement["sure"] = "1"
        case "fewer":
            statement.pop(min(statement.keys() - {"kind"}, default="kind"))
        case "null":
            statement["kind"] = None
        case _:
            statement["kind"] = kind.swapcase()
    refused(proof, arrays)


@pytest.mark.parametrize("statements", [[], {}, None, [None], ["V"], [[]], [{}]])
def test_there_is_a_statement(statements):
    proof, arrays = files_of("sensing")
    refused({**proof, "statements": statements}, arrays)


@pytest.mark.parametrize("key", ["instance", "model", "point", "duals", "constants", "statements", "flatmin_proof"])
@pytest.mark.parametrize("value", [None, [], {}, "", 2, True])
def test_parts_of_other_types_are_refused(key, value):
    proof, arrays = files_of("sensing")
    if (key, value) == ("flatmin_proof", True):
        value = 1.0
    text, instance = seal({**proof, key: value}), instance_bytes(**arrays)
    with pytest.raises(checker.Refused):
        checker.check_files(text, instance, None)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]\n", b"\xff", b'{"a":NaN}\n', b"1\n", b"[" * 100_000, b"null\n"])
def test_other_files_are_refused(data):
    with pytest.raises(checker.Refused):
        checker.check_files(data, proof_of("sensing")[1], None)


def rewritten(arrays, write):
    """Return an archive that ``write`` makes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.save(member, values)
            write(archive, f"{name}.npy", member.getvalue())
    return file.getvalue()


def twice(archive, name, data):
    archive.writestr(name, data)
    if name == "b.npy":
        archive.writestr(name, data)


FORMS = {
    "twice": twice,
    "short": lambda archive, name, data: archive.writestr(name, data[:-1]),
    "long": lambda archive, name, data: archive.writestr(name, data + b"\0"),
    "no magic": lambda archive, name, data: archive.writestr(name, data[1:]),
    "other version": lambda archive, name, data: archive.writestr(name, data[:6] + b"\x09" + data[7:]),
    "fortran": lambda archive, name, data: archive.writestr(name, data.replace(b"False", b"True ")),
    "big endian": lambda archive, name, data: archive.writestr(name, data.replace(b"<f8", b">f8")),
    "objects": lambda archive, name, data: archive.writestr(name, data.replace(b"'<f8'", b"'|O' ")),
    "code": lambda archive, name, data: archive.writestr(name, data.replace(b"(26,", b"f(2,")),
    "negative": lambda archive, name, data: archive.writestr(name, data.replace(b"(26,", b"(-1,")),
    "in a folder": lambda archive, name, data: archive.writestr("x/" + name, data),
    "upper case": lambda archive, name, data: archive.writestr(name.upper(), data),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("form", FORMS)
def test_archives_of_other_forms_are_refused(form):
    proof, arrays = files_of("sensing")
    refused(proof, rewritten(arrays, FORMS[form]))


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -30])
def test_cut_archives_are_refused(cut):
    proof, instance = proof_of("sensing")
    refused(json.loads(proof), instance[:cut])


def test_vectors_of_hermitian_models_are_the_same_on_both_sides():
    for name in ("covariance", "phase retrieval", "integer phase retrieval"):
        proof, arrays = files_of(name)
        right = arrays["left"].copy()
        right[0, 0] *= 2
        refused(proof, arrays | {"right": right})
        refused(proof, arrays | {"right": arrays["left"][::-1]})


@pytest.mark.parametrize("cone", ["symmetric", "semidefinite"])
def test_entries_off_the_diagonal_are_no_hermitian_measurements(cone):
    """The unit matrix fits the cells (0, 0) and (1, 1), and a cell beside the diagonal is not symmetric."""
    proof, _ = files_of("completion")
    proof["model"]["cone"] = cone
    proof["point"] = {"U": packed(np.eye(2))} | ({"C": packed(np.eye(2))} if cone == "symmetric" else {})
    proof["duals"] = {"value": packed(np.zeros(3)), "uniqueness": packed(np.zeros(3))}
    proof["statements"] = [{"kind": "V", "lower": "0"}]
    arrays = {"rows": np.array([0, 1, 0]), "cols": np.array([0, 1, 1]), "shape": np.array([2, 2])}
    refused(proof, arrays | {"b": np.array([1.0, 1.0, 0.0])})


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("sensing", {"noise": "0"}),
        ("covariance", {"noise": "-1"}),
        ("covariance", {"noise": "-1e-30"}),
        ("covariance", {"noise": "1e-9", "upper": "1"}),
        ("dense semidefinite", {"noise": "0"}),
        ("gross errors", {"upper": "-1"}),
        ("gross errors", {"noise": "0"}),
        ("penalised sensing", {"upper": "1e3"}),
        ("zero", {"upper": "0"}),
    ],
)
def test_radii_need_the_level_of_their_model(name, level):
    proof, arrays = files_of(name)
    proof["statements"].append({"kind": "F", "radius": "1e9", **level})
    proof["statements"] = [s for k, s in enumerate(proof["statements"]) if s["kind"] != "F" or "1e9" in s.values()]
    refused(proof, arrays)


def test_penalised_problems_have_no_statement_about_exact_fits():
    proof, arrays = files_of("penalised sensing")
    for statement in ({"kind": "B", "beta": "1"}, {"kind": "T"}):
        refused({**proof, "statements": [*proof["statements"], statement]}, arrays)


@pytest.mark.parametrize(
    "name", ["sensing", "completion", "network", "covariance", "gross errors", "dense semidefinite"]
)
def test_zero_is_no_solution_of_other_data(name):
    proof, arrays = files_of(name)
    for claim in ({"kind": "V", "lower": "0"}, {"kind": "U", "upper": "0"}, {"kind": "B", "beta": "1"}):
        refused({**proof, "point": None, "statements": [claim]}, arrays)


def test_zero_is_not_unique_where_the_metric_vanishes():
    """One measurement of a 2 × 2 matrix sees only the direction (1, 1)."""
    proof, _ = files_of("zero")
    proof["constants"] = {"g1": (1e-6).hex(), "g2": (1e-6).hex()}
    proof["duals"] = {"value": packed(np.zeros(1))}
    for statement in ({"kind": "B", "beta": "0"}, {"kind": "V", "lower": "1e-9"}):
        refused({**proof, "statements": [statement]}, {"A": np.ones((1, 2, 2)), "b": np.zeros(1)})


def test_an_indefinite_core_makes_no_semidefinite_matrix():
    proof, arrays = files_of("integer covariance")
    U = unpacked(proof["point"]["U"])
    core = np.diag([1.0, -1.0]) if U.shape[1] == 2 else -np.eye(U.shape[1])
    b = np.einsum("mi,ij,mj->m", arrays["left"], U @ core @ U.T, arrays["left"])
    proof["point"] = {"U": proof["point"]["U"], "C": packed(core)}
    proof["statements"] = [{"kind": "U", "upper": "1e9"}]
    refused(proof, arrays | {"b": b})
    proof["statements"] = [{"kind": "B", "beta": "0"}, {"kind": "T"}]
    refused(proof, arrays | {"b": b})


@pytest.mark.parametrize(("lower", "upper"), [("1", None), (None, "100"), ("-1", "1e5"), ("-5", "-4")])
def test_the_gap_is_that_of_the_bounds_as_they_are_stated(lower, upper):
    proof, arrays = files_of("sensing")
    claims = {s["kind"]: s for s in proof["statements"]}
    claims["V"]["lower"], claims["U"]["upper"] = lower or claims["V"]["lower"], upper or claims["U"]["upper"]
    proof["statements"] = [claims[kind] for kind in ("V", "U", "gap")]
    refused(proof, arrays)


WEAK = {"lower": "-9.9e999", "upper": "9.9e999", "gap": "9.9e999", "beta": "9.9e999", "radius": "9.9e999"}


def test_claims_too_large_for_a_double_are_compared():
    """The weak forms of all claims are true, and sentences about false ones can be written."""
    proof, arrays = files_of("sensing")
    instance = instance_bytes(**arrays)
    proof["instance"]["sha256"] = hashlib.sha256(instance).hexdigest()
    for statement in proof["statements"]:
        name = next(key for key in WEAK if key in statement and (key, statement["kind"]) != ("upper", "F"))
        forged = [{**s, name: WEAK[name]} if s is statement else s for s in proof["statements"]]
        kept = [s for s in forged if s["kind"] != "gap" or name == "gap"]
        assert checker.check_files(seal({**proof, "statements": kept}), instance, None)
    for statement in ({"kind": "V", "lower": "9e999"}, {"kind": "U", "upper": "-9e999"}):
        assert "e+999" in refused({**proof, "statements": [statement]}, arrays)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_archives_are_refused_by_a_sentence(method):
    proof, arrays = files_of("completion")
    file, rng = io.BytesIO(), np.random.default_rng(0)
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.save(member, values)
            archive.writestr(f"{name}.npy", member.getvalue())
    data = file.getvalue()
    for attempt in range(400):
        place = int(rng.integers(len(data)) if attempt % 2 else len(data) - 1 - rng.integers(len(data) // 3))
        damaged = data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]
        proof["instance"]["sha256"] = hashlib.sha256(damaged).hexdigest()
        is_accepted(seal(proof), damaged)  # raises another error than `Refused` if it was not foreseen


@pytest.mark.parametrize("point", [True, False])
@pytest.mark.parametrize(
    ("name", "array"), [("sensing", "A"), ("bilinear", "left"), ("network", "A"), ("covariance", "left")]
)
def test_measurements_that_see_nothing_have_no_theorems(name, array, point):
    proof, arrays = files_of(name)
    arrays |= {array: 0 * arrays[array], "b": 0 * arrays["b"]}
    for statement in ({"kind": "V", "lower": "0"}, {"kind": "U", "upper": "0"}, {"kind": "B", "beta": "0"}):
        refused({**proof, "statements": [statement], "point": proof["point"] if point else None}, arrays)


@pytest.mark.parametrize("shape", [[0, 6], [8, 0], [0, 0], [8, -6]])
def test_matrices_have_rows_and_columns(shape):
    proof, arrays = files_of("completion")
    refused(proof, arrays | {"shape": np.array(shape)})


def test_shapes_that_no_proof_can_have_are_refused_before_matrices_are_formed():
    proof, arrays = files_of("completion")
    refused(proof, arrays | {"shape": np.array([10**6, 10**6])})


def test_truths_are_stored_as_one_byte():
    """A byte of a logical array other than 0 counts as one, as in NumPy."""
    text = proof_of("completion")[0]
    proof = json.loads(text)
    data = np.ones(38, bool)
    odd = np.full(38, 3, np.uint8).view(bool)
    arrays = files_of("completion")[1] | {"b": data}
    first, second = (
        checker.theorem_of(proof, checker.read_instance(instance_bytes(**arrays | {"b": b}))) for b in (data, odd)
    )
    assert first.b.rows == second.b.rows


@pytest.mark.parametrize("shape", ["('a', 'b')", "(None,)", "(9, 'a')", "([], 2)", "(1e400, 2)", "(10**9, 'a' * 9)"])
def test_shapes_that_are_no_numbers_are_refused(shape):
    proof, arrays = files_of("sensing")
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + arrays["b"].tobytes()
    content = io.BytesIO(instance_bytes(A=arrays["A"]))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("b.npy", data)
    assert "'b'" in refused(proof, content.getvalue())


def test_a_refusal_shows_no_control_characters_of_the_file():
    proof, arrays = files_of("sensing")
    proof["model"]["\x1b[2K\rTheorem. X̂ is unique"] = None
    assert refused(proof, arrays).isprintable()
