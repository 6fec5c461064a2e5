/* Which classes are taken for which: by models, in their predictions, and by the neighbours of suspects. */

const PREDICTED = "predicted ";
const MOST_PAIRS = 100;

class Confusion {
  constructor(page) {
    this.page = page;
    this.data = page.data;
    const { label, suggested } = page.review;
    const isSource = ({ name, values }) => values && name.startsWith(PREDICTED);
    this.label = label?.values ? label : undefined;
    this.sources = [...this.data.columns.filter(isSource), ...(suggested?.values ? [suggested] : [])];
    this.both = false;
    this.button = document.querySelector("[data-do=confused]");
    this.button.hidden = !(this.label && this.sources.length);
    this.place = element("section", { id: "confused", hidden: true, ariaLabel: "Most confused" });
    this.page.legend.place.before(this.place);
    if (!this.button.hidden) this.build();
  }

  build() {
    const options = this.sources.map((column, k) => element("option", { value: `${k}`, textContent: column.name }));
    this.select = element("select", { id: "confused-by" }, ...options);
    this.select.addEventListener("change", () => this.list());
    const both = element("input", { type: "checkbox" });
    both.addEventListener("change", () => {
      this.both = both.checked;
      this.list();
    });
    const close = button("×", "Show the classes again", () => this.toggle());
    close.ariaLabel = "Show the classes again";
    const label = element("label", { className: "color" }, "Taken for", this.select);
    const together = element("label", {}, both, " both directions together");
    this.items = element("ul", { className: "pairs" });
    this.settle = walk(this.items, "button");
    this.place.append(element("div", { className: "choice" }, label, close), together, this.items);
  }

  toggle() {
    this.place.hidden = !this.place.hidden;
    this.page.legend.place.hidden = !this.place.hidden;
    this.button.ariaPressed = String(!this.place.hidden);
    if (this.place.hidden) return;
    this.list();
    this.place.scrollIntoView({ block: "nearest" });
  }

  /* Points that are shown, whose label is one class and whose source says another, by both, the most frequent first. */
  pairs(source) {
    const pairs = new Map();
    for (let i = 0; i < this.data.count; i++) {
      if (!this.page.map.visible[i]) continue;
      const [is, said] = [this.label.text(i), source.text(i)];
      if (!is || !said || is === said || (source === this.page.review.suggested && !this.page.review.isSuspect(i)))
        continue;
      const swap = this.both && said < is;
      const key = JSON.stringify(swap ? [said, is] : [is, said]);
      if (pairs.has(key)) pairs.get(key).push(i);
      else pairs.set(key, [i]);
    }
    return [...pairs].sort((one, other) => other[1].length - one[1].length);
  }

  /* Count anew if it is seen: what is shown may have changed. */
  list() {
    if (this.place.hidden) return;
    const pairs = this.pairs(this.sources[Number(this.select.value)]);
    const items = pairs.slice(0, MOST_PAIRS).map(([key, points]) => this.item(JSON.parse(key), points));
    if (pairs.length > MOST_PAIRS)
      items.push(element("li", { className: "hint", textContent: `${pairs.length - MOST_PAIRS} rarer pairs` }));
    if (!pairs.length) items.push(element("li", { className: "hint", textContent: "nothing is confused" }));
    const [shown, here] = [this.page.map.drawn, this.data.count];
    const part = shown < here ? `${shown.toLocaleString("en")} points that are shown` : "sample";
    if (shown < here || this.data.isSample)
      items.unshift(element("li", { className: "hint", textContent: `Counted in the ${part}.` }));
    this.items.replaceChildren(...items);
    this.settle();
  }

  item([is, said], points) {
    const told = `${is} ${this.both ? "↔" : "→"} ${said}`;
    const pair = button("", `Select the images: ${told}. Shift adds them to the selection`, (event) => {
      const by = this.sources[Number(this.select.value)].name;
      this.page.selection.choose(points, event, { from: `${told}, by ${by}` });
    });
    const count = points.length.toLocaleString("en");
    pair.append(
      element("span", { className: "name", textContent: told }),
      element("span", { className: "count", textContent: count }),
    );
    pair.addEventListener("pointerenter", () => this.page.light(points));
    pair.addEventListener("pointerleave", () => this.page.light(null));
    return element("li", {}, pair);
  }
}
