// The shopper's page: a photo in, its pieces, each piece's products. State is here; what is drawn is in the other files.
import { Problem, call, facets, forgetKey, hasKey, search, setKey, similar, tell } from "/page/api.js";
import { Beside } from "/page/beside.js";
import { $, h } from "/page/dom.js";
import { FACETS, Filters } from "/page/filters.js";
import { Visit } from "/page/history.js";
import { keepLanguage, language, speak, word } from "/page/i18n.js";
import { takePhotos } from "/page/intake.js";
import { categoryName, setNames } from "/page/names.js";
import { Results } from "/page/results.js";
import { Stage } from "/page/stage.js";

const K = 24;
let shop = { categories: {}, colours: {}, samples: [] };
let photo = null; // {blob} or {url}, and imageId once the service holds it
let answer = null; // of the search over the whole photo
let chosen = null; // an item's number; null: the shopper's own area
let area = null; // that area, in pixels
let products = []; // those whose like is shown over what the photo gave, each reached from the one before
let shown = null; // {item, from, narrowed}: whose products are shown, what events say of them, the fields that were asked beside
let trail = [{ photo: null, products: [] }]; // what was shown one after the other, as the browser's Back and Forward go
let at = 0; // of what is shown, in the trail
let asking = new AbortController();
let isReady;
const ready = new Promise((resolve) => (isReady = resolve)); // a photo may come in before the shop is known

const stage = new Stage({ onChoose: choose, onCrop: searchArea });
const results = new Results({ onMore: likeProduct });
const besides = new Beside({ onChoose: likeProduct });
const filters = new Filters({ onChange: requery });
const visit = new Visit({ onOpen: open });

/** Run a question to the service and draw its answer, unless another has been asked meanwhile. `undo` follows a failure. */
async function ask(question, draw, undo = () => results.clear()) {
  asking.abort();
  const mine = (asking = new AbortController());
  $("error").hidden = true;
  $("status").textContent = word("looking");
  document.body.dataset.state = "asking";
  try {
    const result = await question(mine.signal);
    if (mine !== asking) return;
    draw(result);
    document.body.dataset.state = "done";
  } catch (problem) {
    if (mine !== asking || problem.name === "AbortError") return;
    document.body.dataset.state = "failed";
    fail(problem, () => ask(question, draw, undo));
    undo();
    $("error").scrollIntoView({ block: "nearest" });
  }
}

function fail(problem, again) {
  if (!(problem instanceof Problem)) console.error(problem);
  const { status } = problem;
  const known = { 0: "offline", 404: "gone", 413: "tooLarge", 415: "notPhoto", 429: "busy", 503: "busy" }[status];
  $("status").textContent = "";
  $("error-text").textContent = known ? word(known, { n: Math.floor(shop.max_bytes / 1e6) }) : problem.message;
  $("again").hidden = ![0, 429, 503].includes(status);
  $("again").onclick = again;
  $("error").hidden = false;
  if (status === 401) askForKey(true);
}

function open(next) {
  photo = { ...next };
  leaveProducts();
  step();
  searchPhoto();
}

/** Note in the trail, and in the browser's history, that something else is shown now. */
function step() {
  trail = [...trail.slice(0, at + 1), { photo, products: [...products] }];
  at = trail.length - 1;
  history.pushState(at, "");
}

/** Show what was shown at a place of the trail; of one before the page was loaded anew only the start is known. */
function goTo(place) {
  at = trail[place] ? place : 0;
  const then = trail[at];
  if (!then.photo) return start();
  if (then.photo !== photo || !answer) {
    photo = then.photo;
    return searchPhoto(then.products);
  }
  products = [...then.products];
  $("start").hidden = true;
  $("found").hidden = false;
  showChosen();
}

