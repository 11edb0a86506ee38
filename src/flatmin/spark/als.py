"""Spark's own alternating least squares (ALS), on triples whose ids are replaced by positions."""

from importlib import import_module
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.spark.triples import Indexed, reason

__all__ = ["MOST_ITERATIONS", "fit_als"]

#: Largest number of iterations of Spark's ALS if it writes checkpoints.
MOST_ITERATIONS = 100
#: Largest number of iterations without a directory for checkpoints. Without checkpoints Spark remembers all iterations,
#: and more of them overflow its stack.
MAX_WITHOUT_CHECKPOINTS = 40
#: Number of iterations between two checkpoints.
CHECKPOINT_EVERY = 10


def fit_als(table: Indexed, rank: int, reg_param: float, iterations: int, seed: int) -> tuple[Array, Array]:
    """Return the factors (d1, rank) and (d2, rank) that ``pyspark.ml.recommendation.ALS`` finds, in 32 bits.

    ``reg_param`` is Spark's regParam. ``iterations`` is Spark's maxIter, which is limited to 100, or to 40 without a
    directory for checkpoints.
    """
    failed = import_module("py4j.protocol").Py4JError
    context = table.frame.sparkSession.sparkContext
    checked = context.getCheckpointDir() is not None
    blocks = int(min(max(context.defaultParallelism, 1), *table.shape))
    als = import_module("pyspark.ml.recommendation").ALS(
        rank=rank,
        maxIter=min(iterations, MOST_ITERATIONS if checked else MAX_WITHOUT_CHECKPOINTS),
        regParam=reg_param,
        userCol="i",
        itemCol="j",
        ratingCol="v",
        seed=seed,
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        checkpointInterval=CHECKPOINT_EVERY if checked else -1,
        coldStartStrategy="drop",
    )
    try:
        model = als.fit(table.frame)
    except failed as error:
        raise InputError(
            f"Spark's ALS failed with rank {rank} and regParam {reg_param:g}, expected a finite fit: {reason(error)}"
        ) from error
    sides = zip(("userFactors", "itemFactors"), table.shape, strict=True)
    return tuple(_factor(getattr(model, name), d, rank) for name, d in sides)  # type: ignore[return-value]


def _factor(frame: Any, length: int, rank: int) -> Array:
    """Return the rows of a factor in the order of their positions. Rows that Spark leaves out are zero."""
    found = frame.toArrow()
    factor = np.zeros((length, rank))
    if found.num_rows:
        flat = found["features"].combine_chunks().flatten().to_numpy()
        factor[found["id"].to_numpy()] = flat.reshape(-1, rank)
    return factor
