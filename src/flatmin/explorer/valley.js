// Step 1: the valley of exact fits, the trace along it, and four methods that run from a point which the reader moves.

const SIZE = 360, PER_FRAME = 20, LONGEST = 4000;

class ValleyView {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.plane = root.querySelector(".plane svg");
    this.charts = [["loss", true], ["trace of the Hessian", false], ["flatness gap", true]].map(
      ([title, isLogarithmic], k) => new LineChart(root.querySelectorAll(".charts svg")[k], title, isLogarithmic),
    );
    this.along = new LineChart(root.querySelector(".along svg"), "", false);
    root.querySelectorAll("[name=model]").forEach((button) => button.addEventListener("change", () => this.choose(button.value)));
    this.slider = root.querySelector("[name=imbalance]");
    this.slider.addEventListener("input", () => this.put(this.model.onSlider(this.imbalance)));
    root.querySelector(".run").addEventListener("click", () => (this.running ? this.stop() : this.go()));
    root.querySelector(".again").addEventListener("click", () => this.put(this.at));
    root.querySelectorAll("[name=method]").forEach((box) => box.addEventListener("change", () => this.put(this.at)));
    this.plane.addEventListener("pointerdown", (event) => { this.plane.setPointerCapture(event.pointerId); this.drag(event); });
    this.plane.addEventListener("pointermove", (event) => event.buttons && this.drag(event));
    this.plane.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    this.choose("number");
  }

  get methods() {
    return [...this.root.querySelectorAll("[name=method]:checked")].map((box) => box.value);
  }

  choose(name) {
    this.model = name === "number" ? NUMBER : TABLE;
    this.x = scale(this.model.range, [0, SIZE]);
    this.y = scale(this.model.range, [SIZE, 0]);
    this.root.querySelector(".horizontal").textContent = this.model.axes[0];
    this.root.querySelector(".vertical").textContent = this.model.axes[1];
    this.slider.value = 0.7;
    this.paint();
    this.put(this.model.first(this.imbalance));
  }

  get imbalance() {
    return Number(this.slider.value);
  }

  /** Paint the loss (one number) or the trace of exact fits (table): the darker, the larger. */
  paint() {
    const context = this.canvas.getContext("2d"), step = 6;
    const across = scale([0, SIZE], this.model.range), upwards = scale([SIZE, 0], this.model.range);
    context.clearRect(0, 0, SIZE, SIZE);
    for (let i = 0; i < SIZE; i += step) {
      for (let j = 0; j < SIZE; j += step) {
        const shade = this.model.shade(this.model.start([across(i + step / 2), upwards(j + step / 2)]));
        context.fillStyle = `rgba(0, 114, 178, ${clamp(shade, 0, 1) * 0.8})`;
        context.fillRect(i, j, step, step);
      }
    }
  }

  /** Move the start, and begin again. */
  put(at) {
    this.stop();
    this.at = at.map((value) => clamp(value, ...this.model.range));
    this.runs = this.methods.map((name) => ({ name, run: new Run(this.model, name, this.at) }));
    this.steps = 0;
    this.show();
  }

  drag(event) {
    const box = this.plane.getBoundingClientRect(), share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    this.put([scale([0, 1], this.model.range)(share[0]), scale([1, 0], this.model.range)(share[1])]);
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!moves) return;
    event.preventDefault();
    this.put(this.at.map((value, k) => value + moves[k] * 0.1));
  }

  go() {
    if (this.steps >= LONGEST) this.put(this.at);
    this.running = true;
    this.root.querySelector(".run").textContent = "Pause";
    const frame = () => {
      if (!this.running) return;
      this.advance(matchMedia("(prefers-reduced-motion: reduce)").matches ? LONGEST : PER_FRAME);
      if (this.steps >= LONGEST) this.stop();
      else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  advance(steps) {
    for (let done = 0; done < steps; done += PER_FRAME) this.runs.forEach(({ run }) => run.advance(PER_FRAME));
    this.steps += steps;
    this.show();
  }

  stop() {
    this.running = false;
    this.root.querySelector(".run").textContent = "Run";
  }

  show() {
    const { plane, model } = this, place = ([x, y]) => [this.x(x), this.y(y)];
    plane.replaceChildren();
    const parameters = [...Array(121).keys()].map((k) => model.reach * (k / 60 - 1));
    for (const valley of model.valleys) draw(plane, "path", { d: pathOf(parameters.map((t) => place(valley(t)))), class: "valley" });
    for (const { name, run } of this.runs) {
      draw(plane, "path", { d: pathOf(run.records.map(({ at }) => place(at))), class: "line", style: `stroke: var(${METHODS[name].color})` });
    }
    const [bx, by] = place(model.best), [sx, sy] = place(this.at);
    draw(plane, "path", { d: `M${bx - 8} ${by}H${bx + 8}M${bx} ${by - 8}V${by + 8}`, class: "best" });
    draw(plane, "circle", { cx: sx, cy: sy, r: 9, class: "start" });
    ["loss", "trace", "gap"].forEach((what, k) =>
      this.charts[k].show(this.runs.map(({ name, run }) => ({ color: METHODS[name].color, values: run.records.map((record) => record[what]) })), this.steps));
    const balance = model.along(this.imbalance), { loss, trace } = this.runs[0]?.run.records[0] ?? {};
    this.root.querySelector(".start-facts").textContent =
      `${this.runs.length ? `Start: loss ${short(loss)}, trace ${short(trace)}. ` : ""}An exact fit of the slider's imbalance has trace ${short(model.trace(model.start(balance)))}; the flattest one has ${short(model.flattest)}.`;
    this.root.querySelector("tbody").replaceChildren(...this.runs.map(({ name, run }) => {
      const row = document.createElement("tr"), { loss, trace, gap } = run.records.at(-1);
      [name, short(loss), short(trace), short(Math.max(gap, 0))].forEach((text) => { row.insertCell().textContent = text; });
      row.style.setProperty("--key", `var(${METHODS[name].color})`);
      return row;
    }));
    const ts = [...Array(81).keys()].map((k) => k / 40 - 1);
    this.along.title = "trace of exact fits";
    this.along.show([{ color: "--first", values: ts.map((t) => model.trace(model.start(model.along(t)))) }], 1, "imbalance from −1 to 1");
  }
}
