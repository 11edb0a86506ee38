// Small dense matrices as arrays of rows: products, Cholesky factors and the singular value decomposition.

const zeros = (m, n) => Array.from({ length: m }, () => new Array(n).fill(0));
const transpose = (A) => A[0].map((_, j) => A.map((row) => row[j]));
const multiply = (A, B) => {
  const Bt = transpose(B);
  return A.map((row) => Bt.map((column) => dot(row, column)));
};
const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
const norm = (x) => Math.sqrt(dot(x, x));
const minus = (A, B) => A.map((row, i) => row.map((value, j) => value - B[i][j]));
const identity = (n) => zeros(n, n).map((row, i) => row.map((_, j) => (i === j ? 1 : 0)));

/** The lower Cholesky factor of a symmetric matrix, null if the matrix is not positive definite. */
function cholesky(A) {
  const n = A.length, L = zeros(n, n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = A[i][j];
      for (let k = 0; k < j; k++) sum -= L[i][k] * L[j][k];
      if (i === j && !(sum > 0)) return null;
      L[i][j] = i === j ? Math.sqrt(sum) : sum / L[j][j];
    }
  }
  return L;
}

/** The solution of L Lᵀ x = b. */
function solveCholesky(L, b) {
  const n = L.length, x = b.slice();
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] -= L[i][k] * x[k];
    x[i] /= L[i][i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= L[k][i] * x[k];
    x[i] /= L[i][i];
  }
  return x;
}

/** The inverse of a positive definite matrix, null if the matrix is not positive definite. */
function inverse(A) {
  const L = cholesky(A);
  return L && transpose(identity(A.length).map((e) => solveCholesky(L, e)));
}

/** The singular value decomposition A = Σ s_k u_k v_kᵀ by one-sided Jacobi rotations, largest s first. */
function singular(A) {
  if (A.length < A[0].length) return singular(transpose(A)).map(({ s, u, v }) => ({ s, u: v, v: u }));
  const columns = transpose(A).map((column) => column.slice()), rotations = identity(columns.length);
  for (let sweep = 0, turned = true; turned && sweep < 60; sweep++) {
    turned = false;
    for (let p = 0; p < columns.length; p++) {
      for (let q = p + 1; q < columns.length; q++) {
        const alpha = dot(columns[p], columns[p]), beta = dot(columns[q], columns[q]), gamma = dot(columns[p], columns[q]);
        if (Math.abs(gamma) <= 1e-15 * Math.sqrt(alpha * beta) || gamma === 0) continue;
        turned = true;
        const zeta = (beta - alpha) / (2 * gamma);
        const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta)), c = 1 / Math.sqrt(1 + t * t);
        for (const set of [columns, rotations]) {
          [set[p], set[q]] = [set[p].map((x, i) => c * (x - t * set[q][i])), set[q].map((y, i) => c * (t * set[p][i] + y))];
        }
      }
    }
  }
  return columns
    .map((column, k) => ({ s: norm(column), u: column.map((x) => x / (norm(column) || 1)), v: rotations[k] }))
    .sort((first, second) => second.s - first.s);
}

/** The rank of a matrix: the number of singular values above a share of the largest. */
function rankOf(A, share) {
  const values = singular(A).map(({ s }) => s);
  return values.filter((s) => s > share * values[0]).length;
}
