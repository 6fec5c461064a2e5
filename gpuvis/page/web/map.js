/* The points on the map. Plotly draws them and moves the map; which point lies where is found in a grid of our own. */

const SVG_POINTS = 3000; // up to here vector graphics are quick
const FEW_POINTS = 10000; // as many are drawn where there is no WebGL
const GRID = 512;
const REACH = 12; // pixels around the pointer in which a point is found
const MARGIN = 0.04;
const SLOW = 60; // milliseconds of a drawing that a hand would feel
const LONGEST_LOSS = 1500; // milliseconds that a lost drawing is waited for
const EDGE = 12; // pixels that a point keeps from the edge
const [SMALLEST_PART, LARGEST_PART] = [1e-5, 20]; // of the whole map that may be seen

const OUTLINE = "#767676"; // of points in pale or dark colours, seen on light and on dark

/* The outline of a point; of small ones it would cover the colour. */
const outlineOf = (size) => (size >= 5 ? 0.8 : 0);

const same = (one, other) => one === other || (one.length === other?.length && one.every((i, at) => i === other[at]));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const nextFrame = () => new Promise((done) => requestAnimationFrame(done));

function extentOf(values) {
  const [low, high] = endsOf(values);
  const pad = (high - low) * MARGIN || 1;
  return [low - pad, high + pad];
}

class PointMap {
  constructor(data, element) {
    this.data = data;
    this.element = element;
    this.webgl = true; // until Plotly finds otherwise: to look for it costs as much as to draw
    this.extent = { x: extentOf(data.x), y: extentOf(data.y) };
    this.wanted = [this.extent.x, this.extent.y]; // what is to be seen, in a window of any size
    this.visible = new Uint8Array(data.count);
    this.drawn = 0;
    this.onView = () => {};
    this.onLost = () => {};
    this.onRedrawn = () => {};
    this.index();
  }

  /* Sort the points into the cells of a grid. */
  index() {
    const { x, y, count } = this.data;
    const cells = new Uint32Array(count);
    for (let i = 0; i < count; i++) cells[i] = this.cell(y[i], this.extent.y) * GRID + this.cell(x[i], this.extent.x);
    Object.assign(this, grouped(cells, GRID * GRID));
  }

  cell(value, [low, high]) {
    return clamp(Math.floor(((value - low) / (high - low)) * GRID), 0, GRID - 1);
  }

  /* Those of some points that are drawn. */
  shown(points) {
    return points.filter((i) => this.visible[i]);
  }

  /* Give each visible point within a rectangle of the map. */
  *within([left, right], [bottom, top]) {
    const [first, last] = [this.cell(left, this.extent.x), this.cell(right, this.extent.x)];
    for (let row = this.cell(bottom, this.extent.y); row <= this.cell(top, this.extent.y); row++) {
      const stop = this.starts[row * GRID + last + 1];
      for (let at = this.starts[row * GRID + first]; at < stop; at++) {
        const i = this.members[at];
        if (!this.visible[i]) continue;
        if (this.data.x[i] >= left && this.data.x[i] <= right && this.data.y[i] >= bottom && this.data.y[i] <= top) {
          yield i;
        }
      }
    }
  }

  /* Size and opacity follow how many points share how much room. */
  usual() {
    const room = this.element.clientWidth * this.element.clientHeight;
    const count = this.data.count;
    return {
      size: Math.round(clamp(Math.sqrt((room * 0.12) / count), count > 200000 ? 1.5 : 2.5, 12) * 2) / 2,
      opacity: Math.round(clamp(1.2 - 0.14 * Math.log10(count), 0.3, 0.9) * 20) / 20,
    };
  }

  /* Draw points in the order given, each in its colour, unless they are drawn so. Without WebGL, of many an even part. */
  async paint(order, colors, marker) {
    if (this.ready && colors === this.colors && same(order, this.order)) return;
    Object.assign(this, { order, colors, marker });
    const count = this.webgl ? order.length : Math.min(order.length, FEW_POINTS);
    const [x, y, color] = [new Float32Array(count), new Float32Array(count), new Array(count)];
    this.visible.fill(0);
    for (let at = 0; at < count; at++) {
      const i = order[Math.floor((at * order.length) / count)];
      x[at] = this.data.x[i];
      y[at] = this.data.y[i];
      color[at] = colors[i];
      this.visible[i] = 1;
    }
    this.drawn = count;
    const line = { color: OUTLINE, width: marker.isOutlined ? outlineOf(marker.size) : 0 };
    if (this.ready) {
      await Plotly.restyle(this.element, { x: [x], y: [y], "marker.color": [color], "marker.line": line }, [0]);
      return;
    }
    const type = this.webgl && this.data.count > SVG_POINTS ? "scattergl" : "scatter";
    const trace = {
      type,
      mode: "markers",
      x,
      y,
      hoverinfo: "skip",
      marker: { size: marker.size, opacity: marker.opacity, color, line },
    };
    await Plotly.newPlot(this.element, [trace], this.layout(), {
      displayModeBar: false,
      doubleClick: false,
      plotGlPixelRatio: window.devicePixelRatio || 1, // Plotly would draw four pixels for each one of the screen
      responsive: false,
      scrollZoom: false, // zoomed by `aim`
      showSendToCloud: false,
    });
    if (this.element.querySelector(".no-webgl")) {
      this.webgl = false;
      Plotly.purge(this.element);
      await this.paint(order, colors, marker);
      return;
    }
    this.ready = true;
    this.element.on("plotly_relayout", () => this.onView());
    for (const canvas of this.element.querySelectorAll("canvas"))
      canvas.addEventListener("webglcontextlost", (event) => this.lose(event, canvas));
  }

