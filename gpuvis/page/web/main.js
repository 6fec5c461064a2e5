/* Start the page, and pass events between its parts. */

const MOST_PINS = 12;
const MANY_POINTS = 50000; // from here on, points cover each other
const SAID = 4000; // milliseconds that a message stays
const REST = 120; // milliseconds without a move after which is counted what is out of sight
const KEYS = [
  ["S suspects", "suspects"],
  ["C confused", "confused"],
  ["P move, L lasso, B box, N names, D density, T light or dark, 0 all, + − zoom, arrows move, Enter pin, Esc back"],
];

class Page {
  constructor(data) {
    this.data = data;
    this.heading = data.heading;
    this.status = document.getElementById("status");
    this.tray = document.getElementById("tray");
    this.pins = [];
    this.head();
    const canvas = document.getElementById("overlay");
    this.map = new PointMap(data, document.getElementById("plot"));
    this.overlay = new Overlay(data, this.map, canvas);
    this.names = new Names(this.map, this.overlay, document.getElementById("names"));
    this.filter = new Filter(this);
    this.legend = new Legend(this);
    this.colors = this.legend.colors();
    this.review = new Review(this);
    this.confusion = new Confusion(this);
    this.panel = new Panel(this);
    this.find = new Find(this);
    this.selection = new Selection(this, canvas);
    this.marker = this.map.usual();
  }

  /* Which map this is, how far to trust it, and how it was made. */
  head() {
    const { caption, measures, warnings } = this.heading;
    document.getElementById("caption").textContent = caption;
    document
      .getElementById("measures")
      .append(
        ...measures.flatMap(([name, value, meaning]) => [
          element("dt", { textContent: name }),
          element("dd", {}, element("b", { textContent: value }), ` ${meaning}`),
        ]),
      );
    document.getElementById("warnings").append(...warnings.map((text) => element("li", { textContent: text })));
  }

  async start() {
    this.map.onView = () => {
      this.overlay.draw();
      this.panel.placeTip();
      this.names.move();
      clearTimeout(this.resting);
      this.resting = setTimeout(() => {
        this.selection.tellSight();
        this.names.settle();
      }, REST);
    };
    this.map.onLost = () => {
      this.status.textContent = "The browser has lost the drawing of the map; it is drawn again.";
    };
    this.map.onRedrawn = () => {
      this.tellShown();
      this.overlay.draw();
      this.names.settle();
    };
    const few = this.legend.hasFew;
    const many = this.data.count > MANY_POINTS;
    this.setNames(few && !many);
    this.setDensity(many);
    await this.repaint();
    const has = ([, button]) => !button || !document.querySelector(`[data-do=${button}]`).hidden;
    const keys = KEYS.filter(has).map(([told]) => told);
    document.getElementById("keys").textContent = `Keys: / find, ${keys.join(", ")}.`;
    if (few && many) nextFrame().then(() => setTimeout(() => this.setNames(true))); // the points are seen sooner so
    listenToMap(this);
    listenToTools(this);
    listenToKeys(this);
    listenToTray(this);
    window.addEventListener("hashchange", () => this.follow());
    systemIsDark.addEventListener("change", () => this.retheme());
    this.follow();
  }

  /* Go to the point that the address names. */
  follow() {
    const row = /^#row=(.*)$/.exec(location.hash);
    if (!row) return;
    const i = /^\d+$/.test(row[1]) ? this.data.pointOf(Number(row[1])) : -1;
    if (i < 0) {
      const sample = this.data.isSample ? ", which shows a sample" : "";
      this.say(`row ${row[1]} is not on this page${sample}`);
      return;
    }
    const near = this.map.isWhole;
    this.pin(i).then(() => this.map.center(i, near));
  }

  /* Draw the points that legend and filter show. */
  async repaint() {
    Object.assign(this.marker, { isOutlined: this.legend.isPale });
    await this.map.paint(this.filter.of(this.legend.order()), this.colors, this.marker);
    this.tellShown();
    this.names.set(this.named ? this.legend.names() : []);
    this.review.tell();
    this.confusion.list();
    this.find.sift();
    this.selection.tell();
    this.stress();
    if (this.overlay.hovered >= 0 && !this.map.visible[this.overlay.hovered]) this.point(-1);
    this.overlay.draw();
  }

