"""``flatmin generate``: a random problem whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flatmin import families
from flatmin._files import atomic_path
from flatmin.cli.options import in_options
from flatmin.errors import InputError

__all__ = ["run"]

#: Measurements a degree of freedom, where the user does not say how many.
OVERSAMPLING = 4


def run(family: str, out: Path, *, shape: str, rank: int, measurements: int | None, noise: float, seed: int) -> int:
    """Draw an instance, write it, and return the exit status."""
    model = families.find(family)
    if out.suffix != ".npz":
        raise InputError(f"the output {out} has the ending {out.suffix!r}, expected .npz")
    if out.is_dir():
        raise InputError(f"the output {out} is a directory, expected a file")
    if seed < 0:
        raise InputError(f"--seed is {seed}, expected a whole number of at least 0")
    d1, d2 = _shape(shape)
    if measurements is None:
        measurements = max(1, min(d1 * d2, OVERSAMPLING * rank * (d1 + d2 - rank)))
    with in_options(("shape", "rank", "the number of measurements", "noise")):
        instance = model.sample((d1, d2), rank, measurements, noise=noise, seed=seed)
    arrays: dict[str, Any] = dict(model.arrays(instance.problem))
    if instance.truth is not None:
        arrays["truth"] = instance.truth
    try:
        with atomic_path(out) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)
    except OSError as error:
        raise InputError(f"the output {out} cannot be written: {error.strerror or error}") from error
    return 0


def _shape(text: str) -> tuple[int, int]:
    try:
        d1, d2 = (int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--shape is {text!r}, expected two positive whole numbers such as 30,20") from error
    return d1, d2
