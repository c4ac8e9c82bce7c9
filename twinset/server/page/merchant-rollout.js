// Another model for the shop: its generation is built beside the one in use, then switched to, and back.
import { Problem, call } from "/page/api.js";
import { $, h } from "/page/dom.js";
import { language, word } from "/page/i18n.js";

const POLL_MS = 1000;
let timer = 0;
let asked = null; // the job that was asked for last, here or elsewhere
const percent = (value) => new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 }).format(value);

/** Show the store's generations and the models that may be rolled out, again and again while a job is at work. */
export async function showRollout() {
  clearTimeout(timer);
  let found;
  try {
    asked = asked ? (isOver(asked) ? asked : await call(`/v1/jobs/${asked.id}`)) : await running();
    found = await call("/v1/rollout");
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.status !== 403) throw problem;
    $("rollout").hidden = true; // the key is one shop's
    return;
  }
  $("rollout").hidden = false;
  const busy = asked !== null && !isOver(asked);
  const there = new Set(found.generations.map((one) => one.model.replace(/-[0-9a-f]+$/, "")));
  const offered = found.models.filter((name) => !there.has(name));
  $("generations").replaceChildren(...found.generations.map((one) => row(one, busy)));
  $("rollout-model").replaceChildren(...offered.map((name) => h("option", { value: name }, name)));
  $("rollout-form").hidden = offered.length === 0;
  $("rollout-form").querySelector("button").disabled = busy;
  $("rollout-state").replaceChildren(...said());
  if (busy) timer = setTimeout(() => showRollout().catch(() => {}), POLL_MS);
}

export function listenToRollout(fail) {
  $("rollout-form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask("reindex", { model: $("rollout-model").value }).catch(fail);
  });
  $("rollout").addEventListener("click", (event) => {
    const { ask: what, body } = event.target.dataset;
    if (what) ask(what, JSON.parse(body)).catch(fail);
  });
}

async function ask(what, body) {
  asked = await call(`/v1/rollout/${what}`, { method: "POST", json: body });
  await showRollout();
}

/** Return the roll-out that is at work, of whoever asked for it. */
async function running() {
  const { jobs } = await call("/v1/jobs");
  return jobs.find((job) => job.kind !== "products" && !isOver(job)) ?? null;
}

function isOver(job) {
  return ["done", "failed"].includes(job.state);
}

function row(one, busy) {
  const state = one.in_use ? "inUse" : one.state === "whole" ? "ready" : `generation.${one.state}`;
  const golden = one.golden && word("golden", { queries: one.golden.queries, before: percent(one.golden.before.wanted_at_10), after: percent(one.golden.after.wanted_at_10), overlap: percent(one.golden.overlap_at_10) });
  const facts = [word("generation", { number: one.generation }), word("products", { done: one.done, total: one.products }), one.failed ? word("notDescribed", { n: one.failed }) : ""];
  return h("li", { className: "job" },
    h("strong", {}, one.model), h("span", { className: `state ${one.in_use ? "active" : ""}` }, word(state)),
    one.state === "building" && h("progress", { max: Math.max(one.products, 1), value: one.done, aria: { label: word("products", { done: one.done, total: one.products }) } }),
    h("span", { className: "small" }, facts.filter(Boolean).join(" · ")),
    golden && h("span", { className: "small" }, golden),
    one.problem && h("span", { className: "small" }, one.problem),
    !one.in_use && one.state === "whole" && h("span", { className: "row" }, button(one.before ? "back" : "switch", one.before ? {} : { generation: one.generation }, one.before ? "goBack" : "switch", busy)));
}

/** Return what became of the last job; a switch that was refused can be asked for again. */
function said() {
  if (!asked) return [];
  if (!isOver(asked)) return [word(`rollout.${asked.kind}`, { done: asked.done, total: asked.total })];
  if (asked.state === "done") return [word(`rollout.${asked.kind}.done`)];
  const again = asked.kind === "switch" && [" ", button("switch", { generation: asked.options.generation, yes: true }, "switchAnyway", false)];
  return [asked.problem, ...(again || [])];
}

function button(what, body, name, disabled) {
  return h("button", { type: "button", className: "button small", disabled, data: { ask: what, body: JSON.stringify(body) } }, word(name));
}
