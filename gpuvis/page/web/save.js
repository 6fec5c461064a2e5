/* What leaves the page: pictures, tables, and text for the clipboard. */

const TITLE = 50; // pixels above a saved map: its title, and a line that says what is seen
const SCALE = 2; // pixels of a saved map for each one of the screen

async function copyText(page, text, what = text) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { value: text });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  page.say(done ? `copied: ${what}` : "the browser does not let this page copy");
}

/* A name for a file: of which map it is, and what it holds. */
function fileNameOf({ name, caption }, what) {
  const words = [name, caption.split(" · ")[0], what].filter(Boolean).join(" ");
  return words.replaceAll(/[^\p{L}\p{N}.]+/gu, "_").replace(/^[_.]+/, "");
}

/* Save a file. A page within a frame may be forbidden to, and is not told: then text is shown, to be copied. */
function saveFile(page, blob, what, text) {
  const name = fileNameOf(page.heading, what);
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  if (window.top === window) page.say(`saved as ${name}`);
  else if (text === undefined) page.say(`${name} is saved if this frame may save files; else open the page on its own`);
  else offer(page, name, text);
}

function offer(page, name, text) {
  const area = element("textarea", { value: text, readOnly: true, ariaLabel: name });
  const told = `If this frame may not save files, ${name} was not saved. This is its text:`;
  const close = button("Close", "Close (Esc)", () => box.close());
  const copy = button("Copy", "Copy the text", () => copyText(page, text, name));
  const buttons = element("div", { className: "buttons" }, copy, close);
  const box = element("dialog", { className: "offer" }, element("p", { textContent: told }), area, buttons);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  area.select();
}

/* Save the map as it is seen, with its title above it and the meaning of the colours in a corner. */
async function savePicture(page) {
  const { map, overlay, names, legend, heading } = page;
  const { clientWidth: width, clientHeight: height } = map.element;
  const canvasOf = (high) => element("canvas", { width: SCALE * width, height: SCALE * high });
  const points = element("img");
  points.src = await Plotly.toImage(map.element, { format: "png", width, height, scale: SCALE });
  await points.decode();
  const [over, sheet] = [canvasOf(height), canvasOf(height + TITLE)];
  overlay.render(over.getContext("2d"), SCALE);
  const context = sheet.getContext("2d");
  const { color: ink, backgroundColor: paper } = getComputedStyle(document.body);
  context.fillStyle = paper;
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.scale(SCALE, SCALE);
  context.globalAlpha = overlay.opacityOfPoints;
  context.drawImage(points, 0, TITLE, width, height);
  context.globalAlpha = 1;
  context.drawImage(over, 0, TITLE, width, height);
  Object.assign(context, { fillStyle: ink, font: fontOf(14), textBaseline: "middle", textAlign: "left" });
  context.fillText(heading.title, 8, 16, width - 16);
  context.font = "12px system-ui, sans-serif";
  context.fillText(page.seen, 8, 36, width - 16);
  context.translate(0, TITLE);
  names.draw(context, { ink, paper });
  legend.draw(context, width, ink);
  sheet.toBlob((blob) => saveFile(page, blob, "map.png"));
}
