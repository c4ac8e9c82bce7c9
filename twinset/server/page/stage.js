// The photo with its items: a frame and a name for each, the chosen one with handles, and the same items as a list below.
import { Crop, layer } from "/page/crop.js";
import { $, h } from "/page/dom.js";
import { word } from "/page/i18n.js";
import { swatches } from "/page/names.js";

const THUMB = 56; // pixels of an item's picture in the list

export class Stage {
  /** `onChoose(i)`: an item was tapped; `onCrop(box)`: a box was drawn, in pixels of the photo the service saw. */
  constructor({ onChoose, onCrop }) {
    this.node = $("stage");
    this.image = $("photo");
    this.onChoose = onChoose;
    this.items = null; // until a search has answered: there is nothing to draw an area beside
    this.size = [1, 1];
    this.crop = new Crop(this.node, {
      onChange: (box) => this.shade(box),
      onDone: (box) => onCrop(box.map((side, i) => side * this.size[i % 2])),
    });
    $("clip").addEventListener("pointerdown", (event) => this.items !== null && this.crop.draw(event));
    new ResizeObserver(() => this.placeLabels()).observe(this.node);
  }

  /** Show a photo that is being looked at. Resolves once it is drawn, so that nothing moves afterwards. */
  async open(source) {
    this.items = null;
    $("area").disabled = true;
    this.crop.hide();
    this.node.querySelectorAll(".frame").forEach((frame) => frame.remove());
    const before = this.image.src;
    this.image.src = source;
    URL.revokeObjectURL(before); // else the browser keeps the photo; nothing of an address on the web
    this.image.alt = word("yourPhoto");
    await this.image.decode().catch(() => {});
    if (this.image.naturalWidth) this.setSize(this.image.naturalWidth, this.image.naturalHeight);
  }

  setSize(width, height) {
    this.size = [width, height];
    this.node.style.setProperty("--ratio", width / height);
  }

  /** Draw what a search found. `chosen` is an item's number, or null with `box` for an area of the shopper's own. */
  show(items, chosen, box, nameOf) {
    this.items = items;
    $("area").disabled = false;
    this.node.querySelectorAll(".frame").forEach((frame) => frame.remove());
    this.node.append(...items.map((item, i) => (i === chosen ? null : this.frame(item, i, nameOf))).filter(Boolean));
    const shown = box ?? items[chosen]?.box;
    if (shown) this.crop.show(shown.map((side, i) => side / this.size[i % 2]));
    else this.crop.hide();
    this.crop.grip.setAttribute("aria-label", word("cropLabel"));
    $("items").replaceChildren(...items.map((item, i) => this.chip(item, i, chosen, nameOf)));
    this.placeLabels();
  }

  /** Let the shopper select an area beside the items. */
  select() {
    this.crop.show([0.25, 0.25, 0.75, 0.75]);
    this.crop.grip.focus();
  }

  shade(box) {
    const shade = $("shade");
    shade.hidden = !box;
    if (!box) return;
    const [x1, y1, x2, y2] = box.map((side) => `${side * 100}%`);
    Object.assign(shade.style, { left: x1, top: y1, right: `calc(100% - ${x2})`, bottom: `calc(100% - ${y2})` });
  }

  frame(item, i, nameOf) {
    const [x1, y1, x2, y2] = item.box.map((side, no) => side / this.size[no % 2]);
    const label = h("span", { className: "tag" }, nameOf(item));
    // the list below is the one to tab through and to hear
    const frame = h("button", { type: "button", className: "frame", tabIndex: -1, aria: { hidden: true }, on: { click: () => this.onChoose(i) } }, label);
    Object.assign(frame.style, { left: `${x1 * 100}%`, top: `${y1 * 100}%`, width: `${(x2 - x1) * 100}%`, height: `${(y2 - y1) * 100}%`, zIndex: layer([x1, y1, x2, y2]) });
    return frame;
  }

  chip(item, i, chosen, nameOf) {
    const pressed = i === chosen;
    const text = h("span", { className: "chip-text" }, h("span", {}, nameOf(item)), swatches(item.colours, 3));
    return h("button", { type: "button", className: "chip", aria: { pressed }, on: { click: () => this.onChoose(i) } }, this.thumb(item.box), text);
  }

  thumb(box) {
    const canvas = h("canvas", { width: THUMB * 2, height: THUMB * 2, className: "thumb", aria: { hidden: true } });
    drawSquare(canvas, this.image, box, this.size);
    return canvas;
  }

  /** Put each name beside its frame where it hides no other: above it, below it, else within. */
  placeLabels() {
    const outer = this.node.getBoundingClientRect();
    const placed = [];
    for (const label of this.node.querySelectorAll(".tag")) {
      const frame = label.parentElement.getBoundingClientRect();
      const { offsetWidth: width, offsetHeight: height } = label;
      const left = Math.min(frame.left, outer.right - width);
      const tops = [frame.top - height - 3, frame.bottom + 3, frame.top + 4, frame.bottom - height - 4, frame.top + height + 6];
      const free = (top) => top >= outer.top && top + height <= outer.bottom && !placed.some((other) => left < other.right && left + width > other.left && top < other.bottom && top + height > other.top);
      const top = tops.find(free) ?? frame.top;
      label.style.translate = `${left - frame.left}px ${top - frame.top}px`;
      placed.push({ left, right: left + width, top, bottom: top + height });
    }
  }
}

/** Draw the part of an image that a box shows, whole, into a square canvas. */
function drawSquare(canvas, image, [x1, y1, x2, y2], [width, height]) {
  if (!image.naturalWidth) return;
  const scale = image.naturalWidth / width;
  const side = Math.min(Math.max(x2 - x1, y2 - y1) * 1.1, width, height);
  const x = Math.min(Math.max((x1 + x2 - side) / 2, 0), width - side);
  const y = Math.min(Math.max((y1 + y2 - side) / 2, 0), height - side);
  canvas.getContext("2d").drawImage(image, x * scale, y * scale, side * scale, side * scale, 0, 0, canvas.width, canvas.height);
}
