// Ways a photo comes in: chosen, taken, dropped, pasted, or by its address.
import { $ } from "/page/dom.js";

const SIDE = 1600; // pixels: a photo is sent no larger

/** Call `open({blob})` or `open({url})` for every photo that comes in. */
export function takePhotos(open) {
  const take = async (file) => file && open({ blob: await drawn(file) });
  for (const id of ["file", "camera", "file-again"]) {
    $(id).addEventListener("change", async (event) => {
      const [file] = event.target.files;
      event.target.value = ""; // the same photo may be chosen again
      await take(file);
    });
  }
  $("link").addEventListener("submit", (event) => {
    event.preventDefault();
    open({ url: $("address").value.trim() });
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((entry) => entry.type.startsWith("image/"));
    const text = event.clipboardData?.getData("text").trim() ?? "";
    if (file) take(file);
    else if (/^https?:\/\/\S+$/.test(text) && !event.target.closest?.("input")) open({ url: text });
  });
  let inside = 0; // dragenter and dragleave come for every node passed
  const over = (change) => {
    inside = Math.max(0, inside + change);
    document.body.classList.toggle("dropping", inside > 0);
  };
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(-inside);
    const url = event.dataTransfer.getData("text/uri-list");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
    else if (/^https?:/.test(url)) open({ url });
  });
}

/**
 * Return a photo drawn anew as the browser shows it, which leaves its EXIF and with it the place behind, no larger than
 * is worth sending. What the browser can't read goes as it is, for the service to judge.
 */
async function drawn(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return file;
  }
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const size = { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) };
  const canvas = Object.assign(document.createElement("canvas"), size);
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // what is transparent would be black in a JPEG
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const kind = scale === 1 && file.type === "image/png" ? "image/png" : "image/jpeg"; // drawings stay as sharp as they are
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? file), kind, 0.92));
}
