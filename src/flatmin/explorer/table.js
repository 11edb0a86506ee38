// Step 2: a small table, completed again whenever a cell is hidden or shown.

const MOST = 6;
const FIRST = [[2, 4, 1, 3], [1, 2, 0.5, 1.5], [3, 6, 1.5, 4.5], [2, 4, 1, 3]];

class TableView {
  constructor(root) {
    this.root = root;
    this.grid = root.querySelector(".cells");
    this.box = root.querySelector("textarea");
    root.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); this.read(); });
    root.querySelector(".show-all").addEventListener("click", () => this.use(this.table));
    root.querySelector(".hide-one").addEventListener("click", () => this.hideOne());
    this.use(FIRST, [[0, 3], [1, 1], [2, 2], [3, 0], [3, 3]]);
    this.box.value = FIRST.map((row) => row.join(" ")).join("\n");
  }

  /** Read the table that the reader wrote; say in one sentence what is wrong with it. */
  read() {
    const lines = this.box.value.trim().split(/\n+/).map((line) => line.trim().split(/[\s,;]+/)), rows = lines.map((line) => line.map((text) => (text ? Number(text) : NaN)));
    const isTable = rows.length <= MOST && rows.every((row) => row.length === rows[0].length && row.length <= MOST && row.every(Number.isFinite));
    this.root.querySelector(".mistake").textContent = isTable ? "" : `Expected up to ${MOST} lines of equally many numbers, at most ${MOST}, separated by spaces or commas.`;
    if (isTable) this.use(rows);
  }

  use(table, hidden = []) {
    this.table = table;
    this.observed = table.map((row, i) => row.map((_, j) => !hidden.some(([a, b]) => a === i && b === j)));
    this.grid.style.setProperty("--columns", table[0].length);
    this.buttons = table.map((row, i) => row.map((_, j) => {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => { this.observed[i][j] = !this.observed[i][j]; this.show(); });
      button.addEventListener("keydown", (event) => this.key(event, i, j));
      return button;
    }));
    this.grid.replaceChildren(...this.buttons.flat());
    this.show();
  }

  key(event, i, j) {
    const [di, dj] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    const next = (di || dj) && this.buttons[i + di]?.[j + dj];
    if (next) { event.preventDefault(); next.focus(); }
  }

  /** Hide the next observed cell, in an order that is the same for everybody. */
  hideOne() {
    const shown = this.table.flatMap((row, i) => row.map((_, j) => [i, j])).filter(([i, j]) => this.observed[i][j]);
    if (shown.length > 1) {
      const [i, j] = shown[(7 * shown.length + 3) % shown.length];
      this.observed[i][j] = false;
      this.show();
    }
  }

  show() {
    const found = completeTable(this.table, this.observed), { root, table, observed } = this;
    this.result = found;
    this.buttons.forEach((row, i) => row.forEach((button, j) => {
      const shown = observed[i][j], value = shown ? table[i][j] : found.X[i][j];
      button.textContent = short(Math.abs(value) < 1e-9 ? 0 : value);
      button.dataset.value = value;
      button.classList.toggle("hole", !shown);
      button.classList.toggle("wrong", !shown && Math.abs(value - table[i][j]) > 1e-5 * Math.max(...table.flat().map(Math.abs)));
      button.setAttribute("aria-pressed", String(!shown));
      button.setAttribute("aria-label", `row ${i + 1}, column ${j + 1}: ${shown ? "shown" : "hidden, filled with"} ${short(value)}`);
    }));
    const strength = Math.max(...found.Y.flat().map(Math.abs), 1e-12);
    const dual = root.querySelector(".dual");
    dual.style.setProperty("--columns", table[0].length);
    dual.replaceChildren(...found.Y.flatMap((row, i) => row.map((value, j) => {
      const cell = document.createElement("span");
      cell.textContent = observed[i][j] ? value.toFixed(2) : "0";
      cell.style.setProperty("--share", Math.abs(value) / strength);
      cell.className = value < 0 ? "negative" : "positive";
      return cell;
    })));
    const facts = {
      rank: found.rank, trace: short(found.trace), bound: short(found.bound), gap: Math.abs(found.gap) < 1e-7 ? "below 1e-7" : found.gap.toExponential(1),
      dual: found.dual.toFixed(6), unique: found.unique ? "yes" : "no, or not decided by these numbers",
    };
    for (const [name, value] of Object.entries(facts)) root.querySelector(`.fact-${name}`).textContent = value;
    const cells = table.length * table[0].length, bar = root.querySelector(".bar");
    bar.style.setProperty("--shown", found.m / cells);
    bar.style.setProperty("--needed", Math.min(1, found.freedom / cells));
    root.querySelector(".bar-text").textContent =
      `${found.m} of ${cells} cells are shown. A table of rank ${found.rank} has ${found.freedom} degrees of freedom (the mark).`;
    const wrong = this.buttons.flat().filter((button) => button.classList.contains("wrong")).length, holes = cells - found.m;
    root.querySelector(".verdict-text").textContent = holes === 0 ? "Nothing is hidden." : wrong === 0
      ? "Every hidden cell is found again." : `${wrong} of ${holes} hidden cells ${wrong === 1 ? "differs" : "differ"} from the table; the completion is flattest all the same.`;
  }
}
