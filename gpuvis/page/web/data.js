/* Unpack the data of the page: coordinates, columns, neighbours, images. A point is identified by its index. */

const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };
const DAY = 86400000; // milliseconds
const BLANK = "(blank)";

function bytesOf(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function unpacked(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/* Sections of numbers hold all first bytes, then all second ones, and so on. */
function numbersOf(bytes, { at, count, type, low, step }) {
  const size = Number(type[1]);
  const mixed = new Uint8Array(count * size);
  for (let place = 0; place < size; place++) {
    const plane = at + place * count;
    for (let i = 0; i < count; i++) mixed[i * size + place] = bytes[plane + i];
  }
  const found = new TYPES[type](mixed.buffer);
  if (step === undefined) return found;
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = low + step * found[i];
  return values;
}

function textsOf(bytes, told, count) {
  const whole = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(told.at, told.at + told.bytes));
  const ends = new Uint32Array(count + 1);
  const lengths = told.lengths ? numbersOf(bytes, told.lengths) : null;
  for (let i = 0; i < count; i++) ends[i + 1] = ends[i] + (lengths ? lengths[i] : told.length);
  return { whole, ends };
}

/* Points by their codes, which are below `kinds`: those of code k are members[starts[k]] to members[starts[k + 1] - 1]. */
function grouped(codes, kinds) {
  const starts = new Uint32Array(kinds + 1);
  for (const code of codes) starts[code + 1]++;
  for (let k = 0; k < kinds; k++) starts[k + 1] += starts[k];
  const fill = starts.slice();
  const members = new Uint32Array(codes.length);
  for (let i = 0; i < codes.length; i++) members[fill[codes[i]]++] = i;
  return { starts, members };
}

/* The least and the largest of some numbers, whatever else is among them. */
function endsOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/* Milliseconds since 1970 of the minute of a date, such as 2024-05-01 or 2024:05:01 17:30:12. */
const minuteOf = (text) =>
  Date.parse(`${text.slice(0, 4)}-${text.slice(5, 7)}-${text.slice(8, 10)}T${text.slice(11, 16) || "00:00"}Z`);

const dateOf = (milliseconds, unit) =>
  new Date(milliseconds)
    .toISOString()
    .slice(0, unit === DAY ? 10 : 16)
    .replace("T", " ");

class Column {
  constructor(told, number) {
    Object.assign(this, told); // name, values, colors, families
    this.number = number;
    this.isScale = told.scale;
  }

  text(i) {
    return this.values ? this.values[this.codes[i]] : this.whole.slice(this.ends[i], this.ends[i + 1]);
  }

  get isBlank() {
    return this.values?.length === 1 && this.values[0] === "";
  }

  /* The points of each class. */
  get classes() {
    this.sorted ??= grouped(this.codes, this.values.length);
    return this.sorted;
  }

  countOf(k) {
    return this.counts ? this.counts[k] : this.countHere(k);
  }

  /* The points of a class on this page, which may show a sample. */
  countHere(k) {
    return this.classes.starts[k + 1] - this.classes.starts[k];
  }

  membersOf(k) {
    return this.classes.members.subarray(this.classes.starts[k], this.classes.starts[k + 1]);
  }

  /* A value as a number, NaN where there is none: a date as whole days or minutes, in milliseconds since 1970. */
  measure(i) {
    const text = this.text(i);
    if (!text) return NaN;
    return this.dateUnit ? Math.floor(minuteOf(text) / this.dateUnit) * this.dateUnit : Number(text);
  }

  /* A number of the scale, in words. */
  written(number) {
    return this.dateUnit ? dateOf(number, this.dateUnit) : format(number);
  }

  /* The values as numbers, and where they begin and end; NaN where there is none. */
  measured(count) {
    if (!this.measures) {
      const values = Float64Array.from({ length: count }, (_, i) => this.measure(i));
      const [low, high] = endsOf(values);
      this.measures = { values, low, high, blank: values.filter(Number.isNaN).length };
    }
    return this.measures;
  }
}

async function readData() {
  const all = await unpacked("data");
  const length = new DataView(all.buffer).getUint32(0, true);
  const told = JSON.parse(new TextDecoder().decode(all.subarray(4, 4 + length)));
  const bytes = all.subarray(4 + length);
  const [x, y] = told.coords.map((axis) => numbersOf(bytes, axis));
  const columns = [];
  for (const one of told.columns) {
    const column = new Column(one, columns.length);
    if (one.codes) column.codes = numbersOf(bytes, one.codes);
    else if (one.which) column.codes = Uint32Array.from(columns[one.leader].codes, (code) => one.which[code]);
    else Object.assign(column, textsOf(bytes, one.texts, told.shown));
    columns.push(column);
  }
  const rows = told.rows && numbersOf(bytes, told.rows);
  const ids = told.neighbors && numbersOf(bytes, told.neighbors.ids);
  const places = told.thumbnails && numbersOf(bytes, told.thumbnails.places);
  return {
    ...told,
    x,
    y,
    columns,
    places,
    count: told.shown,
    isSample: told.shown < told.total,
    column: (name) => columns.find((column) => column.name === name),
    rowOf: (i) => (rows ? rows[i] : i),
    pointOf: (row) => (rows ? rows.indexOf(row) : row < told.shown ? row : -1),
    fileOf: (i) => columns.find((column) => column.name === "file_name")?.text(i) ?? "",
    /* The points nearest to one in the original space, the nearest first. */
    nearestTo: (i) => (ids ? Array.from({ length: told.neighbors.k }, (_, place) => ids[place * told.shown + i]) : []),
  };
}
