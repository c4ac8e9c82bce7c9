// The searches of this visit: small pictures in the tab's own storage, gone with the tab. The service keeps nothing.
import { $, h } from "/page/dom.js";
import { word } from "/page/i18n.js";

const KEY = "twinset-visit";
const MOST = 10;
const THUMB = 160; // pixels of the longer side
const KEPT = 900; // of the copy that is searched again once the service has let the photo go

export class Visit {
  /** `onOpen(photo)`: a photo of this visit is wanted again, as {blob, imageId}. */
  constructor({ onOpen }) {
    this.onOpen = onOpen;
    this.entries = JSON.parse(sessionStorage.getItem(KEY) || "[]");
    $("forget").addEventListener("click", () => {
      this.entries = [];
      this.keep();
      this.draw();
    });
  }

  /** Put a photo first. Its picture comes from the image on the page; one of another site can't be copied. */
  add(photo, image) {
    const entry = { at: Date.now(), imageId: photo.imageId, url: photo.url, thumb: copy(image, THUMB), kept: copy(image, KEPT) };
    if (!entry.kept && !entry.url) return;
    this.entries = [entry, ...this.entries.filter((other) => other.imageId !== photo.imageId && !(photo.url && other.url === photo.url))].slice(0, MOST);
    this.keep();
    this.draw();
  }

  keep() {
    for (;;) {
      try {
        return sessionStorage.setItem(KEY, JSON.stringify(this.entries));
      } catch {
        if (!this.entries.pop()) return; // the tab's storage is full: the oldest goes
      }
    }
  }

  draw() {
    $("visit").hidden = !this.entries.length;
    $("visit-list").replaceChildren(...this.entries.map((entry, i) => h("li", {},
      h("button", { type: "button", className: "shot", aria: { label: word("historyOpen", { n: i + 1 }) }, on: { click: () => this.open(entry) } }, h("img", { src: entry.thumb || entry.url, alt: "" })))));
  }

  async open({ kept, url, imageId }) {
    if (url) return this.onOpen({ url, imageId });
    this.onOpen({ blob: toBlob(kept), imageId });
  }
}

function copy(image, side) {
  const scale = Math.min(1, side / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = Object.assign(document.createElement("canvas"), { width: Math.max(1, image.naturalWidth * scale), height: Math.max(1, image.naturalHeight * scale) });
  try {
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.85);
  } catch {
    return null; // of another site
  }
}

function toBlob(dataUrl) {
  const bytes = Uint8Array.from(atob(dataUrl.split(",")[1]), (char) => char.charCodeAt(0));
  return new Blob([bytes], { type: "image/jpeg" });
}
