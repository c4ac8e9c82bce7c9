// The products: cards, their places while they are looked for, and what is said where there are none or none close.
// Whoever shows some says whether there are more.
import { tell } from "/page/api.js";
import { $, h, icon } from "/page/dom.js";
import { money, word } from "/page/i18n.js";
import { swatches } from "/page/names.js";

const LEVELS = [0.9, 0.72, 0.58, 0.45]; // scores from which a match is nearly the same, very close, close, alike
const PLACES = 12;

/** Return how strong a match is, 5 (nearly the same) to 1. */
export function strength(score) {
  const below = LEVELS.findIndex((level) => score >= level);
  return below < 0 ? 1 : 5 - below;
}

export class Results {
  /** `onMore(hit)`: products like this one are asked for. `product` fields of `from` go along with events. */
  constructor({ onMore }) {
    this.onMore = onMore;
    this.list = $("hits");
    this.from = {};
    this.seen = new IntersectionObserver((entries) => this.view(entries), { threshold: 0.6 });
  }

  wait() {
    this.list.setAttribute("aria-busy", "true");
    $("more").hidden = true;
    this.note(null);
    const place = () => h("li", { className: "card place", aria: { hidden: true } }, h("div", { className: "picture" }), h("div", { className: "line" }), h("div", { className: "line short" }));
    this.list.replaceChildren(...Array.from({ length: PLACES }, place));
  }

  /** Show hits. `from`: search_id and item_no that events carry; `far`: none is close, "farHelp" or what else to say. */
  show(hits, { from, far = "", add = false }) {
    this.list.removeAttribute("aria-busy");
    this.from = from;
    const start = add ? this.list.children.length : 0;
    const cards = hits.map((hit, i) => this.card(hit, start + i));
    if (add) this.list.append(...cards);
    else this.list.replaceChildren(...cards);
    for (const card of cards) this.seen.observe(card);
    if (add) return cards[0]?.querySelector("a, button")?.focus();
    if (!hits.length) this.note("noHits", "noHitsHelp");
    else if (far) this.note("far", far);
    else this.note(null);
    this.list.classList.toggle("far", hits.length > 0 && Boolean(far));
  }

  clear() {
    this.list.removeAttribute("aria-busy");
    $("more").hidden = true;
    this.list.replaceChildren();
    this.note(null);
  }

  note(title, help) {
    const node = $("note");
    node.hidden = !title;
    node.replaceChildren(...(title ? [icon("search"), h("strong", {}, word(title)), h("span", {}, word(help))] : []));
  }

  card(hit, position) {
    const title = hit.title || hit.product_id;
    const safe = hit.url && /^https?:/.test(hit.url);
    const level = strength(hit.score);
    const percent = Math.round(hit.score * 100);
    const image = h("img", { src: hit.image, alt: "", loading: position < 8 ? "eager" : "lazy", width: 300, height: 400 });
    const dots = Array.from({ length: 5 }, (_, i) => h("i", { className: i < level ? "on" : "" }));
    const match = h("span", { className: "match", role: "img", title: `${percent} %`, aria: { label: `${word(`match.${level}`)}, ${word("match", { n: percent })}` } }, h("span", { className: "match-word" }, word(`match.${level}`)), h("span", { className: "dots" }, dots));
    const name = h(safe ? "a" : "span", { className: "name", ...(safe && { href: hit.url, target: "_blank", rel: "noopener" }) }, title);
    const now = hit.sale_price ?? hit.price;
    const price = h("p", { className: "price" }, h("span", {}, money(now, hit.currency)), now < hit.price && h("s", {}, money(hit.price, hit.currency)), hit.in_stock === false && h("span", { className: "sold" }, word("soldOut")));
    const more = this.action("more", word("moreLike", { name: title }), () => this.onMore(hit));
    const wrong = this.action("wrong", word("notSimilar", { name: title }), () => this.dislike(card, hit, position));
    const card = h("li", { className: "card", data: { position, id: hit.product_id } },
      h("div", { className: "picture" }, image, h("div", { className: "actions" }, more, wrong)),
      h("h3", {}, name), price, h("div", { className: "facts" }, swatches(hit.colours, 3) ?? h("span"), match));
    if (safe) name.addEventListener("click", () => this.tell("click", hit.product_id, position));
    card.hit = hit;
    return card;
  }

  action(name, label, act) {
    return h("button", { type: "button", className: "round", title: label, aria: { label }, on: { click: act } }, icon(name));
  }

  dislike(card, hit, position) {
    this.tell("not_similar", hit.product_id, position);
    card.classList.add("disliked");
    $("status").textContent = word("noted");
  }

  view(entries) {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      this.seen.unobserve(target);
      this.tell("view", target.hit.product_id, Number(target.dataset.position));
    }
  }

  tell(type, product_id, position) {
    tell({ type, product_id, position, ...this.from });
  }
}
