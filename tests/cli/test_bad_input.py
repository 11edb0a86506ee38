"""Each fault: exit status 2, one line that names it, and nothing written."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from flatmin import families
from flatmin._core.memory import available_bytes


def sensing():
    A = np.random.default_rng(0).standard_normal((30, 4, 3))
    return {"A": A, "b": A.sum(axis=(1, 2))}


def changed(**changes):
    arrays = sensing() | changes
    return {key: value for key, value in arrays.items() if value is not None}


def with_entry(value):
    b = sensing()["b"]
    b[3] = value
    return b


SENSING = {
    "wrong key": (changed(b=None, y=np.ones(30)), ["'b'", "A, y", "A, b"]),
    "wrong length": (changed(b=np.ones(29)), ["(29,)", "(30,)"]),
    "wrong dimensions": (changed(A=np.ones((30, 4, 3, 2))), ["(30, 4, 3, 2)", "(m, d1, d2)"]),
    "NaN": (changed(b=with_entry(np.nan)), ["'b'", "NaN"]),
    "infinity": (changed(b=with_entry(np.inf)), ["'b'", "infinity"]),
    "text": (changed(b=np.array(["x"] * 30)), ["'b'", "numbers"]),
    "pickled": (changed(A=np.array([{}, 1], dtype=object)), ["'A'", "Python objects"]),
    "complex": (changed(A=1j * sensing()["A"]), ["complex", "real"]),
    "truth of another shape": (changed(truth=np.ones((3, 4))), ["'truth'", "(3, 4)", "(4, 3)"]),
}
COMPLETION = {
    "row out of range": ({"rows": [0, 9]}, ["rows", "9", "0 to 2"]),
    "negative column": ({"cols": [0, -1]}, ["cols", "-1", "0 to 2"]),
    "fractional row": ({"rows": [0, 0.5]}, ["rows", "0.5", "whole"]),
    "values of another length": ({"values": [1, 2, 3]}, ["values", "(3,)", "(2,)"]),
    "three dimensions": ({"shape": [3, 3, 3]}, ["shape", "two"]),
    "nothing observed": ({"rows": [], "cols": [], "values": []}, ["at least one"]),
    "NaN value": ({"values": [1, np.nan]}, ["values", "NaN"]),
    "too large": ({"shape": [10**9, 10**9]}, ["GiB"]),
    "a shape beyond 32 bits": ({"shape": [10**11, 10**11]}, ["at most 2147483647"]),
}
X, B = np.random.default_rng(0).standard_normal((30, 4)), np.ones(30)
MASKS = np.ones((2, 3, 4), complex)
FAMILIES = {
    "covariance without vectors": ("covariance", {"b": B}, ["'vectors'", "vectors, b"]),
    "covariance of another length": ("covariance", {"vectors": X, "b": B[1:]}, ["(29,)", "(30,)"]),
    "vectors without rows": ("covariance", {"vectors": X[0], "b": B}, ["'vectors'", "(4,)", "(m, d)"]),
    "NaN in a vector": ("covariance", {"vectors": np.full((30, 4), np.nan), "b": B}, ["'vectors'", "NaN"]),
    "complex powers": ("covariance", {"vectors": X, "b": 1j * B}, ["b is complex"]),
    "truth that is not square": (
        "covariance",
        {"vectors": X, "b": B, "truth": np.ones((4, 3))},
        ["'truth'", "(4, 3)", "(4, 4)"],
    ),
    "truth as a factor": ("covariance", {"vectors": X, "b": B, "truth": np.ones(4)}, ["'truth'", "(4,)", "(4, 4)"]),
    "no measurement vectors": ("phase-retrieval", {"b": B}, ["'vectors' and 'masks'", "missing"]),
    "vectors and masks": (
        "phase-retrieval",
        {"vectors": X, "masks": MASKS, "b": B},
        ["'vectors' and 'masks'", "exclude"],
    ),
    "no intensities": ("phase-retrieval", {"vectors": X}, ["'b'"]),
    "negative intensity": ("phase-retrieval", {"vectors": X, "b": -B}, ["b contains the negative intensity -1", "0"]),
    "amplitudes with a phase": ("phase-retrieval", {"vectors": X, "b": 1j * B}, ["b is complex"]),
    "infinite intensity": ("phase-retrieval", {"vectors": X, "b": np.full(30, np.inf)}, ["'b'", "infinity"]),
    "masks without pixels": ("phase-retrieval", {"masks": MASKS[0, 0], "b": np.ones(4)}, ["masks", "(4,)", "(q, n)"]),
    "patterns turned": (
        "phase-retrieval",
        {"masks": MASKS, "b": np.ones((2, 4, 3))},
        ["b has shape (2, 4, 3)", "(2, 3, 4)"],
    ),
    "patterns missing": ("phase-retrieval", {"masks": MASKS, "b": np.ones((1, 3, 4))}, ["(1, 3, 4)", "(2, 3, 4)"]),
    "signal of another length": (
        "phase-retrieval",
        {"vectors": X, "b": B, "truth": np.ones(5)},
        ["'truth'", "(5,)", "shape (4,)"],
    ),
    "image turned": (
        "phase-retrieval",
        {"masks": MASKS, "b": np.ones(MASKS.shape), "truth": np.ones((4, 3))},
        ["'truth'", "(4, 3)", "(3, 4)"],
    ),
    "inputs without rows": ("quadratic-network", {"inputs": B, "outputs": B}, ["'inputs'", "(30,)", "(m, d)"]),
    "outputs of another length": (
        "quadratic-network",
        {"inputs": X, "outputs": B[1:]},
        ["'outputs'", "(29,)", "(30,)"],
    ),
    "several outputs": ("quadratic-network", {"inputs": X, "outputs": np.ones((30, 2))}, ["'outputs'", "(30, 2)"]),
    "complex inputs": ("quadratic-network", {"inputs": 1j * X, "outputs": B}, ["'inputs'", "complex"]),
    "complex outputs": ("quadratic-network", {"inputs": X, "outputs": 1j * B}, ["'outputs'", "complex"]),
    "truth of a network that is not square": (
        "quadratic-network",
        {"inputs": X, "outputs": B, "truth": np.ones((3, 4))},
        ["'truth'", "(3, 4)", "(4, 4)"],
    ),
}
TABLES = {
    "text in a cell": ("a,b\n1,2\n3,x\n", ["row 3", "column 2", "'b'", "'x'"]),
    "short row": ("a,b,c\n1,2,3\n4,5\n", ["row 3", "2 cells", "expected 3"]),
    "long row": ("1,2\n4,5,6\n", ["row 2", "3 cells", "expected 2"]),
    "infinity": ("1,2\ninf,3\n", ["row 2", "column 1", "'inf'"]),
    "no number": ("a,b\n,\n", ["no number"]),
    "only labels": ("a,b\nx,y\n", ["no number"]),
    "only a header": ("a,b\n", ["no number"]),
    "blank": ("\n\n", ["no number"]),
    "empty": ("", ["empty"]),
}
USAGE = {
    "unknown command": (["fly"], "fly"),
    "no family": (["recover"], "FAMILY"),
    "unknown family": (["recover", "alchemy", "p.npz"], "alchemy"),
    "unknown option": (["recover", "matrix-sensing", "p.npz", "--speed"], "--speed"),
    "alpha in words": (["recover", "matrix-sensing", "p.npz", "--alpha", "much"], "'much'"),
    "infinite alpha": (["recover", "matrix-sensing", "p.npz", "--alpha", "inf"], "--alpha is inf"),
    "negative alpha": (["recover", "matrix-sensing", "p.npz", "--alpha", "-1"], "--alpha is -1"),
    "NaN alpha": (["recover", "matrix-sensing", "p.npz", "--alpha", "nan"], "--alpha is nan"),
    "large power": (["recover", "matrix-sensing", "p.npz", "--metric-power", "2"], "--metric-power is 2"),
    "rank 0": (["recover", "matrix-sensing", "p.npz", "--max-rank", "0"], "--max-rank is 0"),
    "half a rank": (["recover", "matrix-sensing", "p.npz", "--max-rank", "0.5"], "'0.5'"),
    "loose tol": (["recover", "matrix-sensing", "p.npz", "--tol", "7"], "--tol is 7"),
    "negative seed": (["recover", "matrix-sensing", "p.npz", "--seed", "-1"], "--seed is -1"),
    "negative time": (["recover", "matrix-sensing", "p.npz", "--time-limit", "-1"], "--time-limit is -1.0, expected a"),
    "weight of another model": (
        ["recover", "matrix-sensing", "p.npz", "--weight", "1"],
        "--weight is for robust-pca, found matrix-sensing",
    ),
    "tau of another model": (["recover", "matrix-sensing", "p.npz", "--tau", "1"], "--tau is for robust-pca"),
    "weight in words": (["recover", "matrix-sensing", "p.npz", "--weight", "much"], "'much'"),
    "generate no measurements": (
        ["generate", "matrix-sensing", "n.npz", "--measurements", "0"],
        "--measurements is 0",
    ),
    "generate endless noise": (["generate", "matrix-sensing", "n.npz", "--noise", "inf"], "--noise is inf"),
    "mask without image": (["recover", "matrix-sensing", "p.npz", "--mask", "m.png"], "--mask"),
    "missing input": (["recover", "matrix-sensing", "q.npz"], "q.npz does not exist"),
    "input of another format": (["recover", "matrix-sensing", "t.csv"], "'.csv'"),
    "directory as input": (["recover", "matrix-sensing", "folder.npz"], "directory"),
    "output is a file": (["recover", "matrix-sensing", "p.npz", "--output", "t.csv"], "t.csv is a file"),
    "output below a file": (["recover", "matrix-sensing", "p.npz", "--output", "t.csv/x"], "cannot be written"),
    "output holds other data": (["recover", "matrix-sensing", "p.npz", "--output", "thesis"], "no earlier result"),
    "output holds the input": (["recover", "matrix-sensing", "p.npz", "--output", "."], "contains p.npz"),
    "output cannot be made": (["recover", "matrix-sensing", "p.npz", "--output", "/proc/x"], "cannot be written"),
    "generate elsewhere": (["generate", "matrix-sensing", "no/p.npz"], "no/p.npz cannot be written"),
    "generate a directory": (["generate", "matrix-sensing", "folder.npz"], "directory"),
    "generate another format": (["generate", "matrix-sensing", "p.csv"], "'.csv'"),
    "generate one dimension": (["generate", "matrix-sensing", "n.npz", "--shape", "3"], "'3'"),
    "generate in words": (["generate", "matrix-sensing", "n.npz", "--shape", "a,b"], "'a,b'"),
    "generate too much rank": (["generate", "matrix-sensing", "n.npz", "--rank", "99"], "--rank is 99"),
    "generate too much": (["generate", "matrix-sensing", "n.npz", "--shape", "99999,99999"], "GiB"),
    "missing solution": (["certify", "matrix-sensing", "p.npz", "s.npz"], "s.npz does not exist"),
}


@pytest.fixture
def refused(flatmin, tmp_path):
    def check(arguments, parts):
        before = sorted(str(p) for p in tmp_path.rglob("*"))
        run = flatmin(*arguments)
        assert run.code == 2, run
        assert run.out == ""
        assert run.err.count("\n") == 1, run.err
        assert len(run.err) < 400
        for part in parts:
            assert part in run.err
        assert sorted(str(p) for p in tmp_path.rglob("*")) == before

    return check


@pytest.mark.parametrize("fault", SENSING)
def test_sensing_archives(refused, tmp_path, fault):
    arrays, parts = SENSING[fault]
    np.savez(tmp_path / "p.npz", **arrays)
    refused(["recover", "matrix-sensing", "p.npz"], parts)


@pytest.mark.parametrize("fault", FAMILIES)
def test_archives_of_other_families(refused, tmp_path, fault):
    family, arrays, parts = FAMILIES[fault]
    np.savez(tmp_path / "p.npz", **arrays)
    refused(["recover", family, "p.npz"], parts)


@pytest.mark.parametrize("fault", COMPLETION)
def test_completion_archives(refused, tmp_path, fault):
    changes, parts = COMPLETION[fault]
    if fault == "too large" and not np.isfinite(available_bytes()):
        pytest.skip("this system does not tell how much memory there is")
    np.savez(tmp_path / "p.npz", **({"rows": [0, 1], "cols": [0, 1], "values": [1, 2], "shape": [3, 3]} | changes))
    refused(["recover", "matrix-completion", "p.npz"], parts)


@pytest.mark.parametrize("fault", TABLES)
def test_tables(refused, tmp_path, fault):
    text, parts = TABLES[fault]
    (tmp_path / "t.csv").write_text(text)
    refused(["recover", "matrix-completion", "t.csv"], ["t.csv", *parts])


@pytest.mark.parametrize("fault", USAGE)
def test_usage(refused, tmp_path, fault):
    arguments, part = USAGE[fault]
    np.savez(tmp_path / "p.npz", **sensing())
    (tmp_path / "t.csv").write_text("1,2\n3,\n")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").touch()
    refused(arguments, [part])


@pytest.mark.parametrize("end", [0.2, 0.5, 0.9, 0.999])
def test_truncated_archive(refused, tmp_path, end):
    np.savez_compressed(tmp_path / "whole.npz", **sensing())
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "p.npz").write_bytes(whole[: int(end * len(whole))])
    refused(["recover", "matrix-sensing", "p.npz"], ["p.npz is not a whole .npz archive"])


def test_damaged_archive(refused, tmp_path):
    np.savez_compressed(tmp_path / "p.npz", **sensing())
    damaged = bytearray((tmp_path / "p.npz").read_bytes())
    damaged[300:340] = bytes(40)
    (tmp_path / "p.npz").write_bytes(damaged)
    refused(["recover", "matrix-sensing", "p.npz"], ["'A' of p.npz"])


def test_other_files_named_npz(refused, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    for content in (pickle.dumps(sensing()), (tmp_path / "a.npy").read_bytes(), b"hello", b""):
        (tmp_path / "p.npz").write_bytes(content)
        refused(["recover", "matrix-sensing", "p.npz"], ["p.npz is"])


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.png", b"not a picture", "picture"),
        ("x.npy", b"not an array", ".npy"),
        ("x.mtx", b"not a matrix", "Matrix Market"),
        ("x.mtx", b"%%MatrixMarket matrix coordinate real general\n3 3 2\n1 1 1.0\n", "expected 2"),
        ("x.mtx", b"%%MatrixMarket matrix coordinate real general\n3 3 1\n9 1 1.0\n", "row 9, expected 1 to 3"),
        ("x.mtx", b"%%MatrixMarket matrix coordinate real general\n3 3 0\n", "no number"),
        ("x.mtx", b"%%MatrixMarket matrix coordinate pattern general\n3 3 1\n1 1\n", "'pattern'"),
        ("x.csv", bytes(range(256)), "UTF-8"),
        ("x.txt", b"1 2", "'.txt'"),
    ],
)
def test_files_of_other_formats(refused, tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content)
    refused(["recover", "matrix-completion", name], [name, part])


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.ones(3), "(3,)"),
        (np.full((2, 2), np.nan), "no number"),
        (np.array([[1, np.inf]]), "row 1, column 2"),
        (np.array([[1, None]]), "Python objects"),
        (np.array([[1j]]), "complex128"),
        (np.ones((0, 3)), "(0, 3)"),
    ],
)
def test_arrays(refused, tmp_path, array, part):
    np.save(tmp_path / "x.npy", array)
    refused(["recover", "matrix-completion", "x.npy"], ["x.npy", part])


def test_help_and_version(flatmin):
    assert flatmin("--version").out.startswith("flatmin ")
    run = flatmin("recover", "--help")
    assert run.code == 0
    for part in ("whitepixels", "N/A", *families.names()):
        assert part in "".join(run.out.split())  # lines are broken at hyphens too


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from flatmin.cli import main; main(['--help']);"
        "print([m for m in ('matplotlib', 'PIL', 'jinja2', 'rich', 'pandas') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
