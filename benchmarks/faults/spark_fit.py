"""A fit on Spark, as a program that writes its output."""

from __future__ import annotations

import json
import os
import sys
import warnings
from hashlib import sha256
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import flatmin as fm
from benchmarks.forked import status_of

__all__ = ["SPARK_FIT", "spark_fit", "written_alpha"]

#: First word of the command, whose last word is alpha.
SPARK_FIT = "fit on Spark"
#: Java compiles with less care, and so starts faster.
EAGER = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def spark_fit(alpha: float) -> int:
    """Fit small pairs on Spark, and write the completion as ``out`` in the working directory."""
    os.environ["JDK_JAVA_OPTIONS"] = EAGER
    pairs = np.array([(k % 12, k % 7) for k in range(60)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after few iterations
        model = fm.PairRegressor(alpha, engine="spark", max_rank=3, max_iter=2).fit(pairs, np.sin(np.arange(60.0)))
    model.spark_model_.write("out", overwrite=True)
    return 0


def written_alpha(folder: Path) -> str:
    """Return the alpha of a completion that is whole, otherwise what is wrong with it."""
    from pyarrow import ArrowException, parquet

    try:
        rows, columns, about = (parquet.read_table(folder / name) for name in ("rows", "columns", "about"))
        facts, total = json.loads(about["description"][0].as_py()), sha256()
        for table in (rows, columns):
            total.update(np.array(table.sort_by("id")["features"].to_pylist(), "<f8").tobytes())
    except (OSError, ArrowException, LookupError, ValueError) as error:
        return f"damaged: {error}"
    return str(facts["alpha"]) if total.hexdigest() == facts["factors_sha256"] else "parts of two completions"


if __name__ == "__main__":
    sys.exit(status_of(lambda: spark_fit(float(sys.argv[1]))))
