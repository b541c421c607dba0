// The page of `nmm map`: what one sees, points at, looks for and selects.

import KDBush from "kdbush";

import { Card } from "./card.js";
import { css, palette } from "./colours.js";
import { readData } from "./data.js";
import { Labels } from "./labels.js";
import { Picture } from "./picture.js";
import { Selection, within } from "./selection.js";
import { View } from "./view.js";

const REACH = 12; // pixels from a point at which it is pointed at
const LISTED = 100; // results of a search that are listed
const STEP = 80; // pixels that an arrow key moves

const get = (id) => document.getElementById(id);
const root = document.documentElement;
const map = get("map");
const data = readData(get("data"));
const sizeOf = () => [map.clientWidth, map.clientHeight];
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

const index = new KDBush(data.count, 64, Float32Array);
for (let at = 0; at < data.count; at++) index.add(data.points[2 * at], data.points[2 * at + 1]);
index.finish();

const view = new View(data.points, sizeOf());
const hidden = new Set(); // "image", "text"
let colours = palette(data, isDark());
let found = null;
let pinned = -1; // the card of a file that a finger or key asked for
let picture = null;
let waiting = 0;

const colourOf = (at) =>
  get("colour").value === "kind" ? colours.kind(data.isImage[at]) : colours.cluster(data.cluster[at]);
const kindOf = (at) => (data.isImage[at] ? "image" : "text");
const isOn = (at) => !hidden.has(kindOf(at));

// Once for all that changes before the next frame.
function draw() {
  waiting ||= requestAnimationFrame(() => {
    waiting = 0;
    if (!picture) return;
    const ring = (places, width) => ({ places, width, colour: [...colours.mark, 255] });
    picture.marks = [
      ring([...selection.places].slice(0, 20000), 2),
      ...(found && found.length < 2000 ? [ring(found.filter(isOn), 1.25)] : []),
      ...(card.at >= 0 ? [ring([card.at], 3)] : []),
    ];
    picture.draw();
    labels.draw(view, get("names").getAttribute("aria-pressed") === "true");
  });
}

const selection = new Selection(get("selection"), data, draw);
const labels = new Labels(get("labels"), data.clusters, (number) => showGroup(number));
const card = new Card(get("card"), data, null, null);

// --- what is pointed at ---

function nearest(right, down, reach = REACH) {
  const thumbnail = picture?.thumbnailAt(right, down) ?? -1;
  if (thumbnail >= 0) return thumbnail;
  const [x, y] = view.toMap(right, down);
  let best = -1;
  let least = Infinity;
  for (const at of index.within(x, y, reach / view.scale)) {
    const away = Math.hypot(data.points[2 * at] - x, data.points[2 * at + 1] - y);
    if (away < least && isOn(at) && (!found || picture.isShown[at])) [best, least] = [at, away];
  }
  return best;
}

function point(at) {
  if (picture) picture.pointing = at >= 0;
  if (at < 0) card.hide();
  else {
    const place = view.toScreen(data.points[2 * at], data.points[2 * at + 1]);
    const isDrawn = picture && !picture.isPlain[at];
    const away = isDrawn ? picture.drawnSize(at)[0] / 2 : 0;
    card.show(at, place, view.size, colours.cluster(data.cluster[at]), away);
  }
  draw();
}

function open(at) {
  const address = data.address(at);
  if (!address) return;
  const link = document.createElement("a");
  Object.assign(link, { href: address, target: "_blank", rel: "noopener noreferrer" });
  link.click();
}

// --- the pointer ---

const placeOf = (event) => {
  const box = map.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
let line = null; // of a lasso that is being drawn
let pressed = null;

const isSelecting = (event) => event.shiftKey || get("lasso").getAttribute("aria-pressed") === "true";

map.addEventListener(
  "pointerdown",
  (event) => {
    if (event.button || !event.isPrimary) return;
    pressed = placeOf(event);
    if (!isSelecting(event)) return;
    event.stopPropagation();
    map.setPointerCapture(event.pointerId);
    line = [pressed];
    point(-1);
  },
  true,
);

map.addEventListener(
  "pointermove",
  (event) => {
    if (line) {
      event.stopPropagation();
      line.push(placeOf(event));
      get("line").setAttribute("d", `M${line.map((place) => place.join(" ")).join("L")}Z`);
    } else if (event.pointerType === "mouse" && !event.buttons) {
      pinned = -1;
      point(nearest(...placeOf(event)));
    }
  },
  true,
);

map.addEventListener(
  "pointerup",
  (event) => {
    const at = placeOf(event);
    const isClick = pressed && Math.hypot(at[0] - pressed[0], at[1] - pressed[1]) < 6;
    pressed = null;
    if (line) {
      event.stopPropagation();
      const corners = line.map(([right, down]) => view.toMap(right, down));
      line = null;
      get("line").removeAttribute("d");
      const file = isClick ? nearest(...at) : -1;
      if (file >= 0) selection.toggle(file);
      else if (!isClick) selection.add(within(corners, data.points, index).filter(isWanted));
      return;
    }
    if (!isClick || event.target.closest(".label")) return;
    const file = nearest(...at, event.pointerType === "mouse" ? REACH : 2 * REACH);
    // A finger points first, and opens what it points at by the second touch.
    if (file >= 0 && (event.pointerType === "mouse" || file === pinned)) open(file);
    else {
      pinned = file;
      point(file);
    }
  },
  true,
);
map.addEventListener("pointerleave", () => pinned < 0 && point(-1));
map.addEventListener("pointercancel", () => {
  line = null;
  get("line").removeAttribute("d");
});

const isWanted = (at) => isOn(at) && (!found || picture.isShown[at]);

// --- where one looks ---

function moved() {
  if (card.at >= 0) point(pinned);
  draw();
}

function showFiles(places) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const at of places) {
    const [x, y] = [data.points[2 * at], data.points[2 * at + 1]];
    [box[0], box[1]] = [Math.min(box[0], x), Math.min(box[1], y)];
    [box[2], box[3]] = [Math.max(box[2], x), Math.max(box[3], y)];
  }
  view.show(box);
  moved();
}

