// Pictures in SVG: an element, a plane with coordinates, and a line chart.

const SVG = "http://www.w3.org/2000/svg";

/** A new SVG element with attributes, appended to a parent. */
function draw(parent, name, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  parent.append(element);
  return element;
}

/** A linear scale from an interval to another one. */
const scale = ([a, b], [c, d]) => (x) => c + ((x - a) / (b - a)) * (d - c);

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

/** A number in few characters. */
const short = (x) => (x === 0 ? "0" : Math.abs(x) >= 1e-3 && Math.abs(x) < 1e4 ? String(Number(x.toPrecision(4))) : x.toExponential(1));

/** The points of a line as the path of an SVG element. */
const pathOf = (points) => points.map(([x, y], k) => `${k ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

/** A chart of lines over the number of steps, logarithmic if asked for. */
class LineChart {
  constructor(svg, title, isLogarithmic) {
    [this.svg, this.title, this.isLogarithmic] = [svg, title, isLogarithmic];
  }

  /** Draw one line for each series: { color, values }; `text` stands below the end of the horizontal axis. */
  show(series, steps, text = `${steps} steps`) {
    this.svg.replaceChildren();
    const floor = this.isLogarithmic ? 1e-8 : 0, form = this.isLogarithmic ? (x) => Math.log10(Math.max(x, floor)) : (x) => x;
    const all = series.flatMap(({ values }) => values.map(form)), low = Math.min(...all), high = Math.max(...all, low + 1e-9);
    const pad = 0.05 * (high - low), x = scale([0, Math.max(1, steps)], [46, 296]), y = scale([low - pad, high + pad], [104, 22]);
    draw(this.svg, "text", { x: 4, y: 12, class: "label strong" }, this.title);
    for (const value of [low, high]) {
      draw(this.svg, "line", { x1: 46, x2: 296, y1: y(value), y2: y(value), class: "grid" });
      draw(this.svg, "text", { x: 42, y: y(value) + 4, class: "label end" }, short(this.isLogarithmic ? 10 ** value : value));
    }
    for (const { color, values } of series) {
      const points = values.map((value, k) => [x((k * steps) / Math.max(1, values.length - 1)), y(form(value))]);
      draw(this.svg, "path", { d: pathOf(points), class: "line", style: `stroke: var(${color})` });
    }
    draw(this.svg, "text", { x: 296, y: 118, class: "label end" }, text);
  }
}
