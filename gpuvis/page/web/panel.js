/* All of one point: its image, fields and neighbours, in the panel; and a tip at the point under the pointer. */

const SAFE_SCHEMES = ["http:", "https:", "file:"];
const TIP_GAP = 14; // pixels between a point and its tip
const RARELY_SHOWN = /\.(tiff?|hei[cf]|jp2|psd|dng|dcm)$/i; // images of which few browsers know how

function element(tag, properties = {}, ...children) {
  const { dataset, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
}

function button(text, title, run) {
  const made = element("button", { type: "button", textContent: text, title });
  made.addEventListener("click", run);
  return made;
}

let pointer = ""; // where it has been last
const spotOf = ({ screenX, screenY }) => `${screenX} ${screenY}`;
window.addEventListener("pointermove", (event) => {
  pointer = spotOf(event);
});

/* Whether a hand has moved the pointer onto what is beneath it now: what a list scrolls beneath it is not looked at. */
const hasMoved = (event) => spotOf(event) !== pointer;

/* Put something new in the place of what is old. If one who uses the keys was there, the focus goes to the first image or
   button that is new, or else to the map. */
function keepFocus(old, made, replace) {
  const held = old?.querySelector(":focus-visible");
  replace();
  if (!held) return;
  const next = held.isConnected ? held : made?.querySelector(".small[tabindex='0'], button");
  (next ?? document.getElementById("map")).focus();
}

const stored = {
  get(key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage may be forbidden
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch {
      /* then it lasts as long as the page */
    }
  },
};

/* A piece of an address as people write it. */
function readable(text, decode) {
  try {
    return decode(text);
  } catch {
    return text; // with a per cent sign of its own, or no UTF-8
  }
}

class Images {
  constructor(data) {
    this.data = data;
    const folder = location.pathname.slice(0, location.pathname.lastIndexOf("/"));
    this.key = `gpuvis images ${folder} ${data.imageRoot ?? ""}`;
    this.root = stored.get(this.key) ?? data.imageRoot;
    this.sheets = [];
  }

  setRoot(root) {
    const typed = root.trim();
    const drive = /^[a-z]:[/\\]/i.test(typed);
    const address = drive ? `file:///${typed.replaceAll("\\", "/")}` : typed;
    this.root = address ? address.replace(/\/*$/, "/") : this.data.imageRoot;
    stored.set(this.key, this.root ?? "");
  }

  /* Where the original may be, as accents may be written in two ways; nothing where no place is known. */
  addressesOf(i) {
    const name = this.data.fileOf(i);
    if (!this.root || !name || name.split(/[/\\]/).includes("..")) return [];
    const names = new Set([name, name.normalize("NFC"), name.normalize("NFD")]);
    return [...names].map((one) => this.addressOf(one)).filter(Boolean);
  }

  addressOf(name) {
    const path = name
      .replace(/^[/\\]+/, "")
      .split(/[/\\]+/)
      .map(encodeURIComponent)
      .join("/");
    try {
      const address = new URL(this.root.replace(/[?#]/g, encodeURIComponent) + path, location.href);
      return SAFE_SCHEMES.includes(address.protocol) ? address.href : null;
    } catch {
      return null;
    }
  }

  sheet(number) {
    this.sheets[number] ??= URL.createObjectURL(new Blob([bytesOf(`thumbnails-${number}`)], { type: "image/webp" }));
    return this.sheets[number];
  }

  /* A piece of a sheet as large as the style sheet says; null where a point has none. */
  thumbnail(i) {
    const place = this.data.places?.[i];
    if (!place) return null;
    const { across } = this.data.thumbnails;
    const at = (place - 1) % (across * across);
    const made = element("div", { className: "thumbnail", role: "img", ariaLabel: this.data.fileOf(i) });
    made.style.setProperty("--sheet", `url("${this.sheet(Math.floor((place - 1) / (across * across)))}")`);
    made.style.setProperty("--across", across);
    made.style.setProperty("--column", at % across);
    made.style.setProperty("--row", Math.floor(at / across));
    return made;
  }

  missing(i, place) {
    const name = this.data.fileOf(i);
    if (place === "strip") return element("div", { className: "missing", textContent: name });
    const [address] = this.addressesOf(i);
    const [ending] = name.match(RARELY_SHOWN) ?? [];
    const what = ending ? `no image, or one that few browsers show (${ending})` : "no image";
    const told = name ? `${what}: ${address ? readable(address, decodeURI) : name}` : "no file name";
    return element("div", { className: "missing", textContent: told });
  }

  /* The image of a point for its pin, for the panel without one, or for a strip of many: small, but for a pin. */
  of(i, place) {
    const [address, ...others] = this.addressesOf(i);
    const thumbnail = place !== "pin" || !address ? this.thumbnail(i) : null;
    if (thumbnail) return thumbnail;
    if (!address) return this.missing(i, place);
    const loading = place === "strip" ? "lazy" : "eager";
    const image = element("img", { alt: this.data.fileOf(i), decoding: "async", draggable: false, loading });
    const shown =
      place === "pin" ? element("a", { target: "_blank", rel: "noopener", title: "Open the image" }, image) : image;
    const go = (to) => {
      image.src = to;
      if (shown !== image) shown.href = to;
    };
    image.addEventListener("error", () => {
      if (others.length) go(others.shift());
      else image.replaceWith(this.thumbnail(i) ?? this.missing(i, place));
    });
    go(address);
    return shown;
  }
}

class Panel {
  constructor(page) {
    this.page = page;
    this.data = page.data;
    this.images = new Images(page.data);
    this.place = document.getElementById("point");
    this.tip = document.getElementById("tip");
    this.last = -1;
    this.show();
  }

  /* Show what is pointed at in a list, else the last pin, else what was pointed at last; and a tip at the pointer. */
  show() {
    const { pins, overlay, isListed } = this.page;
    const hovered = overlay?.hovered ?? -1;
    if (hovered >= 0) this.last = hovered;
    const i = hovered >= 0 && isListed ? hovered : (pins[0] ?? this.last);
    this.tell(hovered);
    if (overlay) this.page.spread(pins.includes(i) || (isListed && i === hovered) ? i : undefined);
    if (i < 0) {
      if (!this.place.firstChild) this.invite();
      return;
    }
    const key = [i, pins.includes(i), this.page.colors, this.page.legend.column, this.images.root];
    if (key.every((part, k) => part === this.key?.[k])) return;
    this.key = key;
    const card = pins.includes(i) ? this.pinned(i) : this.unpinned(i);
    keepFocus(this.place, card, () => this.place.replaceChildren(card, this.rootForm()));
    this.place.scrollTop = 0;
  }

  /* Tell a reader what to do. */
  invite() {
    const near = this.data.neighbors ? " with its nearest neighbours" : "";
    const told = `Point at a dot to see it. Click to pin it${near}. Draw around dots with the lasso to list them.`;
    this.place.replaceChildren(element("p", { textContent: told }), this.rootForm());
  }

  /* A small picture and the class of a point, beside it on the map. */
  tell(i) {
    this.tip.hidden = i < 0 || i === this.page.pins[0] || !this.page.map.ready;
    if (this.tip.hidden) return;
    const hasImage = this.data.places?.[i] || this.images.addressesOf(i).length;
    const image = hasImage ? [this.images.of(i, "strip")] : [];
    this.tip.replaceChildren(...image, ...this.told(i));
    this.placeTip();
  }

  placeTip() {
    const i = this.page.overlay?.hovered ?? -1;
    if (i < 0 || i === this.page.pins[0]) return;
    const { width, height } = this.page.map.window;
    const [left, top] = this.page.map.pixelOf(this.data.x[i], this.data.y[i]);
    this.tip.hidden = left < 0 || top < 0 || left > width || top > height;
    const [wide, high] = [this.tip.offsetWidth + TIP_GAP, this.tip.offsetHeight + TIP_GAP];
    this.tip.style.left = `${left + wide > width ? left - wide : left + TIP_GAP}px`;
    this.tip.style.top = `${top + high > height ? top - high : top + TIP_GAP}px`;
  }

  /* Where the panel lies below the map, move it up so far that its image is seen. */
  bringIntoSight() {
    this.place.querySelector("figure")?.scrollIntoView({ block: "nearest" });
  }

  /* The label of a point, whatever gives the colours. */
  labelOf(i) {
    const column = this.page.review.label ?? this.page.legend.column;
    if (!column) return this.data.fileOf(i) || `row ${this.data.rowOf(i)}`;
    return column.text(i) || BLANK;
  }

  /* What a point is, in a few words: its label, what its neighbours suggest, and what gives its colour. */
  told(i) {
    const { review, legend } = this.page;
    const label = element("span", { className: "label", textContent: this.labelOf(i) });
    label.prepend(swatch(this.page.colors[i]));
    const parts = [label];
    const suggested = review.suggestionFor(i);
    if (suggested) parts.push(element("span", { className: "suggested", textContent: `→ ${suggested}?` }));
    const { column } = legend;
    if (column && review.label && column !== review.label)
      parts.push(element("span", { className: "hint", textContent: `${column.name}: ${column.text(i) || BLANK}` }));
    return parts;
  }

  card(i, place) {
    const caption = element("figcaption", {}, ...this.told(i));
    const badge = this.page.review.badge(i, "! suspect");
    const figure = element("figure", {}, this.images.of(i, place), ...badge, caption);
    return element("article", { className: "card", dataset: { row: this.data.rowOf(i) } }, figure);
  }

  unpinned(i) {
    const card = this.card(i, "card");
    const pin = button("Pin", "Pin this point (Enter, or a click on the map)", () => this.page.pin(i));
    pin.className = "corner";
    card.append(pin, this.fields(i));
    return card;
  }

  /* The columns that were asked for, then the others. */
  fields(i) {
    const list = element("dl");
    const first = this.data.hover.map((name) => this.data.column(name));
    const add = (name, value, color) => {
      const told = element("dd", { textContent: value || BLANK, title: value });
      if (color) told.prepend(swatch(color));
      const short = name.replace(/^ground_truth_/, ""); // else narrow cards would show only what all have in common
      const meaning = this.data.column(name)?.meaning;
      list.append(element("dt", { textContent: short, title: meaning ? `${name}: ${meaning}` : name }), told);
    };
    const columns = [...new Set([...first, ...this.data.columns])];
    for (const column of this.page.review.inOrder(columns, i)) {
      const shown = column === this.page.legend.column;
      add(column.name, column.text(i), shown ? this.page.colors[i] : null);
    }
    add("row", String(this.data.rowOf(i)));
    add("x, y", `${format(this.data.x[i])}, ${format(this.data.y[i])}`);
    return list;
  }

  pinned(i) {
    const card = this.card(i, "pin");
    const copy = button("Copy link", "Copy a link to this point", () => {
      copyText(this.page, `${location.href.split("#")[0]}#row=${this.data.rowOf(i)}`);
    });
    const go = button("Centre", "Bring the point to the middle of the map", () => this.page.map.center(i));
    const close = button("Unpin", "Unpin (Esc)", () => this.page.unpin(i));
    card.append(element("div", { className: "buttons" }, go, copy, close));
    const near = this.data.nearestTo(i);
    if (near.length) card.append(this.neighbors(i, near));
    card.append(this.fields(i));
    return card;
  }

  /* All pins, the last one first, to go back to one of them. */
  pins() {
    const { pins } = this.page;
    const strip = element("div", { className: "strip" }, ...pins.map((i) => this.small(i)));
    walk(strip, ".small");
    const clear = button("Unpin all", "Unpin all points", () => {
      this.page.pins = [];
      this.page.renew();
    });
    const bar = element(
      "div",
      { className: "buttons" },
      element("strong", { textContent: `${pins.length} pinned` }),
      clear,
    );
    return element("section", { id: "pins", ariaLabel: "Pinned points" }, bar, strip);
  }

  neighbors(i, near) {
    const { label } = this.page.review;
    const { column } = this.page.legend;
    const alike = (column) => near.filter((other) => column.text(i) && column.text(other) === column.text(i)).length;
    const same = label ? `, ${alike(label)} with the same label` : "";
    const more = column?.values && column !== label ? `, ${alike(column)} with the same ${column.name}` : "";
    const told = `${near.length} nearest in the original space${same}${more}`;
    const strip = element("div", { className: "strip" }, ...near.map((other) => this.small(other, i)));
    walk(strip, ".small");
    return element("section", { className: "neighbors" }, element("h2", { textContent: told }), strip);
  }

  /* A small image with its class, which pins its point. */
  small(i, beside = -1) {
    const { review } = this.page;
    const label = this.labelOf(i);
    const suggested = review.suggestionFor(i);
    const title = [this.data.fileOf(i), label, ...review.lines(i), `row ${this.data.rowOf(i)}`].join("\n");
    const made = element(
      "button",
      { className: "small", type: "button", title },
      this.images.of(i, "strip"),
      element("span", { textContent: label }),
      ...(suggested ? [element("span", { className: "suggested", textContent: `→ ${suggested}` })] : []),
      ...review.badge(i, "!"),
    );
    made.style.setProperty("--color", this.page.colors[i]);
    const differs = beside >= 0 && review.label && review.label.text(i) !== review.label.text(beside);
    made.classList.toggle("differs", Boolean(differs));
    made.addEventListener("click", () => this.page.pin(i));
    const look = (j) => (event) => {
      if (!event.type.startsWith("pointer") || hasMoved(event)) this.page.point(j, j >= 0 && beside < 0);
    };
    for (const event of ["pointerenter", "focus"]) made.addEventListener(event, look(i));
    for (const event of ["pointerleave", "blur"]) made.addEventListener(event, look(-1));
    return made;
  }

  rootForm() {
    if (this.form) return this.form;
    const input = element("input", {
      type: "text",
      id: "image-root",
      value: this.images.root ?? "",
      spellcheck: false,
    });
    input.placeholder = "folder or address";
    const form = element("form", {}, input, element("button", { textContent: "Use" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.images.setRoot(input.value);
      input.value = this.images.root ?? "";
      this.page.renew();
      this.page.showSelection();
    });
    this.form = element(
      "details",
      { className: "root" },
      element("summary", { textContent: "Where the images are" }),
      form,
    );
    this.form.addEventListener("toggle", () => this.form.scrollIntoView({ block: "nearest" }));
    return this.form;
  }
}

const swatch = (color) => {
  const made = element("i", { className: "swatch" });
  made.style.background = color;
  return made;
};

const format = (value) => String(Number(value.toPrecision(6)));
