// What the shop's taxonomy calls its categories and colours, and colours as dots.
import { h } from "/page/dom.js";
import { language } from "/page/i18n.js";

const PAINT = {
  black: "#17181b", white: "#ffffff", grey: "#8d9299", beige: "#dcc9a6", brown: "#6f4a2d", red: "#c62828", pink: "#ee8fb1", orange: "#ef7d1a",
  yellow: "#f2cf2f", green: "#3b8a47", blue: "#2d62b8", purple: "#7b4397", multicolour: "conic-gradient(#c62828, #f2cf2f, #3b8a47, #2d62b8, #7b4397, #c62828)",
};
let categories = {};
let colours = {};

/** Take the names from GET /v1/shop. */
export function setNames(shop) {
  ({ categories, colours } = shop);
}

export function colourName(colour) {
  return colours[colour]?.[language] ?? colour;
}

export function categoryName(category) {
  return categories[category]?.[language] ?? category;
}

export function swatch(colour) {
  return h("span", { className: "swatch", title: colourName(colour), style: { background: PAINT[colour] || "none" } });
}

/** Return an item's leading colours as dots that say their names. */
export function swatches(shares, most) {
  const shown = (shares ?? []).slice(0, most);
  if (!shown.length) return null;
  const said = shown.map((colour) => colourName(colour.name)).join(", ");
  return h("span", { className: "swatches", role: "img", aria: { label: said } }, shown.map((colour) => swatch(colour.name)));
}
