/* What is drawn over the points: rings, lines to neighbours, class names, outlines, and points that stand out. */

const MOST_RINGS = 1000;
const MOST_DISCS = 20000; // more points that stand out are squares
// Where graphics are emulated, Chromium may leave on the screen what was cleared, unless the processor draws.
const BY_PROCESSOR = { willReadFrequently: true };
const LIFT = 14; // pixels of a name above the middle of its class

/* A colour, #rrggbb, as the bytes of a pixel; red comes first. */
function pixelOf(color) {
  const rgb = Number.parseInt(color.slice(1), 16);
  return ((255 << 24) | ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
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
    this.names = []; // { text, x, y }, the largest class first
    this.outlines = []; // of the selection, in the map's coordinates
    this.drawing = null; // the outline that is being drawn, in pixels
    this.colors = [];
    this.size = 6;
  }

  /* Draw, once before the next frame. */
  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.render(this.sized(), window.devicePixelRatio || 1);
    });
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
    if (this.stressed) context.drawImage(this.layer(ratio), 0, 0, this.seen.width, this.seen.height);
    if (this.lines) this.spokes(this.lines);
    this.dots(context, this.pins);
    for (const i of this.hits.slice(0, MOST_RINGS)) this.ring(i, this.size / 2 + 3, this.accent, 2);
    for (const i of this.pins) this.ring(i, this.size / 2 + 4, this.ink, 2.5);
    if (this.hovered >= 0) this.ring(this.hovered, this.size / 2 + 5, this.ink, 2);
    for (const outline of this.outlines) this.outline(outline.map(([x, y]) => this.map.pixelOf(x, y, this.seen)));
    if (this.drawing) this.outline(this.drawing);
    this.labels();
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
    const known = new Map(); // colours, as the bytes of a pixel
    const side = Math.max(1, Math.round(this.size * ratio));
    for (const i of points) {
      const color = this.colors[i];
      if (!known.has(color)) known.set(color, pixelOf(color));
      const place = this.at(i).map((part) => Math.round(part * ratio - side / 2));
      const [left, top] = place.map((part) => Math.max(0, part));
      const [right, bottom] = [Math.min(image.width, place[0] + side), Math.min(image.height, place[1] + side)];
      for (let row = top; row < bottom; row++)
        pixels.fill(known.get(color), row * image.width + left, row * image.width + Math.max(left, right));
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

  /* Names at their centres; one that would cover a larger class's is left out. */
  labels() {
    const taken = [];
    this.context.font = "600 13px system-ui, sans-serif";
    this.context.textAlign = "center";
    this.context.textBaseline = "middle";
    this.context.lineJoin = "round";
    for (const { text, x, y } of this.names) {
      const [center, middle] = this.map.pixelOf(x, y, this.seen);
      const half = this.context.measureText(text).width / 2 + 4;
      const outside = center < 0 || center > this.seen.width || middle < 0 || middle > this.seen.height;
      if (outside) continue;
      const left = clamp(center, half, this.seen.width - half);
      const top = Math.max(middle - LIFT, 9); // so that a small class is not covered by its own name
      const box = [left - half, top - 9, left + half, top + 9];
      if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]))
        continue;
      taken.push(box);
      this.context.strokeStyle = this.paper;
      this.context.lineWidth = 4;
      this.context.strokeText(text, left, top);
      this.context.fillStyle = this.ink;
      this.context.fillText(text, left, top);
    }
  }
}
