// Ways a photo comes in: chosen, taken, dropped, pasted, or by its address.
import { $ } from "/page/dom.js";
import { drawn } from "/page/drawn.js";

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
