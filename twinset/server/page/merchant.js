// The merchant's page: reports, rules, imports and models of a shop, over the public API with an admin key.
import { Problem, call, forgetKey, hasKey, setKey } from "/page/api.js";
import { $, h } from "/page/dom.js";
import { keepLanguage, language, speak, translate, word } from "/page/i18n.js";
import { showJobs, upload } from "/page/merchant-jobs.js";
import { showClicks, showFigures, showMisses, showModels, showQuality, showSearches } from "/page/merchant-reports.js";
import { listenToRollout, showRollout } from "/page/merchant-rollout.js";
import { Rules } from "/page/merchant-rules.js";
import { setNames } from "/page/names.js";

let reports = null; // as they were last read
const rules = new Rules({ shop: () => $("shop").value });

function query() {
  return new URLSearchParams({ days: $("days").value, shop: $("shop").value });
}

async function read() {
  await readReports();
  await Promise.all([rules.read(), showJobs(), showRollout()]);
}

async function readReports() {
  const asked = query();
  const [searches, misses, clicks, quality, crops, models] = await Promise.all(["reports/searches", "reports/misses", "reports/clicks", "reports/quality", "reports/misses/crops", "models"].map((name) => call(`/v1/${name}?${asked}`)));
  reports = { searches, misses, clicks, quality, crops, models };
  draw();
  $("status").textContent = word("loaded");
}

function draw() {
  showFigures(reports);
  showMisses(reports);
  showSearches(reports);
  showClicks(reports);
  showQuality(reports);
  showModels(reports);
  rules.draw();
}

function drawPeriods() {
  for (const option of $("days").options) option.textContent = word("days", { n: Number(option.value) });
}

function fail(problem) {
  if (problem instanceof Problem && [401, 403].includes(problem.status)) return askForKey(problem);
  if (!(problem instanceof Problem)) console.error(problem);
  $("error").textContent = problem.status === 0 ? word("offline") : problem.message;
  $("error").hidden = false;
  $("error").scrollIntoView({ block: "center" });
}

/** Do what was asked; why it can't be done stands there until something else is asked. */
async function attempt(action) {
  $("error").hidden = true;
  await action().catch(fail);
}

/** Ask for a key; a wrong one is said, one that was not given is not. */
function askForKey(problem) {
  $("error").hidden = !hasKey();
  $("error").textContent = problem.message;
  forgetKey();
  $("board").hidden = true;
  $("sign-out").hidden = true;
  $("sign-in").hidden = false;
  $("key").focus();
}

async function begin() {
  try {
    const [{ shops }, shop] = await Promise.all([call("/v1/shops"), call("/v1/shop")]);
    setNames(shop);
    $("shop").replaceChildren(...(shops.length ? shops : [{ shop: "default" }]).map((entry) => h("option", { value: entry.shop }, entry.shop)));
    $("shop-label").hidden = shops.length < 2;
    await read();
  } catch (problem) {
    return fail(problem);
  }
  $("error").hidden = true;
  $("sign-in").hidden = true;
  $("board").hidden = false;
  $("sign-out").hidden = !hasKey();
  document.body.dataset.ready = "true";
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey($("key").value.trim());
  $("key").value = "";
  begin();
});
$("sign-out").addEventListener("click", () => {
  forgetKey();
  location.reload();
});
$("shop").addEventListener("change", () => attempt(read));
$("days").addEventListener("change", () => attempt(readReports)); // rules that aren't saved yet stay
$("feed").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) attempt(() => upload(file, $("shop").value));
});
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", async () => {
    keepLanguage(button.dataset.language);
    await speak(button.dataset.language, "merchant");
    drawPeriods();
    if (reports) draw();
    translate(document);
    if (reports) await Promise.all([showJobs(), showRollout()]);
  });
}
listenToRollout(fail);
await speak(language, "merchant");
drawPeriods();
begin();
