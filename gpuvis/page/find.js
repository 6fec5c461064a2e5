/* Finding points by what their fields hold. */

const PAUSE = 150; // milliseconds without typing after which a search starts

class Find {
  constructor(page) {
    this.page = page;
    this.data = page.data;
    this.input = document.getElementById("find-text");
    this.count = document.getElementById("find-count");
    this.hits = [];
    this.at = -1;
    const form = document.getElementById("find");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.step(1);
    });
    document.getElementById("find-back").addEventListener("click", () => this.step(-1));
    this.select = document.getElementById("find-select");
    this.select.addEventListener("click", (event) => page.selection.choose(this.hits, event));
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.shiftKey || event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      if (event.shiftKey) this.step(-1);
      else if (this.at >= 0) page.pin(this.hits[this.at]);
    });
    this.input.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.search(), PAUSE);
    });
  }

  search() {
    clearTimeout(this.timer);
    this.timer = undefined;
    const query = this.input.value.trim().toLowerCase();
    this.asked = this.input.value;
    const found = query ? this.found(query) : [];
    this.hits = found.filter((i) => this.page.map.visible[i]);
    this.hidden = found.length - this.hits.length;
    if (this.at >= 0) this.page.point(-1);
    this.at = -1;
    this.tell();
    this.page.showHits(this.hits);
  }

  found(query) {
    const matches = new Uint8Array(this.data.count);
    for (const column of this.data.columns) {
      if (column.values) {
        const right = column.values.map((value) => value.toLowerCase().includes(query));
        if (right.includes(true)) column.codes.forEach((code, i) => right[code] && (matches[i] = 1));
      } else this.inTexts(column, query, matches);
    }
    const row = /^(?:row[ :=]*|#)(\d+)$/.exec(query);
    const point = row ? this.data.pointOf(Number(row[1])) : -1;
    if (point >= 0) matches[point] = 1;
    const hits = [];
    for (let i = 0; i < matches.length; i++) if (matches[i]) hits.push(i);
    return hits;
  }

  /* Search all values of a column as one text; a match that goes over an end is none. */
  inTexts(column, query, matches) {
    column.lower ??= column.whole.toLowerCase();
    if (column.lower.length !== column.whole.length) {
      // a few letters get longer as they get small
      for (let i = 0; i < this.data.count; i++) if (column.text(i).toLowerCase().includes(query)) matches[i] = 1;
      return;
    }
    let i = 0;
    for (let at = column.lower.indexOf(query); at >= 0; at = column.lower.indexOf(query, at)) {
      while (column.ends[i + 1] <= at) i++;
      const whole = at + query.length <= column.ends[i + 1];
      if (whole) matches[i] = 1;
      at = whole ? column.ends[i + 1] : at + 1;
    }
  }

  step(by) {
    if (this.timer || this.asked !== this.input.value) this.search();
    if (!this.hits.length) return;
    this.at = (this.at + by + this.hits.length + (this.at < 0 && by < 0 ? 1 : 0)) % this.hits.length;
    this.tell();
    this.before ??= this.page.map.view;
    this.page.visit(this.hits[this.at]);
  }

  /* Seek nothing, and show again what was seen before. */
  clear() {
    this.input.value = "";
    this.search();
    this.page.point(-1);
    if (this.before) this.page.map.show(...this.before);
    this.before = undefined;
  }

  tell() {
    this.select.style.visibility = this.hits.length ? "visible" : "hidden"; // what is beside it stays in its place
    const total = this.hits.length.toLocaleString("en");
    if (!this.input.value.trim()) this.count.textContent = "";
    else if (this.at >= 0) this.count.textContent = `${(this.at + 1).toLocaleString("en")} of ${total}`;
    else {
      const hidden = this.hidden ? `, ${this.hidden.toLocaleString("en")} hidden` : "";
      this.count.textContent = `${this.hits.length === 1 ? "1 hit" : `${total} hits`}${hidden}`;
    }
  }
}
