"""Flatness in PyTorch: measured, sought by training, and raced (extra ``torch``)."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("flatmin.nn needs PyTorch, which is not installed: pip install 'flatmin[torch]'") from error

from flatmin.nn.curvature import Curvature
from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.factored import FactoredModel
from flatmin.nn.square_root import check_root, loss_root, register_root
from flatmin.nn.trace import hessian_trace

__all__ = ["Curvature", "FactoredModel", "TraceEstimate", "check_root", "hessian_trace", "loss_root", "register_root"]
