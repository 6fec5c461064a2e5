/* What mouse and keys do. */

const TURN = 400; // pixels of the wheel by which the map grows e times as large
const LINES = [1, 16, 400]; // pixels of a step of the wheel, which may be told in pixels, lines or pages
const STILL = 4; // pixels that the hand may tremble in a click
const [LEAST_TRAY, MOST_TRAY] = [96, 0.7]; // its height in pixels; the most as part of the window
const OPEN = "#tools details[open], #about[open]"; // what Esc or a click elsewhere closes
const DOUBLE_CLICK = 500; // milliseconds in which the second half of a double click comes

function listenToMap(page) {
  const place = document.getElementById("map");
  const isOnMap = (event) => !event.target.closest("#zoom");
  const spot = (event) => {
    const box = page.map.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  place.addEventListener("pointermove", (event) => {
    if (event.buttons) return;
    page.point(isOnMap(event) ? page.map.pointAt(...spot(event)) : -1);
    place.classList.toggle("pointing", page.overlay.hovered >= 0);
  });
  place.addEventListener("pointerleave", () => page.point(-1));
  place.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      page.map.aimCloser(Math.exp((-event.deltaY * LINES[event.deltaMode]) / TURN), spot(event));
    },
    { passive: false },
  );
  listenToFingers(page, place, spot);
  place.addEventListener("mousedown", (event) => {
    if (event.target.closest("#zoom")) return;
    event.preventDefault(); // the map gets no frame for a click, and no text is selected
    document.activeElement.blur();
  });
  new ResizeObserver(() => page.resize()).observe(place);
  for (const kind of ["mousedown", "click"]) page.tray.addEventListener(kind, guard(page), true);
}

/* Move the map with the mouse or a finger, zoom it with two; what has not moved is a click, and pins. */
function listenToFingers(page, place, spot) {
  const fingers = new Map(); // where each one is
  let isClick = false;
  place.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || page.selection.mode !== "pan" || event.target.closest("#zoom")) return;
    place.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { from: spot(event), at: spot(event) });
    isClick = fingers.size === 1;
  });
  place.addEventListener("pointermove", (event) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    const [now, before] = [spot(event), finger.at];
    isClick &&= Math.hypot(now[0] - finger.from[0], now[1] - finger.from[1]) < STILL;
    if (isClick) return;
    page.point(-1); // a ring and a tip that go along would cost time in every frame
    finger.at = now;
    const [other] = [...fingers.values()].filter((one) => one !== finger);
    if (!other) page.map.aimBeside(now[0] - before[0], now[1] - before[1]);
    else {
      const gap = (spot) => Math.hypot(spot[0] - other.at[0], spot[1] - other.at[1]) || 1;
      page.map.aimCloser(gap(now) / gap(before), [(now[0] + other.at[0]) / 2, (now[1] + other.at[1]) / 2]);
    }
  });
  const end = (event) => {
    if (!fingers.delete(event.pointerId) || !isClick || event.type === "pointercancel") return;
    const i = page.map.pointAt(...spot(event));
    if (i >= 0) page.pin(i);
  };
  place.addEventListener("pointerup", end);
  place.addEventListener("pointercancel", end);
}

/* Make the tray higher or lower, by its upper edge. */
function listenToTray(page) {
  const edge = element("div", { id: "edge", role: "separator", tabIndex: 0, ariaOrientation: "horizontal" });
  edge.ariaLabel = "Height of the tray: arrow keys or drag";
  const set = (height) => {
    const fit = Math.round(clamp(height, LEAST_TRAY, window.innerHeight * MOST_TRAY));
    page.tray.style.setProperty("--height", `${fit}px`);
    return fit;
  };
  const keep = (height) => stored.set("gpuvis tray", String(set(height)));
  if (stored.get("gpuvis tray")) set(Number(stored.get("gpuvis tray")));
  edge.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    edge.setPointerCapture(event.pointerId);
  });
  edge.addEventListener("pointermove", (event) => {
    if (edge.hasPointerCapture(event.pointerId)) keep(page.tray.getBoundingClientRect().bottom - event.clientY);
  });
  edge.addEventListener("keydown", (event) => {
    const by = { ArrowUp: 24, ArrowDown: -24 }[event.key];
    if (!by) return;
    event.preventDefault();
    keep(page.tray.offsetHeight + by);
  });
  new ResizeObserver(() => {
    edge.ariaValueNow = String(page.tray.offsetHeight);
  }).observe(page.tray);
  page.tray.append(edge);
}

