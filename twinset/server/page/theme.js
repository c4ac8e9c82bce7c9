// Before anything is drawn: the shopper's choice of dark or light, else what the system says.
(() => {
  const kept = localStorage.getItem("theme");
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
})();
