// A product by itself: its picture and facts, and strips of other colours, of what is cheaper, of what is worn with it.
import { Problem, beside } from "/page/api.js";
import { $, h } from "/page/dom.js";
import { money, word } from "/page/i18n.js";
import { categoryName, colourName, swatch, swatches } from "/page/names.js";

const PLACES = 5;
const STRIPS = {
  colours: { params: { k: 8 }, read: ({ colours }) => colours.map(({ colour, hit }) => ({ hit, label: colourName(colour), dot: swatch(colour) })) },
  look: { params: { k: 2, categories: 4 }, read: ({ look }) => look.flatMap(({ category, hits }) => hits.map((hit) => ({ hit, label: categoryName(category) }))) },
  cheaper: { params: { k: 10 }, read: ({ hits }) => hits.map((hit) => ({ hit })) },
};

export class Beside {
  /** `onChoose(hit)`: a product of a strip is to be shown by itself. */
  constructor({ onChoose }) {
    this.onChoose = onChoose;
    this.asking = new AbortController();
  }

  hide() {
    this.asking.abort();
    $("product").hidden = true;
  }

  /** Show a product; its strips fill as they come, and one that has nothing goes. */
  show(hit) {
    this.asking.abort();
    this.asking = new AbortController();
    this.hit = hit;
    this.answers = {};
    $("product").hidden = false;
    this.draw();
    for (const name of Object.keys(STRIPS)) this.ask(name, this.asking.signal);
  }

  async ask(name, signal) {
    try {
      this.answers[name] = await beside(this.hit.product_id, name, this.hit.shop, STRIPS[name].params, signal);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      if (!(problem instanceof Problem)) throw problem;
      this.answers[name] = null; // the strips are an extra: without one the page goes on
    }
    if (!signal.aborted) this.draw(name);
  }

  /** Draw the product and its strips, or one strip that has come. */
  draw(only) {
    if (!only) $("product-facts").replaceChildren(...this.facts());
    for (const name of only ? [only] : Object.keys(STRIPS)) this.strip(name);
  }

  facts() {
    const { hit } = this;
    const now = hit.sale_price ?? hit.price;
    const price = h("p", { className: "price" }, h("span", {}, money(now, hit.currency)), now < hit.price && h("s", {}, money(hit.price, hit.currency)), hit.in_stock === false && h("span", { className: "sold" }, word("soldOut")));
    const link = hit.url && /^https?:/.test(hit.url) && h("a", { className: "button small", href: hit.url, target: "_blank", rel: "noopener" }, word("toShop"));
    return [h("div", { className: "picture" }, h("img", { src: hit.image, alt: "", width: 300, height: 400 })), h("div", {}, price, swatches(hit.colours, 3), link)];
  }

  strip(name) {
    const node = $(`strip-${name}`);
    const waiting = !(name in this.answers);
    const entries = this.answers[name] ? STRIPS[name].read(this.answers[name]) : [];
    node.hidden = !waiting && !entries.length;
    const list = node.querySelector("ul");
    list.replaceChildren(...(waiting ? Array.from({ length: PLACES }, place) : entries.map((entry) => this.mini(entry))));
    list.toggleAttribute("aria-busy", waiting);
  }

  mini({ hit, label, dot }) {
    const price = money(hit.sale_price ?? hit.price, hit.currency);
    const said = [label, hit.title || hit.product_id, price].filter(Boolean).join(", ");
    return h("li", {}, h("button", { type: "button", className: "mini", title: hit.title, aria: { label: said }, on: { click: () => this.onChoose(hit) } },
      h("span", { className: "picture" }, h("img", { src: hit.image, alt: "", width: 90, height: 120 })), label && h("span", { className: "mini-label" }, dot, label), h("span", { className: "mini-price" }, price)));
  }
}

function place() {
  return h("li", { className: "mini place", aria: { hidden: true } }, h("span", { className: "picture" }));
}
