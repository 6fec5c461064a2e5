/* Finding points by what their fields hold: any field, or one of those that hold it. */

const LAST = 255; // rank of the fields that come last
const PAUSE = 150; // milliseconds without typing after which a search starts

/* Text as it is compared: accents written in one way, in small letters, of which Greek has two for one. */
const folded = (text) => text.normalize("NFC").toLowerCase().replaceAll("ς", "σ");

/* The points of the classes in whose names is what is sought. */
function inClasses(column, query) {
  const right = column.values.map((value) => folded(value).includes(query));
  const points = [];
  if (right.includes(true)) for (let i = 0; i < column.codes.length; i++) if (right[column.codes[i]]) points.push(i);
  return points;
}

class Find {
  constructor(page) {
    this.page = page;
    this.data = page.data;
    this.input = document.getElementById("find-text");
    this.count = document.getElementById("find-count");
    this.all = []; // hits, whether they are shown or not
    this.hits = [];
    this.at = -1;
    this.where = document.getElementById("find-in");
    this.where.addEventListener("change", () => this.search());
    const form = document.getElementById("find");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.step(1);
    });
    document.getElementById("find-back").addEventListener("click", () => this.step(-1));
    this.select = document.getElementById("find-select");
    this.select.addEventListener("click", (event) => {
      this.hurry();
      page.selection.choose(this.hits, event, { from: `hits of "${shortened(this.input.value.trim())}"` });
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.shiftKey || event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      if (event.shiftKey) this.step(-1);
      else {
        if (this.at < 0) this.step(1);
        if (this.at >= 0) page.pin(this.hits[this.at]);
      }
    });
    if (this.data.isSample) this.input.title = "Only the sample of rows that is on this page is searched";
    this.input.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.search(), PAUSE);
    });
  }

  search() {
    clearTimeout(this.timer);
    const query = folded(this.input.value.trim());
    this.asked = this.input.value;
    this.all = query ? this.found(query) : [];
    if (!query) this.tellFields([]);
    if (!query) this.before = undefined;
    if (this.at >= 0) this.page.point(-1);
    this.at = -1;
    this.sift();
  }

  /* Keep to the hits that are shown now, and to the one that was gone to. */
  sift() {
    const here = this.hits[this.at];
    this.hits = this.page.map.shown(this.all);
    this.at = this.hits.indexOf(here);
    this.tell();
    this.page.showHits(this.hits);
  }

  /* The points that hold what is sought: first those of which the first field holds it, often the name of the file. */
  found(query) {
    const ranks = new Uint8Array(this.data.count);
    const fields = this.data.columns
      .map((column) => ({ column, points: column.values ? inClasses(column, query) : this.inTexts(column, query) }))
      .filter(({ points }) => points.length);
    this.tellFields(fields);
    const chosen = this.where.value;
    for (const { column, points } of fields) {
      if (chosen && chosen !== `${column.number}`) continue;
      for (const i of points) ranks[i] ||= Math.min(column.number + 2, LAST);
    }
    const row = /^(?:row[ :=]*|#)(\d+)$/.exec(query);
    const point = row ? this.data.pointOf(Number(row[1])) : -1;
    if (point >= 0) ranks[point] = 1;
    const { starts, members } = grouped(ranks, LAST + 1);
    return Array.from(members.subarray(starts[1]));
  }

  /* Offer to keep to one of several fields that hold what is sought. */
  tellFields(fields) {
    const { value } = this.where;
    const options = fields.map(({ column, points }) =>
      element("option", {
        value: `${column.number}`,
        textContent: `${column.name} (${points.length.toLocaleString("en")})`,
      }),
    );
    this.where.replaceChildren(element("option", { value: "", textContent: "in any field" }), ...options);
    this.where.value = value;
    if (this.where.selectedIndex < 0) this.where.value = "";
    this.where.hidden = fields.length < 2;
  }

  /* Search all values of a column as one text; a match that goes over an end is none. */
  inTexts(column, query) {
    const points = [];
    column.lower ??= folded(column.whole);
    if (column.lower.length !== column.whole.length) {
      // a few letters get longer as they get small
      for (let i = 0; i < this.data.count; i++) if (folded(column.text(i)).includes(query)) points.push(i);
      return points;
    }
    let i = 0;
    for (let at = column.lower.indexOf(query); at >= 0; at = column.lower.indexOf(query, at)) {
      while (column.ends[i + 1] <= at) i++;
      const whole = at + query.length <= column.ends[i + 1];
      if (whole) points.push(i);
      at = whole ? column.ends[i + 1] : at + 1;
    }
    return points;
  }

  /* Search at once, whatever was typed last. */
  hurry() {
    if (this.asked !== this.input.value) this.search();
  }

  step(by) {
    this.hurry();
    if (!this.hits.length) return;
    this.at = (this.at + by + this.hits.length + (this.at < 0 && by < 0 ? 1 : 0)) % this.hits.length;
    this.tell();
    this.before ??= this.page.map.wanted;
    this.page.visit(this.hits[this.at]);
  }

  /* Seek nothing, and show again what was seen before. */
  clear() {
    const { before } = this;
    this.input.value = "";
    this.search();
    if (before) this.page.map.show(...before);
  }

  tell() {
    this.select.style.visibility = this.hits.length ? "visible" : "hidden"; // what is beside it stays in its place
    const total = this.hits.length.toLocaleString("en");
    const more = this.all.length - this.hits.length;
    const hidden = more ? `, ${more.toLocaleString("en")} hidden` : "";
    if (!this.input.value.trim()) this.count.textContent = "";
    else if (this.at >= 0) this.count.textContent = `${(this.at + 1).toLocaleString("en")} of ${total}${hidden}`;
    else {
      const sample = this.data.isSample ? " in the sample" : "";
      this.count.textContent = `${this.hits.length === 1 ? "1 hit" : `${total} hits`}${hidden}${sample}`;
    }
  }
}