  /* The graphics driver has dropped what was drawn: draw it again on new canvases, as soon as it gives back the old. */
  lose(event, canvas) {
    event.preventDefault(); // else it is never given back
    if (this.lost) return;
    this.lost = true;
    this.onLost();
    const again = () => {
      clearTimeout(timer);
      this.redraw();
    };
    const timer = setTimeout(again, LONGEST_LOSS);
    canvas.addEventListener("webglcontextrestored", () => setTimeout(again), { once: true });
  }

  async redraw() {
    if (!this.lost) return;
    const { order, colors, marker, wanted } = this;
    Plotly.purge(this.element);
    Object.assign(this, { ready: false, lost: false });
    await this.paint(order, colors, marker);
    await this.show(...wanted);
    this.onRedrawn();
  }

  layout() {
    const [x, y] = this.filling(...this.wanted);
    const axis = { visible: false, showgrid: false, zeroline: false, autorange: false };
    return {
      autosize: true,
      dragmode: false, // moved by `aim`
      hovermode: false,
      margin: { l: 0, r: 0, t: 0, b: 0 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: false,
      uirevision: "map",
      xaxis: { ...axis, range: x },
      yaxis: { ...axis, range: y },
    };
  }

  restyle(marker) {
    const { size, opacity, isOutlined } = marker;
    const width = isOutlined ? outlineOf(size) : 0;
    return Plotly.restyle(
      this.element,
      { "marker.size": size, "marker.opacity": opacity, "marker.line.width": width },
      [0],
    );
  }

  /* What is to be seen now: on each axis the values at both ends, and how many pixels lie between them. */
  get window() {
    const [x, y] = this.aimed ?? [this.drawnWindow.x, this.drawnWindow.y];
    return { ...this.drawnWindow, x, y };
  }

  /* What Plotly has drawn last. */
  get drawnWindow() {
    const { xaxis, yaxis } = this.element._fullLayout;
    return { x: xaxis.range, y: yaxis.range, width: xaxis._length, height: yaxis._length };
  }

  pixelOf(x, y, seen = this.window) {
    return [
      ((x - seen.x[0]) / (seen.x[1] - seen.x[0])) * seen.width,
      (1 - (y - seen.y[0]) / (seen.y[1] - seen.y[0])) * seen.height,
    ];
  }

  placeOf(left, top, seen = this.window) {
    return [
      seen.x[0] + (left / seen.width) * (seen.x[1] - seen.x[0]),
      seen.y[0] + (1 - top / seen.height) * (seen.y[1] - seen.y[0]),
    ];
  }

  /* The visible point nearest to a pixel; -1 where there is none within some pixels. */
  pointAt(left, top, pixels = REACH) {
    const seen = this.window;
    if (left < 0 || top < 0 || left > seen.width || top > seen.height) return -1;
    const [x, y] = this.placeOf(left, top, seen);
    const scale = (seen.x[1] - seen.x[0]) / seen.width;
    const reach = pixels * scale;
    let [best, least] = [-1, reach * reach];
    for (const i of this.within([x - reach, x + reach], [y - reach, y + reach])) {
      const apart = (this.data.x[i] - x) ** 2 + (this.data.y[i] - y) ** 2;
      if (apart <= least) [best, least] = [i, apart];
    }
    return best;
  }

  /* Both axes, longer along one side, so that they fill the window at one scale. Plotly can see to that itself
     (`scaleanchor`), but then prepares all points anew each time the map moves. */
  filling(x, y) {
    const [width, height] = [this.element.clientWidth, this.element.clientHeight].map((length) => Math.max(length, 1));
    const scale = Math.max((x[1] - x[0]) / width, (y[1] - y[0]) / height);
    const around = ([low, high], length) => [(low + high - scale * length) / 2, (low + high + scale * length) / 2];
    return [around(x, width), around(y, height)];
  }

  /* Show a part of the map, which stays in sight however large the window gets. */
  show(x, y, more = {}) {
    this.wanted = [x, y];
    this.aimed = undefined;
    this.stretch();
    return this.relayout(this.wanted, more);
  }

  relayout(seen, more = {}) {
    const [x, y] = this.filling(...seen);
    return Plotly.relayout(this.element, { "xaxis.range": x, "yaxis.range": y, ...more });
  }

  /* Show a part of the map while a hand moves it. What is drawn already is stretched at once; drawing anew may take
     long, above all without a graphics card, so between two drawings the hand has five times as long. */
  async aim(x, y) {
    this.aimed = [x, y];
    this.wanted = this.aimed;
    this.stretch();
    this.onView();
    if (this.following) return;
    this.following = true;
    try {
      while (this.aimed) {
        const began = performance.now();
        const { aimed } = this;
        await this.relayout(aimed);
        if (this.aimed === aimed) this.aimed = undefined;
        this.stretch();
        await nextFrame();
        await nextFrame();
        const took = performance.now() - began;
        if (took > SLOW) await new Promise((done) => setTimeout(done, 5 * took));
      }
    } finally {
      this.following = false;
    }
  }

  /* Move and scale what is drawn to where it is aimed at. */
  stretch() {
    const [plot] = this.element.getElementsByClassName("plot-container");
    if (!this.aimed) {
      plot.style.transform = "";
      return;
    }
    const drawn = this.drawnWindow;
    const [left, top] = this.pixelOf(drawn.x[0], drawn.y[1]);
    const scale = (drawn.x[1] - drawn.x[0]) / (this.aimed[0][1] - this.aimed[0][0]);
    plot.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
  }

  aimBeside(right, down) {
    const { x, y, width, height } = this.window;
    const [dx, dy] = [((x[1] - x[0]) * right) / width, ((y[1] - y[0]) * down) / height];
    return this.aim([x[0] - dx, x[1] - dx], [y[0] + dy, y[1] + dy]);
  }

  aimCloser(factor, spot) {
    return this.aim(...this.around(factor, this.placeOf(...spot)));
  }

  /* Whether all points are to be seen. */
  get isWhole() {
    const holds = ([low, high], [first, last]) => low <= first && high >= last;
    return holds(this.window.x, this.extent.x) && holds(this.window.y, this.extent.y);
  }

  /* Fill a window of another size with what was to be seen. */
  resize() {
    return this.show(...this.wanted, { autosize: true });
  }

  /* Whether the map is as large as its place. */
  get fits() {
    const { clientWidth, clientHeight, _fullLayout: drawn } = this.element;
    return Math.abs(drawn.width - clientWidth) < 1 && Math.abs(drawn.height - clientHeight) < 1;
  }

  /* What is seen, to be shown again. */
  get view() {
    const { x, y } = this.window;
    return [[...x], [...y]];
  }

  /* Those of some points that are drawn but lie outside what is seen. */
  outOfSight(points) {
    const { x, y } = this.window;
    const isSeen = (i) =>
      this.data.x[i] >= x[0] && this.data.x[i] <= x[1] && this.data.y[i] >= y[0] && this.data.y[i] <= y[1];
    return points.filter((i) => this.visible[i] && !isSeen(i));
  }

  /* Move, or zoom out, no more than it takes to see some points. */
  async reveal(points) {
    const { x, y, width } = this.window;
    const edge = (EDGE * (x[1] - x[0])) / width;
    const wider = ([low, high], values) => {
      const [first, last] = endsOf(Array.from(points, (i) => values[i]));
      const [short, over] = [Math.min(0, first - edge - low), Math.max(0, last + edge - high)];
      const fits = last - first + 2 * edge <= high - low;
      return fits ? [low + short + over, high + short + over] : [low + short, high + over];
    };
    const view = [wider(x, this.data.x), wider(y, this.data.y)];
    if (String(view) !== String(this.view)) await this.show(...view);
  }

  fit() {
    return this.show([...this.extent.x], [...this.extent.y]);
  }

  zoom(factor) {
    return this.aim(...this.around(factor, this.middle()));
  }

  /* What is to be seen, so many times as large, around a place that stays where it is. */
  around(factor, [x, y]) {
    const seen = this.window;
    const parts = ["x", "y"].map(
      (axis) => (seen[axis][1] - seen[axis][0]) / (this.extent[axis][1] - this.extent[axis][0]),
    );
    const allowed = clamp(factor, Math.max(...parts) / LARGEST_PART, Math.max(...parts) / SMALLEST_PART);
    const ends = ([low, high], at) => [at - (at - low) / allowed, at + (high - at) / allowed];
    return [ends(seen.x, x), ends(seen.y, y)];
  }

  middle() {
    const { x, y } = this.window;
    return [(x[0] + x[1]) / 2, (y[0] + y[1]) / 2];
  }

  /* Move by parts of what is seen. */
  move(right, up) {
    const { x, y } = this.window;
    const [dx, dy] = [(x[1] - x[0]) * right, (y[1] - y[0]) * up];
    return this.aim([x[0] + dx, x[1] + dx], [y[0] + dy, y[1] + dy]);
  }

  /* Bring a point to the middle, and nearer, which is needed if the whole map is seen. */
  center(i, near = this.isWhole) {
    const seen = this.window;
    const width = (seen.x[1] - seen.x[0]) / (near ? 2 : 1);
    const height = (width * seen.height) / seen.width;
    const [x, y] = [this.data.x[i], this.data.y[i]];
    return this.show([x - width / 2, x + width / 2], [y - height / 2, y + height / 2]);
  }
}
