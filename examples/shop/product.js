// The product page of the example shop: what a shop's own pages know of a product, here asked of the service.
const service = "http://127.0.0.1:8000";
const id = new URLSearchParams(location.search).get("id") ?? "D0003";
const product = await (await fetch(`${service}/v1/products/${encodeURIComponent(id)}`)).json();
document.title = product.title;
document.getElementById("title").textContent = product.title;
document.getElementById("price").textContent = product.price === null ? "" : `${product.price.toFixed(2)} ${product.currency ?? ""}`;
document.getElementById("picture").src = service + product.image;
for (const strip of document.querySelectorAll("twinset-similar")) strip.setAttribute("product-id", id); // all a strip needs
addEventListener("twinset:choose", ({ detail }) => (location.href = `product.html?id=${encodeURIComponent(detail.product_id)}`));
