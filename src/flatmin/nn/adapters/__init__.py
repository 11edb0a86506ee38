"""Low-rank adapters: their flatness in the factors and in the weights, and their flattest factors."""

from flatmin.nn.adapters.layers import Adapter, LowRankAdapter, find_adapters
from flatmin.nn.adapters.measure import AdapterFlatness, MeasuredAdapter, adapter_flatness, rebalance_
from flatmin.nn.adapters.ranks import RankEvidence

__all__ = [
    "Adapter",
    "AdapterFlatness",
    "LowRankAdapter",
    "MeasuredAdapter",
    "RankEvidence",
    "adapter_flatness",
    "find_adapters",
    "rebalance_",
]
__dir__ = __all__.copy
