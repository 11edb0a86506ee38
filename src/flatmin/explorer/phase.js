// Step 3: stored trials of the paper's Figure 3 as a map that can be explored.

class PhaseView {
  constructor(root, results) {
    [this.root, this.results] = [root, results];
    this.choice = root.querySelector("select");
    this.choice.replaceChildren(...Object.entries(results).map(([name, { title }]) => new Option(title, name)));
    this.choice.addEventListener("change", () => this.show());
    this.show();
  }

  show() {
    const { trials } = this.results[this.choice.value], svg = this.root.querySelector("svg");
    const dimensions = [...new Set(trials.map(({ d }) => d))].sort((a, b) => a - b), most = Math.max(...trials.map(({ m }) => m));
    const x = scale([0, 1.05 * most], [44, 590]), y = scale([-0.5, dimensions.length - 0.5], [250, 10]);
    svg.replaceChildren();
    for (const [k, d] of dimensions.entries()) {
      draw(svg, "text", { x: 38, y: y(k) + 4, class: "label end" }, String(d));
      const groups = this.groups(trials, d);
      for (const [m, group] of groups) {
        const share = group.filter(({ error }) => error < 1e-6).length / group.length, height = 0.7 * (y(0) - y(1) || 200);
        const mark = draw(svg, "rect", {
          x: x(m) - 7, width: 14, y: y(k) - height / 2, height, rx: 3, tabindex: 0, role: "button", class: "trial",
          "aria-label": `d ${d}, ${m} measurements: ${Math.round(100 * share)} % recovered`, style: `fill-opacity: ${0.12 + 0.88 * share}`,
        });
        draw(mark, "title", {}, `d = ${d}, m = ${m}: ${Math.round(100 * share)} % of ${group.length} draws recovered`);
        for (const event of ["pointerenter", "focus", "click"]) mark.addEventListener(event, () => this.describe(d, m, group, share, mark));
      }
    }
    for (const m of [0, most]) draw(svg, "text", { x: x(m), y: 268, class: "label end" }, String(m));
    draw(svg, "text", { x: 317, y: 268, class: "label middle" }, "number of measurements");
    draw(svg, "text", { x: 4, y: 268, class: "label" }, "side d");
    this.root.querySelector(".trial-text").textContent = "Point at a mark, touch it, or reach it with the Tab key.";
  }

  groups(trials, d) {
    const found = new Map();
    for (const trial of trials.filter((one) => one.d === d)) found.set(trial.m, [...(found.get(trial.m) ?? []), trial]);
    return [...found];
  }

  describe(d, m, group, share, mark) {
    this.root.querySelectorAll(".chosen").forEach((other) => other.classList.remove("chosen"));
    mark.classList.add("chosen");
    const { error, rank, gap, status, unique } = group[0];
    this.root.querySelector(".trial-text").textContent =
      `Side ${d}, ${m} measurements: ${Math.round(100 * share)} % of ${group.length} draws are recovered. One of them: ${status.replaceAll("_", " ")}, ` +
      `rank ${rank}, relative gap ${short(Math.abs(gap))}, ${unique ? "proved to be the only one" : "not proved to be the only one"}, distance from the truth ${short(error)}.`;
  }
}
