/* What the colours mean, and which classes are shown. */

const MOST_TIERS = 33; // of which the numbers of points double from one to the next
const MOST_LISTED = 1000;
const MOST_NAMES = 400; // on the map
const FEW_NAMES = 40; // classes up to which their names stand on the map unasked
const ENOUGH = 4000; // points of a class by which its islands are found
const MOST_IN_PICTURE = 30; // classes whose colours a saved picture tells
const RAMP = 160; // pixels, at least, of a scale in a saved picture
const FAINT_IN_THE_DARK = "#3c4046"; // points without a number
const LONGEST = 40; // letters of a name on the map
const LEAST_NAMED = 0.4; // part of the points of a class that lie in its islands, or a name would mislead
const PATIENCE = 220; // milliseconds in which a second click may follow

const PARENT = "ground_truth_L2_num_label";
const GOLDEN = (Math.sqrt(5) - 1) / 2;
const ALPHABET = new Intl.Collator("en", { numeric: true });

/* Whole numbers below a count in the order of the golden section: of rows that lie sorted by class, none covers all. */
function mixed(count) {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  let step = Math.round(count * GOLDEN) || 1;
  while (divisor(step, count) > 1) step++;
  const order = new Uint32Array(count);
  for (let k = 0; k < count; k++) order[k] = (k * step) % count;
  return order;
}

const shortened = (name) => (name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name);

class Legend {
  constructor(page) {
    this.page = page;
    this.data = page.data;
    this.place = document.getElementById("legend");
    this.hidden = new Uint8Array(0);
    this.bySize = true;
    this.build();
    this.colorBy(this.data.column(this.data.colorBy), false);
  }

  build() {
    const options = [];
    for (const column of this.data.columns) {
      if ((!column.values && !column.isScale) || column.isBlank) continue;
      options.push(element("option", { value: `${column.number}`, textContent: column.name }));
      if (column.families?.length) {
        options.push(
          element("option", { value: `${column.number} families`, textContent: `${column.name} by parent` }),
        );
      }
    }
    options.push(element("option", { value: "", textContent: "nothing" }));
    this.select = element("select", { id: "color-by" }, ...options);
    this.select.addEventListener("change", () => {
      const [number, families] = this.select.value.split(" ");
      this.colorBy(number === "" ? undefined : this.data.columns[Number(number)], Boolean(families));
      this.page.recolor();
    });
    this.search = element("input", {
      type: "search",
      id: "legend-find",
      placeholder: "Find a class",
      ariaLabel: "Find a class",
    });
    this.search.addEventListener("input", () => this.list());
    this.sorter = button("by size", "Sort by size or by name", () => {
      this.bySize = !this.bySize;
      this.list();
    });
    const all = button("all", "Show all classes that are listed", () => this.set(0));
    const none = button("none", "Hide all classes that are listed", () => this.set(1));
    this.controls = element("div", { className: "controls" }, this.search, this.sorter, all, none);
    this.items = element("ul", { id: "classes" });
    this.listen();
    const label = element("label", { className: "color" }, "Colour ", this.select);
    this.meaning = element("p", { className: "hint meaning" });
    this.settle = walk(this.items, ".class", { inRow: ".choose, .only" });
    this.place.replaceChildren(label, this.meaning, this.page.filter.place, this.controls, this.items);
  }

  listen() {
    const classOf = (event) => Number(event.target.closest("li")?.dataset.class ?? -1);
    this.items.addEventListener("click", (event) => {
      const k = classOf(event);
      if (k < 0) return;
      if (event.target.className === "only") this.isolate(k);
      else if (event.target.className === "choose") this.choose(k, event);
      else if (event.detail === 2) this.isolate(k, this.before);
      else if (event.detail < 2) this.toggle(k);
    });
    this.items.addEventListener("pointerover", (event) => {
      const k = classOf(event);
      if (k !== this.pointed) this.light(k);
    });
    this.items.addEventListener("pointerleave", () => this.light(-1));
  }

  /* Have a class stand out while it is pointed at; -1: none. */
  light(k) {
    this.pointed = k;
    this.page.light(k >= 0 ? this.membersOf(k) : null);
  }

