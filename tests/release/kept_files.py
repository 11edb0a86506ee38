"""Small files of every format and version: how they are written and read.

``python -m tests.release.kept_files`` writes the files of the current versions that `data/` lacks. Run it after a
format got a new version; files of earlier versions stay as they are, and must still be read.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import flatmin as fm
from flatmin._core.arrays import Array
from flatmin.cli import main
from flatmin.cli.output import IMPUTATION, SUMMARY_VERSION, read_summary
from flatmin.estimators._saved import MODEL_VERSION
from flatmin.formats.archive import PROBLEM_VERSION, read_arrays
from flatmin.lab import Result, Store, recipes
from flatmin.lab.recipe_file import RECIPE_VERSION, read_recipe
from flatmin.lab.runs.store import FORMAT
from flatmin.proofs import checker
from flatmin.solution import FORMAT_VERSION
from flatmin.spark.completion import COMPLETION_VERSION

DATA = Path(__file__).parent / "data"
EXPECTED = DATA / "expected.json"

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((14, 1)) @ RNG.standard_normal((1, 6)) + 0.1 * RNG.standard_normal((14, 6))
HOLES = np.where(RNG.random(TABLE.shape) < 0.15, np.nan, TABLE)
X = RNG.standard_normal((30, 4))
Y = X[:, 0] * X[:, 3] + 1 + 0.1 * RNG.standard_normal(30)
PAIRS = [(f"row {i}", int(j)) for i, j in RNG.integers(0, 6, (60, 2))]
RATINGS = RNG.standard_normal(60)
TREATED = np.zeros((14, 6), dtype=bool)
TREATED[0, 4:] = True

#: Fitted estimators, and an answer of each.
MODELS: dict[str, tuple[Callable[[], fm.estimators.FlatEstimator], Callable[[fm.estimators.FlatEstimator], Array]]] = {
    "MatrixCompletion": (lambda: fm.MatrixCompletion().fit(HOLES), lambda m: m.transform(HOLES)),
    "MatrixCompletionCV": (lambda: fm.MatrixCompletionCV([0.1, 0.3], cv=3).fit(HOLES), lambda m: m.transform(HOLES)),
    "PairRegressor": (lambda: fm.PairRegressor().fit(PAIRS, RATINGS), lambda m: m.predict(PAIRS)),
    "RobustPCA": (lambda: fm.RobustPCA().fit(TABLE), lambda m: m.transform(TABLE)),
    "TraceRegressor": (
        lambda: fm.TraceRegressor().fit(X.reshape(30, 2, 2), Y),
        lambda m: m.predict(X.reshape(30, 2, 2)),
    ),
    "BilinearRegressor": (lambda: fm.BilinearRegressor().fit(X, Y), lambda m: m.predict(X)),
    "QuadraticNetworkRegressor": (lambda: fm.QuadraticNetworkRegressor().fit(X, Y), lambda m: m.predict(X)),
    "CovarianceSketch": (lambda: fm.CovarianceSketch().fit(X, Y**2), lambda m: m.predict(X)),
    "PhaseRetrieval": (lambda: fm.PhaseRetrieval(certify=False).fit(X, X[:, 0] ** 2), lambda m: m.predict(X)),
    "PanelEffect": (lambda: fm.PanelEffect().fit(TABLE, TREATED), lambda m: np.array([m.att_, m.p_value_])),
}


def problem() -> fm.Problem:
    """Return a problem in integers, whose theorems include that the truth is the unique flat minimum."""
    rng = np.random.default_rng(0)
    truth = rng.integers(-3, 4, (5, 1)) @ rng.integers(1, 4, (1, 4))
    A = fm.measurements.Dense(rng.integers(-3, 4, (19, 5, 4)))
    return fm.Problem(A, A.forward(truth * 1.0))


def _write_problem(file: Path) -> None:
    size = ("--shape", "6,5", "--rank", "1", "--measurements", "24")
    assert main(["generate", "matrix-completion", str(file), *size]) == 0


def _read_problem(file: Path) -> list[float]:
    family = fm.families.find("matrix-completion")
    arrays = read_arrays(file, family, {})
    return [*family.build(arrays).data, *arrays["truth"].ravel()]


def _write_solution(file: Path) -> None:
    fm.flat_minimum(problem()).save(file)


def _read_solution(file: Path) -> list[float]:
    assert fm.Solution.load(file, problem()).status is fm.Status.unique_flat_minimum
    return list(fm.Solution.load(file).matrix.ravel())


def _write_proof(file: Path) -> None:
    fm.prove(problem(), fm.flat_minimum(problem())).save(file)


def _read_proof(file: Path) -> list[str]:
    instance = file.with_name(f"{file.stem}-instance.npz")
    lines = checker.check_files(file.read_bytes(), instance.read_bytes())
    return [kind for kind in ("V", "U", "gap", "B", "F", "T") if any(line.startswith(f"{kind}. ") for line in lines)]


def _write_store(file: Path) -> None:
    recipe = recipes.find("figure-3").quickly()
    with Store(file) as store:
        trials = recipe.trials()
        store.record(recipe, Result(next(trials), {"error": 0.25, "limit": float("inf"), "proof.json": b"{}"}, 1.5))
        store.record(recipe, Result(next(trials), reason="it failed"))
        store.select("PRAGMA journal_mode = DELETE")


def _read_store(file: Path) -> list[object]:
    found: list[object] = []
    recipe = recipes.find("figure-3").quickly()
    with Store(file) as store:
        for result in store.results(recipe):
            found += [result.status, result.trial.seed, str(result.metrics), result.reason]
        found += [contents["proof.json"].decode() for _, _, contents in store.files()]
    return found


def _write_recipe(file: Path) -> None:
    lines = (f"format_version = {RECIPE_VERSION}", 'recipe = "figure-3"', "repetitions = 2", "seed = 5")
    file.write_text("\n".join((*lines, "[only]", 'panel = ["sensing"]', "[grid]", "d = [5, 6]", "")), encoding="utf-8")


def _read_recipe(file: Path) -> list[object]:
    recipe = read_recipe(str(file))
    return [recipe.name, recipe.repetitions, recipe.seed, sorted({cell["d"] for cell in recipe.cells})]


def _model(name: str) -> tuple[Callable[[Path], None], Callable[[Path], list[float]]]:
    fitted, answer = MODELS[name]

    def read(file: Path) -> list[float]:
        return [float(x) for x in np.asarray(answer(getattr(fm, name).load(file))).ravel()]

    return lambda file: fitted().save(file), read


@dataclass(frozen=True)
class KeptFormat:
    """A format: its current version, the name of its files, and how one is written and read.

    ``read`` returns what `data/expected.json` must have: numbers, which may differ by rounding, and texts.
    """

    version: int
    pattern: str
    write: Callable[[Path], None]
    read: Callable[[Path], list]

    def file(self, version: int) -> Path:
        return DATA / self.pattern.format(version)


def _write_summary(file: Path) -> None:
    table = file.with_suffix(".csv")
    np.savetxt(table, HOLES, delimiter=",")
    answer = file.with_suffix("")
    assert main(["impute", str(table), "--output", str(answer), "--quiet"]) == 0
    (answer / "summary.json").replace(file)
    shutil.rmtree(answer)
    table.unlink()


def _read_summary(file: Path) -> list[object]:
    with TemporaryDirectory() as folder:
        shutil.copy(file, Path(folder) / "summary.json")
        fields = read_summary(Path(folder))
    return [fields["format_version"], fields["confidence"], IMPUTATION.fields <= fields.keys()]


def _write_spark(folder: Path) -> None:
    ids = [(k % 6, k % 5) for k in range(30)]
    model = fm.PairRegressor(0.2, engine="spark", max_rank=2).fit(ids, np.sin(np.arange(30.0)))
    model.spark_model_.write(folder)


def _read_spark(folder: Path) -> list[float]:
    from flatmin.spark import SparkCompletion

    found = SparkCompletion.load(folder)
    rows, columns = (
        F[np.argsort(ids)] for ids, F in zip((found.row_ids, found.column_ids), found.factors, strict=True)
    )
    return [found.alpha, *(rows @ columns.T).ravel()]


#: The name of the format whose files only Spark reads.
ON_SPARK = "folder on Spark"
FORMATS = {
    "problem": KeptFormat(PROBLEM_VERSION, "problem-{}.npz", _write_problem, _read_problem),
    "solution": KeptFormat(FORMAT_VERSION, "solution-{}.npz", _write_solution, _read_solution),
    "proof": KeptFormat(1, "proof-{}.json", _write_proof, _read_proof),
    "store": KeptFormat(FORMAT, "store-{}.db", _write_store, _read_store),
    "summary": KeptFormat(SUMMARY_VERSION, "summary-{}.json", _write_summary, _read_summary),
    ON_SPARK: KeptFormat(COMPLETION_VERSION, "spark-completion-{}", _write_spark, _read_spark),
    "recipe": KeptFormat(RECIPE_VERSION, "recipe-{}.toml", _write_recipe, _read_recipe),
    **{f"model {name}": KeptFormat(MODEL_VERSION, f"model-{name}-{{}}.npz", *_model(name)) for name in MODELS},
}


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    expected = json.loads(EXPECTED.read_text(encoding="utf-8")) if EXPECTED.exists() else {}
    for kind in FORMATS.values():
        place = kind.file(kind.version)
        if not place.exists():
            kind.write(place)
            expected[place.name] = kind.read(place)
            print(place.name)
    EXPECTED.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n", encoding="utf-8")