/** Search with the photo, and then show the last of some products, or else what the photo's first piece gives. */
function searchPhoto(then = []) {
  answer = area = shown = null;
  leaveProducts();
  filters.forget();
  $("words-text").value = "";
  $("start").hidden = true;
  $("found").hidden = false;
  $("items").replaceChildren();
  $("refine").hidden = true;
  heading("");
  results.wait();
  scrollTo({ top: 0 });
  const source = photo.url ?? URL.createObjectURL(photo.blob);
  const drawn = stage.open(source);
  ask(async (signal) => {
    const found = await search(photo, [["k", K], ["facets", FACETS]], signal);
    await drawn;
    return found;
  }, (found) => {
    answer = found;
    stage.setSize(found.width, found.height);
    visit.add(photo, stage.image);
    if (found.items.length) choose(0);
    else nothing();
    products = [...then];
    if (products.length) showProduct();
    else $("result-title").focus({ preventScroll: true });
  }, () => {
    results.clear();
    heading(word("failed"));
  });
}

function nothing() {
  chosen = null;
  stage.show([], null, null, nameOf);
  results.clear();
  heading(word("nothing"));
  $("status").textContent = word("nothing");
  results.note("nothing", "nothingHelp");
}

function nameOf(item) {
  return item?.category ? categoryName(item.category) : word("areaName");
}

function choose(i) {
  asking.abort(); // what was asked before is for another item
  asking = new AbortController();
  chosen = i;
  area = null;
  leaveProducts();
  filters.forget();
  $("words-text").value = "";
  const item = answer.items[i];
  document.body.dataset.state = "done";
  $("error").hidden = true;
  stage.show(answer.items, i, null, nameOf);
  show(item, answer.search_id, i);
}

function searchArea(box) {
  area = box;
  chosen = null;
  leaveProducts();
  filters.forget();
  stage.show(answer.items, null, area, nameOf);
  requery();
}

/** Ask again for what is chosen, with the filters and words as they are. */
function requery() {
  results.wait();
  if (products.length) return requeryProduct(products.at(-1), filters.where());
  const item = chosen === null ? null : answer.items[chosen];
  const box = area ?? item?.box ?? [0, 0, answer.width, answer.height];
  const fields = [["k", K], ["facets", FACETS], ["box", box.map((side) => side.toFixed(1)).join(",")]];
  if (item?.category) fields.push(["category", item.category]);
  const narrowed = narrowing();
  ask((signal) => search(photo, [...fields, ...narrowed], signal), (found) => show(found.items[0], found.search_id, 0, narrowed));
}

/** Return the fields of what the shopper said beside the photo. */
function narrowing() {
  const words = $("words-text").value.trim();
  return [...(words ? [["words", words]] : []), ...filters.where().map((condition) => ["where", condition])];
}

function requeryProduct(hit, where) {
  const question = () => Promise.all([similar(hit.product_id, hit.shop, where, K), facets(hit.category, hit.shop, where, FACETS)]);
  ask(question, ([found, counted]) => show({ hits: found.hits, facets: counted.facets }));
}

function show(item, searchId, itemNo, narrowed = []) {
  shown = { item, from: { search_id: searchId, item_no: searchId && itemNo }, narrowed };
  const product = products.at(-1);
  results.show(item.hits, { from: shown.from, far: product ? "" : far(item, narrowed) });
  filters.show(item.facets, item.hits[0]?.currency);
  $("refine").hidden = false;
  $("more").hidden = !item.next_cursor;
  heading(product ? product.title || product.product_id : item.category ? word("like", { name: nameOf(item).toLocaleLowerCase(language) }) : word("likeArea"));
  $(product ? "alike-row" : "title-row").append($("status"));
  $("words").hidden = !shop.words || Boolean(product);
  counted(item);
}

function counted({ hits, next_cursor }) {
  $("status").textContent = word(next_cursor ? "closest" : "count", { n: hits.length });
}

/** Return what to say where no hit is close, "" where one is. A model that can't tell leaves it to the shop's setting. */
function far({ hits, close_enough }, narrowed) {
  const close = close_enough ?? !(hits[0]?.score < shop.miss_score);
  return close ? "" : narrowed.length ? "farNarrowed" : "farHelp";
}

function heading(text) {
  $("result-title").textContent = text || word("looking");
}

function likeProduct(hit) {
  const position = shown.item.hits.indexOf(hit);
  tell({ type: "click", product_id: hit.product_id, ...(position >= 0 && { position, ...shown.from }) });
  products.push(hit);
  step();
  showProduct();
}

