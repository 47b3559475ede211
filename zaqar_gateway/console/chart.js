// Charts of the last minutes.

import { h, put, s } from "./dom.js";
import { short } from "./format.js";

const HEIGHT = 112;
const TOP = 8;
const BOTTOM = 18;
const LEFT = 38;
const SPANS_S = [60, 120, 300];
/** Wider than this there is room for all marks of time. */
const NARROW = 380;

/** Round numbers for an axis that has to hold some. */
function scale(low, high, whole) {
  let step = 10 ** Math.floor(Math.log10(Math.max(high - low, 1e-9)));
  for (const times of [1, 2, 5, 10]) {
    if ((high - low) / (step * times) <= 3) {
      step *= times;
      break;
    }
  }
  if (whole) step = Math.max(1, Math.round(step));
  const from = Math.floor(low / step) * step;
  const marks = [];
  for (let at = from; at < high + step * 0.999; at += step) marks.push(Math.abs(at) < step / 1e6 ? 0 : at);
  if (marks.length < 2) marks.push(marks[0] + step);
  return marks;
}

/**
 * A chart over the last minutes.
 *
 * @param {string} title
 * @param {object} what
 * @param {string[]} what.names of the series, which stand on each other where `stacked`.
 * @param {boolean} [what.stacked] areas of amounts; else one rate, above and below zero.
 * @param {(value: number) => string} what.show
 * @param {Array} [what.points] those of an earlier chart, which are added to.
 */
export class Chart {
  constructor(title, { names, stacked = false, show, points = [] }) {
    this._names = names;
    this._stacked = stacked;
    this._show = show;
    this._points = points;
    this._title = title;
    this._values = names.map(() => h("b", null, "–"));
    this._tip = h("div", { class: "tip", hidden: true });
    this._svg = s("svg", { class: "chart", role: "img", height: HEIGHT, "aria-label": title });
    const plot = h("div", { class: "plot" }, this._svg, this._tip);
    this.element = h(
      "figure",
      { class: "card figure" },
      h(
        "figcaption",
        null,
        h("span", { class: "title" }, title),
        names.map((name, index) =>
          h("span", { class: "legend" }, stacked && h("i", { class: `swatch s${index}` }), stacked && `${name} `, this._values[index]),
        ),
      ),
      plot,
    );
    if (points.length) points[points.length - 1].values.forEach((value, index) => (this._values[index].textContent = show(value)));
    this._sized = new ResizeObserver(() => this._draw());
    this._sized.observe(plot);
    plot.addEventListener("pointermove", event => this._point(event));
    plot.addEventListener("pointerleave", () => ((this._tip.hidden = true), this._cross?.setAttribute("opacity", 0)));
  }

  /** @param {number[]} values one of each series. @param {number} at seconds. */
  push(values, at) {
    this._points.push({ at, values });
    while (this._points[0].at < at - SPANS_S[SPANS_S.length - 1] - 10) this._points.shift();
    values.forEach((value, index) => (this._values[index].textContent = this._show(value)));
    const told = this._names.map((name, index) => `${name} ${this._show(values[index])}`).join(", ");
    this._svg.setAttribute("aria-label", `${this._title}: now ${told}`);
    this._draw();
  }

  stop() {
    this._sized.disconnect();
  }

