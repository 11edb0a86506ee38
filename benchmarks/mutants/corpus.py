"""The corpus: for each format a small valid file, and the command that reads it."""

import gzip
import io
import os
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import flatmin as fm
from flatmin.cli import main

__all__ = ["FORMATS", "Specimen", "specimen"]

RNG_SEED = 0
#: A table with two label columns, missing cells, and names that attack pages and spreadsheets.
TABLE = """id,<script>alert(1)</script>,"a ""quoted"" name",x\u202ey,=1+1
a,1.5,2,,4
b,2.5,,3,8
c,,6,4.5,12
d,4,8,6,
e,5,10,7.5,20
"""
MARKET = "%%MatrixMarket matrix coordinate real general\n% a comment\n3 3 6\n" + "".join(
    f"{i} {j} {i * j}.5\n" for i, j in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 3))
)
PROGRAMME = '"one block\n3\n1\n5\n1.0 2.0 3.0\n' + "".join(f"0 1 {i} {i} -1.0\n" for i in range(1, 6))
PROGRAMME += "1 1 1 3 0.5\n2 1 1 4 0.5\n3 1 2 3 0.5\n"
#: Values of pairs, and a table of numbers without missing cells.
PAIRS = "user,item,rating\n" + "".join(f"u{k % 5},i{k % 7},{k % 4}\n" for k in range(30))
GRID = "a,b,c,d\n" + "".join(f"{k},{2 * k},{3 * k + 9 * (k == 4)},{k}\n" for k in range(1, 9))
CHANGES = 'recipe = "figure-3"\nrepetitions = 1\nseed = 3\n[only]\npanel = ["sensing"]\n[grid]\nd = [5, 6]\n'


@dataclass(frozen=True)
class Specimen:
    """Files by name, the one that is damaged, and the words of the command that reads them."""

    files: Mapping[str, bytes]
    victim: str
    command: Sequence[str]