  choose(k, event) {
    if (this.hidden[k]) this.page.say(`${this.column.values[k] || BLANK} is hidden: show it to select it`);
    else this.page.selection.choose(this.membersOf(k), event, { from: this.column.values[k] || BLANK });
  }

  /* The points of a class that are shown. */
  membersOf(k) {
    if (!this.column.values || this.hidden[k]) return [];
    return this.column.membersOf(k).filter((i) => this.page.map.visible[i]);
  }

  colorBy(column, families) {
    this.column = column;
    this.palette = families ? column.families : column?.colors;
    this.families = families;
    this.hidden = new Uint8Array(0);
    if (column?.values) this.hidden = column.hidden ??= new Uint8Array(column.values.length);
    this.pointed = -1;
    this.meaning.textContent = column?.meaning ? `${column.name}: ${column.meaning}` : "";
    this.select.value = column ? `${column.number}${families ? " families" : ""}` : "";
    this.search.value = "";
    this.recount();
  }

  /* Tell of each class how many of its points the filter lets through. */
  recount() {
    this.counts = this.column?.values ? this.page.filter.counts(this.column) : [];
    this.list();
  }

  /* The colour of each point. */
  colors() {
    const { count, plain } = this.data;
    if (this.column?.values) return Array.from(this.column.codes, (code) => this.palette[code]);
    if (!this.column) return new Array(count).fill(plain);
    const { low, high } = this.column.range;
    const [ramp, faint] = [this.ramp, this.faint];
    const share = (value) => clamp((value - low) / (high - low), 0, 1);
    return Array.from(this.column.measured(count).values, (value) =>
      Number.isNaN(value) ? faint : ramp[Math.round(share(value) * (ramp.length - 1))],
    );
  }

  /* The colours of numbers, from low to high: those that matter are far from the paper's. */
  get ramp() {
    const { kind } = this.column.range;
    if (kind === "diverging") return this.data.diverging;
    return (kind === "high") === isDark() ? this.data.ramp : this.data.ramp.toReversed();
  }

  get faint() {
    return isDark() ? FAINT_IN_THE_DARK : this.data.faint;
  }

  /* Whether its classes are so few that their names fit on the map. */
  get hasFew() {
    return this.column?.values?.length <= FEW_NAMES;
  }

  /* Whether there may be colours that are hard to see, on light or on dark; so points get an outline. */
  get isPale() {
    return this.families || this.column?.values?.length > this.data.clear;
  }

  /* The points that are shown, in the order of drawing: rarer classes over classes at least twice as common. */
  order() {
    this.mixed ??= mixed(this.data.count);
    if (!this.column?.values) return this.elsewhere(this.blanksFirst());
    const tiers = Uint8Array.from(this.hidden, (hidden, k) =>
      hidden ? 0 : 1 + Math.log2(this.column.countHere(k) || 1),
    );
    const turns = new Uint8Array(this.mixed.length);
    for (let k = 0; k < turns.length; k++) turns[k] = MOST_TIERS - tiers[this.column.codes[this.mixed[k]]]; // hidden: last
    const { starts, members } = grouped(turns, MOST_TIERS + 1);
    return this.elsewhere(members.subarray(0, starts[MOST_TIERS]).map((place) => this.mixed[place]));
  }

  /* Points without a number lie below the others. */
  blanksFirst() {
    if (!this.column) return this.mixed;
    const { values, blank } = this.column.measured(this.data.count);
    if (!blank) return this.mixed;
    if (!this.column.order) {
      this.column.order = new Uint32Array(this.mixed.length);
      let [below, above] = [0, blank];
      for (const i of this.mixed) this.column.order[Number.isNaN(values[i]) ? below++ : above++] = i;
    }
    return this.column.order;
  }

  /* The columns of which classes are hidden, but for the one that gives the colours. */
  get others() {
    return this.data.columns.filter((column) => column !== this.column && column.hidden?.includes(1));
  }

  /* What is left of some points without those of classes that were hidden in another column. */
  elsewhere(points) {
    return this.others.reduce((left, column) => left.filter((i) => !column.hidden[column.codes[i]]), points);
  }

