import base64
import hashlib
import json
from fractions import Fraction

import numpy as np

from flatmin.proofs.exact.document import as_decimal, encoded, sealed


def test_decimals_are_rounded_to_the_safe_side():
    rng = np.random.default_rng(0)
    for scale in (-30, -3, 0, 3, 30):
        for value in rng.standard_normal(20) * 10.0**scale:
            number = Fraction(value) / 7
            low, high = (Fraction(as_decimal(number, up)) for up in (False, True))
            assert low < number < high
            assert high - low <= abs(number) * Fraction(10) ** -24


def test_short_numbers_are_exact():
    for number in (Fraction(0), Fraction(1, 4), Fraction(-3), Fraction(1, 10**9)):
        assert Fraction(as_decimal(number, up=True)) == number


def test_arrays_are_little_endian_bytes():
    for array in (np.arange(6.0).reshape(2, 3), np.array([1j]), np.array([1, 2]), np.arange(6.0).reshape(2, 3).T):
        made = encoded(array)
        data = np.frombuffer(base64.b64decode(made["base64"]), "<" + made["dtype"]).reshape(made["shape"])
        assert np.array_equal(data, array)


def test_a_sealed_text_ends_with_the_hash_of_the_rest():
    text = sealed({"b": 1, "a": [1.5, "ü"]})
    content = json.loads(text)
    seal = content.pop("seal")
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert seal == hashlib.sha256(plain.encode()).hexdigest()
    assert text.isascii()
    assert text.endswith("\n")
