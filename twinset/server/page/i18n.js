// The page's words. They are data: words.en.json and words.ko.json, of which the language's own is fetched.
export const LANGUAGES = ["en", "ko"];
const kept = localStorage.getItem("language");
export let language = [kept, navigator.language.slice(0, 2), "en"].find((name) => LANGUAGES.includes(name));
let words = {};
let plurals = new Intl.PluralRules("en");

/** Fetch a language's words and put them into the page. `prefix` names another set than the shopper's page has. */
export async function speak(next, prefix = "words") {
  const response = await fetch(`/page/${prefix}.${next}.json`);
  words = await response.json();
  language = next;
  plurals = new Intl.PluralRules(next);
  document.documentElement.lang = next;
  document.title = word("title");
  translate(document);
}

export function keepLanguage(next) {
  localStorage.setItem("language", next);
}

/** Return a text with its {name}s filled in. With `n` the form for that number is taken where the text has forms. */
export function word(name, values = {}) {
  const form = "n" in values && !(name in words) ? `${name}.${plurals.select(values.n)}` : name;
  return (words[form] ?? name).replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

export function translate(root) {
  for (const node of root.querySelectorAll("[data-text]")) node.textContent = word(node.dataset.text);
  for (const node of root.querySelectorAll("[data-label]")) node.setAttribute("aria-label", word(node.dataset.label));
  for (const node of root.querySelectorAll("[data-hint]")) node.placeholder = word(node.dataset.hint);
  for (const node of root.querySelectorAll("[data-language]")) node.setAttribute("aria-pressed", node.dataset.language === language);
}

/** Return a product's price as the language writes it, "" where it has none. */
export function money(price, currency) {
  if (price === null || price === undefined) return "";
  try {
    return new Intl.NumberFormat(language, currency ? { style: "currency", currency } : {}).format(price);
  } catch {
    return `${price} ${currency || ""}`;
  }
}
