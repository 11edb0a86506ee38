"""Processor time and error of `PhaseRetrieval` on coded diffraction patterns: ``python -m benchmarks.patterns``.

Pictures of independent uniform pixels are seen behind 8 octanary masks, exactly or as photon counts.
"""

import time
import warnings

import numpy as np

import flatmin as fm
from flatmin.families.phase_retrieval import octanary_masks

SIDES = (16, 32, 64, 128)
#: Mean number of photons in a pixel of a pattern.
PHOTONS = 100


def measured(side, noise):
    """Return the fitted estimator, the relative error of its signal up to a phase, and the seconds of its fit."""
    rng, masks = np.random.default_rng(0), octanary_masks(8, (side, side))
    picture = rng.random((side, side))
    patterns = np.abs(np.fft.fft2(masks.conj() * picture)) ** 2
    unit = PHOTONS / patterns.mean() if noise == "poisson" else 1.0
    seen = rng.poisson(unit * patterns) if noise == "poisson" else patterns
    began = time.process_time()
    model = fm.PhaseRetrieval(noise="poisson" if noise == "poisson" else "gaussian").fit(masks, seen)
    seconds = time.process_time() - began
    inner = np.vdot(model.signal_, picture)
    found = model.signal_ * inner / abs(inner) / np.sqrt(unit)
    return model, float(np.linalg.norm(found - picture) / np.linalg.norm(picture)), seconds


def main():
    """Print one row for each size and kind of data."""
    print("| pixels | data | processor seconds | relative error | certificate |\n|---|---|---|---|---|")
    for side in SIDES:
        for noise in ("exact", "poisson"):
            model, error, seconds = measured(side, noise)
            proof = "holds" if model.certificate_.holds else "none"
            print(f"| {side}² | {noise} | {seconds:.1f} | {error:.1e} | {proof} |", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
