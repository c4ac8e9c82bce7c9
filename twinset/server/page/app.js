// The page over the public API: a photo in, its items, and each item's products.
import { Crop } from "/page/crop.js";
import { language, setLanguage, translate, word } from "/page/i18n.js";

const $ = (id) => document.getElementById(id);
const SWATCHES = {
  black: "#161616", white: "#ffffff", grey: "#8d9299", beige: "#dcc9a6", brown: "#6f4a2d", red: "#c62828", pink: "#ee8fb1", orange: "#ef7d1a",
  yellow: "#f2cf2f", green: "#3b8a47", blue: "#2d62b8", purple: "#7b4397", multicolour: "conic-gradient(#c62828, #f2cf2f, #3b8a47, #2d62b8, #c62828)",
};
let shop = { categories: {}, colours: {}, samples: [], max_bytes: 20e6 };
let photo = null; // {file} or {url}
let answer = null; // of the last search over all items
let chosen = null; // index of an item, or "box"
let boxAnswer = null;
let ticket = 0; // answers that come late are for another question

const crop = new Crop($("stage"), $("crop"), () => searchBox());

async function ask(fields) {
  const form = new FormData();
  if (photo.file) form.append("photo", photo.file);
  else form.append("url", photo.url);
  for (const [name, value] of fields) form.append(name, value);
  let response;
  try {
    response = await fetch("/v1/search", { method: "POST", body: form });
  } catch {
    throw new Error(word("offline"));
  }
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail || body.title);
  return body;
}

function filters() {
  const fields = [];
  const colours = [...document.querySelectorAll("#colours input:checked")].map((input) => input.value);
  if (colours.length) fields.push(["where", `colour=${colours.join(",")}`]);
  if ($("low").value) fields.push(["where", `price>=${$("low").value}`]);
  if ($("high").value) fields.push(["where", `price<=${$("high").value}`]);
  if ($("stock").checked) fields.push(["where", "in_stock=true"]);
  return fields;
}

async function run(question, done) {
  const mine = ++ticket;
  $("error").hidden = true;
  $("status").textContent = word("searching");
  try {
    const result = await question();
    if (mine === ticket) done(result);
  } catch (problem) {
    if (mine !== ticket) return;
    $("status").textContent = "";
    $("error").textContent = `${word("failed")}: ${problem.message}`;
    $("error").hidden = false;
  }
}

function open(next) {
  photo = next;
  answer = boxAnswer = null;
  chosen = null;
  crop.hide();
  $("filters").reset();
  const image = $("photo");
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.src = next.file ? URL.createObjectURL(next.file) : next.url;
  run(() => ask([]), (result) => {
    answer = result;
    chosen = result.items.length ? 0 : null;
    $("start").hidden = true;
    $("found").hidden = false;
    draw();
    if (chosen === null) ownCrop(true);
    $("result-title").focus({ preventScroll: true });
  });
}

function name(item) {
  return item && item.category ? shop.categories[item.category]?.[language] || item.category : word("everything");
}

function current() {
  if (chosen === "box") return boxAnswer?.items[0];
  return chosen === null ? null : answer.items[chosen];
}

function draw() {
  if (!answer) return;
  $("photo").alt = word("photo");
  $("crop").setAttribute("aria-label", word("boxHelp"));
  $("status").textContent = answer.items.length ? word("found", answer.items.length) : word("nothing");
  $("boxes").replaceChildren(...(crop.box ? [] : answer.items.map(boxButton)));
  $("items").replaceChildren(...answer.items.map(itemButton));
  const item = current();
  $("result-title").textContent = item ? word("like", name(item)) : "";
  $("filters").hidden = !item;
  const cards = item ? item.hits.map(card) : [];
  $("hits").replaceChildren(...cards);
  if (item && !cards.length) $("status").textContent = word("noHits");
  $("own-crop").setAttribute("aria-pressed", Boolean(crop.box));
  $("search-crop").hidden = !crop.box;
}

function boxButton(item, i) {
  const button = document.createElement("button");
  const [x1, y1, x2, y2] = item.box;
  const { width, height } = answer;
  button.type = "button";
  button.tabIndex = -1; // the list below the photo is the one to tab through
  button.setAttribute("aria-hidden", "true");
  button.setAttribute("aria-pressed", chosen === i);
  Object.assign(button.style, { left: `${(x1 / width) * 100}%`, top: `${(y1 / height) * 100}%`, width: `${((x2 - x1) / width) * 100}%`, height: `${((y2 - y1) / height) * 100}%`, zIndex: 1000 - Math.round(((x2 - x1) * (y2 - y1) * 900) / (width * height)) });
  const label = document.createElement("span");
  label.textContent = i + 1;
  button.append(label);
  button.onclick = () => choose(i);
  return button;
}

function itemButton(item, i) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.setAttribute("aria-pressed", chosen === i);
  button.append(`${i + 1} ${name(item)} `, ...item.colours.slice(0, 2).map(swatch));
  button.onclick = () => choose(i);
  return button;
}

