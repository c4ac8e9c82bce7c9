// Filters with how many products each leaves: colours, types, price, stock. They become the API's `where` conditions.
import { $, h } from "/page/dom.js";
import { money, word } from "/page/i18n.js";
import { colourName, swatch } from "/page/swatches.js";

const TYPES = 8; // shown; the rarer ones are left out

export class Filters {
  constructor({ onChange }) {
    this.onChange = onChange;
    this.forget();
    $("filter-box").open = matchMedia("(min-width: 701px)").matches; // on a phone the products come first
    $("filters").addEventListener("submit", (event) => {
      event.preventDefault();
      this.changed();
    });
    for (const id of ["low", "high"]) $(id).addEventListener("change", () => this.changed());
    $("stock").addEventListener("change", () => this.changed());
    $("clear").addEventListener("click", () => {
      this.forget();
      this.draw();
      $("stock").focus();
      this.onChange();
    });
  }

  forget() {
    this.colours = new Set();
    this.types = new Set();
    for (const id of ["low", "high"]) $(id).value = "";
    $("stock").checked = false;
  }

  /** Count what the products of an unfiltered search have. */
  count(hits) {
    this.byColour = tally(hits.flatMap((hit) => hit.colours.slice(0, 2).map((colour) => colour.name)));
    this.byType = tally(hits.map((hit) => hit.article_type).filter(Boolean));
    const prices = hits.map((hit) => hit.sale_price ?? hit.price).filter((price) => price !== null);
    this.prices = prices.length ? [Math.min(...prices), Math.max(...prices)] : null;
    this.currency = hits[0]?.currency;
    this.draw();
  }

  draw() {
    $("colours").replaceChildren(...ranked(this.byColour, this.colours).map(([name, n]) => this.choice(this.colours, name, colourName(name), n, swatch(name))));
    const types = ranked(this.byType, this.types).slice(0, TYPES);
    $("types").replaceChildren(...types.map(([name, n]) => this.choice(this.types, name, name, n, h("span", {}, name))));
    $("types-part").hidden = types.length < 2 && !this.types.size;
    $("price-part").hidden = !this.prices;
    if (this.prices) [$("low").placeholder, $("high").placeholder] = [Math.floor(this.prices[0]), Math.ceil(this.prices[1])];
    $("currency").textContent = this.currency ? money(0, this.currency).replace(/[\d.,\s]/g, "") : "";
    this.showActive();
  }

  choice(chosen, value, name, n, look) {
    const input = h("input", { type: "checkbox", value, checked: chosen.has(value), aria: { label: word("facetCount", { name, n }) } });
    input.addEventListener("change", () => {
      chosen[input.checked ? "add" : "delete"](value);
      this.changed();
    });
    return h("label", { className: "choice", title: name }, input, look, h("span", { className: "n", aria: { hidden: true } }, n));
  }

  changed() {
    this.showActive();
    this.onChange();
  }

  showActive() {
    const n = this.where().length;
    $("clear").hidden = !n;
    $("active").textContent = n || "";
  }

  where() {
    const conditions = [];
    if (this.colours.size) conditions.push(`colour=${[...this.colours].join(",")}`);
    if (this.types.size) conditions.push(`article_type=${[...this.types].map((name) => `"${name.replaceAll('"', "")}"`).join(",")}`);
    if ($("low").value) conditions.push(`price>=${$("low").value}`);
    if ($("high").value) conditions.push(`price<=${$("high").value}`);
    if ($("stock").checked) conditions.push("in_stock=true");
    return conditions;
  }
}

function tally(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) || 0) + 1);
  return counts;
}

/** Return [name, count], most first; what is chosen stays though nothing has it. */
function ranked(counts, chosen) {
  const all = new Map([...[...chosen].map((name) => [name, 0]), ...counts]);
  return [...all].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}