  _draw() {
    const width = this._svg.parentNode.clientWidth;
    if (!width) return;
    this._svg.setAttribute("width", width);
    this._svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const points = this._points;
    const now = points.length ? points[points.length - 1].at : 0;
    const age = points.length ? now - points[0].at : 0;
    const spanS = SPANS_S.find(one => age <= one) ?? SPANS_S[SPANS_S.length - 1];
    const x = at => LEFT + ((at - now + spanS) / spanS) * (width - LEFT - 2);
    const sum = point => point.values.reduce((total, value) => total + value, 0);
    const all = points.map(sum);
    const high = Math.max(this._stacked ? 4 : 1, ...all);
    const low = this._stacked ? 0 : Math.min(-1, ...all);
    const marks = scale(low, high, this._stacked);
    const [bottom, top] = [marks[0], marks[marks.length - 1]];
    const y = value => TOP + ((top - value) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
    this._at = { x, y, width };

    const shapes = [];
    for (const mark of marks) {
      shapes.push(
        s("line", { class: mark ? "grid" : "zero", x1: LEFT, x2: width, y1: y(mark), y2: y(mark) }),
        s("text", { class: "mark", x: LEFT - 6, y: y(mark) + 3.5, "text-anchor": "end" }, short(mark)),
      );
    }
    const step = spanS === 300 && width > NARROW ? 60 : spanS === 300 ? 150 : spanS / 4;
    for (let ago = 0; ago <= spanS; ago += step) {
      const anchor = ago === 0 ? "end" : ago === spanS ? "start" : "middle";
      const text = ago === 0 ? "now" : spanS < 300 ? `−${ago} s` : `−${ago / 60} min`;
      shapes.push(s("text", { class: "mark", x: x(now - ago), y: HEIGHT - 4, "text-anchor": anchor }, text));
    }
    if (points.length) shapes.push(...(this._stacked ? this._areas(x, y) : this._steps(x, y)));
    this._cross = s("line", { class: "cross", y1: TOP, y2: HEIGHT - BOTTOM, opacity: 0 });
    put(this._svg, shapes, this._cross);
  }

  _areas(x, y) {
    const base = this._points.map(() => 0);
    const shapes = this._names.map((name, index) => {
      const lower = [...base];
      this._points.forEach((point, at) => (base[at] += point.values[index]));
      const line = this._points.map((point, at) => `${x(point.at).toFixed(1)} ${y(base[at]).toFixed(1)}`);
      const back = this._points.map((point, at) => `${x(point.at).toFixed(1)} ${y(lower[at]).toFixed(1)}`).reverse();
      return [
        s("path", { class: `area s${index}`, d: `M${line.join("L")}L${back.join("L")}Z` }),
        s("path", { class: `line s${index}`, d: `M${line.join("L")}` }),
      ];
    });
    // Where nothing stands on a series, its own line is seen.
    return [...shapes.map(([area]) => area), ...shapes.map(([, line]) => line).reverse()];
  }

  _steps(x, y) {
    return this._points.map((point, at) => {
      // What was not looked at for a while is not told of: the bar is no wider than two readings.
      const from = at ? Math.max(x(this._points[at - 1].at), x(point.at - 5)) : x(point.at) - 3;
      const [value] = point.values;
      const to = Math.min(y(0), y(value));
      return s("rect", {
        class: value < 0 ? "bar down" : "bar up",
        x: from + 0.5,
        y: to,
        width: Math.max(1, x(point.at) - from - 1),
        height: Math.abs(y(value) - y(0)),
      });
    });
  }

  _point(event) {
    if (!this._at || !this._points.length) return;
    const { x, width } = this._at;
    const box = this._svg.getBoundingClientRect();
    const at = event.clientX - box.left;
    const near = this._points.reduce((best, one) => (Math.abs(x(one.at) - at) < Math.abs(x(best.at) - at) ? one : best));
    const now = this._points[this._points.length - 1].at;
    const ago = Math.round(now - near.at);
    put(
      this._tip,
      h("span", null, ago ? `${ago} s ago` : "now"),
      this._names.map((name, index) => h("span", null, `${name} `, h("b", null, this._show(near.values[index])))),
    );
    this._tip.hidden = false;
    const left = Math.min(Math.max(0, x(near.at) - this._tip.offsetWidth / 2), width - this._tip.offsetWidth);
    this._tip.style.setProperty("left", `${left}px`);
    this._cross.setAttribute("x1", x(near.at));
    this._cross.setAttribute("x2", x(near.at));
    this._cross.setAttribute("opacity", 1);
  }
}

/** A line without axes, for a row of a table. */
export class Spark {
  constructor() {
    this._values = [];
    this._line = s("path", { class: "line s0" });
    this._area = s("path", { class: "area s0" });
    this.element = s(
      "svg",
      { class: "spark", viewBox: "0 0 88 20", width: 88, height: 20, "aria-hidden": "true" },
      s("line", { class: "zero", x1: 0, x2: 88, y1: 19.5, y2: 19.5 }),
      this._area,
      this._line,
    );
  }

  push(value) {
    this._values.push(value);
    if (this._values.length > 45) this._values.shift();
    const high = Math.max(1, ...this._values);
    const points = this._values.map(
      (one, index) => `${(88 - (this._values.length - 1 - index) * 2).toFixed(1)} ${(18.5 - (one / high) * 16).toFixed(1)}`,
    );
    const [first] = points[0].split(" ");
    this._line.setAttribute("d", `M${points.join("L")}`);
    this._area.setAttribute("d", `M${points.join("L")}L88 20L${first} 20Z`);
  }
}

/** Amounts at two instants to what came or went a second. */
export class Difference {
  constructor() {
    this._last = null;
  }

  /** @returns {number} 0 for the first. */
  push(value, at) {
    const last = this._last;
    this._last = { value, at };
    return last && at > last.at ? (value - last.value) / (at - last.at) : 0;
  }
}
