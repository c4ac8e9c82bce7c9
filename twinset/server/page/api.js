// The public API as the page uses it. A key, where the shop asks for one, is kept for this tab alone.
const KEY = "twinset-key";

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status; // 0: the service can't be reached
  }
}

export function setKey(text) {
  sessionStorage.setItem(KEY, text);
}

export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

/** Return the JSON of an answer. Throws Problem for any that is none. */
export async function call(path, { method = "GET", form, json, body: bytes, type, signal, keepalive } = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (json !== undefined || type) headers["Content-Type"] = type ?? "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: form ?? bytes ?? (json === undefined ? undefined : JSON.stringify(json)), signal, keepalive });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Problem(0, "");
  }
  const body = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, body.detail || body.title || response.statusText);
  return body;
}

/** Search a photo: `photo` has `imageId` once the service holds it, `blob` or `url` before and as a way back. */
export async function search(photo, fields, signal) {
  try {
    return await send(photo, fields, signal, photo.imageId);
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.status !== 404 || !photo.imageId || !(photo.blob || photo.url)) throw problem;
    return send(photo, fields, signal, null); // held no longer
  }
}

async function send(photo, fields, signal, imageId) {
  const form = new FormData();
  if (imageId) form.append("image_id", imageId);
  else {
    if (photo.blob) form.append("photo", photo.blob, "photo");
    else form.append("url", photo.url);
    form.append("keep", "true");
  }
  for (const [name, value] of fields) form.append(name, value);
  const answer = await call("/v1/search", { method: "POST", form, signal });
  if (answer.image_id) photo.imageId = answer.image_id;
  return answer;
}

export function similar(productId, shop, where, k) {
  const query = new URLSearchParams([["k", k], ...(shop ? [["shop", shop]] : []), ...where.map((text) => ["where", text])]);
  return call(`/v1/products/${encodeURIComponent(productId)}/similar?${query}`);
}

/** Return a strip beside a product: its other colours, what is cheaper or the look it is part of. */
export function beside(productId, strip, shop, params, signal) {
  const query = new URLSearchParams({ ...params, ...(shop && { shop }) });
  return call(`/v1/products/${encodeURIComponent(productId)}/${strip}?${query}`, { signal });
}

/** Count, without a photo, what filters would leave of a shop's category. */
export function facets(category, shop, where, fields) {
  const query = new URLSearchParams([["fields", fields], ...(shop ? [["shop", shop]] : []), ...(category ? [["category", category]] : []), ...where.map((text) => ["where", text])]);
  return call(`/v1/facets?${query}`);
}

let pending = [];
let timer = 0;

/** Tell the shop what a shopper did. Events go out together, a moment later or as the page is left. */
export function tell(event) {
  pending.push(event);
  clearTimeout(timer);
  timer = setTimeout(flush, 800);
}

function flush() {
  clearTimeout(timer);
  while (pending.length) {
    const events = pending.splice(0, 200);
    call("/v1/events", { method: "POST", json: { events }, keepalive: true }).catch(() => {}); // a lost event is no one's problem
  }
}
addEventListener("pagehide", flush);