/* Make many buttons one stop of the Tab key, among which the arrow keys walk. Returns how to begin anew with others. */
function walk(place, selector, { inRow, arrows } = {}) {
  const all = () => [...place.querySelectorAll(selector)].filter((one) => !one.closest("[hidden]"));
  const settle = (current) => {
    const items = all();
    const stop = items.includes(current) ? current : (items.find((one) => one.tabIndex === 0) ?? items[0]);
    for (const one of place.querySelectorAll(selector)) one.tabIndex = one === stop ? 0 : -1;
    if (inRow) for (const one of place.querySelectorAll(inRow)) one.tabIndex = -1;
  };
  const topOf = (one) => Math.round(one.getBoundingClientRect().top);
  const next = (item, key) => {
    const items = all();
    const at = items.indexOf(item);
    const perRow = Math.max(1, items.filter((one) => topOf(one) === topOf(items[0])).length);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perRow, ArrowDown: perRow }[key];
    if (key === "Home" || key === "End") return items.at(key === "Home" ? 0 : -1);
    return step ? items[at + step] : undefined;
  };
  place.addEventListener("focusin", (event) => {
    const item = event.target.closest(selector);
    if (item) settle(item);
  });
  place.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (arrows && event.key.startsWith("Arrow") && !arrows.includes(event.key)) return;
    const isSideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
    const row = inRow && isSideways ? [...event.target.closest("li").querySelectorAll("button")] : null;
    const by = event.key === "ArrowRight" ? 1 : -1;
    const to = row ? row[row.indexOf(event.target) + by] : next(event.target.closest(selector), event.key);
    if (!to && !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    to?.focus();
  });
  settle();
  return settle;
}

/* Keep the second half of a double click on the map from what has come to lie there since. */
function guard(page) {
  return (event) => {
    if (event.detail < 2 || event.timeStamp - page.trayShown > DOUBLE_CLICK) return;
    event.preventDefault();
    event.stopPropagation();
  };
}

function listenToTools(page) {
  const tools = document.getElementById("tools");
  const run = {
    in: () => page.map.zoom(1.5),
    out: () => page.map.zoom(1 / 1.5),
    fit: () => page.map.fit(),
    names: () => {
      page.areNamesChosen = true;
      page.setNames(!page.named);
    },
    density: () => page.setDensity(!page.overlay.isDense),
    suspects: (event) => page.review.choose(event),
    confused: () => page.confusion.toggle(),
    save: () => savePicture(page).catch((error) => page.say(`the picture could not be made: ${error.message}`)),
    theme: () => switchTheme(page),
  };
  document.getElementById("zoom").addEventListener("click", (event) => run[event.target.dataset.do]?.());
  tools.addEventListener("click", (event) => {
    const { mode, do: what } = event.target.closest("button")?.dataset ?? {};
    if (mode) page.setMode(mode);
    else run[what]?.(event);
  });
  walk(tools, ".group > button, summary", { arrows: ["ArrowLeft", "ArrowRight"] });
  page.setMode("pan");
  for (const name of ["size", "opacity"]) {
    const slider = document.getElementById(name);
    slider.value = page.marker[name];
    slider.addEventListener("change", () => {
      page.isMarkerChosen = true;
      page.setMarker({ [name]: Number(slider.value) });
    });
  }
  document.addEventListener("pointerdown", (event) => {
    for (const box of document.querySelectorAll(OPEN)) if (!box.contains(event.target)) box.open = false;
  });
}

function listenToKeys(page) {
  const press = (selector) => () => {
    const button = document.querySelector(selector);
    if (!button.hidden) button.click();
  };
  const keys = {
    p: press("[data-mode=pan]"),
    l: press("[data-mode=lasso]"),
    b: press("[data-mode=box]"),
    c: press("[data-do=confused]"),
    d: press("[data-do=density]"),
    n: press("[data-do=names]"),
    s: press("[data-do=suspects]"),
    t: press("[data-do=theme]"),
    0: press("[data-do=fit]"),
    "+": press("[data-do=in]"),
    "=": press("[data-do=in]"),
    "-": press("[data-do=out]"),
    "/": () => page.find.input.focus(),
    Enter: () => page.pinHere(),
    ArrowLeft: () => page.map.move(-0.15, 0),
    ArrowRight: () => page.map.move(0.15, 0),
    ArrowUp: () => page.map.move(0, 0.15),
    ArrowDown: () => page.map.move(0, -0.15),
  };
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
      const box = document.querySelector(OPEN);
      if (box) box.open = false;
      else if (!typing || typing === page.find.input) page.back();
      else if (typing.type === "search") {
        typing.value = "";
        typing.dispatchEvent(new Event("input"));
      }
      typing?.blur();
      return;
    }
    const onMap = event.target.matches("#map, body");
    const ofMap = event.key === "Enter" || event.key.startsWith("Arrow"); // elsewhere they do what they always do
    if (typing || (ofMap && !onMap) || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}
