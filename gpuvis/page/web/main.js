/* Start the page, and pass events between its parts. */

const MOST_PINS = 12;
const MEANING = [
  "recall: how many of the nearest neighbours in the original space are among the nearest here",
  "trustworthiness: the same, weighed by how far off the others are; 1 is best",
  "triplets: how often the nearer one of two points is the nearer one here too",
  "labels: how often most of the neighbours have the label of a point, here and in the original space",
  "In brackets: a plain PCA map of the same data",
].join("\n");

class Page {
  constructor(data) {
    this.data = data;
    this.status = document.getElementById("status");
    this.tray = document.getElementById("tray");
    this.pins = [];
    const [what, quality, ...warnings] = data.caption.split("\n");
    this.caption = what;
    document.getElementById("caption").textContent =
      `${what}. Near points are alike; distances between far groups mean little.`;
    Object.assign(document.getElementById("quality"), { textContent: quality ?? "", title: MEANING });
    document.getElementById("warnings").append(...warnings.map((warning) => element("li", { textContent: warning })));
    this.title();
    const canvas = document.getElementById("overlay");
    this.map = new PointMap(data, document.getElementById("plot"));
    this.overlay = new Overlay(data, this.map, canvas);
    this.filter = new Filter(this);
    this.legend = new Legend(this);
    this.colors = this.legend.colors();
    this.review = new Review(this);
    this.panel = new Panel(this);
    this.find = new Find(this);
    this.selection = new Selection(this, canvas);
    this.marker = this.map.usual();
  }

  /* The folder that the page lies in names the model, the data and the split. */
  title() {
    const folders = readable(location.pathname, decodeURIComponent).split("/").slice(1, -1).slice(-3);
    if (!folders.length) return;
    document.getElementById("where").textContent = folders.join(" / ");
    document.title = `${folders.join("/")} – ${this.caption}`;
  }

  async start() {
    this.map.onView = () => this.overlay.draw();
    await this.repaint();
    listenToMap(this);
    listenToTools(this);
    listenToKeys(this);
    window.addEventListener("hashchange", () => this.follow());
    this.follow();
  }

  /* Go to the point that the address names. */
  follow() {
    const row = /^#row=(.*)$/.exec(location.hash);
    if (!row) return;
    const i = /^\d+$/.test(row[1]) ? this.data.pointOf(Number(row[1])) : -1;
    if (i < 0) {
      this.say(`row ${row[1]} is not on this page`);
      return;
    }
    const near = this.map.isWhole;
    this.pin(i).then(() => this.map.center(i, near));
  }

  /* Draw the points that legend and filter show. */
  async repaint() {
    Object.assign(this.overlay, {
      colors: this.colors,
      size: this.marker.size,
      names: this.named ? this.legend.names() : [],
    });
    await this.map.paint(this.filter.of(this.legend.order()), this.colors, this.marker);
    this.review.tell();
    this.find.sift();
    if (this.selection.points.size) this.showSelection();
    if (this.overlay.hovered >= 0 && !this.map.visible[this.overlay.hovered]) this.point(-1);
    const { total, count } = this.data;
    const shown = `${this.map.drawn.toLocaleString("en")} of ${total.toLocaleString("en")} points shown`;
    const told = this.filter.told ? `${shown}: ${this.filter.told}` : shown;
    const why = this.map.webgl || count <= FEW_POINTS ? "" : "; this browser has no WebGL, which would draw them all";
    this.status.textContent = told + why;
  }

  async recolor() {
    this.colors = this.legend.colors();
    await this.repaint(); // with what is selected
    this.renew();
  }

  /* Draw the card and the pins anew. */
  renew() {
    const shown = this.panel.place.querySelector(".card");
    if (shown) this.panel.hover(this.data.pointOf(Number(shown.dataset.row)));
    this.showPins();
  }

  /* Show a point in the panel, and ring it; -1: none. */
  point(i) {
    if (i === this.overlay.hovered) return;
    this.overlay.hovered = i;
    this.panel.hover(i);
    this.overlay.draw();
  }

  visit(i) {
    this.point(i);
    this.map.center(i);
  }

  pin(i) {
    this.pins = [i, ...this.pins.filter((other) => other !== i)].slice(0, MOST_PINS);
    return this.showPins([i, ...this.data.nearestTo(i)]);
  }

  unpin(i) {
    this.pins = this.pins.filter((other) => other !== i);
    this.showPins();
  }

  showPins(kept = []) {
    this.overlay.pins = this.pins;
    this.spread(this.pins[0]);
    const cards = this.pins.map((i) => this.panel.pinned(i));
    return this.fill("pins", cards.length ? element("section", { id: "pins" }, ...cards) : null, kept);
  }

  showSelection() {
    this.stress();
    return this.fill("selection", this.selection.points.size ? this.selection.view() : null);
  }

