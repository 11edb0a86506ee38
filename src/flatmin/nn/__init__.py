"""Flatness in PyTorch: measured, sought by training, and raced (extra ``torch``)."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("flatmin.nn needs PyTorch, which is not installed: pip install 'flatmin[torch]'") from error

from flatmin.nn.curvature import Curvature
from flatmin.nn.density import SpectralDensity, spectral_density
from flatmin.nn.eigenvalue import EigenvalueEstimate, largest_eigenvalue
from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.factored import FactoredModel
from flatmin.nn.flatten import flatten
from flatmin.nn.invariance import normalized_trace, relative_flatness
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
from flatmin.nn.race import Competitor, FactoredTask, NetworkTask, race
from flatmin.nn.rescaling import Rescaling, rescaling
from flatmin.nn.square_root import check_root, loss_root, register_root
from flatmin.nn.trace import hessian_trace
from flatmin.nn.trace_bench import TraceCheck, TraceScore, check_trace_estimator
from flatmin.nn.trace_cases import TraceCase, trace_cases
from flatmin.nn.unbiased import PenaltyCheck, check_penalty

__all__ = [
    "SAM",
    "Competitor",
    "Curvature",
    "EigenvalueEstimate",
    "FactoredModel",
    "FactoredTask",
    "HessianTracePenalty",
    "LabelNoise",
    "NetworkTask",
    "NoiseInjection",
    "PenaltyCheck",
    "PerExampleSAM",
    "Rescaling",
    "ScaledGradient",
    "Seeker",
    "SpectralDensity",
    "TraceCase",
    "TraceCheck",
    "TraceEstimate",
    "TraceScore",
    "TwoPoint",
    "WeightDecay",
    "check_penalty",
    "check_root",
    "check_trace_estimator",
    "flatten",
    "hessian_trace",
    "largest_eigenvalue",
    "loss_root",
    "normalized_trace",
    "race",
    "register_root",
    "relative_flatness",
    "rescaling",
    "spectral_density",
    "trace_cases",
]