  /* Say which classes of other columns are hidden, each with a button that shows them again. */
  hints() {
    return this.others.map((column) => {
      const count = column.hidden.reduce((sum, hidden) => sum + hidden, 0);
      const show = button("show", `Show all classes of ${column.name}`, () => {
        column.hidden.fill(0);
        this.list();
        this.page.repaint();
      });
      const told = `${count.toLocaleString("en")} of ${column.name} hidden`;
      return element("li", { className: "hint" }, told, " ", show);
    });
  }

  list() {
    const { column } = this;
    this.controls.hidden = !column?.values;
    this.items.classList.toggle("outlined", this.isPale);
    if (!column?.values) {
      const rows = [...this.hints(), ...(column ? this.bar() : [])];
      this.items.replaceChildren(...rows);
      this.items.hidden = !rows.length;
      return;
    }
    this.items.hidden = false;
    this.sorter.textContent = this.bySize ? "by size" : "by name";
    const byName = (a, b) => ALPHABET.compare(column.values[a], column.values[b]) || a - b;
    const bySize = (a, b) => this.counts[b] - this.counts[a] || a - b;
    const classes = this.listed().sort(this.bySize ? bySize : byName);
    const items = this.families ? this.byParent(classes) : classes.slice(0, MOST_LISTED).map((k) => this.item(k));
    const more = classes.length - MOST_LISTED;
    if (more > 0) items.push(element("li", { className: "hint", textContent: `${more} more: find them by name` }));
    if (!classes.length) items.push(element("li", { className: "hint", textContent: "no such class" }));
    this.items.replaceChildren(...this.hints(), ...this.sampled(!this.page.filter.passed), ...items);
    this.settle();
  }

  /* The classes in whose names is what was typed. */
  listed() {
    const query = folded(this.search.value.trim());
    const { values } = this.column;
    return values.map((_, k) => k).filter((k) => folded(values[k] || BLANK).includes(query));
  }

  /* Say of a page that shows a sample what is counted. */
  sampled(isOfAll) {
    if (!this.data.isSample) return [];
    const [here, all] = [this.data.count, this.data.total].map((count) => count.toLocaleString("en"));
    const counts = `these counts are of ${isOfAll ? "all rows" : "the sample"}`;
    return [
      element("li", { className: "hint", textContent: `The map shows a sample, ${here} of ${all} rows; ${counts}.` }),
    ];
  }

  /* The classes of each parent below its name. */
  byParent(classes) {
    const parent = this.data.column(PARENT);
    const families = new Map();
    for (const k of classes.slice(0, MOST_LISTED)) {
      const [first] = this.column.membersOf(k);
      const name = first === undefined ? "that is not in the sample" : parent.text(first);
      families.set(name, [...(families.get(name) ?? []), this.item(k)]);
    }
    return [...families]
      .sort(([one], [other]) => ALPHABET.compare(one, other))
      .flatMap(([name, items]) => [element("li", { className: "hint", textContent: `${PARENT} ${name}` }), ...items]);
  }

  item(k) {
    const name = this.column.values[k] || BLANK;
    const entry = element(
      "button",
      { type: "button", className: "class", title: `${name}: click shows or hides it, a double click shows it alone` },
      swatch(this.palette[k]),
      element("span", { className: "name", textContent: name }),
      element("span", { className: "count", textContent: this.counts[k].toLocaleString("en") }),
    );
    entry.ariaPressed = String(!this.hidden[k]);
    const more = (className, textContent, title) =>
      element("button", { type: "button", className, textContent, title });
    const choose = more("choose", "select", `Select ${name}: Shift adds it to the selection`);
    return element("li", { dataset: { class: k } }, entry, choose, more("only", "only", `Show ${name} alone`));
  }

