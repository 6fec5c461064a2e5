/* Selecting points with a lasso or a box; what is selected as a list, and as CSV. */

const LISTED = 120; // points that are shown at a time
const MOST_SHARES = 40; // classes whose share is told
const LEAST = 4; // pixels that a lasso goes before it notes another corner

function isInside(corners, x, y) {
  let inside = false;
  for (let k = 0, last = corners.length - 1; k < corners.length; last = k++) {
    const [ax, ay] = corners[k];
    const [bx, by] = corners[last];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

/* A field of CSV. A spreadsheet would run what begins like a formula; numbers are what they are. */
function csvField(value) {
  const text = String(value);
  const isNumber = /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text);
  const safe = isNumber ? text : text.replace(FORMULA, "$1'$2");
  return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// How a formula begins, in a field or after what some spreadsheets take for the end of one.
const FORMULA = /(^|[;\t\r\n])([\s]*[=+\-@＝＋－＠])/g;

class Selection {
  constructor(page, canvas) {
    this.page = page;
    this.data = page.data;
    this.canvas = canvas;
    this.points = new Set();
    this.rising = new Uint32Array(); // the same, by their rows
    this.mode = "pan";
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.extend(event));
    canvas.addEventListener("pointerup", (event) => this.end(event));
    canvas.addEventListener("pointercancel", () => this.drop());
  }

  setMode(mode) {
    this.mode = mode;
    this.canvas.classList.toggle("drawing", mode !== "pan");
  }

  begin(event) {
    if (event.button !== 0 || this.corners) return; // a second finger
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.corners = [[event.offsetX, event.offsetY]];
  }

  extend(event) {
    if (!this.corners || event.pointerId !== this.pointer) return;
    const here = [event.offsetX, event.offsetY];
    const [start, last] = [this.corners[0], this.corners.at(-1)];
    const far = Math.hypot(here[0] - start[0], here[1] - start[1]) >= LEAST;
    if (this.mode === "box") this.corners = far ? [start, [here[0], start[1]], here, [start[0], here[1]]] : [start];
    else if (Math.hypot(here[0] - last[0], here[1] - last[1]) >= LEAST) this.corners.push(here);
    this.page.overlay.drawing = this.corners;
    this.page.overlay.draw();
  }

  end(event) {
    if (event.pointerId !== this.pointer) return;
    const corners = this.corners;
    this.drop();
    if (!corners) return;
    if (corners.length < 3) {
      const i = this.page.map.pointAt(event.offsetX, event.offsetY);
      if (i >= 0) this.page.pin(i);
      return;
    }
    const outline = corners.map(([left, top]) => this.page.map.placeOf(left, top));
    const { shiftKey, altKey } = event;
    this.choose(this.inside(outline), { shiftKey, altKey }, { outline });
  }

  /* Select points; Shift adds them to those that are selected already, Alt takes them away. */
  choose(points, { shiftKey, altKey, detail }, { outline, from = "" } = {}) {
    const { overlay } = this.page;
    const keep = shiftKey || altKey;
    const chosen = new Set(keep ? this.points : []);
    for (const i of points) {
      if (altKey) chosen.delete(i);
      else chosen.add(i);
    }
    if (!chosen.size && !altKey) {
      this.page.say("no points there: the selection stays");
      overlay.draw();
      return;
    }
    overlay.outlines = [...(keep ? overlay.outlines : []), ...(outline ? [outline] : [])];
    this.from = keep ? "" : from;
    this.set(chosen);
    if (detail === 0) this.page.tray.querySelector("#selection .small")?.focus(); // by key: go on from there
  }

  drop() {
    this.corners = null;
    this.page.overlay.drawing = null;
    this.page.overlay.draw();
  }

  *inside(outline) {
    const [across, up] = [endsOf(outline.map(([x]) => x)), endsOf(outline.map(([, y]) => y))];
    for (const i of this.page.map.within(across, up)) if (isInside(outline, this.data.x[i], this.data.y[i])) yield i;
  }

  set(points) {
    this.points = points instanceof Set ? points : new Set(points);
    this.rising = Uint32Array.from(this.points).sort();
    if (!this.points.size) this.page.overlay.outlines = [];
    this.page.light(null);
    this.page.showSelection();
    if (this.points.size) this.page.say(`${this.counted} selected`, true);
  }

  get counted() {
    return this.points.size === 1 ? "1 point" : `${this.points.size.toLocaleString("en")} points`;
  }

  /* What the tray shows of it. */
  view() {
    this.title = element("strong");
    const bar = element("div", { className: "buttons" });
    this.sight = button("", "Zoom out until all that is selected is in sight", () => this.page.map.reveal(this.shown));
    this.sight.id = "out-of-sight";
    bar.append(
      this.title,
      this.sight,
      button("Save CSV", "Save their rows, fields and coordinates", () => this.save()),
      button("Copy file names", "Copy the file names, a line each", () => this.copyNames()),
      button("Clear", "Select nothing", () => this.set([])),
    );
    const strip = element("div", { className: "strip" });
    this.settle = walk(strip, ".small");
    const classes = this.classes();
    this.list(strip, this.inOrder(classes));
    this.tell();
    return element("section", { id: "selection", ariaLabel: "Selection" }, bar, this.shares(classes, strip), strip);
  }

  /* Say how many points are selected, of what, and how many of them are to be seen. */
  tell() {
    if (!this.points.size || !this.title) return;
    const hidden = this.rising.length - this.shown.length;
    const seen = hidden ? `, ${hidden.toLocaleString("en")} of them hidden` : "";
    const isPart = !this.page.map.webgl && this.data.count > FEW_POINTS;
    const among = this.data.isSample ? " of the sample on this page" : isPart ? " of those that are drawn" : "";
    const from = this.from ? `: ${this.from}` : "";
    this.title.textContent = `${this.counted}${among} selected${from}${seen}`;
    this.tellSight();
  }

  /* The selected points that are drawn. */
  get shown() {
    return this.page.map.shown(this.rising);
  }

  /* Say how many of them lie outside what is seen. */
  tellSight() {
    if (!this.sight) return;
    const count = this.page.map.outOfSight(this.rising).length;
    this.sight.hidden = !count;
    this.sight.textContent = `${count.toLocaleString("en")} out of sight: show`;
  }

  /* Fill a strip with the images of points, and a button for more. */
  list(strip, points) {
    const more = element("button", { type: "button" });
    let listed = 0;
    const fill = () => {
      const next = points.slice(listed, listed + LISTED);
      listed += next.length;
      for (const i of next) strip.insertBefore(this.page.panel.small(i), more);
      more.textContent = `${(points.length - listed).toLocaleString("en")} more`;
      more.hidden = listed >= points.length;
    };
    more.addEventListener("click", fill);
    strip.replaceChildren(more);
    fill();
    this.settle();
  }

  /* The selected points of each class, the largest class first. */
  classes() {
    const { column } = this.page.legend;
    if (!column?.values) return [];
    const points = new Map();
    for (const i of this.rising) {
      const k = column.codes[i];
      if (points.has(k)) points.get(k).push(i);
      else points.set(k, [i]);
    }
    return [...points].sort((a, b) => b[1].length - a[1].length);
  }

  /* All that is selected: the worst come first, or else those that are unlike the others. */
  inOrder(classes) {
    const { review } = this.page;
    const points = classes.length ? classes.toReversed().flatMap(([, points]) => points) : this.rising;
    return review.doubt ? review.worstFirst(points) : points;
  }

  /* How many of each class are selected: pointed at they stand out, pressed they are listed alone. */
  shares(classes, strip) {
    const { column, palette } = this.page.legend;
    const list = element("div", { className: "shares" });
    if (classes.length && column !== this.page.review.label) list.append(`by ${column.name}:`);
    for (const [k, points] of classes.slice(0, MOST_SHARES)) {
      const name = column.values[k] || BLANK;
      const share = button("", `List ${name} alone`, () => {
        const alone = share.ariaPressed !== "true";
        for (const other of list.querySelectorAll("button")) other.ariaPressed = String(alone && other === share);
        this.list(strip, this.inOrder(alone ? [[k, points]] : classes));
      });
      share.ariaPressed = "false";
      share.append(swatch(palette[k]), `${name} ${points.length.toLocaleString("en")}`);
      share.addEventListener("pointerenter", () => this.page.light(this.page.map.shown(points)));
      share.addEventListener("pointerleave", () => this.page.light(null));
      list.append(share);
    }
    if (classes.length > MOST_SHARES) list.append(`${classes.length - MOST_SHARES} more classes`);
    return list;
  }

  csv() {
    const columns = this.data.columns;
    const own = (name) => (this.data.column(name) ? `map ${name}` : name); // beside a column of the same name
    const lines = [[own("row"), ...columns.map((column) => column.name), own("x"), own("y")]];
    for (const i of this.rising) {
      const place = [this.data.x[i], this.data.y[i]].map((value) => Number(value.toPrecision(9)));
      lines.push([this.data.rowOf(i), ...columns.map((column) => column.text(i)), ...place]);
    }
    return lines.map((line) => `${line.map(csvField).join(",")}\r\n`).join("");
  }

  save() {
    const text = this.csv();
    saveFile(this.page, new Blob(["\ufeff", text], { type: "text/csv" }), "selection.csv", text);
  }

  copyNames() {
    const named = [...this.rising].map((i) => this.data.fileOf(i)).filter(Boolean);
    const what = named.length ? named : [...this.rising].map((i) => String(this.data.rowOf(i)));
    copyText(
      this.page,
      what.join("\n"),
      `${what.length.toLocaleString("en")} ${named.length ? "file names" : "row numbers (there are no file names)"}`,
    );
  }
}
