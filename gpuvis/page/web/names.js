/* Class names on the map: one for each island of a class, beside it, where it covers as few points as can be. */

const ISLAND_CELLS = 64; // along a side of the map, in which points that lie together are found
const ROW_OF_CELLS = 2 * ISLAND_CELLS; // no cell is near one at the other end of a row
const NEAR_CELLS = 2; // cells between two points of one island
const LEAST_SHARE = 0.12; // of the points of a class that another island than its largest has
const [LEAST_OF_PLACE, AROUND] = [0.1, 12]; // part of the points so many pixels around that are of an island that is named
const MOST_ISLANDS = 4; // of a class
const OUTERMOST = 0.03; // share of its points on each side of an island that its name does not keep away from
const MOST_EDGES = 120; // points by which the edges of an island are found
const MOST_PLACED = 150;
const LETTERS = [12, 18]; // pixels of the letters of the smallest and of the largest island
const [LEAST_LETTERS, WIDE] = [11, 720]; // on a map that is less wide, they are smaller
const RING = 7; // pixels between a pinned point and what is around its ring
const ENOUGH_OF_CROWD = 200000; // points by which it is known where there are many
const CROWD_CELL = 4; // pixels along a side of the cells in which points are counted
const RINGS = [4, 14, 30, 52, 80]; // pixels between an island and its name, tried in turn
const WAYS = [
  [0, -1],
  [0, 1],
  [1, 0],
  [-1, 0],
  [0.7, -0.7],
  [-0.7, -0.7],
  [0.7, 0.7],
  [-0.7, 0.7],
];
const [CLEAR, UNCLEAR] = [10, 12]; // pixels to another island that tell whose a name is; points that it may cover instead
const LEADER = 20; // pixels from an island from which on a line leads to its name
const LINE_STEP = 6; // pixels of a line, a part of which keeps others away
const LONGEST_LEADER = 0.1; // of the width of the map

/* Groups of points that lie together, the largest first: those in cells that are near each other. */
function islandsOf(points, { x, y }, extent) {
  const size = Math.max(extent.x[1] - extent.x[0], extent.y[1] - extent.y[0]) / ISLAND_CELLS;
  const cells = new Map();
  for (const i of points) {
    const [column, row] = [(x[i] - extent.x[0]) / size, (y[i] - extent.y[0]) / size].map(Math.floor);
    const cell = row * ROW_OF_CELLS + column;
    if (cells.has(cell)) cells.get(cell).push(i);
    else cells.set(cell, [i]);
  }
  const islands = [];
  for (const first of cells.keys()) {
    if (!cells.has(first)) continue;
    const island = [];
    const open = [first];
    while (open.length) {
      const cell = open.pop();
      const inside = cells.get(cell);
      if (!inside) continue;
      cells.delete(cell);
      island.push(inside);
      for (let down = -NEAR_CELLS; down <= NEAR_CELLS; down++)
        for (let right = -NEAR_CELLS; right <= NEAR_CELLS; right++) open.push(cell + down * ROW_OF_CELLS + right);
    }
    islands.push(island.flat());
  }
  islands.sort((one, other) => other.length - one.length);
  const least = LEAST_SHARE * points.length;
  return islands.filter((island, k) => k === 0 || (k < MOST_ISLANDS && island.length >= least));
}

/* Some points of an island, without the outermost, to find its edges by. */
function someOf(points, { x, y }) {
  const isAmid = [x, y].map((values) => {
    const sorted = Float32Array.from(points, (i) => values[i]).sort();
    const [low, high] = [OUTERMOST, 1 - OUTERMOST].map((part) => sorted[Math.round((sorted.length - 1) * part)]);
    return (i) => values[i] >= low && values[i] <= high;
  });
  const amid = points.filter((i) => isAmid.every((is) => is(i)));
  const from = amid.length ? amid : points;
  const step = Math.ceil(from.length / MOST_EDGES);
  return from.filter((_, k) => k % step === 0);
}

/* How many points lie in any rectangle of the window, from sums over the cells above and to the left. */
class Crowd {
  constructor(map) {
    const seen = map.window;
    const [across, down] = [seen.width, seen.height].map((pixels) => Math.ceil(pixels / CROWD_CELL) + 1);
    Object.assign(this, { across, down });
    this.sums = new Uint32Array((across + 1) * (down + 1));
    const { x, y, count } = map.data;
    const perCell = ([low, high], pixels) => pixels / (high - low) / CROWD_CELL;
    const [scaleX, scaleY] = [perCell(seen.x, seen.width), perCell(seen.y, seen.height)];
    this.step = Math.ceil(count / ENOUGH_OF_CROWD);
    for (let i = 0; i < count; i += this.step) {
      if (!map.visible[i]) continue;
      const column = Math.floor((x[i] - seen.x[0]) * scaleX);
      const row = Math.floor((seen.y[1] - y[i]) * scaleY);
      if (column >= 0 && row >= 0 && column < across && row < down) this.sums[(row + 1) * (across + 1) + column + 1]++;
    }
    for (let row = 1; row <= down; row++)
      for (let column = 1; column <= across; column++) {
        const at = row * (across + 1) + column;
        this.sums[at] += this.sums[at - 1] + this.sums[at - across - 1] - this.sums[at - across - 2];
      }
  }

