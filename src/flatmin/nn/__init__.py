"""Flatness of PyTorch models: measures, flatness-seeking optimizers, a penalty, and a race (extra ``torch``)."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("flatmin.nn needs PyTorch, which is not installed: pip install 'flatmin[torch]'") from error

from importlib import import_module
from typing import Any

from flatmin.nn.activations import activation_trace
from flatmin.nn.adapters import AdapterFlatness, LowRankAdapter, adapter_flatness, rebalance_
from flatmin.nn.callbacks import TraceLog, lightning_callback, trainer_callback
from flatmin.nn.estimators.base import TraceEstimate
from flatmin.nn.factored import FactoredModel
from flatmin.nn.flattening import flatten
from flatmin.nn.invariance import normalized_trace, relative_flatness
from flatmin.nn.operators.curvature import Curvature
from flatmin.nn.operators.square_root import check_root, loss_root, register_root
from flatmin.nn.operators.token_loss import TokenCrossEntropy
from flatmin.nn.optimizers import (
    SAM,
    LabelNoise,
    NoiseInjection,
    PerExampleSAM,
    ScaledGradient,
    Seeker,
    TwoPoint,
    WeightDecay,
)
from flatmin.nn.penalty import HessianTracePenalty
from flatmin.nn.rescaled import Rescaling, rescaling
from flatmin.nn.spectrum.density import SpectralDensity, spectral_density
from flatmin.nn.spectrum.diagonal import DiagonalEstimate, hessian_diagonal
from flatmin.nn.spectrum.eigenvalue import EigenvalueEstimate, largest_eigenvalue
from flatmin.nn.spectrum.trace import hessian_trace

__all__ = [
    "SAM",
    "AdapterFlatness",
    "Curvature",
    "DiagonalEstimate",
    "EigenvalueEstimate",
    "FactoredModel",
    "HessianTracePenalty",
    "LabelNoise",
    "LowRankAdapter",
    "NoiseInjection",
    "PerExampleSAM",
    "Rescaling",
    "ScaledGradient",
    "Seeker",
    "SpectralDensity",
    "TokenCrossEntropy",
    "TraceEstimate",
    "TraceLog",
    "TwoPoint",
    "WeightDecay",
    "activation_trace",
    "adapter_flatness",
    "check_root",
    "flatten",
    "hessian_diagonal",
    "hessian_trace",
    "largest_eigenvalue",
    "lightning_callback",
    "loss_root",
    "normalized_trace",
    "rebalance_",
    "register_root",
    "relative_flatness",
    "rescaling",
    "spectral_density",
    "trainer_callback",
]


def __getattr__(name: str) -> Any:
    """Import ``race`` from `flatmin.lab` when it is first used; it is the only name that comes from there."""
    if name == "race":
        return import_module("flatmin.lab.race").race
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has race, {', '.join(__all__)}")


__dir__ = __all__.copy