function choose(i) {
  chosen = i;
  crop.hide();
  draw();
}

function swatch(colour) {
  const dot = document.createElement("span");
  dot.className = "swatch";
  dot.style.background = SWATCHES[colour.name] || "none";
  dot.title = shop.colours[colour.name]?.[language] || colour.name;
  return dot;
}

function card(hit) {
  const entry = document.createElement("li");
  const safe = hit.url && /^https?:/.test(hit.url);
  const node = document.createElement(safe ? "a" : "div");
  node.className = "card";
  if (safe) Object.assign(node, { href: hit.url, target: "_blank", rel: "noopener" });
  const image = Object.assign(new Image(), { src: hit.image, alt: "", loading: "lazy" });
  const text = document.createElement("div");
  const title = document.createElement("h3");
  title.textContent = hit.title || hit.product_id;
  const price = document.createElement("span");
  price.className = "price";
  price.textContent = hit.price === null ? "" : money(hit);
  const facts = document.createElement("div");
  facts.className = "facts";
  const colours = document.createElement("span");
  colours.append(...hit.colours.slice(0, 3).map(swatch));
  const match = Object.assign(document.createElement("meter"), { min: 0, max: 1, value: hit.score, title: `${word("match")} ${Math.round(hit.score * 100)} %` });
  match.setAttribute("aria-label", match.title);
  facts.append(colours, match);
  text.append(title, price, facts);
  node.append(image, text);
  entry.append(node);
  return entry;
}

function money(hit) {
  try {
    return new Intl.NumberFormat(language, hit.currency ? { style: "currency", currency: hit.currency } : {}).format(hit.price);
  } catch {
    return `${hit.price} ${hit.currency || ""}`;
  }
}

function ownCrop(on) {
  if (!on) {
    crop.hide();
    if (chosen === "box") chosen = answer.items.length ? 0 : null;
  } else {
    const item = current();
    const { width: w, height: h } = answer;
    crop.show(item ? [item.box[0] / w, item.box[1] / h, item.box[2] / w, item.box[3] / h] : [0.25, 0.25, 0.75, 0.75]);
  }
  draw();
}

function searchBox() {
  const { width: w, height: h } = answer;
  const [x1, y1, x2, y2] = crop.box;
  const box = [x1 * w, y1 * h, x2 * w, y2 * h].map((side) => side.toFixed(1)).join(",");
  run(() => ask([["box", box], ...filters()]), (result) => {
    boxAnswer = result;
    chosen = "box";
    draw();
    $("status").textContent = word("shown", result.items[0]?.hits.length || 0);
  });
}

function refresh() {
  if (!answer) return;
  if (chosen === "box") return searchBox();
  run(() => ask(filters()), (result) => {
    answer = result;
    if (chosen === null || chosen >= result.items.length) chosen = result.items.length ? 0 : null;
    draw();
    if (current()?.hits.length) $("status").textContent = word("shown", current().hits.length);
  });
}

function colourChoices() {
  $("colours").replaceChildren(...Object.keys(shop.colours).map((colour) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "checkbox", value: colour });
    input.setAttribute("aria-label", shop.colours[colour][language]);
    input.onchange = refresh;
    label.append(input, swatch({ name: colour }));
    return label;
  }));
}

function samples() {
  $("samples").hidden = !shop.samples.length;
  $("samples").querySelector("ul").replaceChildren(...shop.samples.map((url, i) => {
    const entry = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.append(Object.assign(new Image(), { src: url, alt: word("tryOne", i + 1) }));
    button.onclick = async () => open({ file: await (await fetch(url)).blob() });
    entry.append(button);
    return entry;
  }));
}

function take(file) {
  if (file) open({ file });
}

for (const id of ["file", "camera"]) {
  $(id).onchange = (event) => {
    take(event.target.files[0]);
    event.target.value = "";
  };
}
$("link").onsubmit = (event) => {
  event.preventDefault();
  open({ url: $("address").value });
};
$("filters").onsubmit = (event) => {
  event.preventDefault();
  refresh();
};
$("stock").onchange = refresh;
$("own-crop").onclick = () => ownCrop(!crop.box);
$("search-crop").onclick = searchBox;
$("another").onclick = () => {
  ticket++;
  $("found").hidden = true;
  $("start").hidden = false;
  $("status").textContent = "";
  $("file").focus();
};
addEventListener("paste", (event) => take([...event.clipboardData.files].find((file) => file.type.startsWith("image/"))));
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
});
for (const button of document.querySelectorAll("[data-language]")) {
  button.onclick = () => {
    setLanguage(button.dataset.language);
    colourChoices();
    samples();
    draw();
  };
}

async function begin() {
  translate();
  for (let left = 60; left; left--) {
    try {
      const response = await fetch("/v1/shop");
      if (response.ok) {
        shop = await response.json();
        break;
      }
    } catch { /* not up yet */ }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  colourChoices();
  samples();
  document.body.dataset.ready = "true";
}

begin();