  in([left, top, right, bottom]) {
    const [first, last] = [left, right].map((pixel) => clamp(Math.floor(pixel / CROWD_CELL), 0, this.across - 1));
    const [high, low] = [top, bottom].map((pixel) => clamp(Math.floor(pixel / CROWD_CELL), 0, this.down - 1));
    const sum = (row, column) => this.sums[row * (this.across + 1) + column];
    return sum(low + 1, last + 1) - sum(high, last + 1) - sum(low + 1, first) + sum(high, first);
  }
}

const overlaps = (one, other) => one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];

const wider = ([left, top, right, bottom], by) => [left - by, top - by, right + by, bottom + by];

class Names {
  constructor(map, overlay, place) {
    Object.assign(this, { map, overlay, place });
    this.islands = []; // of classes, with the text of their name, the largest first
    this.placed = []; // the names that have found a place
  }

  /* Name these islands. */
  set(islands) {
    this.islands = islands;
    this.settle();
  }

  /* Place the names anew, as the map rests. */
  settle() {
    if (!this.map.ready) return;
    this.placed = this.islands.length ? placeNames(this.islands, this.map, this.crowd(), this.taken()) : [];
    this.place.replaceChildren(...this.placed.flatMap((name) => name.parts));
    this.laidAt = undefined;
    this.move();
  }

  /* The points that names keep away from; of very many it takes long. */
  crowd() {
    const { order, window: seen } = this.map;
    const key = [order, String([seen.x, seen.y, seen.width, seen.height])];
    if (key.some((part, k) => part !== this.counted?.[k]))
      Object.assign(this, { counted: key, crowded: new Crowd(this.map) });
    return this.crowded;
  }

  /* Where on the map something else stands: buttons, a line of text, pinned points. */
  taken() {
    const { left, top } = this.map.element.getBoundingClientRect();
    const boxes = ["status", "zoom"].map((id) => {
      const box = document.getElementById(id).getBoundingClientRect();
      return [box.left - left, box.top - top, box.right - left, box.bottom - top];
    });
    const pins = this.overlay.pins.map((i) => {
      const [x, y] = this.map.pixelOf(this.map.data.x[i], this.map.data.y[i]);
      return wider([x, y, x, y], this.map.marker.size / 2 + RING);
    });
    return [...boxes, ...pins];
  }

  /* Move the names with the map: all of them at once, unless its scale has changed. */
  move() {
    if (!this.placed.length) return;
    const seen = this.map.window;
    const unit = (seen.x[1] - seen.x[0]) / seen.width; // how much of the map a pixel is
    const [first] = this.placed;
    const [left, top] = this.map.pixelOf(first.x, first.y, seen);
    if (!this.laidAt || Math.abs(unit / this.laidAt.unit - 1) > 1e-9) {
      for (const { x, y, parts } of this.placed) {
        const [right, down] = this.map.pixelOf(x, y, seen);
        for (const part of parts) part.style.translate = `${right}px ${down}px`;
      }
      this.laidAt = { unit, left, top };
    }
    this.place.style.transform = `translate(${left - this.laidAt.left}px, ${top - this.laidAt.top}px)`;
  }

  /* Draw the names into a picture. */
  draw(context, { ink, paper }) {
    Object.assign(context, { textAlign: "center", textBaseline: "middle", lineJoin: "round", fillStyle: ink });
    for (const { text, letters, x, y, line } of this.placed) {
      const [left, top] = this.map.pixelOf(x, y);
      if (line) {
        Object.assign(context, { strokeStyle: ink, lineWidth: 1 });
        context.beginPath();
        context.moveTo(left + line.from[0], top + line.from[1]);
        context.lineTo(left + line.to[0], top + line.to[1]);
        context.stroke();
      }
      Object.assign(context, { font: fontOf(letters), strokeStyle: paper, lineWidth: 4 });
      context.strokeText(text, left, top);
      context.fillText(text, left, top);
    }
  }
}

const fontOf = (letters) => `600 ${letters}px system-ui, sans-serif`;
const measuring = document.createElement("canvas").getContext("2d");

function widthOf(text, letters) {
  measuring.font = fontOf(letters);
  return measuring.measureText(text).width;
}

