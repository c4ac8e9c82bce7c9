// The shopper's own box on the photo: drawn, moved and resized by pointer or keyboard. Boxes are x1 y1 x2 y2 in shares of the photo.
const MIN = 0.03;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class Crop {
  constructor(stage, node, onSearch) {
    this.stage = stage;
    this.node = node;
    this.box = null;
    for (const corner of ["nw", "ne", "sw", "se"]) {
      const handle = document.createElement("i");
      handle.dataset.corner = corner;
      node.append(handle);
    }
    stage.addEventListener("pointerdown", (event) => this.start(event));
    node.addEventListener("keydown", (event) => this.key(event, onSearch));
  }

  show(box) {
    this.box = box;
    this.stage.classList.add("cropping");
    this.draw();
  }

  hide() {
    this.box = null;
    this.node.hidden = true;
    this.stage.classList.remove("cropping");
  }

  draw() {
    const [x1, y1, x2, y2] = this.box;
    this.node.hidden = false;
    Object.assign(this.node.style, { left: `${x1 * 100}%`, top: `${y1 * 100}%`, width: `${(x2 - x1) * 100}%`, height: `${(y2 - y1) * 100}%` });
  }

  at(event) {
    const frame = this.stage.getBoundingClientRect();
    return [clamp((event.clientX - frame.left) / frame.width, 0, 1), clamp((event.clientY - frame.top) / frame.height, 0, 1)];
  }

  start(event) {
    if (!this.box) return;
    event.preventDefault();
    const from = this.at(event);
    const before = [...this.box];
    const corner = event.target.dataset.corner;
    const inside = event.target === this.node;
    const move = (next) => {
      const [x, y] = this.at(next);
      if (corner) {
        const box = [...before];
        box[corner.includes("w") ? 0 : 2] = x;
        box[corner.includes("n") ? 1 : 3] = y;
        this.set(box);
      } else if (inside) {
        const dx = clamp(x - from[0], -before[0], 1 - before[2]);
        const dy = clamp(y - from[1], -before[1], 1 - before[3]);
        this.set([before[0] + dx, before[1] + dy, before[2] + dx, before[3] + dy]);
      } else this.set([from[0], from[1], x, y]);
    };
    const stop = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", stop);
      removeEventListener("pointercancel", stop);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
    addEventListener("pointercancel", stop);
  }

  set([ax, ay, bx, by]) {
    const [x1, x2] = [Math.min(ax, bx), Math.max(ax, bx)];
    const [y1, y2] = [Math.min(ay, by), Math.max(ay, by)];
    if (x2 - x1 < MIN || y2 - y1 < MIN) return;
    this.box = [x1, y1, x2, y2];
    this.draw();
  }

  key(event, onSearch) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter") onSearch();
    if (!step) return;
    event.preventDefault();
    let [x1, y1, x2, y2] = this.box;
    const [dx, dy] = [step[0] * 0.02, step[1] * 0.02];
    if (event.shiftKey) [x2, y2] = [clamp(x2 + dx, x1 + MIN, 1), clamp(y2 + dy, y1 + MIN, 1)];
    else if (x1 + dx >= 0 && x2 + dx <= 1 && y1 + dy >= 0 && y2 + dy <= 1) [x1, y1, x2, y2] = [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
    this.set([x1, y1, x2, y2]);
  }
}
