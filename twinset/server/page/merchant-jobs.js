// Imports: jobs with their progress, the rows that failed, and a feed to upload.
import { call } from "/page/api.js";
import { $, h } from "/page/dom.js";
import { language, word } from "/page/i18n.js";

const POLL_MS = 1000;
const SHOWN = 8;
let timer = 0;

/** Show the newest jobs, again and again while one is at work. */
export async function showJobs() {
  clearTimeout(timer);
  const found = await call("/v1/jobs");
  const jobs = found.jobs.filter((job) => job.kind === "products").slice(0, SHOWN);
  const failed = await Promise.all(jobs.map((job) => (job.failed_rows ? call(`/v1/jobs/${job.id}`).then((whole) => whole.failed) : [])));
  const open = new Set([...document.querySelectorAll("#jobs details[open]")].map((node) => node.dataset.id));
  $("jobs").replaceChildren(...(jobs.length ? jobs.map((job, i) => row(job, failed[i], open.has(job.id))) : [h("li", { className: "empty" }, word("noJobs"))]));
  if (jobs.some((job) => ["queued", "running"].includes(job.state))) timer = setTimeout(() => showJobs().catch(() => {}), POLL_MS);
}

/** Send a feed of one shop's products; a row that names another shop fails. */
export async function upload(file, shop) {
  const type = /\.(jsonl|ndjson|json)$/i.test(file.name) ? "application/x-ndjson" : "text/csv";
  await call(`/v1/products/bulk?${new URLSearchParams({ shop })}`, { method: "POST", body: file, type });
  await showJobs();
}

function row(job, failed, open) {
  const when = new Date(job.created_at).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
  const counts = word("jobCounts", { indexed: job.indexed, unchanged: job.unchanged, deleted: job.deleted, failed: job.failed_rows });
  return h("li", { className: "job" },
    h("span", {}, when), h("span", { className: `state ${job.state}` }, word(`job.${job.state}`)),
    h("progress", { max: Math.max(job.total, 1), value: job.done, aria: { label: word("progress", { done: job.done, total: job.total }) } }),
    h("span", { className: "small" }, `${word("progress", { done: job.done, total: job.total })} · ${counts}`),
    job.problem && h("span", { className: "small" }, job.problem),
    failed.length > 0 && h("details", { open, data: { id: job.id } }, h("summary", {}, word("failedRows", { n: job.failed_rows })), h("ul", {}, failed.slice(0, 50).map((entry) => h("li", {}, `${entry.line} · ${entry.product_id}: ${entry.reason}`)))));
}
