// Two losses with a continuum of exact fits, and four training methods on them.
//
// A model has places in the plane: `place` of weights, `start` from a place. Curves of exact fits are its `valleys`, for
// parameters up to `reach`; `along` is the exact fit of an imbalance, `onSlider` and `first` are starts for it. `shade` is
// the darkness of the map at weights, from 0 to 1.

const offTheValley = (t) => [1.3 * Math.exp(t), 1.3 * Math.exp(-t)];

/** (l r − 1)², a model of one number. Its exact fits are a hyperbola; the flattest ones are l = r = ±1. */
const NUMBER = {
  name: "one number: l · r = 1",
  axes: ["l", "r"],
  range: [-3, 3],
  step: 0.05,
  noise: 0.5,
  penalty: 0.01,
  flattest: 4,
  best: [1, 1],
  data: [1],
  loss: (w) => (w[0] * w[1] - 1) ** 2,
  gradient: (w, data) => [2 * (w[0] * w[1] - data[0]) * w[1], 2 * (w[0] * w[1] - data[0]) * w[0]],
  trace: (w) => 2 * (w[0] ** 2 + w[1] ** 2),
  traceGradient: (w) => [4 * w[0], 4 * w[1]],
  place: (w) => [w[0], w[1]],
  start: (at) => at.slice(),
  valleys: [(t) => [Math.exp(t), Math.exp(-t)], (t) => [-Math.exp(t), -Math.exp(-t)]],
  reach: 1.2,
  along: (t) => [Math.exp(t), Math.exp(-t)],
  onSlider: offTheValley,
  first: offTheValley,
  shade: (w) => Math.log1p(4 * NUMBER.loss(w)) / 6,
  above: 1,
};

const CELLS = [[0, 0, 2], [0, 1, 1], [1, 0, 1]];
const SIDES = [Math.sqrt(2 / 6), Math.sqrt(1 / 6)];
const product = (w) => [0, 1].map((i) => [0, 1].map((j) => w[2 * i] * w[4 + 2 * j] + w[2 * i + 1] * w[5 + 2 * j]));
const filled = (x) => [[2, 1], [1, x]];
const weighted = (x) => filled(x).map((row, i) => row.map((value, j) => SIDES[i] * SIDES[j] * value));
const half = (w, side) => SIDES.reduce((sum, d, i) => sum + d * d * (w[side + 2 * i] ** 2 + w[side + 2 * i + 1] ** 2), 0);

/** The table [2 1; 1 ?] as L Rᵀ with 2 × 2 factors. The trace is the scaled one: 2 ‖D1 L‖² + 2 ‖D2 R‖². */
const TABLE = {
  name: "a table of 2 × 2 cells with one hole",
  axes: ["value in the hole", "imbalance of the factors"],
  range: [-1.5, 1.5],
  step: 0.1,
  noise: 0.4,
  penalty: 0.003,
  flattest: 4 * singular(weighted(0.5)).reduce((sum, { s }) => sum + s, 0),
  best: [0.5, 0],
  data: CELLS.map(([, , value]) => value),
  loss: (w) => CELLS.reduce((sum, [i, j, value]) => sum + (product(w)[i][j] - value) ** 2, 0) / 3,
  gradient: (w, data) => {
    const X = product(w), slope = new Array(8).fill(0);
    CELLS.forEach(([i, j], k) => {
      const residual = (2 / 3) * (X[i][j] - data[k]);
      for (const c of [0, 1]) {
        slope[2 * i + c] += residual * w[4 + 2 * j + c];
        slope[4 + 2 * j + c] += residual * w[2 * i + c];
      }
    });
    return slope;
  },
  trace: (w) => 2 * half(w, 0) + 2 * half(w, 4),
  traceGradient: (w) => w.map((value, k) => 4 * SIDES[(k >> 1) % 2] ** 2 * value),
  place: (w) => [product(w)[1][1], Math.log(half(w, 0) / half(w, 4)) / 4],
  start: ([x, t]) => {
    const parts = singular(weighted(x)), w = new Array(8).fill(0);
    parts.forEach(({ s, u, v }, c) => [0, 1].forEach((i) => {
      w[2 * i + c] = (Math.exp(t) * Math.sqrt(s) * u[i]) / SIDES[i];
      w[4 + 2 * i + c] = (Math.exp(-t) * Math.sqrt(s) * v[i]) / SIDES[i];
    }));
    return w;
  },
  valleys: [(t) => [t, 0]],
  reach: 1.5,
  along: (t) => [0.5, t],
  onSlider: (t) => [0.5, t],
  first: (t) => [-0.6, t],
  shade: (w) => Math.log(TABLE.trace(w) / TABLE.flattest) / 3,
  above: 1.15,
};

/** Random signs that are the same in every run. */
function signs(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 31 ? 1 : -1;
  };
}

const moved = (w, direction, length) => w.map((value, k) => value - length * direction[k]);

/** Each method is a step from weights to weights. */
const METHODS = {
  "gradient descent": { color: "--first", step: (model, w) => moved(w, model.gradient(w, model.data), model.step) },
  "label noise": {
    color: "--second",
    step: (model, w, sign) => moved(w, model.gradient(w, model.data.map((value) => value + model.noise * sign())), model.step),
  },
  SAM: {
    color: "--third",
    step: (model, w) => {
      const g = model.gradient(w, model.data), size = norm(g);
      return moved(w, size > 1e-12 ? model.gradient(moved(w, g, -0.3 / size), model.data) : g, model.step);
    },
  },
  "trace penalty": {
    color: "--fourth",
    step: (model, w) => moved(moved(w, model.gradient(w, model.data), model.step), model.traceGradient(w), model.step * model.penalty),
  },
};

/** One run of a method, from ``above`` times the weights of a place: the weights and what was recorded every few steps. */
class Run {
  constructor(model, method, at) {
    [this.model, this.method, this.sign] = [model, METHODS[method], signs(1)];
    this.w = model.start(at).map((value) => model.above * value);
    this.records = [];
    this.record();
  }

  record() {
    const { model, w } = this;
    this.records.push({ at: model.place(w), loss: model.loss(w), trace: model.trace(w), gap: model.trace(w) / model.flattest - 1 });
  }

  advance(steps) {
    for (let k = 0; k < steps; k++) {
      const next = this.method.step(this.model, this.w, this.sign);
      if (!next.every((value) => Math.abs(value) < 1e3)) break; // a step that is too long for this start
      this.w = next;
    }
    this.record();
  }
}
