// A photo as it is sent, by the page and by the widget.
const SIDE = 1600; // pixels: a photo is sent no larger

/**
 * Return a photo drawn anew as the browser shows it, which leaves its EXIF and with it the place behind, no larger than
 * is worth sending. What the browser can't read goes as it is, for the service to judge.
 */
export async function drawn(file) {
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