  /* The scale of a column of numbers. */
  bar() {
    const { blank } = this.column.measured(this.data.count);
    const ramp = element("div", { className: "ramp" });
    ramp.style.background = `linear-gradient(to right, ${this.ramp.join(", ")})`;
    const ends = this.ends.map((textContent) => element("span", { textContent }));
    const rows = [element("li", {}, ramp, element("div", { className: "ends" }, ...ends))];
    if (blank) rows.push(element("li", {}, swatch(this.faint), ` ${BLANK} ${blank.toLocaleString("en")}`));
    return [...this.sampled(false), ...rows];
  }

  /* What stands at the ends of the scale of a column. */
  get ends() {
    const { low, high } = this.column.measured(this.data.count);
    const { range: scale } = this.column;
    return [
      `${low < scale.low ? "≤ " : ""}${this.column.written(scale.low)}`,
      `${high > scale.high ? "≥ " : ""}${this.column.written(scale.high)}`,
    ];
  }

  toggle(k) {
    this.before = this.hidden.slice();
    this.hidden[k] = 1 - this.hidden[k];
    this.changed(PATIENCE);
  }

  /* Show one class alone; if it is alone already, show all. */
  isolate(k, before = this.hidden) {
    const alone = before.every((hidden, other) => Boolean(hidden) !== (other === k));
    this.hidden.fill(alone ? 0 : 1);
    this.hidden[k] = 0;
    this.changed(0);
  }

  /* Show or hide all classes that the search has left. */
  set(hidden) {
    for (const k of this.listed()) this.hidden[k] = hidden;
    this.changed(0);
  }

  changed(patience) {
    for (const item of this.items.querySelectorAll("li[data-class]")) {
      item.firstChild.ariaPressed = String(!this.hidden[Number(item.dataset.class)]);
    }
    this.light(this.pointed);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.page.repaint(), patience);
  }

  /* The classes that are shown, the largest first. */
  get largest() {
    const classes = this.column?.values?.map((_, k) => k).filter((k) => !this.hidden[k] && this.counts[k]) ?? [];
    return classes.sort((a, b) => this.counts[b] - this.counts[a]);
  }

  /* The islands of each class that is shown, the largest first. */
  names() {
    const { extent } = this.page.map;
    return this.largest
      .slice(0, MOST_NAMES)
      .flatMap((k) => {
        const text = shortened(this.column.values[k] || BLANK);
        const points = this.elsewhere(this.page.filter.of(this.column.membersOf(k)));
        if (!points.length) return [];
        const step = Math.ceil(points.length / ENOUGH);
        const some = points.filter((_, place) => place % step === 0);
        const islands = islandsOf(some, this.data, extent);
        const named = islands.reduce((sum, island) => sum + island.length, 0);
        if (named < LEAST_NAMED * some.length) return [];
        return islands.map((island) => ({ text, count: island.length * step, points: someOf(island, this.data) }));
      })
      .sort((one, other) => other.count - one.count);
  }

  /* Draw the meaning of the colours into the upper right corner of a picture: the largest classes, or the scale. */
  draw(context, right, ink) {
    Object.assign(context, { font: "12px system-ui, sans-serif", textAlign: "right", textBaseline: "middle" });
    if (this.column?.isScale) this.drawScale(context, right, ink);
    for (const [row, k] of this.largest.slice(0, MOST_IN_PICTURE).entries()) {
      const middle = 12 + 16 * row;
      context.fillStyle = ink;
      context.fillText(shortened(this.column.values[k] || BLANK), right - 22, middle);
      context.fillStyle = this.palette[k];
      context.beginPath();
      context.arc(right - 12, middle, 4.5, 0, 7);
      context.fill();
    }
  }

  drawScale(context, right, ink) {
    const [low, high] = this.ends;
    const width = Math.max(RAMP, context.measureText(`${low}    ${high}`).width);
    const left = right - width - 12;
    const ramp = context.createLinearGradient(left, 0, right - 12, 0);
    for (const [k, color] of this.ramp.entries()) ramp.addColorStop(k / (this.ramp.length - 1), color);
    context.fillStyle = ramp;
    context.fillRect(left, 20, width, 10);
    context.fillStyle = ink;
    context.fillText(shortened(this.column.name), right - 12, 10);
    context.fillText(high, right - 12, 40);
    context.textAlign = "left";
    context.fillText(low, left, 40);
  }
}
