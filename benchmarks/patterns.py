"""Processor time and error of `PhaseRetrieval` on coded diffraction patterns, and the number of masks that it takes.

python -m benchmarks.patterns              pictures of growing size behind 8 octanary masks, exact or photon counts
python -m benchmarks.patterns --sides 256 512                        the same for other sizes, exact data only
python -m benchmarks.patterns --masks 4 5 6 7 8 [--sides 32] [--draws 10]
                                           shares of draws that are recovered and proved unique, by kinds of masks

Pictures have independent uniform pixels. Octanary masks are those of `octanary_masks`; ternary masks are 0 with chance
½ and else ±√2, and phase masks have modulus one and uniform phases. Pixels that no mask sees do not count.
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np

import flatmin as fm
from flatmin.families.phase_retrieval import diffraction, octanary_masks

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


def ternary_masks(count, shape, seed):
    """Draw masks of 0, √2 and −√2."""
    return np.random.default_rng(seed).choice(np.sqrt(2) * np.array([0, 0, 1, -1]), (count, *shape))


def phase_masks(count, shape, seed):
    """Draw masks of modulus one."""
    return np.exp(2j * np.pi * np.random.default_rng(seed).random((count, *shape)))


KINDS = {"octanary": octanary_masks, "ternary": ternary_masks, "phase": phase_masks}


def judged(draw, count, side, seed):
    """Return whether a random picture is recovered, whether it is proved unique, and the processor seconds."""
    picture = np.random.default_rng(seed).random((side, side))
    masks = draw(count, (side, side), seed=seed + 1000)
    picture *= masks.any(axis=0)
    problem = diffraction(picture, masks).problem
    began = time.process_time()
    solution = fm.flat_minimum(problem)
    seconds = time.process_time() - began
    found = solution.signal.ravel() if solution.rank == 1 else np.zeros(side * side)
    overlap = abs(np.vdot(found, picture.ravel())) / max(np.linalg.norm(found) * np.linalg.norm(picture), 1e-300)
    return overlap > 1 - 1e-10, bool(solution.certificate.unique), seconds


def threshold(counts, side, draws):
    """Print the shares of draws that are recovered and certified for each number and kind of masks."""
    print("| masks | kind | recovered | proved unique | median seconds |\n|---|---|---|---|---|")
    for count in counts:
        for kind, draw in KINDS.items():
            recovered, unique, seconds = zip(*map(partial(judged, draw, count, side), range(draws)), strict=True)
            shares = f"{np.mean(recovered):.2f} | {np.mean(unique):.2f} | {np.median(seconds):.2f}"
            print(f"| {count} | {kind} | {shares} |", flush=True)


def main():
    """Print one row for each size and kind of data, or for each number and kind of masks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+")
    parser.add_argument("--masks", type=int, nargs="+")
    parser.add_argument("--draws", type=int, default=10)
    chosen = parser.parse_args()
    if chosen.masks:
        for side in chosen.sides or [32]:
            print(f"\n{side}², {chosen.draws} draws\n")
            threshold(chosen.masks, side, chosen.draws)
        return
    print("| pixels | data | processor seconds | relative error | unique | margin |\n|---|---|---|---|---|---|")
    for side in chosen.sides or SIDES:
        for noise in ("exact",) if chosen.sides else ("exact", "poisson"):
            model, error, seconds = measured(side, noise)
            proof = model.certificate_
            margin = f"{proof.margin:.3f} {proof.margin_kind}" if proof.margin_kind else "none"
            print(f"| {side}² | {noise} | {seconds:.1f} | {error:.1e} | {proof.unique} | {margin} |", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
