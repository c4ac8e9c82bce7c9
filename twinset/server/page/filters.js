// Filters by facet: the service counts what each would leave and says its `where` condition, the page draws and joins them.
import { $, h } from "/page/dom.js";
import { money, word } from "/page/i18n.js";
import { categoryName, colourName, swatch } from "/page/names.js";

export const FACETS = "colour,category,article_type,price,in_stock,tags";
const VALUES = 8; // shown of a facet of words; the rarer ones are left out
const TAGS = 3; // facets of the shop's own tags
const LOOKS = {
  colour: { title: () => word("colour"), name: colourName, look: swatch, most: 20 },
  category: { title: () => word("category"), name: categoryName },
  article_type: { title: () => word("type") },
};

export class Filters {
  constructor({ onChange }) {
    this.onChange = onChange;
    this.facets = [];
    this.forget();
    $("filter-box").open = matchMedia("(min-width: 701px)").matches; // on a phone the products come first
    $("filters").addEventListener("submit", (event) => {
      event.preventDefault();
      this.changed();
    });
    for (const id of ["low", "high", "stock"]) $(id).addEventListener("change", () => this.changed());
    $("clear").addEventListener("click", () => {
      this.forget();
      $("stock").focus();
      this.changed();
    });
  }

  forget() {
    this.chosen = new Map(); // field -> its chosen values, each with its condition
    for (const id of ["low", "high"]) $(id).value = "";
    $("stock").checked = false;
  }

  /** Draw the facets of an answer. */
  show(facets, currency) {
    this.facets = facets ?? [];
    this.currency = currency ?? this.currency;
    this.draw();
  }

  draw() {
    const focused = document.activeElement?.closest?.("#facets input");
    const back = focused && [focused.name, focused.value];
    $("facets").replaceChildren(...this.groups());
    if (back) [...document.querySelectorAll("#facets input")].find((input) => input.name === back[0] && input.value === back[1])?.focus();
    const bands = this.of("price");
    $("price-part").hidden = !bands.length && !$("low").value && !$("high").value;
    if (bands.length) [$("low").placeholder, $("high").placeholder] = [Math.floor(bands[0].low ?? 0), Math.ceil(bands.at(-1).high ?? bands.at(-1).low ?? 0)];
    $("currency").textContent = this.currency ? money(0, this.currency).replace(/[\d.,\s]/g, "") : "";
    $("stock-n").textContent = this.of("in_stock").find(({ value }) => value === "true")?.count ?? "";
    this.showActive();
  }

  of(field) {
    return this.facets.find((facet) => facet.field === field)?.values ?? [];
  }

  groups() {
    const tags = this.facets.map(({ field }) => field).filter((field) => field.startsWith("tags.") && !(field.slice(5).toLowerCase() in LOOKS) && this.of(field).length <= 2 * VALUES).slice(0, TAGS);
    return [...Object.keys(LOOKS), ...tags].map((field) => this.group(field)).filter(Boolean);
  }

  group(field) {
    const { title = () => field.slice(5), name = (value) => value, look, most = VALUES } = LOOKS[field] ?? {};
    const chosen = this.chosen.get(field) ?? new Map();
    const counted = this.of(field).filter(({ where }) => where); // what no condition can say can't be chosen
    const gone = [...chosen].filter(([value]) => !counted.some((other) => other.value === value)).map(([value, where]) => ({ value, where, count: 0 }));
    const values = [...gone, ...counted.slice(0, most)];
    if (values.length < 2 && !chosen.size) return null;
    const choices = values.map((one) => this.choice(field, one, chosen.has(one.value), name(one.value), look ? look(one.value) : h("span", {}, name(one.value))));
    return h("fieldset", { data: { field } }, h("legend", {}, title()), h("div", { className: "choices" }, choices));
  }

  choice(field, { value, count: n, where }, checked, name, look) {
    const input = h("input", { type: "checkbox", name: field, value, checked, aria: { label: word("facetCount", { name, n }) } });
    input.addEventListener("change", () => {
      const chosen = this.chosen.get(field) ?? new Map();
      if (input.checked) chosen.set(value, where);
      else chosen.delete(value);
      this.chosen.set(field, chosen);
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
    const said = (field, wheres) => [...wheres].map((where) => where.slice(field.length + 1)).join(","); // each is field=value
    const conditions = [...this.chosen].filter(([, values]) => values.size).map(([field, values]) => `${field}=${said(field, values.values())}`);
    if ($("low").value) conditions.push(`price>=${$("low").value}`);
    if ($("high").value) conditions.push(`price<=${$("high").value}`);
    if ($("stock").checked) conditions.push("in_stock=true");
    return conditions;
  }
}
