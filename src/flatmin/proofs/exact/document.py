"""The text of a proof: canonical JSON with a seal, arrays in base64, and decimals rounded to the safe side."""

import base64
import json
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from hashlib import sha256
from typing import Any

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["as_decimal", "encoded", "sealed"]

#: Significant digits of a bound in a statement.
DIGITS = 25
#: Numbers with more zeros than this before their first digit are written with an exponent.
LONGEST_ZEROS = 6


def sealed(content: Mapping[str, Any]) -> str:
    """Return the text of a proof with these contents: canonical JSON that ends with its own hash."""
    seal = sha256(_canonical(content).encode("ascii")).hexdigest()
    return _canonical({**content, "seal": seal}) + "\n"


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def encoded(array: Array) -> dict[str, Any]:
    """Return an array as an object of JSON.

    Examples
    --------
    >>> encoded(np.array([1.0]))
    {'shape': [1], 'dtype': 'f8', 'base64': 'AAAAAAAA8D8='}
    """
    kinds = {"f": "f8", "c": "c16", "i": "i8"}
    kind = kinds[array.dtype.kind]
    data = np.ascontiguousarray(array).astype(f"<{kind}").tobytes()
    return {"shape": list(array.shape), "dtype": kind, "base64": base64.b64encode(data).decode("ascii")}


def as_decimal(number: Fraction, up: bool) -> str:
    """Return a rational number with 25 digits, rounded up or down.

    Examples
    --------
    >>> as_decimal(Fraction(2, 3), up=True)
    '0.6666666666666666666666667'
    >>> as_decimal(Fraction(1, 10**9), up=False)
    '1e-9'
    """
    context = Context(prec=DIGITS, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    quotient = context.divide(Decimal(number.numerator), Decimal(number.denominator)).normalize(context)
    return format(quotient, "f" if not quotient or -LONGEST_ZEROS <= quotient.adjusted() < DIGITS else "e")