  /* Put a part of the tray in its place, or nothing; some points stay to be seen. */
  async fill(id, part, kept = []) {
    const old = document.getElementById(id);
    if (old?.matches(":hover")) this.point(-1); // nothing tells that the pointer has left what is removed
    old?.remove();
    if (part && id === "selection") this.tray.prepend(part);
    else if (part) this.tray.append(part);
    const was = this.tray.hidden;
    this.tray.hidden = !this.tray.childElementCount;
    if (was && !this.tray.hidden) this.trayShown = performance.now();
    if (was !== this.tray.hidden) await this.map.makeRoom(!was);
    if (kept.length) await this.map.reveal(kept);
    this.overlay.draw();
  }

  /* Draw lines from a point to its neighbours. */
  spread(i) {
    const near = i === undefined ? [] : this.data.nearestTo(i);
    this.overlay.lines = near.length ? { from: i, to: near } : null;
    this.overlay.draw();
  }

  showHits(hits) {
    this.overlay.hits = hits;
    this.stress();
    this.overlay.draw();
  }

  /* What is selected stands out, or else what was found; if nothing of it is shown, nothing else fades for it. */
  stress() {
    const chosen = this.map.shown(this.selection.rising);
    this.overlay.emphasis = [chosen, this.find.hits].find((points) => points.length) ?? null;
  }

  /* Have the points of a class stand out that is pointed at. */
  light(points) {
    this.overlay.pointed = points?.length ? points : null;
    this.overlay.draw();
  }

  /* Fit map and points to a window that has another size. */
  resize() {
    const { clientWidth, clientHeight, _fullLayout: drawn } = this.map.element;
    if (Math.abs(drawn.width - clientWidth) < 1 && Math.abs(drawn.height - clientHeight) < 1) return;
    this.map.resize().then(() => {
      if (!this.isMarkerChosen) this.setMarker(this.map.usual());
      this.overlay.draw();
    });
  }

  say(text) {
    this.toast?.remove();
    this.toast = element("p", { className: "toast", textContent: text, role: "status" });
    document.body.append(this.toast);
    clearTimeout(this.fading);
    this.fading = setTimeout(() => this.toast.remove(), 3000);
  }

  async copy(text, what = text) {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = element("textarea", { value: text });
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    this.say(done ? `copied: ${what}` : "the browser does not let this page copy");
  }

  download(blob, name) {
    const link = element("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    this.say(`saved as ${name}`);
  }

  /* Save points and overlay as one picture. */
  async save() {
    const { clientWidth: width, clientHeight: height } = this.map.element;
    const points = element("img");
    points.src = await Plotly.toImage(this.map.element, { format: "png", width, height, scale: 2 });
    await points.decode();
    const sheet = element("canvas", { width: 2 * width, height: 2 * height });
    const context = sheet.getContext("2d");
    context.fillStyle = getComputedStyle(document.body).backgroundColor;
    const over = element("canvas", { width: 2 * width, height: 2 * height });
    this.overlay.render(over.getContext("2d"), 2);
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.globalAlpha = this.overlay.stressed ? 0.15 : 1;
    context.drawImage(points, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(over, 0, 0);
    sheet.toBlob((blob) => this.download(blob, "map.png"));
  }

  async setMarker(change) {
    Object.assign(this.marker, change);
    for (const [name, value] of Object.entries(change)) document.getElementById(name).value = value;
    this.overlay.size = this.marker.size;
    await this.map.restyle(this.marker);
    this.overlay.draw();
  }

  setNames(named) {
    this.named = named;
    document.querySelector("[data-do=names]").ariaPressed = String(named);
    this.overlay.names = named ? this.legend.names() : [];
    this.overlay.draw();
  }

  setMode(mode) {
    this.selection.setMode(mode);
    for (const button of document.querySelectorAll("[data-mode]"))
      button.ariaPressed = String(button.dataset.mode === mode);
  }

  /* Take one thing back: what is being drawn or was sought, the tool, the selection, the filter, the last pin. */
  back() {
    const { selection, find } = this;
    if (selection.corners) selection.drop();
    else if (find.input.value) find.clear();
    else if (selection.mode !== "pan") this.setMode("pan");
    else if (selection.points.size) selection.set([]);
    else if (this.filter.column) this.filter.clear();
    else if (this.pins.length) this.unpin(this.pins[0]);
    else this.point(-1);
  }
}

const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark";

function setTheme(theme, page) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  if (page) stored.set("gpuvis theme", theme);
  page?.overlay.draw();
}

/* Run plotly.js, which the page holds packed unless it is loaded from elsewhere. */
function runPlotly(packed) {
  if (packed) document.head.append(element("script", { textContent: new TextDecoder().decode(packed) }));
  if (typeof Plotly === "undefined") throw new Error("plotly.js could not be loaded");
}

function fail(error) {
  const old = typeof DecompressionStream === "undefined" ? " This browser is too old for the page." : "";
  document.getElementById("status").textContent = `The map cannot be drawn: ${error.message}.${old}`;
  throw error;
}

async function start() {
  const packed = document.getElementById("plotly") ? unpacked("plotly") : null; // goes on beside the next line
  const data = await readData();
  setTheme(stored.get("gpuvis theme") ?? data.theme);
  runPlotly(await packed);
  await new Page(data).start();
  document.documentElement.dataset.drawn = "true";
}

start().catch(fail);
