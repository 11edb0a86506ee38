"""A writer of proof files for tests: the witness of least change for factors and a dual vector, in plain NumPy."""

import base64
import hashlib
import io

import numpy as np

from tests.proofs.exact.proof_file import seal


def packed(values):
    """Return an array as it stands in a proof file."""
    values = np.asarray(values)
    kind = {"f": "f8", "c": "c16", "i": "i8", "u": "i8"}[values.dtype.kind]
    data = np.ascontiguousarray(values, dtype="<" + kind).tobytes()
    return {"shape": list(values.shape), "dtype": kind, "base64": base64.b64encode(data).decode()}


def instance_bytes(**arrays):
    """Return the bytes of an instance file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def tangent(L, R, hermitian):
    """Return a spanning set of the tangent space of ``L Rᵀ``; Hermitian: of matrices ``U E* + E U*``."""
    units = [np.eye(len(F))[:, [i]] for F in (L,) for i in range(len(F))]
    if hermitian:
        phases = (1, 1j) if np.iscomplexobj(L) else (1,)
        half = [p * e @ u[None].conj() for p in phases for e in units for u in L.T]
        return np.array([T + T.conj().T for T in half])
    right = [np.outer(x, e) for x in L.T for e in np.eye(len(R))]
    return np.array(right + [np.outer(e, y) for y in R.T for e in np.eye(len(L))])


class Witness:
    """The best witness for a point and a dual vector.

    ``A`` has the sensing matrices (m, d1, d2). The point is ``X = L C R*`` with D1 L and D2 R orthonormal for products
    and symmetric matrices, and ``U U*`` for semidefinite ones.
    """

    def __init__(self, A, b, X, r, dual, cone="rectangular", power=1, vectors=False):
        m, d1, d2 = A.shape
        self.A, self.b, self.cone, self.hermitian = A, b, cone, cone != "rectangular"
        G1, G2 = (np.einsum("mij,mkj->ik", A, A.conj()), np.einsum("mji,mjk->ik", A.conj(), A))
        G1, G2 = (G1 / m, G2 / m) if self.hermitian else (G1 / (m * d2), G2 / (m * d1))
        if power == 0:
            G1, G2 = (np.eye(len(G)) * np.trace(G).real / len(G) for G in (G1, G2))
        self.G, self.vectors = (G1, G2), vectors and power == 1
        self.flat = A.reshape(m, -1)
        if cone == "semidefinite":
            values, V = np.linalg.eigh((X + X.conj().T) / 2)
            self.L = self.R = V[:, -r:] * np.sqrt(values[-r:])
            basis = tangent(self.L, self.L, True)
            target = np.zeros_like(G1) if self.vectors else G1
        else:
            D1, D2 = (root(G) for G in self.G)
            U, s, Vh = np.linalg.svd(D1 @ X @ D2)
            U, s, V = U[:, :r], s[:r], Vh[:r].T
            self.L, self.R = np.linalg.pinv(D1) @ U, np.linalg.pinv(D2) @ V
            self.C = np.diag(s)
            if self.hermitian:
                signs = np.sign(np.sum(U * V, axis=0))
                self.R, self.C = self.L, np.diag(s * signs)
            basis = tangent(self.L, self.R, self.hermitian)
            target = D1 @ U @ V.T @ D2
        self.basis = basis.reshape(len(basis), -1)
        self.J = (self.flat.conj() @ self.basis.T).real
        wanted = (self.basis @ target.ravel().conj()).real
        self.dual = dual + np.linalg.lstsq(self.J.T, wanted - self.J.T @ dual, rcond=None)[0]

    @property
    def Lambda(self):
        return np.tensordot(self.dual, self.A, 1)

    def sigma2(self):
        """The least gain on the tangent space, squared."""
        metric = (np.eye(len(self.G[0])),) * 2 if self.cone == "semidefinite" else self.G
        mass = (
            np.array([(metric[0] @ T.reshape(self.A.shape[1:]) @ metric[1]).ravel() for T in self.basis]).conj()
            @ self.basis.T
        ).real
        values, V = np.linalg.eigh(mass)
        kept = values > 1e-9 * values[-1]
        K = V[:, kept] / np.sqrt(values[kept])
        return np.linalg.eigvalsh(K.T @ self.J.T @ self.J @ K)[0]

    def margin(self):
        """δ, or t for semidefinite matrices."""
        if self.cone == "semidefinite":
            W = self.Lambda if self.vectors else self.G[0] - self.Lambda
            N = np.linalg.svd(self.L)[0][:, self.L.shape[1] :]
            return np.linalg.eigvalsh(N.conj().T @ W @ N)[0]
        D1, D2 = (root(G) for G in self.G)
        U, V = np.linalg.svd(D1 @ self.L)[0], np.linalg.svd(D2 @ self.R)[0]
        r = self.L.shape[1]
        Y = np.linalg.pinv(D1) @ self.Lambda @ np.linalg.pinv(D2)
        return 1 - np.linalg.norm(U[:, r:].T @ Y @ V[:, r:], 2)

    def constants(self, cautious=1e-6):
        """Return the constants, a share below the truth."""
        g1, g2 = (np.linalg.eigvalsh(G) for G in self.G)
        sure = 1 - cautious
        out = {"g1": g1[g1 > 1e-12 * g1[-1]][0] * sure, "g2": g2[g2 > 1e-12 * g2[-1]][0] * sure}
        out |= {"sigma2": self.sigma2() * sure, "gamma": 1e7 * np.abs(self.J).max() ** 2}
        if self.cone == "semidefinite":
            u = np.linalg.eigvalsh(self.L.conj().T @ self.L)[0]
            return out | {"t": self.margin() * sure, "c": 1e3 * np.abs(self.Lambda).max() / u, "u": u * sure}
        return out | {"delta": self.margin() * sure, "core": np.min(np.abs(np.diag(self.C))) * sure}

    def document(self, model, instance, statements, value_dual=None):
        """Return the bytes of a proof file with these statements."""
        point = {"U": self.L} if self.cone == "semidefinite" else {"L": self.L, "C": self.C, "R": self.R}
        if self.cone == "symmetric":
            point = {"U": self.L, "C": self.C}
        duals = {"value": self.dual if value_dual is None else value_dual, "uniqueness": self.dual}
        proof = {
            "flatmin_proof": 1,
            "instance": {"sha256": hashlib.sha256(instance).hexdigest()},
            "model": model,
            "point": {name: packed(F) for name, F in point.items()},
            "duals": {name: packed(dual) for name, dual in duals.items()},
            "constants": {name: float(value).hex() for name, value in self.constants().items()},
            "statements": statements,
        }
        return seal(proof)


def root(G):
    """Return the symmetric square root."""
    values, V = np.linalg.eigh(G)
    return (V * np.sqrt(np.maximum(values, 0))) @ V.conj().T