const filesOf = (number) => {
  const files = [];
  for (let at = 0; at < data.count; at++) if (data.cluster[at] === number) files.push(at);
  return files;
};

// Most of a group: a few that lie far away do not count.
function showGroup(number) {
  const [x, y] = data.clusters[number].place;
  const away = (at) => Math.hypot(data.points[2 * at] - x, data.points[2 * at + 1] - y);
  const files = filesOf(number).sort((one, other) => away(one) - away(other));
  showFiles(files.slice(0, Math.max(Math.ceil(0.8 * files.length), 2)));
}

function zoom(steps) {
  view.zoomBy(steps);
  moved();
}

function fit() {
  view.fit();
  moved();
}

// --- searching ---

const query = get("query");

function search() {
  const text = query.value.trim();
  found = text ? data.search(text) : null;
  get("count").value = found ? `${found.length.toLocaleString("en")} found` : "";
  get("found").hidden = !found;
  get("results").replaceChildren(...(found ?? []).slice(0, LISTED).map(row));
  get("more").textContent =
    found && found.length > LISTED ? `and ${(found.length - LISTED).toLocaleString("en")} more` : "";
  get("take").hidden = get("look").hidden = !found?.length;
  refilter();
}

function refilter() {
  const all = found ?? Array.from({ length: data.count }, (_, at) => at);
  picture?.only(found || hidden.size ? all.filter(isOn) : null);
  draw();
}

function row(at) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const address = data.address(at);
  if (address) Object.assign(link, { href: address, target: "_blank", rel: "noopener noreferrer" });
  else link.tabIndex = 0;
  const dot = document.createElement("i");
  dot.className = "dot";
  dot.style.background = css(colourOf(at));
  const name = document.createElement("bdi");
  name.className = "name";
  name.textContent = data.name(at);
  const about = document.createElement("bdi");
  about.className = "folder";
  about.textContent = data.passage(at) || data.folderName(at);
  link.append(dot, name, about);
  link.addEventListener("focus", () => lookAt(at));
  link.addEventListener("pointerenter", () => lookAt(at, false));
  item.append(link);
  return item;
}

// Points at a file, which is brought onto the screen.
function lookAt(at, move = true) {
  const place = view.toScreen(data.points[2 * at], data.points[2 * at + 1]);
  const [width, height] = view.size;
  const isSeen = place[0] > 0.35 * width && place[0] < width - 60 && place[1] > 80 && place[1] < height - 60;
  if (move && !isSeen) view.move(data.points[2 * at], data.points[2 * at + 1]);
  pinned = at;
  point(at);
}

let soon = 0;
query.addEventListener("input", () => {
  clearTimeout(soon);
  soon = setTimeout(search, data.count > 20000 ? 180 : 0);
});
get("take").addEventListener("click", () => selection.add(found.filter(isOn)));
get("look").addEventListener("click", () => showFiles(found.filter(isOn)));

// --- groups and kinds ---

function listGroups() {
  const items = data.clusters.map(({ name, count, words }, number) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.title = words.join(", ");
    const dot = document.createElement("i");
    dot.className = "dot";
    dot.style.background = css(colours.cluster(number));
    const label = document.createElement("bdi");
    label.textContent = name;
    const size = document.createElement("small");
    size.textContent = count.toLocaleString("en");
    button.append(dot, label, size);
    button.addEventListener("click", () => showGroup(number));
    const take = document.createElement("button");
    take.type = "button";
    take.className = "take";
    take.textContent = "Select";
    take.setAttribute("aria-label", `Select ${name}`);
    take.addEventListener("click", () => selection.add(filesOf(number).filter(isWanted)));
    item.append(button, take);
    return item;
  });
  get("groups").replaceChildren(...items);
}

