// The flattest completion of a small table with its certificate: the programme that flatmin solves.
//
// X has the observed cells and the smallest ‖D1 X D2‖_*, where D1² and D2² are diagonal: the counts of observed cells
// in rows and columns, divided by m d2 and m d1. The dual programme, max ⟨b, y⟩ over matrices Y of norm at most one
// that vanish where no cell is observed, is solved with the barrier μ log det(I − YᵀY). At its maximum,
// Z = 2μ (I − YYᵀ)⁻¹ Y fits the data; three values of μ are extrapolated to zero.

const LAST = 2e-8;

class Barrier {
  constructor(cells, b, shape) {
    [this.cells, this.b, this.shape] = [cells, b, shape];
    this.y = b.map(() => 0);
  }

  matrix(y) {
    const Y = zeros(...this.shape);
    this.cells.forEach(([i, j], k) => (Y[i][j] = y[k]));
    return Y;
  }

  /** The value of the barrier function at y, null outside its domain. */
  value(y, mu) {
    const Y = this.matrix(y), L = cholesky(minus(identity(this.shape[0]), multiply(Y, transpose(Y))));
    return L && dot(this.b, y) + 2 * mu * L.reduce((sum, row, i) => sum + Math.log(row[i]), 0);
  }

  /** The matrices (I − YYᵀ)⁻¹ and (I − YᵀY)⁻¹ at the present point, and the first one times Y. */
  inverses() {
    const Y = this.matrix(this.y), Yt = transpose(Y);
    const P = inverse(minus(identity(this.shape[0]), multiply(Y, Yt)));
    return { P, Q: inverse(minus(identity(this.shape[1]), multiply(Yt, Y))), R: multiply(P, Y) };
  }

  /** The maximum for one mu. Newton steps are full once the decrement says that they converge quadratically. */
  maximise(mu) {
    for (let step = 0, before = Infinity; step < 80; step++) {
      const { P, Q, R } = this.inverses();
      const gradient = this.cells.map(([i, j], k) => this.b[k] - 2 * mu * R[i][j]);
      const hessian = this.cells.map(([i, j]) => this.cells.map(([a, c]) => 2 * mu * (P[i][a] * Q[c][j] + R[i][c] * R[a][j])));
      const factor = cholesky(hessian);
      if (!factor) break;
      const direction = solveCholesky(factor, gradient), decrement = dot(gradient, direction) / mu;
      const isClose = decrement < 0.05;
      if (!(decrement > 0) || (isClose && decrement >= before)) break;
      before = isClose ? decrement : Infinity;
      const moved = (t) => this.y.map((value, k) => value + t * direction[k]), present = this.value(this.y, mu);
      let t = 1;
      const isWorse = () => { const value = this.value(moved(t), mu); return value === null || !(isClose || value > present); };
      while (t > 1e-10 && isWorse()) t /= 2;
      if (t <= 1e-10) break;
      this.y = moved(t);
    }
    return { y: this.y, Z: this.inverses().R.map((row) => row.map((value) => 2 * mu * value)) };
  }

  /** The solution and the dual vector as mu tends to zero. */
  limit() {
    for (let mu = 1; mu > 5 * LAST; mu /= 4) this.maximise(mu);
    const [far, middle, near] = [4, 2, 1].map((times) => this.maximise(times * LAST));
    const extrapolate = (x, y, z) => (8 * z - 6 * y + x) / 3;
    return {
      inside: near.y,
      y: near.y.map((value, k) => extrapolate(far.y[k], middle.y[k], value)),
      Z: near.Z.map((row, i) => row.map((value, j) => extrapolate(far.Z[i][j], middle.Z[i][j], value))),
    };
  }
}

/** The flattest completion of the observed cells of a table. */
function completeTable(table, observed) {
  const d1 = table.length, d2 = table[0].length;
  const rows = [...table.keys()].filter((i) => observed[i].some(Boolean));
  const columns = [...table[0].keys()].filter((j) => observed.some((row) => row[j]));
  const cells = rows.flatMap((i, p) => columns.flatMap((j, q) => (observed[i][j] ? [[p, q, i, j]] : [])));
  const m = cells.length;
  const left = rows.map((i) => Math.sqrt(observed[i].filter(Boolean).length / (m * d2)));
  const right = columns.map((j) => Math.sqrt(observed.filter((row) => row[j]).length / (m * d1)));
  const data = cells.map(([p, q, i, j]) => left[p] * right[q] * table[i][j]), size = norm(data);
  const X = zeros(d1, d2);
  if (!(size > 0)) return { X, rank: 0, trace: 0, bound: 0, gap: 0, dual: 0, m, freedom: 0, unique: m === d1 * d2, Y: zeros(d1, d2) };
  const barrier = new Barrier(cells, data.map((value) => value / size), [rows.length, columns.length]);
  const { y, inside, Z } = barrier.limit(), parts = singular(Z);
  const rank = parts.filter(({ s }) => s > 1e-7 * parts[0].s).length;
  const nuclear = parts.reduce((sum, { s }) => sum + s, 0), dual = singular(barrier.matrix(y));
  const bound = Math.max(dot(barrier.b, y) / Math.max(1, dual[0].s), dot(barrier.b, inside));
  rows.forEach((i, p) => columns.forEach((j, q) => (X[i][j] = (size * Z[p][q]) / (left[p] * right[q]))));
  cells.forEach(([, , i, j]) => (X[i][j] = table[i][j]));
  const Y = zeros(d1, d2);
  cells.forEach(([, , i, j], k) => (Y[i][j] = y[k]));
  return {
    X, Y, rank, m, dual: dual[0].s, trace: 4 * size * nuclear, bound: 4 * size * bound, gap: (nuclear - bound) / nuclear,
    freedom: rank * (rows.length + columns.length - rank),
    unique: isOnly(cells, dual.filter((part) => part.s > 1 - 1e-4)),
  };
}

/** Whether the data determine a solution: all of them are U K Vᵀ with symmetric K, for pairs of singular vectors of Y of value one. */
function isOnly(cells, pairs) {
  const products = pairs.flatMap((first, k) => pairs.slice(k).map((second) => cells.map(([p, q]) => first.u[p] * second.v[q] + second.u[p] * first.v[q])));
  return products.length <= cells.length && rankOf(products, 1e-7) === products.length;
}