def _written(write: Callable[[Path], object]) -> bytes:
    """Return the content of the file that a function writes."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "file"
        write(file)
        return file.read_bytes()


def _npz(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _instance() -> tuple[fm.Problem, bytes]:
    family = fm.families.find("matrix-sensing")
    instance = family.sample((4, 3), 1, 12, seed=RNG_SEED)
    return instance.problem, _npz(**family.arrays(instance.problem), truth=instance.truth)


def _archive() -> Specimen:
    return Specimen({"p.npz": _instance()[1]}, "p.npz", ["recover", "matrix-sensing", "p.npz"])


def _solution() -> Specimen:
    problem, content = _instance()
    files = {"p.npz": content, "s.npz": _written(fm.flat_minimum(problem).save)}
    return Specimen(files, "s.npz", ["certify", "matrix-sensing", "p.npz", "s.npz", "--as-claimed"])


def _array() -> Specimen:
    matrix = np.outer([1.0, 2, 3, 4], [1.0, 3, 5])
    matrix[0, 0] = np.nan
    stream = io.BytesIO()
    np.save(stream, matrix)
    return Specimen({"x.npy": stream.getvalue()}, "x.npy", ["recover", "matrix-completion", "x.npy"])


def _text(name: str, text: str, *command: str) -> Specimen:
    return Specimen({name: text.encode()}, name, [*command, name])


def _parquet() -> Specimen:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"id": list("abcde"), "x": [1.0, 2, None, 4, 5], "<b>": [2, 4, 6, None, 10], "z": [1.0, None, 3, 4, 6]}
    content = _written(lambda file: parquet.write_table(pa.table(columns), file))
    return Specimen({"t.parquet": content}, "t.parquet", ["impute", "t.parquet"])


def _excel() -> Specimen:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (["a", "b", "c"], [1, 2, 3], [2, None, 6], [3, 6, 9], [4, 8, None]):
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return Specimen({"t.xlsx": stream.getvalue()}, "t.xlsx", ["impute", "t.xlsx"])


def _matlab() -> Specimen:
    from scipy.io import savemat

    cells = {"rows": [1.0, 1, 2, 2], "cols": [1.0, 2, 1, 3], "values": [1.0, 2, 2, 5], "shape": [2.0, 3]}
    stream = io.BytesIO()
    savemat(stream, cells, do_compression=True)
    return Specimen({"x.mat": stream.getvalue()}, "x.mat", ["recover", "matrix-completion", "x.mat"])


def _pixels(k: int, kind: str = "PNG", **options: object) -> bytes:
    from PIL import Image

    rng = np.random.default_rng(k)
    pictures = [Image.fromarray(rng.integers(0, 256, (6, 5), dtype=np.uint8)) for _ in range(3)]
    more = {"save_all": True, "append_images": pictures[1:]} if kind in ("GIF", "TIFF") else {}
    stream = io.BytesIO()
    pictures[0].save(stream, kind, **more, **options)
    return stream.getvalue()


def _picture(kind: str = "PNG") -> Specimen:
    name = f"x.{kind.lower()}"
    return Specimen({name: _pixels(0, kind)}, name, ["recover", "robust-pca", name])


def _animation(kind: str) -> Specimen:
    name = f"x.{kind.lower()}"
    return Specimen({name: _pixels(0, kind)}, name, ["separate", name])


def _frames() -> Specimen:
    files = {f"clip/{k}.png": _pixels(k) for k in range(3)}
    return Specimen(files, "clip/1.png", ["separate", "clip"])


def _video() -> Specimen:
    from fractions import Fraction

    from flatmin.formats.clips.video import Video

    frames = np.random.default_rng(0).random((4, 16, 16, 1))
    clip = Video(frames, list("0123"))
    clip._suffix, clip._rate = ".mp4", Fraction(12)
    with tempfile.TemporaryDirectory() as place:
        content = clip.write(Path(place) / "clip", frames).read_bytes()
    return Specimen({"x.mp4": content}, "x.mp4", ["separate", "x.mp4"])


def _proof() -> Specimen:
    family = fm.families.find("matrix-sensing")
    rng = np.random.default_rng(0)
    A = fm.measurements.Dense(rng.integers(-3, 4, (7, 3, 2)).astype(float))
    problem = fm.Problem(A, A.forward(np.outer([1.0, 2, 3], [1, -1])))
    with tempfile.TemporaryDirectory() as place:
        fm.prove(problem, fm.flat_minimum(problem)).save(Path(place) / "proof.json")
        files = {name: (Path(place) / name).read_bytes() for name in ("proof.json", "instance.npz")}
    assert family is not None
    return Specimen(files, "proof.json", ["check", "proof.json", "instance.npz"])


def _model(name: str, content: str, *words: str, victim: str = "model.npz", new: str | None = None) -> Specimen:
    """Return the results of a command as a model, of which one file is damaged, and a table that it is used for."""
    with tempfile.TemporaryDirectory() as place:
        former = os.getcwd()
        os.chdir(place)
        try:
            Path(name).write_text(content, encoding="utf-8")
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                main([*words, name, "--output", "m"])
            files = {f"m/{file}": Path("m", file).read_bytes() for file in ("model.npz", "summary.json")}
        finally:
            os.chdir(former)
    return Specimen({name: (new or content).encode(), **files}, f"m/{victim}", [*words, name, "--model", "m"])


def _store() -> Specimen:
    from flatmin.lab import Result, Store, recipes

    recipe = recipes.find("figure-3").quickly()
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "trials.db"
        with Store(file) as store:
            for trial in list(recipe.trials())[:6]:
                store.record(recipe, Result(trial, {"success": True, "error": 1e-9}, 0.5))
        with sqlite3.connect(file) as database:
            database.execute("PRAGMA journal_mode = DELETE")
        content = file.read_bytes()
    return Specimen({"trials.db": content}, "trials.db", ["report", "trials.db"])


FORMATS: Mapping[str, Callable[[], Specimen]] = {
    "npz": _archive,
    "npy": _array,
    "csv": lambda: _text("t.csv", TABLE, "impute"),
    "csv.gz": lambda: Specimen({"t.csv.gz": gzip.compress(TABLE.encode())}, "t.csv.gz", ["impute", "t.csv.gz"]),
    "matrix csv": lambda: _text("t.csv", "a,b,c\n1,2,\n2,4,6\n,8,12\n", "recover", "matrix-completion"),
    "pairs": lambda: _text("r.csv", PAIRS, "rate"),
    "mtx": lambda: _text("x.mtx", MARKET, "recover", "matrix-completion"),
    "dat-s": lambda: _text("x.dat-s", PROGRAMME, "recover", "matrix-completion"),
    "mat": _matlab,
    "parquet": _parquet,
    "xlsx": _excel,
    "image": _picture,
    "jpeg": lambda: _picture("JPEG"),
    "webp": lambda: _picture("WEBP"),
    "bmp": lambda: _picture("BMP"),
    "gif": lambda: _animation("GIF"),
    "tiff": lambda: _animation("TIFF"),
    "frames": _frames,
    "video": _video,
    "solution": _solution,
    "model": lambda: _model("t.csv", TABLE, "impute"),
    "model summary": lambda: _model("t.csv", TABLE, "impute", victim="summary.json"),
    "rating model": lambda: _model("r.csv", PAIRS, "rate", new=PAIRS.replace("u", "v")),
    "rating summary": lambda: _model("r.csv", PAIRS, "rate", victim="summary.json", new=PAIRS.replace("u", "v")),
    "separation model": lambda: _model("s.csv", GRID, "separate"),
    "separation summary": lambda: _model("s.csv", GRID, "separate", victim="summary.json"),
    "proof": _proof,
    "store": _store,
    "recipe": lambda: _text("x.toml", CHANGES, "recipe"),
}


@cache
def specimen(name: str) -> Specimen:
    """Return the specimen of a format; `ImportError` is raised if a package is missing that the format needs."""
    return FORMATS[name]()