for (const kind of ["image", "text"]) {
  const button = get(kind);
  const count = data.isImage.reduce((sum, is) => sum + (is === (kind === "image" ? 1 : 0)), 0);
  button.querySelector("small").textContent = count.toLocaleString("en");
  button.hidden = !count;
  button.addEventListener("click", () => {
    if (!hidden.delete(kind)) hidden.add(kind);
    button.setAttribute("aria-pressed", `${!hidden.has(kind)}`);
    refilter();
  });
}

// --- buttons, theme, keys ---

const toggled = (button) => {
  const isPressed = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", `${isPressed}`);
  return isPressed;
};
get("lasso").addEventListener("click", () => {
  const isPressed = toggled(get("lasso"));
  map.classList.toggle("selecting", isPressed);
  if (picture) picture.canDrag = !isPressed;
  draw();
});
get("names").addEventListener("click", () => {
  toggled(get("names"));
  draw();
});
get("in").addEventListener("click", () => zoom(1));
get("out").addEventListener("click", () => zoom(-1));
get("fit").addEventListener("click", fit);
get("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  recolour();
});
get("colour").addEventListener("change", recolour);
prefersDark.addEventListener("change", recolour);
if (!data.clusters.length) {
  get("colour").value = "kind";
  for (const id of ["names", "list", "colour"]) get(id).hidden = true;
}

function recolour() {
  colours = palette(data, isDark());
  labels.colour(colours.cluster);
  for (const kind of ["image", "text"]) {
    get(kind).style.setProperty("--own", css(colours.kind(kind === "image")));
  }
  listGroups();
  picture?.colour(colourOf);
  if (found) get("results").replaceChildren(...found.slice(0, LISTED).map(row));
  draw();
}

// What is in the middle of the screen is pointed at, when keys move the map.
function pointAtMiddle() {
  const [width, height] = view.size;
  pinned = nearest(width / 2, height / 2, Math.min(width, height) / 4);
  point(pinned);
}

const MOVES = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const { key, target } = event;
  const inList = target.closest("#results a");
  const isTyping = target.matches("input, textarea, select");
  if (key === "Escape") {
    if (query.value) {
      query.value = "";
      search();
    } else if (line || pinned >= 0) {
      pinned = -1;
      point(-1);
    } else selection.set([]);
    map.focus();
  } else if (key === "/" && !isTyping) {
    query.focus();
    query.select();
  } else if (target === query && (key === "ArrowDown" || key === "Enter")) {
    clearTimeout(soon);
    search();
    get("results").querySelector("a")?.focus();
  } else if (inList && (key === "ArrowDown" || key === "ArrowUp")) {
    const item = inList.parentElement;
    const next = key === "ArrowDown" ? item.nextElementSibling : item.previousElementSibling;
    (next?.firstElementChild ?? (key === "ArrowUp" ? query : null))?.focus();
  } else if (target === map && MOVES[key]) {
    view.panBy(...MOVES[key]);
    pointAtMiddle();
  } else if (target === map && (key === "+" || key === "=")) {
    zoom(1);
    pointAtMiddle();
  } else if (target === map && key === "-") {
    zoom(-1);
    pointAtMiddle();
  } else if (target === map && key === "0") fit();
  else if (target === map && key === "Enter" && card.at >= 0) open(card.at);
  else if (target === map && key === " " && card.at >= 0) selection.toggle(card.at);
  else return;
  event.preventDefault();
});

new ResizeObserver(() => {
  const before = view.home;
  const at = [view.x, view.y, view.zoom - before];
  view.size = sizeOf();
  view.fit();
  // Whoever had zoomed in sees the same part.
  if (at[2] !== 0) view.move(at[0], at[1], view.home + at[2]);
  labels.measure();
  picture?.rearrange();
  moved();
}).observe(map);

// --- the beginning ---

function fail(error) {
  get("failure").hidden = false;
  get("why").textContent = printableReason(error);
}
const printableReason = (error) => `${error?.message ?? error}`.slice(0, 200);

async function begin() {
  recolour();
  const probe = document.createElement("canvas").getContext("webgl2");
  if (!probe) {
    fail("This browser shows no WebGL 2, with which the map is drawn. Searching works without.");
    return;
  }
  probe.getExtension("WEBGL_lose_context")?.loseContext();
  let sheet = null;
  const image = get("sheet");
  if (data.sprites && image) {
    await image.decode();
    sheet = await createImageBitmap(image);
  }
  picture = new Picture(get("canvas"), data, sheet, view, { onView: moved, onFail: fail });
  card.sheet = sheet;
  card.spriteOf = picture.spriteOf;
  picture.colour(colourOf);
  refilter();
}

export const ready = begin().catch(fail);
export { data, selection, view, moved };
export const frames = () => picture?.drawn ?? 0;
export const pace = () => picture.pace;
export const pointedAt = () => card.at;
