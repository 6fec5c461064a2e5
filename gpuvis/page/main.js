/* The page: what its parts tell each other. */

const MOST_PINS = 12;

class Page {
  constructor(data) {
    this.data = data;
    this.status = document.getElementById("status");
    this.tray = document.getElementById("tray");
    this.pins = [];
    document.getElementById("caption").textContent =
      `${data.caption}. Near points are alike; distances between far groups mean little.`;
    this.title();
    const canvas = document.getElementById("overlay");
    this.map = new PointMap(data, document.getElementById("plot"));
    this.overlay = new Overlay(data, this.map, canvas);
    this.legend = new Legend(this);
    this.colors = this.legend.colors();
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
    document.title = `${folders.join("/")} – ${this.data.caption}`;
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
    const row = /^#row=(\d+)$/.exec(location.hash);
    if (!row) return;
    const i = this.data.pointOf(Number(row[1]));
    if (i < 0) {
      this.say(`row ${row[1]} is not on this page`);
      return;
    }
    this.pin(i);
    this.map.center(i);
  }

  /* Draw the points that the legend shows. */
  async repaint() {
    Object.assign(this.overlay, {
      colors: this.colors,
      size: this.marker.size,
      names: this.named ? this.legend.names() : [],
    });
    await this.map.paint(this.legend.order(), this.colors, this.marker);
    this.find.search(); // among the points that are shown now
    const { total, count } = this.data;
    const told = `${this.map.drawn.toLocaleString("en")} of ${total.toLocaleString("en")} points shown`;
    const why = this.map.webgl || count <= FEW_POINTS ? "" : "; this browser has no WebGL, which would draw them all";
    this.status.textContent = told + why;
  }

  async recolor() {
    this.colors = this.legend.colors();
    await this.repaint();
    this.renew();
  }

  /* Draw the cards anew. */
  renew() {
    const shown = this.panel.place.querySelector(".card");
    if (shown) this.panel.hover(this.data.pointOf(Number(shown.dataset.row)));
    this.showTray();
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
    this.showTray();
  }

  unpin(i) {
    this.pins = this.pins.filter((other) => other !== i);
    this.showTray();
  }

  /* Pinned points, and what is selected. The lines go from the point that was pinned last. */
  showTray() {
    const [last] = this.pins;
    const near = last === undefined ? [] : this.data.nearestTo(last);
    Object.assign(this.overlay, { pins: this.pins, lines: near.length ? { from: last, to: near } : null });
    const parts = [];
    if (this.selection.points.size) parts.push(this.selection.view());
    if (this.pins.length) {
      parts.push(element("section", { id: "pins" }, ...this.pins.map((i) => this.panel.pinned(i))));
    }
    const was = this.tray.hidden;
    this.tray.replaceChildren(...parts);
    this.tray.hidden = !parts.length;
    if (was !== this.tray.hidden) this.resize();
    this.overlay.draw();
  }

  showSelection() {
    this.stress();
    this.showTray();
  }

  showHits(hits) {
    this.overlay.hits = hits;
    this.stress();
    this.overlay.draw();
  }

  /* What is selected stands out, or else what was found. */
  stress() {
    const { points } = this.selection;
    const found = this.find.hits;
    this.overlay.emphasis = points.size ? [...points].filter((i) => this.map.visible[i]) : found.length ? found : null;
  }

  ringClass(k) {
    const column = this.legend.column;
    const ringed =
      k >= 0 && column?.values && !this.legend.hidden[k] ? column.membersOf(k).subarray(0, MOST_RINGS) : [];
    if (ringed.length || this.overlay.ringed.length) {
      this.overlay.ringed = ringed;
      this.overlay.draw();
    }
  }

  resize() {
    const { clientWidth, clientHeight, _fullLayout: drawn } = this.map.element;
    if (Math.abs(drawn.width - clientWidth) < 1 && Math.abs(drawn.height - clientHeight) < 1) return;
    Plotly.Plots.resize(this.map.element).then(() => this.overlay.draw());
  }

  say(text) {
    const toast = element("p", { className: "toast", textContent: text, role: "status" });
    document.body.append(toast);
    setTimeout(() => toast.remove(), 3000);
  }

  async copy(text, what = text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = element("textarea", { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    this.say(`copied: ${what}`);
  }

  download(blob, name) {
    const link = element("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
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
    context.globalAlpha = this.overlay.emphasis ? 0.15 : 1;
    context.drawImage(points, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(over, 0, 0);
    sheet.toBlob((blob) => this.download(blob, "map.png"));
  }

  async setMarker(change) {
    Object.assign(this.marker, change);
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

  clear() {
    this.pins = [];
    this.find.input.value = "";
    this.find.search();
    this.selection.set(new Set());
    this.setMode("pan");
    this.point(-1);
  }
}

function listenToMap(page) {
  const place = document.getElementById("map");
  const plot = page.map.element;
  let pressed = null;
  const spot = (event) => {
    const box = plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  place.addEventListener("pointermove", (event) => {
    if (event.buttons || event.target.closest("#tools")) return;
    page.point(page.map.pointAt(...spot(event)));
    place.classList.toggle("pointing", page.overlay.hovered >= 0);
  });
  place.addEventListener("pointerleave", () => page.point(-1));
  plot.addEventListener("pointerdown", (event) => (pressed = event.button === 0 ? spot(event) : null), true);
  window.addEventListener(
    "pointerup",
    (event) => {
      if (!pressed || page.selection.mode !== "pan") return;
      const [left, top] = spot(event);
      const still = Math.hypot(left - pressed[0], top - pressed[1]) < 4;
      pressed = null;
      const i = still ? page.map.pointAt(left, top) : -1;
      if (i >= 0) page.pin(i);
    },
    true,
  );
  new ResizeObserver(() => page.resize()).observe(place);
}

function listenToTools(page) {
  const tools = document.getElementById("tools");
  const run = {
    in: () => page.map.zoom(1.5),
    out: () => page.map.zoom(1 / 1.5),
    fit: () => page.map.fit(),
    names: () => page.setNames(!page.named),
    save: () => page.save(),
    theme: () => setTheme(isDark() ? "light" : "dark", page),
  };
  tools.addEventListener("click", (event) => {
    const { mode, do: what } = event.target.dataset;
    if (mode) page.setMode(mode);
    else run[what]?.();
  });
  page.setMode("pan");
  for (const name of ["size", "opacity"]) {
    const slider = document.getElementById(name);
    slider.value = page.marker[name];
    slider.addEventListener("change", () => page.setMarker({ [name]: Number(slider.value) }));
  }
}

function listenToKeys(page) {
  const press = (selector) => () => document.querySelector(selector).click();
  const keys = {
    p: press("[data-mode=pan]"),
    l: press("[data-mode=lasso]"),
    b: press("[data-mode=box]"),
    n: press("[data-do=names]"),
    t: press("[data-do=theme]"),
    0: press("[data-do=fit]"),
    "+": press("[data-do=in]"),
    "=": press("[data-do=in]"),
    "-": press("[data-do=out]"),
    "/": () => page.find.input.focus(),
    ArrowLeft: () => page.map.move(-0.15, 0),
    ArrowRight: () => page.map.move(0.15, 0),
    ArrowUp: () => page.map.move(0, 0.15),
    ArrowDown: () => page.map.move(0, -0.15),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      page.clear();
      document.activeElement?.blur();
      return;
    }
    const typing = event.target.closest("input, select, textarea");
    const moving = event.key.startsWith("Arrow") && !event.target.closest("#map, body:not(:focus-within)");
    if (typing || moving || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
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
