/* What mouse and keys do. */

const DOUBLE_CLICK = 500; // milliseconds in which the second half of a double click comes

function listenToMap(page) {
  const place = document.getElementById("map");
  const plot = page.map.element;
  let pressed = null;
  const spot = (event) => {
    const box = plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  place.addEventListener("pointermove", (event) => {
    if (event.buttons) return;
    page.point(event.target.closest("#tools") ? -1 : page.map.pointAt(...spot(event)));
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
  for (const kind of ["mousedown", "click"]) page.tray.addEventListener(kind, guard(page), true);
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
    names: () => page.setNames(!page.named),
    suspects: (event) => page.review.choose(event),
    save: () => page.save(),
    theme: () => setTheme(isDark() ? "light" : "dark", page),
  };
  tools.addEventListener("click", (event) => {
    const { mode, do: what } = event.target.dataset;
    if (mode) page.setMode(mode);
    else run[what]?.(event);
  });
  page.setMode("pan");
  for (const name of ["size", "opacity"]) {
    const slider = document.getElementById(name);
    slider.value = page.marker[name];
    slider.addEventListener("change", () => {
      page.isMarkerChosen = true;
      page.setMarker({ [name]: Number(slider.value) });
    });
  }
  const box = tools.querySelector("details");
  document.addEventListener("pointerdown", (event) => {
    if (!box.contains(event.target)) box.open = false;
  });
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
    Enter: () => page.overlay.hovered >= 0 && page.pin(page.overlay.hovered),
    ArrowLeft: () => page.map.move(-0.15, 0),
    ArrowRight: () => page.map.move(0.15, 0),
    ArrowUp: () => page.map.move(0, 0.15),
    ArrowDown: () => page.map.move(0, -0.15),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
      const box = document.querySelector("#tools details[open]");
      if (box) box.open = false;
      else if (!typing || typing === page.find.input) page.back();
      else if (typing.type === "search") {
        typing.value = "";
        typing.dispatchEvent(new Event("input"));
      }
      typing?.blur();
      return;
    }
    const onMap = event.target.closest("#map, body:not(:focus-within)") && !event.target.closest("#tools");
    const ofMap = event.key === "Enter" || event.key.startsWith("Arrow"); // elsewhere they do what they always do
    if (typing || (ofMap && !onMap) || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}
