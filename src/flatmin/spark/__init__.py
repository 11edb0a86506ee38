"""Completion beyond one machine: Spark's ALS, finished and certified where the data are.

Only this package imports pyspark, and only when something is fitted, written or read.
"""

from flatmin.spark.completion import SparkCompletion

__all__ = ["SparkCompletion"]
__dir__ = __all__.copy
