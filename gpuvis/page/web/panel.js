/* All of one point: its image, fields and neighbours, on the card under the pointer and on pinned cards. */

const SAFE_SCHEMES = ["http:", "https:", "file:"];
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

  /* The image of a point for its pin, for the card under the pointer, or for a strip of many: small, but for a pin. */
  of(i, place) {
    const [address, ...others] = this.addressesOf(i);
    const thumbnail = place !== "pin" || !address ? this.thumbnail(i) : null;
    if (thumbnail) return thumbnail;
    if (!address) return this.missing(i, place);
    const image = element("img", { alt: this.data.fileOf(i), decoding: "async", draggable: false });
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
    this.hover(-1);
  }

  /* Show the point under the pointer; what was seen last stays. */
  hover(i) {
    if (i >= 0) {
      const card = this.card(i, "card");
      const pin = button("Pin", "Pin this point (Enter, or a click on the map)", () => this.page.pin(i));
      pin.className = "corner";
      card.append(pin);
      this.place.replaceChildren(card, this.rootForm());
    } else if (!this.place.firstChild) {
      const what = this.images.root || this.data.places ? "an image" : "what is known of a point";
      const near = this.data.neighbors ? ", with its nearest neighbours" : "";
      const told = `Point at the map to see ${what}; click to pin it${near}.`;
      this.place.replaceChildren(element("p", { className: "hint", textContent: told }), this.rootForm());
    }
  }

  card(i, place) {
    const figure = element("figure", {}, this.images.of(i, place), ...this.page.review.badge(i, "! suspect"));
    return element("article", { className: "card", dataset: { row: this.data.rowOf(i) } }, figure, this.fields(i));
  }

  /* The columns that were asked for, then the others. */
  fields(i) {
    const list = element("dl");
    const first = this.data.hover.map((name) => this.data.column(name));
    const add = (name, value, color) => {
      const told = element("dd", { textContent: value || BLANK, title: value });
      if (color) told.prepend(swatch(color));
      const short = name.replace(/^ground_truth_/, ""); // else narrow cards would show only what all have in common
      list.append(element("dt", { textContent: short, title: name }), told);
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
      this.page.copy(`${location.href.split("#")[0]}#row=${this.data.rowOf(i)}`);
    });
    const go = button("Centre", "Bring the point to the middle of the map", () => this.page.map.center(i));
    const close = button("×", "Unpin", () => this.page.unpin(i));
    close.className = "corner";
    close.ariaLabel = "Unpin";
    card.append(element("div", { className: "buttons" }, go, copy), close);
    const near = this.data.nearestTo(i);
    if (near.length) card.append(this.neighbors(i, near));
    card.addEventListener("pointerenter", () => this.page.spread(i));
    card.addEventListener("pointerleave", () => this.page.spread(this.page.pins[0]));
    return card;
  }

  neighbors(i, near) {
    const column = this.page.legend.column;
    const same = near.filter((other) => column?.values && column.codes[other] === column.codes[i]).length;
    const told = `${near.length} nearest in the original space${column?.values ? `, ${same} of the same class` : ""}`;
    const strip = element("div", { className: "strip" }, ...near.map((other) => this.small(other, i)));
    return element("section", { className: "neighbors" }, element("h3", { textContent: told }), strip);
  }

  /* A small image with its class, which pins its point. */
  small(i, beside = -1) {
    const column = this.page.legend.column;
    const label = column ? column.text(i) || BLANK : this.data.fileOf(i) || `row ${this.data.rowOf(i)}`;
    const { review } = this.page;
    const title = [this.data.fileOf(i), label, ...review.lines(i), `row ${this.data.rowOf(i)}`].join("\n");
    const made = element(
      "button",
      { className: "small", type: "button", title },
      this.images.of(i, "strip"),
      element("span", { textContent: label }),
      ...review.badge(i, "!"),
    );
    made.style.setProperty("--color", this.page.colors[i]);
    const differs = beside >= 0 && column?.values && column.codes[i] !== column.codes[beside];
    made.classList.toggle("differs", Boolean(differs));
    made.addEventListener("click", () => this.page.pin(i));
    made.addEventListener("pointerenter", () => this.page.point(i));
    made.addEventListener("pointerleave", () => this.page.point(-1));
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
