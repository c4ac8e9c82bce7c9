// The box a shopper moves and resizes by mouse, finger or keyboard. Boxes are x1 y1 x2 y2 in shares of the photo.
import { h } from "/page/dom.js";

const MIN = 0.04; // of the photo's sides
const STEP = 0.02; // an arrow key's
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class Crop {
  /** `onChange(box)` follows the box, `onDone(box)` is told once a change is over. */
  constructor(stage, { onChange, onDone }) {
    Object.assign(this, { stage, onChange, onDone, box: null });
    this.grip = h("button", { type: "button", className: "grip", hidden: true });
    this.handles = ["nw", "ne", "sw", "se", "move"].map((part) => h("i", { className: "handle", data: { part }, hidden: true, aria: { hidden: true } }));
    stage.append(this.grip, ...this.handles);
    this.grip.addEventListener("pointerdown", (event) => event.pointerType !== "touch" && this.drag(event, "move"));
    this.grip.addEventListener("click", (event) => event.detail === 0 && this.onDone(this.box)); // Enter, not a press
    this.grip.addEventListener("keydown", (event) => this.key(event));
    for (const handle of this.handles) handle.addEventListener("pointerdown", (event) => this.drag(event, handle.dataset.part));
  }

  show(box) {
    this.box = box;
    const [x1, y1, x2, y2] = box.map((side) => side * 100);
    this.grip.hidden = false;
    Object.assign(this.grip.style, { left: `${x1}%`, top: `${y1}%`, width: `${x2 - x1}%`, height: `${y2 - y1}%` });
    this.grip.style.zIndex = layer(box);
    for (const handle of this.handles) {
      const { part } = handle.dataset;
      handle.hidden = false;
      handle.style.left = `${part === "move" ? (x1 + x2) / 2 : part.includes("w") ? x1 : x2}%`;
      handle.style.top = `${part === "move" ? (y1 + y2) / 2 : part.includes("n") ? y1 : y2}%`;
    }
    this.onChange(box);
  }

  hide() {
    this.box = null;
    for (const node of [this.grip, ...this.handles]) node.hidden = true;
    this.onChange(null);
  }

  /** Begin a box of one's own where a mouse goes down beside every item. */
  draw(event) {
    if (event.button !== 0 || event.pointerType === "touch") return;
    const [x, y] = this.at(event);
    this.follow(event, ([nextX, nextY]) => ordered(x, y, nextX, nextY));
  }

  drag(event, part) {
    if (event.button !== 0) return;
    const before = [...this.box];
    const from = this.at(event);
    this.follow(event, ([x, y]) => (part === "move" ? moved(before, x - from[0], y - from[1]) : resized(before, part, x, y)));
  }

  /** Follow a pointer until it is let go; where the browser takes it to scroll, all is as it was. */
  follow(event, boxAt) {
    event.preventDefault();
    const before = this.box;
    const ending = new AbortController();
    let changed = false;
    const listen = (name, listener) => addEventListener(name, (next) => next.pointerId === event.pointerId && listener(next), { signal: ending.signal });
    listen("pointermove", (next) => {
      const box = boxAt(this.at(next));
      if (!isBox(box)) return;
      changed = true;
      this.show(box);
    });
    listen("pointerup", () => {
      ending.abort();
      if (changed) this.onDone(this.box);
    });
    listen("pointercancel", () => {
      ending.abort();
      if (before) this.show(before);
    });
  }

  key(event) {
    const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [x1, y1, x2, y2] = this.box;
    const box = event.shiftKey ? [x1, y1, clamp(x2 + step[0], x1 + MIN, 1), clamp(y2 + step[1], y1 + MIN, 1)] : moved(this.box, ...step);
    this.show(box);
  }

  at(event) {
    const frame = this.stage.getBoundingClientRect();
    return [clamp((event.clientX - frame.left) / frame.width, 0, 1), clamp((event.clientY - frame.top) / frame.height, 0, 1)];
  }
}

/** Return the z-index of a box: smaller ones lie above those they are in. */
export function layer([x1, y1, x2, y2]) {
  return 1 + Math.round((1 - clamp((x2 - x1) * (y2 - y1), 0, 1)) * 100);
}

function ordered(ax, ay, bx, by) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

function moved([x1, y1, x2, y2], dx, dy) {
  const [x, y] = [clamp(dx, -x1, 1 - x2), clamp(dy, -y1, 1 - y2)];
  return [x1 + x, y1 + y, x2 + x, y2 + y];
}

function resized(before, corner, x, y) {
  const box = [...before];
  box[corner.includes("w") ? 0 : 2] = x;
  box[corner.includes("n") ? 1 : 3] = y;
  return ordered(...box);
}

function isBox([x1, y1, x2, y2]) {
  return x2 - x1 >= MIN && y2 - y1 >= MIN;
}
