"""Spark MLlib's ALS, the same objective in float32, without the time to start, read and cache the triples.

Its memory is that of another process and not measured. A sweep adds a layer to Spark's lineage, which needs space on
the stack of the Java machine and, for many columns, in its memory: both limits are larger than by default.
"""

import time

import numpy as np
import pandas as pd
from benchmarks.competitor import Competitor, threads
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession


class Solver(Competitor):
    name = "spark-als"
    requirements = ["pip::pyspark"]
    sampling_strategy = "iteration"
    budgets = (1, 11, 41)
    here = False

    def skip(self, values, **problem):
        large = len(values) > 1_000_000
        return large, "its own benchmark has the large ones: benchmarks/spark.py" if large else None

    def prepare(self):
        start = time.perf_counter()
        options = {"spark.ui.enabled": "false", "spark.sql.execution.arrow.pyspark.enabled": "true"}
        options |= {"spark.driver.host": "127.0.0.1", "spark.driver.memory": "4g"}
        options |= {"spark.driver.extraJavaOptions": "-Xss16m", "spark.log.level": "ERROR"}
        options |= {"spark.sql.shuffle.partitions": "2"}
        builder = SparkSession.builder.master(f"local[{threads()}]")
        for name, value in options.items():
            builder = builder.config(name, value)
        spark = builder.getOrCreate()
        spark.sparkContext.setLogLevel("OFF")
        rows, cols = self.rows.astype(np.int32), self.cols.astype(np.int32)
        frame = pd.DataFrame({"row": rows, "col": cols, "value": self.values.astype(np.float32)})
        self.frame = spark.createDataFrame(frame).cache()
        self.frame.count()
        self.startup = time.perf_counter() - start

    def solve(self, budget):
        als = ALS(
            rank=self.k, regParam=self.reg, maxIter=budget, userCol="row", itemCol="col", ratingCol="value", seed=1,
            numUserBlocks=2, numItemBlocks=2,
        )  # fmt: skip
        model = als.fit(self.frame)
        return {"factors": tuple(map(self.collected, (model.userFactors, model.itemFactors), self.shape)),
                "sweeps": budget, "startup": self.startup}  # fmt: skip

    def collected(self, frame, d):
        table, factors = frame.toPandas(), np.zeros((d, self.k))
        factors[table["id"].to_numpy()] = np.stack(table["features"].to_numpy())
        return factors
