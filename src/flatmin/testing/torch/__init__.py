"""Checks of trace estimators and trace penalties, for users to run on their own ones (extra ``torch``)."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "flatmin.testing.torch needs PyTorch, which is not installed: pip install 'flatmin[torch]'"
    ) from error

from flatmin.testing.torch.cases import TraceCase, trace_cases
from flatmin.testing.torch.penalties import PenaltyCheck, check_penalty
from flatmin.testing.torch.trace_estimators import TraceCheck, TraceScore, check_trace_estimator

__all__ = [
    "PenaltyCheck",
    "TraceCase",
    "TraceCheck",
    "TraceScore",
    "check_penalty",
    "check_trace_estimator",
    "trace_cases",
]
__dir__ = __all__.copy