  /* Say how many points are shown, and why not all. */
  tellShown() {
    const { total, count, isSample } = this.data;
    const [shown, here, all] = [this.map.drawn, count, total].map((number) => number.toLocaleString("en"));
    const of = isSample ? `${here} points of this page, a sample of ${all} rows,` : `${all} points`;
    const told = [`${shown} of ${of} shown${this.filter.told ? `: ${this.filter.told}` : ""}`];
    if (!this.map.webgl && count > FEW_POINTS) told.push(whyNoWebgl());
    this.status.textContent = told.join("; ");
  }

  /* What is to be seen, in one line: how far to trust it, what is shown, what is selected, what gives the colours. */
  get seen() {
    const { selection, legend } = this;
    const selected = selection.points.size ? selection.title.textContent : "";
    const colored = legend.column ? `colours: ${legend.column.name}` : "";
    const verdict = document.getElementById("verdict").textContent.replace(/\.$/, "");
    return [verdict, this.status.textContent, selected, colored].filter(Boolean).join(" · ");
  }

  async recolor() {
    this.colors = this.legend.colors();
    const { hasFew } = this.legend;
    if (!this.areNamesChosen && this.named !== hasFew) this.setNames(hasFew); // else they would be placed twice
    await this.repaint();
    this.renew();
    if (this.selection.points.size) this.showSelection();
  }

  /* Light or dark: only scales of numbers have other colours then. */
  retheme() {
    this.overlay.draw();
    if (!this.legend.column?.isScale) return;
    this.legend.list();
    this.recolor();
  }

  /* Draw the card and the pins anew. */
  renew() {
    this.panel.show();
    this.showPins();
  }

  /* Ring a point, and show it: at the pointer, and in the panel unless a pin is there; -1: none. */
  point(i, isListed = false) {
    if (i === this.overlay.hovered && isListed === this.isListed) return;
    this.isListed = isListed;
    this.overlay.hovered = i;
    this.panel.show();
    this.overlay.draw();
  }

  visit(i) {
    this.point(i, true);
    this.map.center(i);
  }

  async pin(i) {
    this.pins = [i, ...this.pins.filter((other) => other !== i)].slice(0, MOST_PINS);
    this.panel.show();
    await this.showPins();
    this.panel.bringIntoSight();
    return this.map.reveal([i, ...this.data.nearestTo(i)]);
  }

  /* Pin the point that is pointed at, or else the one nearest to the middle, which arrow keys move. */
  pinHere() {
    const { width, height } = this.map.window;
    const near = () => this.map.pointAt(width / 2, height / 2, Math.min(width, height) / 4);
    const i = this.overlay.hovered >= 0 ? this.overlay.hovered : near();
    if (i >= 0) return this.pin(i);
    this.say("no point is near the middle of the map");
  }

  unpin(i) {
    this.pins = this.pins.filter((other) => other !== i);
    this.panel.show();
    return this.showPins();
  }

  /* The last pin fills the panel; if there are more, they lie in the tray. */
  showPins() {
    this.overlay.pins = this.pins;
    this.names.settle();
    return this.fill("pins", this.pins.length > 1 ? this.panel.pins() : null);
  }

  showSelection() {
    this.stress();
    return this.fill("selection", this.selection.points.size ? this.selection.view() : null);
  }

  /* Put a part of the tray in its place, or nothing. */
  async fill(id, part) {
    const old = document.getElementById(id);
    if (old?.matches(":hover")) this.point(-1); // nothing tells that the pointer has left what is removed
    keepFocus(old, part, () => {
      old?.remove();
      if (part && id === "selection") this.tray.prepend(part);
      else if (part) this.tray.append(part);
    });
    const was = this.tray.hidden;
    this.tray.hidden = !this.tray.querySelector("section");
    this.tray.classList.toggle("low", !document.getElementById("selection"));
    if (was && !this.tray.hidden) this.trayShown = performance.now();
    await this.resize();
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
    const chosen = this.selection.shown;
    this.overlay.emphasis = [chosen, this.find.hits].find((points) => points.length) ?? null;
  }