/** Show the last of the products, without one the piece or the area that was chosen. */
function showChosen() {
  filters.forget();
  if (products.length) return showProduct();
  if (chosen !== null) choose(chosen);
  else if (area) searchArea(area);
  else nothing();
  $("result-title").focus();
}

/** Show the last of the products by itself, with what is like it below. */
function showProduct() {
  $("back").hidden = false;
  heading(products.at(-1).title || products.at(-1).product_id);
  besides.show(products.at(-1));
  filters.forget();
  requery();
  $("result-title").focus({ preventScroll: true });
  $("result-side").scrollIntoView({ block: "start" });
}

function leaveProducts() {
  products = [];
  $("back").hidden = true;
  besides.hide();
}

function more() {
  const { item, from, narrowed } = shown;
  ask((signal) => search(photo, [["k", K], ["cursor", item.next_cursor], ...narrowed], signal), (found) => {
    const [next] = found.items;
    const hits = next?.hits ?? [];
    item.hits = [...item.hits, ...hits];
    item.next_cursor = next?.next_cursor;
    results.show(hits, { from, add: true });
    $("more").hidden = !item.next_cursor;
    counted(item);
  }, () => counted(item)); // what is shown stays
}

function start() {
  asking.abort();
  photo = answer = null;
  leaveProducts();
  $("found").hidden = true;
  $("start").hidden = false;
  $("error").hidden = true;
  $("status").textContent = "";
  document.body.dataset.state = "start";
  $("headline").focus();
}

function drawSamples() {
  $("samples").hidden = !shop.samples.length;
  $("sample-list").replaceChildren(...shop.samples.map((url, i) => h("li", {},
    h("button", { type: "button", className: "shot", on: { click: () => openSample(url) } }, h("img", { src: url, alt: word("sample", { n: i + 1 }), width: 120, height: 180 })))));
}

async function openSample(url) {
  const response = await fetch(url);
  open({ blob: await response.blob() });
}

/** Draw everything with the language's words; what was asked stays. */
function redraw() {
  drawSamples();
  visit.draw();
  if (!answer) return;
  if (!shown) return nothing();
  const { item, from, narrowed } = shown;
  stage.show(answer.items, chosen, area, nameOf);
  if (products.length) besides.draw();
  show(item, from.search_id, from.item_no, narrowed);
}

function askForKey(wrong) {
  forgetKey();
  $("found").hidden = true;
  $("start").hidden = true;
  $("sign-in").hidden = false;
  $("error").hidden = !wrong;
  if (wrong) $("error-text").textContent = word("keyWrong");
  $("key").focus();
}

/** Learn what there is to know of the shop; a service that is starting is waited for. */
async function begin() {
  await speak(language);
  for (let pause = 250; ; pause = Math.min(pause * 1.5, 4000)) {
    try {
      shop = await call("/v1/shop");
      break;
    } catch (problem) {
      if (problem.status === 401) return askForKey(hasKey());
      if (![0, 503].includes(problem.status)) return fail(problem, begin);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  setNames(shop);
  $("sign-in").hidden = true;
  $("start").hidden = false;
  $("error").hidden = true;
  redraw();
  document.body.dataset.ready = "true";
  isReady();
}

takePhotos((next) => ready.then(() => open(next)));
$("another").addEventListener("click", () => {
  start();
  step();
});
$("area").addEventListener("click", () => stage.select());
$("back").addEventListener("click", () => history.back());
addEventListener("popstate", ({ state }) => state !== null && goTo(state)); // null: a fragment, not of the trail
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // its fragment would be a step of its own
  $("result-title").focus();
});
$("more").addEventListener("click", more);
$("words").addEventListener("submit", (event) => {
  event.preventDefault();
  requery();
});
$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey($("key").value.trim());
  begin();
});
$("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  localStorage.setItem("theme", (document.documentElement.dataset.theme = dark ? "light" : "dark"));
});
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", async () => {
    keepLanguage(button.dataset.language);
    await speak(button.dataset.language);
    redraw();
  });
}
history.replaceState(at, "");
begin();
