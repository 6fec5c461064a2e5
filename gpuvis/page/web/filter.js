/* Showing only some points: those whose number or date in a column lies between two ends, or those of one class of it. */

const MOST_CHOICES = 50; // classes of a column that are offered
const PARTS = 100; // of a scale, about
const PATIENT = 5000; // of so many points, a handle that is moved has to rest for a millisecond

/* A number without the noise of the arithmetic that made it. */
const tidy = (value) => Number(value.toPrecision(12));

/* Round ends of a scale and its step, of which there are 30 to 320; of dates, a step is what is told apart. */
function scaleOf({ low, high }, dateUnit) {
  if (dateUnit) return { first: low, last: high, step: dateUnit };
  const step = 10 ** Math.round(Math.log10((high - low || Math.abs(high) || 1) / PARTS));
  // Rounding may not leave the least and the largest number out.
  const first = Math.min(low, tidy(Math.floor(low / step) * step));
  const last = Math.max(high, tidy(Math.ceil(high / step) * step));
  return { first, last, step };
}

class Filter {
  constructor(page) {
    this.page = page;
    this.data = page.data;
    this.passed = null; // 1 for each point that is let through; null: all are
    this.build();
  }

  build() {
    const few = ({ values }) => values && values.filter(Boolean).length <= MOST_CHOICES;
    const options = this.data.columns
      .filter((column) => (column.isScale || few(column)) && !column.isBlank)
      .map((column) => element("option", { value: `${column.number}`, textContent: column.name }));
    const all = element("option", { value: "", textContent: "all points" });
    this.select = element("select", { id: "filter-by" }, all, ...options);
    this.select.addEventListener("change", () => this.by(this.data.columns[this.select.value]));
    this.off = button("×", "Show all points again (Esc)", () => {
      this.clear();
      this.select.focus(); // the button is gone
    });
    this.off.ariaLabel = "Show all points again";
    this.off.hidden = true;
    this.control = element("div");
    const label = element("label", { className: "color" }, "Show only ", this.select);
    const row = element("div", { className: "choice" }, label, this.off);
    this.place = element("div", { id: "filter", hidden: !options.length }, row, this.control);
  }

  /* Filter by a column; undefined: show all points. */
  by(column) {
    this.column = column;
    this.select.value = column ? `${column.number}` : "";
    this.off.hidden = !column;
    if (!column) this.control.replaceChildren();
    else this.control.replaceChildren(column.isScale ? this.scale() : this.choices());
    this.apply();
  }

  clear() {
    this.by(undefined);
  }

  apply() {
    clearTimeout(this.timer);
    this.passed = this.column ? this.mask() : null;
    this.page.legend.recount();
    this.page.repaint();
  }

  mask() {
    const { column, code, from, to } = this;
    const passed = new Uint8Array(this.data.count);
    if (column.isScale) {
      const { values } = column.measured(this.data.count);
      for (let i = 0; i < passed.length; i++) passed[i] = values[i] >= from && values[i] <= to; // a blank is neither
    } else {
      for (let i = 0; i < passed.length; i++) passed[i] = column.codes[i] === code;
    }
    return passed;
  }

  /* Those of some points that are let through. */
  of(points) {
    return this.passed ? points.filter((i) => this.passed[i]) : points;
  }

  /* How many points of each class are let through. */
  counts(column) {
    if (!this.passed) return column.values.map((_, k) => column.countOf(k));
    const counts = new Array(column.values.length).fill(0);
    for (let i = 0; i < this.passed.length; i++) counts[column.codes[i]] += this.passed[i];
    return counts;
  }

  /* What is shown, in words. */
  get told() {
    if (!this.column) return "";
    const { name, isScale, values, dateUnit } = this.column;
    if (!isScale) return `${shortened(name)} ${shortened(values[this.code] || BLANK)}`;
    const { blank } = this.column.measured(this.data.count);
    const without = blank ? ` (${blank.toLocaleString("en")} have none)` : "";
    const [from, to] = [this.from, this.to].map((end) => (dateUnit ? dateOf(end, dateUnit) : end));
    return `${shortened(name)} ${from} to ${to}${without}`;
  }

  /* The classes of the column, each with its number of points; blank is the last. */
  choices() {
    const { values } = this.column;
    const codes = values.map((_, k) => k).sort((a, b) => !values[a] - !values[b]);
    [this.code] = codes;
    const options = codes.map((k) => {
      const count = `${this.column.countOf(k).toLocaleString("en")}${this.data.isSample ? " of all rows" : ""}`;
      return element("option", { value: `${k}`, textContent: `${values[k] || BLANK} (${count})` });
    });
    const select = element("select", { id: "filter-value", ariaLabel: this.column.name }, ...options);
    select.addEventListener("change", () => {
      this.code = Number(select.value);
      this.apply();
    });
    return select;
  }

  /* Two ends of what is shown, each to be moved along a scale or typed; one takes the other along. */
  scale() {
    const { name, dateUnit } = this.column;
    const { first, last, step } = scaleOf(this.column.measured(this.data.count), dateUnit);
    const type = !dateUnit ? "number" : dateUnit === DAY ? "date" : "datetime-local";
    Object.assign(this, { from: first, to: last });
    this.typed = {};
    this.handles = {};
    for (const end of ["from", "to"]) {
      const ariaLabel = `${name} ${end}`;
      this.handles[end] = element("input", { type: "range", min: first, max: last, step, ariaLabel });
      this.typed[end] = element("input", { type, step: dateUnit ? "" : step, ariaLabel });
      this.listen(end, this.handles[end], this.typed[end]);
    }
    this.track = element("div", { className: "track" }, this.handles.from, this.handles.to);
    this.showEnds();
    const className = dateUnit ? "range dates" : "range";
    return element("div", { className }, this.typed.from, this.track, this.typed.to);
  }

  listen(end, handle, typed) {
    handle.addEventListener("input", () => {
      this.move(end, Number(handle.value));
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.apply(), this.data.count / PATIENT);
    });
    const take = () => {
      if (typed.valueAsNumber === this[end]) return;
      this.move(end, Number.isNaN(typed.valueAsNumber) ? this[end] : typed.valueAsNumber);
      this.apply();
    };
    let isHalf = false; // of a date that is typed, each key makes another whole date
    typed.addEventListener("keydown", ({ key }) => {
      isHalf = Boolean(this.column?.dateUnit) && key !== "Enter";
      if (key === "Escape")
        this.showEnds(); // as it was
      else if (key === "Enter") take();
    });
    typed.addEventListener("change", () => isHalf || take());
    typed.addEventListener("blur", () => {
      isHalf = false;
      take();
    });
  }

  move(end, value) {
    this[end] = value;
    if (end === "from") this.to = Math.max(this.to, value);
    else this.from = Math.min(this.from, value);
    this.showEnds();
  }

  showEnds() {
    for (const end of ["from", "to"]) {
      this.handles[end].value = this[end];
      this.typed[end].valueAsNumber = this[end];
      const { min, max, value } = this.handles[end];
      this.track.style.setProperty(`--${end}`, (value - min) / (max - min || 1));
    }
  }
}
