// The shop's rules: read, edited, looked at in a preview beside what shoppers see now, and saved.
import { call } from "/page/api.js";
import { $, h } from "/page/dom.js";
import { word } from "/page/i18n.js";
import { categoryName } from "/page/names.js";

const NEW = { boost: { where: "", by: 0.1 }, bury: { where: "", by: 0.1 }, pin: { product_id: "" } };
const SHOWN = 10;

export class Rules {
  constructor({ shop }) {
    this.shop = shop;
    this.rules = { only_in_stock: false, boost: [], bury: [], pin: [] };
    this.source = null; // of the preview: ["photo", file] or ["product_id", id]
    this.previewed = null; // the preview's answer
    $("rule-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    $("only-in-stock").addEventListener("change", (event) => this.change({ only_in_stock: event.target.checked }));
    for (const part of document.querySelectorAll("#rule-form fieldset")) {
      const { kind } = part.dataset;
      part.querySelector(":scope > button").addEventListener("click", () => {
        this.change({ [kind]: [...this.rules[kind], { ...NEW[kind] }] }, false);
        this.draw();
        part.querySelector("li:last-child input").focus();
      });
    }
    $("preview-photo").addEventListener("change", (event) => this.previewOf("photo", event.target.files[0]));
    $("preview-product").addEventListener("submit", (event) => {
      event.preventDefault();
      this.previewOf("product_id", $("preview-id").value.trim());
    });
  }

  async read() {
    const { rules } = await call(`/v1/rules?${new URLSearchParams({ shop: this.shop() })}`);
    this.rules = rules;
    $("rule-state").textContent = "";
    this.draw();
  }

  change(part, preview = true) {
    this.rules = { ...this.rules, ...part };
    $("rule-state").textContent = word("unsaved");
    if (preview && this.source) this.preview();
  }

  draw() {
    $("only-in-stock").checked = this.rules.only_in_stock;
    for (const part of document.querySelectorAll("#rule-form fieldset")) {
      const { kind } = part.dataset;
      part.querySelector("ol").replaceChildren(...this.rules[kind].map((rule, i) => this.row(kind, rule, i)));
    }
    this.drawPreview();
  }

  row(kind, rule, i) {
    const set = (part, draw) => {
      this.change({ [kind]: this.rules[kind].map((other, no) => (no === i ? { ...other, ...part } : other)) });
      if (draw) this.draw();
    };
    const remove = h("button", { type: "button", className: "round quiet", aria: { label: word("remove") }, title: word("remove"), on: { click: () => this.remove(kind, i) } }, "×");
    if (kind === "pin") {
      const id = h("input", { className: "wide", value: rule.product_id, required: true, placeholder: word("productId"), aria: { label: word("productId") }, on: { change: (event) => set({ product_id: event.target.value.trim() }) } });
      return h("li", { className: "rule" }, id, remove);
    }
    const where = h("input", { className: "wide", value: rule.where, required: true, placeholder: word("whereHint"), aria: { label: word("where") }, on: { change: (event) => set({ where: event.target.value.trim() }) } });
    const by = h("input", { type: "range", min: 0.02, max: 0.5, step: 0.02, value: rule.by, aria: { label: word("strength") }, on: { change: (event) => set({ by: Number(event.target.value) }, true) } });
    return h("li", { className: "rule" }, where, by, h("output", {}, `${kind === "boost" ? "+" : "−"}${rule.by.toFixed(2)}`), remove);
  }

  remove(kind, i) {
    this.change({ [kind]: this.rules[kind].filter((_, no) => no !== i) });
    this.draw();
    document.querySelector(`[data-kind=${kind}] > button`).focus();
  }

  async save() {
    const state = $("rule-state");
    try {
      const { rules } = await call(`/v1/rules?${new URLSearchParams({ shop: this.shop() })}`, { method: "PUT", json: this.rules });
      this.rules = rules;
      state.textContent = word("saved");
      if (this.source) await this.preview();
    } catch (problem) {
      state.textContent = problem.message;
    }
  }

  previewOf(name, value) {
    if (!value) return;
    this.source = [name, value];
    this.preview();
  }

  async preview() {
    const mine = (this.asked = {}); // an answer that comes late is of other rules, or of another photo
    const form = new FormData();
    form.append(...this.source);
    for (const [name, value] of [["k", SHOWN], ["shop", this.shop()], ["rules", JSON.stringify(this.rules)]]) form.append(name, value);
    try {
      const previewed = await call("/v1/rules/preview", { method: "POST", form });
      if (mine !== this.asked) return;
      this.previewed = previewed;
      this.drawPreview();
    } catch (problem) {
      if (mine !== this.asked) return;
      $("preview-items").replaceChildren(h("p", { className: "small", role: "alert" }, problem.message));
    }
  }

  drawPreview() {
    if (!this.previewed) return;
    const items = this.previewed.items.map((item) => h("div", { className: "compare" },
      h("h3", {}, item.category ? categoryName(item.category) : word("anything")),
      h("h4", {}, word("now")), strip(item.hits_before, word("now")), h("h4", {}, word("then")), strip(item.hits, word("then"))));
    $("preview-items").replaceChildren(...(items.length ? items : [h("p", { className: "empty" }, word("previewNothing"))]));
  }
}

function strip(hits, label) {
  const cards = hits.map((hit) => h("li", { className: "mini" }, h("img", { src: hit.image, alt: "", loading: "lazy" }), hit.rule && h("em", {}, word(`rule.${hit.rule}`)), h("span", { title: hit.title ?? "" }, hit.title || hit.product_id)));
  return h("ul", { tabIndex: 0, aria: { label } }, cards.length ? cards : h("li", { className: "small" }, word("noHits")));
}
