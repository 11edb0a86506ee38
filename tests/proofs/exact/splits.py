"""What a proof about splits into low rank and gross errors shows, in exact numbers."""

from fractions import Fraction
from functools import cached_property

import numpy as np

from tests.proofs.exact.elimination import exact, identity, root_above
from tests.proofs.exact.products import Rectangular
from tests.proofs.exact.proof_file import array, number, require


class Robust(Rectangular):
    """What a proof about splits ``Y = X + S`` shows, in units of ``‖X‖_* + weight ‖S‖_1``."""

    factor = 1

    @cached_property
    def weight(self):
        value = Fraction(float.fromhex(self.model["weight"]))
        require(value > 0, "weight is not positive")
        return value

    @cached_property
    def metric(self):
        return tuple(identity(n) for n in self.A.shape)

    def is_feasible(self, Lambda):
        return bool(np.all(abs(Lambda) <= self.weight)) and super().is_feasible(Lambda)

    @cached_property
    def upper(self):
        return self.norm_above + self.weight * abs(self.residual).sum()

    @property
    def seen(self):
        return self

    @cached_property
    def errors(self):
        """The errors S on the observed cells, and where they are."""
        if "S" not in self.proof["point"]:
            return exact(np.zeros(self.A.size, int)), np.zeros(self.A.size, bool)
        S = {name: array(value) for name, value in self.proof["point"]["S"].items()}
        places = {place: k for k, place in enumerate(zip(self.A.rows.tolist(), self.A.cols.tolist(), strict=True))}
        found, support = exact(np.zeros(self.A.size, int)), np.zeros(self.A.size, bool)
        require(S["rows"].shape == S["cols"].shape == S["values"].shape, "errors of different lengths")
        for i, j, value in zip(S["rows"].tolist(), S["cols"].tolist(), exact(S["values"]), strict=True):
            require((i, j) in places and not support[places[i, j]], "an error twice or in a cell that is not observed")
            found[places[i, j]], support[places[i, j]] = value, True
        return found, support

    def sensed(self, X):
        return self.A.forward(X)[~self.errors[1]]

    @property
    def spread(self):
        return Fraction(1)

    @cached_property
    def slack(self):
        dual, (errors, support) = self.dual("uniqueness"), self.errors
        signs = np.array([(e > 0) - (e < 0) for e in errors], object)
        require(np.array_equal(dual[support], self.weight * signs[support]), "the dual misses signs of errors")
        room = min((self.weight - abs(w) for w in dual[~support]), default=self.weight)
        slack = min(self.delta, room) - self.kappa
        require(slack > 0, "uniqueness is not proved")
        return slack

    def radius(self, statement):
        """Return a bound on ``‖X − X̂‖`` for splits that cost at most ``upper``, from the growth of the cost.

        A split ``X̂ + H, Ŝ − H`` of ``Ŷ = X̂ + Ŝ`` costs at least ``slack · (‖H_⊥‖_* + ‖H_F‖_1)`` more than ``X̂, Ŝ``. F
        are the observed cells without errors. With Y in place of Ŷ its cost differs by at most the cost of Y − Ŷ.
        """
        errors = self.errors[0]
        least = self.norm_bounds[0] + self.weight * abs(errors).sum()
        h = number(statement["upper"]) + self.weight * abs(self.residual - errors).sum() - least
        h = max(h, Fraction(0)) / self.slack
        return root_above(h * h + (h / self.sigma) ** 2)