/* Give each name a place in the window, the largest islands first. What finds none that is free of names is left out. */
function placeNames(names, map, crowd, taken) {
  const seen = map.window;
  const gaps = RINGS.filter((gap) => gap <= seen.width * LONGEST_LEADER);
  const [small, large] = LETTERS.map((size) => Math.max(LEAST_LETTERS, size * Math.min(1, seen.width / WIDE)));
  const radius = map.marker.size / 2;
  const most = Math.max(1, ...names.map(({ count }) => count));
  const placed = [];
  const spotsOf = ({ points }) =>
    points
      .map((i) => map.pixelOf(map.data.x[i], map.data.y[i], seen))
      .filter(([x, y]) => x >= 0 && y >= 0 && x <= seen.width && y <= seen.height);
  const islands = names
    .map((name) => ({ name, spots: spotsOf(name) }))
    .filter(({ spots }) => spots.length)
    .map((island) => ({ ...island, box: boxOf(island.spots) }))
    .filter(({ name, box }) => name.count >= LEAST_OF_PLACE * crowd.in(wider(box, AROUND)) * crowd.step);
  for (const { name, spots } of islands) {
    if (placed.length >= MOST_PLACED) break;
    const letters = small + (large - small) * Math.sqrt(name.count / most);
    const [half, rise] = [widthOf(name.text, letters) / 2 + 3, letters * 0.65];
    let best = null;
    for (const [way, [right, down]] of WAYS.entries()) {
      const [x, y] = edgeOf(spots, right, down);
      for (const gap of gaps) {
        const [middle, center] = [x + right * (radius + gap + half), y + down * (radius + gap + rise)];
        const room = [middle - half, center - rise, middle + half, center + rise];
        if (room[0] < 0 || room[1] < 0 || room[2] > seen.width || room[3] > seen.height) continue;
        if (taken.some((other) => overlaps(room, other))) continue;
        const others = (reach) =>
          islands.some((other) => other.name.text !== name.text && isNearer(other, room, reach));
        let cost = crowd.in(wider(room, radius)) + gap / 8 + way / 20;
        if (best && cost >= best.cost) continue;
        if (gap > gaps[0] && others(gap)) continue;
        if (others(gap + CLEAR)) cost += UNCLEAR;
        if (best && cost >= best.cost) continue;
        const line = gap > LEADER ? lineOf(middle, center, room, [x, y]) : null;
        if (line?.rooms.some((part) => taken.some((other) => overlaps(part, other)))) continue;
        best = { x: middle, y: center, room, cost, line };
      }
    }
    if (!best) continue;
    const [x, y] = map.placeOf(best.x, best.y, seen);
    const parts = [element("span", { textContent: name.text, dir: "auto" })];
    parts[0].style.fontSize = `${letters}px`;
    const { line } = best;
    if (line) parts.unshift(leader(line));
    taken.push(best.room, ...(line?.rooms ?? []));
    placed.push({ text: name.text, letters, x, y, parts, line });
  }
  return placed;
}

/* The spot that lies farthest in a direction. */
function edgeOf(spots, right, down) {
  let best = spots[0];
  for (const spot of spots) if (spot[0] * right + spot[1] * down > best[0] * right + best[1] * down) best = spot;
  return best;
}

/* The rectangle around some spots. */
function boxOf(spots) {
  const [across, down] = [0, 1].map((axis) => endsOf(spots.map((spot) => spot[axis])));
  return [across[0], down[0], across[1], down[1]];
}

/* Whether an island has a spot within some pixels of a room. */
function isNearer({ spots, box }, room, gap) {
  const near = wider(room, gap);
  return overlaps(near, box) && spots.some(([x, y]) => x > near[0] && x < near[2] && y > near[1] && y < near[3]);
}

/* Where a line from a name to the edge of its island begins and ends, in pixels from the middle of the name; and the
   rooms that it takes on the map. */
function lineOf(x, y, room, edge) {
  const to = [edge[0] - x, edge[1] - y];
  const [half, rise] = [(room[2] - room[0]) / 2, (room[3] - room[1]) / 2];
  const start = Math.min(1, half / Math.abs(to[0]), rise / Math.abs(to[1]));
  const steps = Math.ceil(((1 - start) * Math.hypot(...to)) / LINE_STEP);
  const rooms = Array.from({ length: steps }, (_, k) => {
    const at = start + ((1 - start) * (k + 0.5)) / steps;
    const [left, top] = [x + at * to[0], y + at * to[1]];
    return wider([left, top, left, top], LINE_STEP / 2);
  });
  return { from: to.map((part) => start * part), to, rooms };
}

function leader({ from, to }) {
  const line = element("i");
  line.style.width = `${Math.hypot(to[0] - from[0], to[1] - from[1])}px`;
  line.style.transform = `translate(${from[0]}px, ${from[1]}px) rotate(${Math.atan2(to[1], to[0])}rad)`;
  return line;
}
