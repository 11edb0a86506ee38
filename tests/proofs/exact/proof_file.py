"""Proof files: canonical text with a seal, arrays in base64, decimal claims."""

import base64
import hashlib
import json
import re
from fractions import Fraction

import numpy as np

from tests.proofs.exact.elimination import exact

#: The form of a claim; its exponent is bounded so that no number is too long to compute with.
DECIMAL = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")


class Refused(Exception):
    """The proof does not prove a claim."""


def require(condition, reason):
    if not condition:
        raise Refused(reason)


def canonical(proof):
    return json.dumps(proof, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def seal(proof):
    """Return the bytes of a proof file with its seal."""
    unsealed = {key: value for key, value in proof.items() if key != "seal"}
    return (canonical({**unsealed, "seal": hashlib.sha256(canonical(unsealed).encode()).hexdigest()}) + "\n").encode()


def opened(proof_bytes):
    """Return the proof in a file whose text is canonical and whose seal is right."""
    try:
        proof = json.loads(proof_bytes)
    except ValueError as error:
        raise Refused("no JSON") from error
    require(isinstance(proof, dict) and proof.get("flatmin_proof") == 1, "no proof")
    require(seal(proof) == proof_bytes, "the seal or the text is wrong")
    return proof


def array(stored):
    """Return a stored array as a NumPy array of finite numbers."""
    require(stored["dtype"] in {"f8", "c16", "i8"}, "dtype")
    values = np.frombuffer(base64.b64decode(stored["base64"], validate=True), "<" + stored["dtype"])
    require(values.size == np.prod(stored["shape"]) > 0 and np.isfinite(values).all(), "array")
    return values.reshape(stored["shape"])


def number(text):
    """Return a decimal claim as a fraction."""
    require(isinstance(text, str) and DECIMAL.fullmatch(text), "no decimal")
    return Fraction(text)


def real(M, is_complex):
    """Return exact numbers, complex matrices (…, a, b) as real ones (…, 2a, 2b)."""
    if not is_complex:
        require(not np.iscomplexobj(M), "complex numbers in a real model")
        return exact(M)
    re, im = exact(np.real(M)), exact(np.imag(M))
    return np.concatenate([np.concatenate([re, -im], -1), np.concatenate([im, re], -1)], -2)