  /* Have the points of a class stand out that is pointed at. */
  light(points) {
    this.overlay.pointed = points?.length ? points : null;
    this.overlay.draw();
  }

  /* Fit map and points to a window that has another size. */
  async resize() {
    if (!this.map.ready || this.map.fits) return;
    await this.map.resize();
    if (!this.isMarkerChosen) await this.setMarker(this.map.usual());
    this.overlay.draw();
  }

  /* Say something in a line over the map; or what is to be seen anyway, to those alone who listen. */
  say(text, isSeen = false) {
    const said = document.getElementById("said");
    said.textContent = text;
    said.classList.toggle("unseen", isSeen);
    clearTimeout(this.fading);
    this.fading = setTimeout(() => {
      said.textContent = "";
    }, SAID);
  }

  async setMarker(change) {
    if (Object.entries(change).every(([name, value]) => this.marker[name] === value)) return;
    Object.assign(this.marker, change);
    for (const [name, value] of Object.entries(change)) document.getElementById(name).value = value;
    await this.map.restyle(this.marker);
    this.overlay.draw();
  }

  setNames(named) {
    this.named = named;
    document.querySelector("[data-do=names]").ariaPressed = String(named);
    if (this.map.ready) this.names.set(named ? this.legend.names() : []);
  }

  setDensity(isDense) {
    this.overlay.isDense = isDense;
    document.querySelector("[data-do=density]").ariaPressed = String(isDense);
    this.overlay.draw();
  }

  setMode(mode) {
    this.selection.setMode(mode);
    for (const button of document.querySelectorAll("[data-mode]"))
      button.ariaPressed = String(button.dataset.mode === mode);
  }

  /* Take one thing back: what is being drawn or was sought, the tool, the list of what is confused, the selection, the
     filter, the last pin. */
  back() {
    const { selection, find, confusion } = this;
    if (selection.corners) selection.drop();
    else if (find.input.value) find.clear();
    else if (selection.mode !== "pan") this.setMode("pan");
    else if (!confusion.place.hidden) confusion.toggle();
    else if (selection.points.size) selection.set([]);
    else if (this.filter.column) this.filter.clear();
    else if (this.pins.length) this.unpin(this.pins[0]);
    else this.point(-1);
  }
}

const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark";

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/* From light to dark or back; what the system has anyway follows the system from now on. */
function switchTheme(page) {
  const dark = !isDark();
  const theme = dark === systemIsDark.matches ? "auto" : dark ? "dark" : "light";
  stored.set("gpuvis theme", theme);
  setTheme(theme);
  page.retheme();
}

/* Why WebGL draws nothing here. */
function whyNoWebgl() {
  try {
    new Function("");
  } catch {
    return "the server of this page forbids unsafe-eval, which drawing all of them needs";
  }
  return "this browser has no WebGL, which would draw them all";
}

/* Run plotly.js, which the page holds packed unless it is loaded from elsewhere. */
function runPlotly(packed) {
  if (packed) document.head.append(element("script", { textContent: new TextDecoder().decode(packed) }));
  if (typeof Plotly === "undefined") throw new Error("plotly.js could not be loaded");
}

function fail(error) {
  const old = typeof DecompressionStream === "undefined" ? " This browser is too old for the page." : "";
  const still = document.getElementById("still");
  const [title, sentence] = still.querySelectorAll("h1, p");
  sentence.textContent = `The map cannot be drawn: ${error.message}.${old}`;
  title.after(document.querySelector("#map > svg") ?? "");
  still.hidden = false;
  document.getElementById("page").hidden = true;
  throw error;
}

async function start() {
  const packed = document.getElementById("plotly") ? unpacked("plotly") : null; // goes on beside the next line
  const data = await readData();
  setTheme(stored.get("gpuvis theme") ?? data.theme);
  runPlotly(await packed);
  await new Page(data).start();
  document.querySelector("#map > svg").remove();
  document.getElementById("page").inert = false;
  document.documentElement.dataset.drawn = "true";
}

start().catch(fail);
