"""Pictures of evidence, in the manner of scikit-learn's displays."""

from flatmin.experiments.displays.base import Display

__all__ = ["Display"]
