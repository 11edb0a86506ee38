"""Altered proof files of every model: claims made stronger, other models, other data, other witnesses.

The checker of the package must refuse each one, unless the second checker, which decides by exact elimination, finds
that the altered file proves its claims too. Stronger claims and changed characters it must always refuse.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from tests.proofs.exact import second_checker
from tests.proofs.exact.proof_file import Refused, seal

from benchmarks.adversary import Verdict
from benchmarks.adversary.small_proofs import PROBLEMS, proof_of
from flatmin.proofs import checker

__all__ = ["MUTATIONS", "VARIANTS", "attack", "is_accepted", "is_true"]

#: Proofs of different data for each name.
VARIANTS = 3
#: Numbers of statements that make the claim stronger if they grow.
GROWING = {("V", "lower"), ("F", "upper"), ("F", "noise")}

Files = tuple[bytes, bytes]


def attack(seed: int) -> Verdict:
    """Alter one proof at random and hand it to the checker."""
    rng, names = np.random.default_rng(seed), list(PROBLEMS)
    name, variant = names[seed % len(names)], seed // len(names) % VARIANTS
    alter = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
    text, instance = proof_of(name, variant)
    changed = alter(rng, text, instance)
    if changed is None or changed[:2] == (text, instance) or not is_accepted(*changed):
        return Verdict(0)
    if alter not in NEVER and is_true(*changed):
        return Verdict(True)
    return Verdict(True, f"an altered proof of {name} is accepted ({alter.__name__})")


def is_accepted(text: bytes, instance: bytes, pin: str | None = None) -> bool:
    """Return whether the checker accepts a proof; it must refuse others with a sentence."""
    try:
        checker.check_files(text, instance, pin)
    except checker.Refused:
        return False
    return True


def is_true(text: bytes, instance: bytes, pin: str | None = None) -> bool:
    """Return whether the second checker accepts a proof."""
    try:
        second_checker.check(text, instance, pin)
    except Refused:
        return False
    return True


def stronger_claim(rng: np.random.Generator, text: bytes, instance: bytes) -> Files | None:
    """Make one number of one statement stronger, by 1e-15 to 1 % of it."""
    proof = json.loads(text)
    numbers = [(s, key) for s in proof["statements"] for key in s if key != "kind"]
    if not numbers:
        return None
    statement, key = numbers[int(rng.integers(len(numbers)))]
    value, share = Fraction(statement[key]), Fraction(10.0 ** rng.uniform(-15, -2))
    grown = value + abs(value) * (share if (statement["kind"], key) in GROWING else -share)
    statement[key] = decimal(grown)
    return seal(proof), instance


def decimal(value: Fraction) -> str:
    """Return a number with forty digits."""
    return str(Context(prec=40).divide(Decimal(value.numerator), Decimal(value.denominator)))


def other_statement(rng: np.random.Generator, text: bytes, instance: bytes) -> Files:
    """Claim another kind of statement, with strong numbers, alone or beside the others."""
    proof = json.loads(text)
    size = decimal(Fraction(10.0 ** rng.uniform(-12, 3)))
    known = {key: value for s in proof["statements"] for key, value in s.items()}
    level = {"noise": known["noise"]} if "noise" in known else {"upper": known.get("upper", size)}
    claims = [
        {"kind": "V", "lower": size},
        {"kind": "U", "upper": size},
        {"kind": "gap", "gap": decimal(Fraction(10.0 ** rng.uniform(-30, -10)))},
        {"kind": "B", "beta": decimal(Fraction(10.0 ** rng.uniform(-30, -10)))},
        {"kind": "B", "beta": "0"},
        {"kind": "F", "radius": decimal(Fraction(10.0 ** rng.uniform(-15, 2))), **level},
        {"kind": "T"},
    ]
    chosen = [claims[k] for k in rng.choice(len(claims), int(rng.integers(1, 4)), replace=False)]
    kept = {s["kind"]: s for s in [*proof["statements"], *chosen]}  # a kind twice is refused for its form
    proof["statements"] = list(kept.values()) if rng.random() < 0.7 else chosen
    return seal(proof), instance


def other_model(rng: np.random.Generator, text: bytes, instance: bytes) -> Files:
    """Change the question that the proof answers."""
    proof = json.loads(text)
    model, share = proof["model"], 1 + 10.0 ** rng.uniform(-15, -1)
    changes: list[dict[str, Any]] = [{"metric_power": 1 - model["metric_power"]}, {"complex": not model["complex"]}]
    changes += [{"cone": cone} for cone in ("rectangular", "semidefinite", "symmetric")]
    changes += [{"measurement": kind} for kind in ("dense", "vectors", "entries", "cells")]
    changes += [{"objective": "penalised", "alpha": (10.0 ** rng.uniform(-4, 2)).hex()}]
    changes += [{"objective": "interpolating", "alpha": None}, {"objective": "robust", "weight": (0.3).hex()}]
    for key in ("alpha", "weight"):
        if model[key] is not None:
            changes += [{key: (float.fromhex(model[key]) * factor).hex()} for factor in (share, 1 / share)]
    model.update(changes[int(rng.integers(len(changes)))])
    return seal(proof), instance


def other_character(rng: np.random.Generator, text: bytes, instance: bytes) -> Files:
    """Change, insert or remove one character of the file."""
    at = int(rng.integers(len(text)))
    put = bytes([int(rng.integers(32, 127))]) if rng.random() < 0.8 else b""
    return text[:at] + put + text[at + int(rng.random() < 0.8) :], instance


def other_instance(rng: np.random.Generator, text: bytes, instance: bytes) -> Files | tuple[bytes, bytes, str] | None:
    """Change one number of the data by one bit, with or without the hash of the old data."""
    with np.load(io.BytesIO(instance)) as stored:
        arrays = dict(stored)
    name = sorted(arrays)[int(rng.integers(len(arrays)))]
    arrays[name] = flipped(rng, arrays[name])
    file = io.BytesIO()
    np.savez(file, **arrays)
    changed, proof = file.getvalue(), json.loads(text)
    pinned = proof["instance"]["sha256"]
    if rng.random() < 0.3:
        return text, changed
    proof["instance"]["sha256"] = hashlib.sha256(changed).hexdigest()
    return (seal(proof), changed, pinned) if rng.random() < 0.4 else (seal(proof), changed)


def flipped(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Return an array with one bit changed."""
    data = bytearray(np.ascontiguousarray(values).tobytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return np.frombuffer(bytes(data), values.dtype).reshape(values.shape)


def stored_arrays(proof: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the stored arrays of the witness."""
    point = proof["point"] or {}
    return [a for group in (point, point.get("S", {}), proof["duals"]) for a in group.values() if "base64" in a]


def witness_bit(rng: np.random.Generator, text: bytes, instance: bytes) -> Files | None:
    """Change one bit of the point or of a dual vector."""
    proof = json.loads(text)
    arrays = stored_arrays(proof)
    if not arrays:
        return None
    stored = arrays[int(rng.integers(len(arrays)))]
    values = np.frombuffer(base64.b64decode(stored["base64"]), "<" + stored["dtype"])
    stored["base64"] = base64.b64encode(flipped(rng, values).tobytes()).decode()
    return seal(proof), instance


def other_constant(rng: np.random.Generator, text: bytes, instance: bytes) -> Files | None:
    """Make a guessed constant larger, smaller, zero, negative or infinite, and the radius smaller."""
    proof = json.loads(text)
    constants = proof["constants"]
    if not constants:
        return None
    name = sorted(constants)[int(rng.integers(len(constants)))]
    value = float.fromhex(constants[name])
    factors = (1.03, 1.001, 0.5, 1e3, -1.0, 0.0, 1e-300, 1e300)
    constants[name] = (value * factors[int(rng.integers(len(factors)))]).hex()
    if rng.random() < 0.5:
        for statement in proof["statements"]:
            if "radius" in statement:
                statement["radius"] = decimal(Fraction(statement["radius"]) * Fraction(99, 100))
    return seal(proof), instance


def other_shape(rng: np.random.Generator, text: bytes, instance: bytes) -> Files | None:
    """Shorten, lengthen, exchange or reinterpret stored arrays."""
    proof = json.loads(text)
    arrays = stored_arrays(proof)
    if not arrays:
        return None
    first, second = (arrays[int(rng.integers(len(arrays)))] for _ in range(2))
    match int(rng.integers(5)):
        case 0:
            first["shape"] = first["shape"][::-1]
        case 1:
            first["dtype"] = str(rng.choice(["f8", "c16", "i8", "f4", "O"]))
        case 2:
            first.update(second)
        case 3:
            values = np.frombuffer(base64.b64decode(first["base64"]), "<" + first["dtype"])[:-1]
            first.update(shape=[len(values)], base64=base64.b64encode(values.tobytes()).decode())
        case _:
            first["shape"] = [*first["shape"], 1]
    return seal(proof), instance


def odd_number(rng: np.random.Generator, text: bytes, instance: bytes) -> Files | None:
    """Write a number of a statement in a way that some readers understand otherwise."""
    proof = json.loads(text)
    numbers = [(s, key) for s in proof["statements"] for key in s if key != "kind"]
    if not numbers:
        return None
    statement, key = numbers[int(rng.integers(len(numbers)))]
    odd = [
        "1e999999999",
        "-1e999999999",
        "NaN",
        "Infinity",
        "1/3",
        "1_0",
        " 1",
        "",
        "0x1p3",
        "٣",
        1.0,
        1,
        None,
        [],
        True,
    ]
    statement[key] = odd[int(rng.integers(len(odd)))]
    return seal(proof), instance


MUTATIONS: tuple[Callable[..., Any], ...] = (
    stronger_claim,
    stronger_claim,
    stronger_claim,
    other_statement,
    other_statement,
    other_model,
    other_character,
    other_instance,
    witness_bit,
    other_constant,
    other_shape,
    odd_number,
)

#: Alterations after which no file may be accepted: the prover states all it proves, to 25 digits.
NEVER = (stronger_claim, other_character, odd_number)
