// What shoppers did, as tables and figures. Nothing here names a shopper.
import { $, h } from "/page/dom.js";
import { language, word } from "/page/i18n.js";
import { categoryName, colourName, swatch } from "/page/names.js";

const PICTURES = 4; // of a group of misses
const sum = (rows, name) => rows.reduce((total, row) => total + row[name], 0);
const number = (value) => new Intl.NumberFormat(language).format(value);
const percent = (value) => (value === null || Number.isNaN(value) ? "–" : new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 }).format(value));

export function showFigures({ searches, misses, clicks }) {
  const looked = sum(searches.groups, "searches");
  const [views, chosen] = [sum(clicks.positions, "view"), sum(clicks.positions, "click")];
  const figures = [["figureSearches", number(looked)], ["figureMisses", percent(misses.searches ? misses.misses / misses.searches : null)], ["figureClicks", number(chosen)], ["figureShare", percent(views ? chosen / views : null)]];
  $("figures").replaceChildren(...figures.map(([name, value]) => h("div", {}, h("dt", {}, word(name)), h("dd", {}, value))));
}

export function showMisses({ misses, crops }) {
  $("misses-help").textContent = `${word("missesHelp", { below: percent(misses.below) })} ${crops.kept ? "" : word("cropsOff")}`;
  const pictures = ({ category, colour }) => crops.crops.filter((crop) => crop.category === category && crop.colour === colour).slice(0, PICTURES);
  const cards = misses.groups.map((group) => h("li", { className: "miss" }, what(group), h("p", {}, word("missCount", { n: group.misses })), cropsOf(pictures(group))));
  $("miss-groups").replaceChildren(...(cards.length ? cards : [h("li", { className: "empty" }, word("noMisses"))]));
}

function cropsOf(crops) {
  return crops.length > 0 && h("div", { className: "crops" }, crops.map((crop) => h("img", { src: `data:image/jpeg;base64,${crop.jpeg}`, alt: "" })));
}

export function showSearches({ searches }) {
  const rows = searches.groups.slice(0, 20).map((group) => h("tr", {}, h("td", {}, what(group)), h("td", { className: "num" }, number(group.searches)), h("td", { className: "num" }, percent(group.mean_best_score))));
  $("search-rows").replaceChildren(...(rows.length ? rows : [none("noSearches", 3)]));
}

export function showClicks({ clicks }) {
  const most = Math.max(...clicks.positions.map((row) => row.click_through ?? 0), 0.01);
  const rows = clicks.positions.slice(0, 24).map((row) => h("tr", {}, h("td", {}, number(row.position + 1)), h("td", { className: "num" }, number(row.view)), h("td", { className: "num" }, number(row.click)), h("td", {}, gauge((row.click_through ?? 0) / most), percent(row.click_through))));
  $("click-rows").replaceChildren(...(rows.length ? rows : [none("noClicks", 4)]));
}

/** The order's nDCG, and clicks by place beside how likely a place is looked at, which is estimated from them. */
export function showQuality({ quality }) {
  const { ndcg, lists, clicks, positions } = quality;
  $("quality-figure").textContent = ndcg === null ? "" : word("ndcg", { ndcg: ndcg.toFixed(2), lists: number(lists), clicks: number(clicks) });
  const most = Math.max(...positions.map((row) => row.wanted ?? 0), 0.01);
  const rows = ndcg === null ? [] : positions.map((row) => h("tr", {}, h("td", {}, number(row.position + 1)), h("td", { className: "num" }, number(row.shown)), h("td", {}, percent(row.click_through)), h("td", { className: "num" }, percent(row.looked_at)), h("td", {}, gauge((row.wanted ?? 0) / most), percent(row.wanted))));
  $("quality-rows").replaceChildren(...(rows.length ? rows : [none("noClicks", 5)]));
}

export function showModels({ models }) {
  $("model-list").replaceChildren(...models.models.map((model) => h("li", { className: "job" }, h("strong", {}, model.name), h("span", { className: `state ${model.active ? "active" : ""}` }, word(model.active ? "inUse" : "ready")), h("span", { className: "small" }, `${model.version} · ${word("categories", { n: model.categories.length })}`))));
}

/** Return what was looked for: a colour and a category, either of which may be unknown. */
function what({ category, colour }) {
  const name = category ? categoryName(category) : word("anything");
  return h("span", { className: "what" }, colour && swatch(colour), colour ? `${colourName(colour)} · ${name}` : name);
}

function gauge(share) {
  return h("span", { className: "gauge", aria: { hidden: true } }, h("i", { style: { width: `${Math.round(share * 100)}%` } }));
}

function none(name, columns) {
  return h("tr", {}, h("td", { className: "empty", colSpan: columns }, word(name)));
}
