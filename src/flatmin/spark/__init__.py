"""Completion of matrices that are distributed over machines: Spark's ALS, further sweeps, and a certificate.

Only this package imports pyspark, and only when something is fitted, written or read.
"""

from flatmin.spark.completion import SparkCompletion

__all__ = ["SparkCompletion"]
__dir__ = __all__.copy
