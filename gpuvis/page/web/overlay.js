/* What is drawn over the points: rings, lines to neighbours, outlines, points that stand out, and density. */

const MOST_RINGS = 1000;
const MOST_DISCS = 20000; // more points that stand out are squares
// Where graphics are emulated, Chromium may leave on the screen what was cleared, unless the processor draws.
const BY_PROCESSOR = { willReadFrequently: true };
const FADED = 0.15; // what is left of points that do not stand out
const DENSITY_CELL = 2; // pixels along a side of a place whose points are counted
const FAINTEST = 0.35; // of a place with one point
const DARKEST = 0.55; // part of ink in a place with very many
const CROWDED = 0.995; // share of the places below the number of points that is drawn as the most

/* Red, green and blue of a colour, #rrggbb. */
function rgbOf(color) {
  const rgb = Number.parseInt(color.trim().slice(1), 16);
  return [rgb >> 16, (rgb >> 8) & 255, rgb & 255];
}

/* The same of many points, of which few colours are different. */
function parsedOnce(parse) {
  const known = new Map();
  return (color) => {
    if (!known.has(color)) known.set(color, parse(color));
    return known.get(color);
  };
}

/* The bytes of a pixel, of which red is the first. */
function pixelOf(color) {
  const [red, green, blue] = rgbOf(color);
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/* Each value with half of those `step` before and after it in its line of values, so that structure shows, not noise. */
function blurred(values, step, line) {
  const found = new Float32Array(values.length);
  for (let at = 0; at < values.length; at++) {
    const place = at % line;
    const before = place >= step ? values[at - step] : 0;
    const after = place + step < line ? values[at + step] : 0;
    found[at] = (2 * values[at] + before + after) / 4;
  }
  return found;
}

/* Sums of colours and numbers of points, as a picture. */
function heapOf(sums, image, ink) {
  const counts = [];
  for (let at = 3; at < sums.length; at += 4) if (sums[at]) counts.push(sums[at]);
  const most = Math.log1p(Float32Array.from(counts).sort()[Math.floor((counts.length - 1) * CROWDED)] ?? 1);
  for (let at = 0; at < sums.length; at += 4) {
    const count = sums[at + 3];
    if (!count) continue;
    const share = Math.min(1, Math.log1p(count) / most);
    for (let part = 0; part < 3; part++)
      image.data[at + part] = (sums[at + part] / count) * (1 - DARKEST * share ** 3) + ink[part] * DARKEST * share ** 3;
    image.data[at + 3] = 255 * Math.min(1, FAINTEST * Math.min(1, 4 * count) + share);
  }
  return image;
}

class Overlay {
  constructor(data, map, canvas) {
    Object.assign(this, { data, map, canvas });
    this.hovered = -1;
    this.pins = [];
    this.hits = [];
    this.lines = null; // { from, to: [points] }
    this.emphasis = null; // points that stand out; the others fade
    this.pointed = null; // those of a class that is pointed at, which stand out instead
    this.isDense = false; // whether density is drawn in place of the points
    this.outlines = []; // of the selection, in the map's coordinates
    this.drawing = null; // the outline that is being drawn, in pixels
  }

  get colors() {
    return this.map.colors;
  }

  get size() {
    return this.map.marker.size;
  }

  /* Draw, once before the next frame. */
  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      const isEmpty = this.isEmpty;
      if (!(isEmpty && this.wasEmpty)) this.render(this.sized(), window.devicePixelRatio || 1);
      this.wasEmpty = isEmpty;
      this.canvas.classList.toggle("empty", isEmpty);
    });
  }

  /* Whether there is nothing to be drawn over the points: then moving the map costs nothing here. */
  get isEmpty() {
    const lists = [this.pins, this.hits, this.outlines];
    const parts = [this.stressed, this.lines, this.drawing, this.isDense, this.hovered >= 0];
    return !lists.some((list) => list.length) && !parts.some(Boolean);
  }

  sized() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.map.element;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    return this.canvas.getContext("2d", BY_PROCESSOR);
  }

  render(context, ratio) {
    this.context = context;
    this.seen = this.map.window;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    const style = getComputedStyle(document.body);
    this.ink = style.getPropertyValue("--ink");
    this.paper = style.getPropertyValue("--paper");
    this.accent = style.getPropertyValue("--accent");
    this.map.element.classList.toggle("faded", Boolean(this.stressed));
    this.map.element.classList.toggle("dense", this.isDense);
    if (this.isDense) {
      context.globalAlpha = this.stressed ? FADED : 1;
      this.heap(context, this.density());
      context.globalAlpha = 1;
    }
    if (this.stressed) context.drawImage(this.layer(ratio), 0, 0, this.seen.width, this.seen.height);
    if (this.lines) this.spokes(this.lines);
    this.dots(context, this.pins);
    for (const i of this.hits.slice(0, MOST_RINGS)) this.ring(i, this.size / 2 + 3, this.accent, 2);
    for (const i of this.pins) this.ring(i, this.size / 2 + 4, this.ink, 2.5);
    if (this.hovered >= 0) this.ring(this.hovered, this.size / 2 + 5, this.ink, 2);
    for (const outline of this.outlines) this.outline(outline.map(([x, y]) => this.map.pixelOf(x, y, this.seen)));
    if (this.drawing) this.outline(this.drawing);
  }

  /* The points that stand out; null: none. */
  get stressed() {
    return this.pointed ?? this.emphasis;
  }

  at(i) {
    return this.map.pixelOf(this.data.x[i], this.data.y[i], this.seen);
  }

  /* The points that stand out, on a canvas of their own: a million of them are only drawn again if something changed. */
  layer(ratio) {
    const { stressed: points, colors, size, seen } = this;
    const key = [points, colors, size, ratio, String([seen.x, seen.y, seen.width, seen.height])];
    if (key.every((part, k) => part === this.drawn?.[k])) return this.stage;
    this.drawn = key;
    const [width, height] = [Math.round(seen.width * ratio), Math.round(seen.height * ratio)];
    this.stage = Object.assign(document.createElement("canvas"), { width, height });
    const context = this.stage.getContext("2d", BY_PROCESSOR);
    if (points.length > MOST_DISCS) {
      context.putImageData(this.squares(points, new ImageData(width, height), ratio), 0, 0);
    } else {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.dots(context, points);
    }
    return this.stage;
  }

  squares(points, image, ratio) {
    const pixels = new Uint32Array(image.data.buffer);
    const bytesOf = parsedOnce(pixelOf);
    const side = Math.max(1, Math.round(this.size * ratio));
    const { colors, seen, data } = this;
    const [scaleX, scaleY] = [image.width / (seen.x[1] - seen.x[0]), image.height / (seen.y[1] - seen.y[0])];
    for (const i of points) {
      const left = Math.round((data.x[i] - seen.x[0]) * scaleX - side / 2);
      const top = Math.round((seen.y[1] - data.y[i]) * scaleY - side / 2);
      const [first, last] = [Math.max(0, left), Math.min(image.width, left + side)];
      const bottom = Math.min(image.height, top + side);
      for (let row = Math.max(0, top); row < bottom && first < last; row++)
        pixels.fill(bytesOf(colors[i]), row * image.width + first, row * image.width + last);
    }
    return image;
  }

  dots(context, points) {
    const radius = Math.max(1, this.size / 2);
    for (const i of points) {
      context.fillStyle = this.colors[i];
      context.beginPath();
      context.arc(...this.at(i), radius, 0, 7);
      context.fill();
    }
  }

  ring(i, radius, color, width) {
    const [left, top] = this.at(i);
    for (const [style, extra] of [
      [this.paper, 2],
      [color, 0],
    ]) {
      this.context.strokeStyle = style;
      this.context.lineWidth = width + extra;
      this.context.beginPath();
      this.context.arc(left, top, radius, 0, 7);
      this.context.stroke();
    }
  }

  spokes({ from, to }) {
    const [left, top] = this.at(from);
    this.context.strokeStyle = this.ink;
    this.context.lineWidth = 1.2;
    for (const i of to) {
      this.context.beginPath();
      this.context.moveTo(left, top);
      this.context.lineTo(...this.at(i));
      this.context.stroke();
    }
    for (const i of to) this.ring(i, this.size / 2 + 2, this.colors[i] ?? this.ink, 2);
  }

  outline(corners) {
    this.context.strokeStyle = this.ink;
    this.context.lineWidth = 1;
    this.context.setLineDash([5, 3]);
    this.context.beginPath();
    for (const corner of corners) this.context.lineTo(...corner);
    this.context.closePath();
    this.context.stroke();
    this.context.setLineDash([]);
  }

  /* The share of light that passes from the points below. */
  get opacityOfPoints() {
    if (this.isDense) return 0;
    return this.stressed ? FADED : 1;
  }

  /* Draw the density where its part of the map lies now: while a hand moves the map, it is not counted anew. */
  heap(context, density) {
    const { x, y } = this.countedIn;
    const [left, top] = this.map.pixelOf(x[0], y[1], this.seen);
    const [right, bottom] = this.map.pixelOf(x[1], y[0], this.seen);
    context.drawImage(density, left, top, right - left, bottom - top);
  }

  /* How many points share each place, as colour: their mean, nearer to the ink the more they are. */
  density() {
    const { data, colors, map } = this;
    const seen = map.drawnWindow;
    const key = [colors, map.order, this.ink, String([seen.x, seen.y, seen.width, seen.height])];
    if (key.every((part, k) => part === this.counted?.[k])) return this.shades;
    this.counted = key;
    this.countedIn = { x: [...seen.x], y: [...seen.y] };
    const [width, height] = [seen.width, seen.height].map((pixels) => Math.ceil(pixels / DENSITY_CELL));
    const sums = new Float32Array(4 * width * height); // of red, green, blue, and the number of points
    const partsOf = parsedOnce(rgbOf);
    const [scaleX, scaleY] = [width / (seen.x[1] - seen.x[0]), height / (seen.y[1] - seen.y[0])];
    for (let i = 0; i < data.count; i++) {
      if (!map.visible[i]) continue; // in the order of memory, which is far faster than that of drawing
      const column = Math.floor((data.x[i] - seen.x[0]) * scaleX);
      const row = Math.floor((seen.y[1] - data.y[i]) * scaleY);
      if (column < 0 || row < 0 || column >= width || row >= height) continue;
      const at = 4 * (row * width + column);
      const [red, green, blue] = partsOf(colors[i]);
      sums[at] += red;
      sums[at + 1] += green;
      sums[at + 2] += blue;
      sums[at + 3]++;
    }
    this.shades = Object.assign(document.createElement("canvas"), { width, height });
    const smooth = blurred(blurred(sums, 4, width * 4), width * 4, sums.length);
    const image = heapOf(smooth, new ImageData(width, height), rgbOf(this.ink));
    this.shades.getContext("2d", BY_PROCESSOR).putImageData(image, 0, 0);
    return this.shades;
  }
}
