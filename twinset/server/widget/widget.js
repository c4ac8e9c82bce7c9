// Twinset in any shop's page, by one script tag: a camera button, and strips beside a product.
//
//   <script src="https://search.shop.example/widget.js" data-key="tw_..." async></script>
//   <twinset-similar product-id="1563"></twinset-similar>
//   <twinset-similar product-id="1563" data-strip="look"></twinset-similar>
//
// All of it lives in shadow roots: the page's styles don't reach in, but CSS variables do (widget.css names them).
(() => {
  const script = document.currentScript;
  if (customElements.get("twinset-camera")) return; // the tag is there twice
  const service = new URL(script.src).origin;
  const { key, shop, language: wanted, camera = "float", k = "12" } = script.dataset;
  const WORDS = {
    en: {
      camera: "Search by photo", title: "Find it by photo", choose: "Choose a photo", take: "Take a photo", close: "Close", items: "Pieces in the photo",
      looking: "Looking…", none: "No piece was found in this photo.", noHits: "No product is like it.", count: (n) => (n === 1 ? "1 product" : `${n} products`),
      failed: "That didn't work. Try again.", notPhoto: "This file is no photo we can read.", similar: "Similar products", colours: "Also in these colours", cheaper: "Cheaper like this", look: "Complete the look", far: "Nothing close enough. These come nearest.", area: "The photo", drop: "Drop a photo here, or",
    },
    ko: {
      camera: "사진으로 찾기", title: "사진으로 찾기", choose: "사진 고르기", take: "사진 찍기", close: "닫기", items: "사진 속 상품",
      looking: "찾는 중…", none: "사진에서 상품을 찾지 못했어요.", noHits: "비슷한 상품이 없어요.", count: (n) => `상품 ${n}개`,
      failed: "문제가 생겼어요. 다시 시도해 주세요.", notPhoto: "읽을 수 없는 사진이에요.", similar: "비슷한 상품", colours: "다른 색상", cheaper: "더 저렴한 비슷한 상품", look: "함께 코디하기", far: "아주 비슷한 상품은 없어요. 그나마 가까운 상품이에요.", area: "사진", drop: "사진을 여기에 놓거나",
    },
  };
  const spoken = (wanted || document.documentElement.lang || navigator.language).slice(0, 2);
  const language = spoken in WORDS ? spoken : "en";
  const words = WORDS[language];
  const CAMERA = "M4 8h3l1.6-2.5h6.8L17 8h3a1.5 1.5 0 0 1 1.5 1.5v8A1.5 1.5 0 0 1 20 19H4a1.5 1.5 0 0 1-1.5-1.5v-8A1.5 1.5 0 0 1 4 8ZM15.4 13.2a3.4 3.4 0 1 1-6.8 0 3.4 3.4 0 0 1 6.8 0";
  const LOOK = 4; // categories of a look
  const STRIPS = { // name: the products in its answer, each with what is said of it
    similar: ({ hits }) => hits.map((hit) => ({ hit })),
    colours: ({ colours }) => colours.map(({ colour, hit }) => ({ hit, label: nameOf("colours", colour) })),
    cheaper: ({ hits }) => hits.map((hit) => ({ hit })),
    look: ({ look }) => look.flatMap(({ category, hits }) => hits.map((hit) => ({ hit, label: nameOf("categories", category) }))),
  };
  let asked; // for the shop's facts: its categories' and colours' names
  let facts;
  let pending = []; // events, until they go out together
  let timer = 0;

  function h(tag, props = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name.includes("-") || name === "role" || name === "part") node.setAttribute(name, value);
      else node[name] = value;
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  function icon(path) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }

  async function call(path, options = {}) {
    const headers = { ...(key && { Authorization: `Bearer ${key}` }), ...options.headers };
    const response = await fetch(service + path, { ...options, headers });
    const body = await response.json();
    if (!response.ok) throw Object.assign(new Error(body.detail || response.statusText), { status: response.status });
    return body;
  }

  async function learnFacts() {
    asked ??= call("/v1/shop").catch((problem) => {
      asked = undefined;
      throw problem;
    });
    facts = await asked;
  }

  /** Return what a category or a colour is called, once the facts are known. */
  function nameOf(kind, name) {
    return facts[kind][name]?.[language] ?? name;
  }

  /** Tell the shop what a shopper did. Events go out together, a moment later or as the page is left. */
  function tell(type, hit, from) {
    pending.push({ type, product_id: hit.product_id, ...(shop && { shop }), ...from });
    clearTimeout(timer);
    timer = setTimeout(flush, 800);
  }

  function flush() {
    clearTimeout(timer);
    while (pending.length) {
      const events = pending.splice(0, 200);
      call("/v1/events", { method: "POST", keepalive: true, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ events }) }).catch(() => {}); // a lost event is no one's problem
    }
  }

  function money({ price, sale_price, currency }) {
    const now = sale_price ?? price;
    if (now === null || now === undefined) return "";
    try {
      return new Intl.NumberFormat(language, currency ? { style: "currency", currency } : {}).format(now);
    } catch {
      return `${now} ${currency}`; // no code of ISO 4217
    }
  }

  /** Return a product's card. Choosing it fires `twinset:choose`; a page that prevents it goes its own way. */
  function card(hit, from, label) {
    const safe = hit.url && /^https?:/.test(hit.url);
    const node = h(safe ? "a" : "button", { part: "card", className: "card", onclick: (event) => {
      tell("click", hit, from);
      flush(); // the page may be left
      const chosen = new CustomEvent("twinset:choose", { detail: hit, bubbles: true, composed: true, cancelable: true });
      if (!node.dispatchEvent(chosen)) event.preventDefault();
    } },
    h("span", { className: "picture" }, h("img", { src: service + hit.image, alt: "", loading: "lazy" })),
    label ? h("span", { className: "label", textContent: label }) : null, h("span", { className: "name", textContent: hit.title || hit.product_id }), h("span", { className: "price", textContent: money(hit) }));
    if (safe) node.href = hit.url;
    return h("li", {}, node);
  }

  /** A shadow root with the widget's style; nothing shows before the style is there. */
  function rooted(host, ...children) {
    const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    const inner = h("div", { className: "root", hidden: true }, ...children);
    const style = h("link", { rel: "stylesheet", href: `${service}/widget.css`, onload: () => (inner.hidden = false) });
    root.replaceChildren(style, inner);
    return inner;
  }

  class Similar extends HTMLElement {
    static observedAttributes = ["product-id", "data-strip"];

    connectedCallback() {
      this.change();
    }

    attributeChangedCallback() {
      if (this.isConnected) this.change();
    }

    /** Fill once, after all attributes that change together. */
    change() {
      const mine = (this.changed = {});
      queueMicrotask(() => mine === this.changed && this.fill(mine));
    }

    async fill(mine) {
      const id = this.getAttribute("product-id");
      const strip = this.dataset.strip || "similar";
      if (!id) return;
      if (!(strip in STRIPS)) return console.warn(`twinset: data-strip="${strip}": expected one of ${Object.keys(STRIPS).join(", ")}`);
      let entries;
      try {
        entries = await this.ask(id, strip);
      } catch (problem) {
        if (mine !== this.changed) return;
        console.warn(`twinset: no products ${strip === "similar" ? "similar to" : `(${strip}) beside`} ${id}: ${problem.message}`);
        this.shadowRoot?.replaceChildren();
        return;
      }
      if (mine !== this.changed) return;
      if (!entries.length) return this.shadowRoot?.replaceChildren();
      const title = this.getAttribute("heading") || words[strip];
      const from = (position) => (strip === "similar" ? { position } : {}); // places are counted in lists of likeness alone
      const cards = entries.map(({ hit, label }, position) => card(hit, from(position), label));
      rooted(this, h("section", { "aria-label": title }, h("h2", { part: "heading", textContent: title }), h("ul", { className: "strip", part: "strip" }, ...cards)));
      entries.slice(0, 4).forEach(({ hit }, position) => tell("view", hit, from(position)));
    }

    async ask(id, strip) {
      const size = this.getAttribute("k") || k;
      const query = new URLSearchParams({ k: strip === "look" ? Math.ceil(size / LOOK) : size, ...(strip === "look" && { categories: LOOK }), ...(shop && { shop }) });
      const [found] = await Promise.all([call(`/v1/products/${encodeURIComponent(id)}/${strip}?${query}`), (strip === "colours" || strip === "look") && learnFacts()]);
      return STRIPS[strip](found);
    }
  }

  class Camera extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) return;
      this.button = h("button", { part: "button", className: "camera", type: "button", onclick: () => this.open() }, icon(CAMERA), h("span", { textContent: this.getAttribute("label") || words.camera }));
      this.status = h("p", { className: "status", role: "status" });
      this.items = h("div", { className: "items", role: "group", "aria-label": words.items });
      this.hits = h("ul", { className: "hits" });
      this.preview = h("img", { className: "preview", alt: "", hidden: true, onerror: () => (this.preview.hidden = true) });
      const pick = (label, main, extra) => h("label", { className: `pick ${main}` }, h("input", { type: "file", accept: "image/*", ...extra, onchange: (event) => this.take(event) }), h("span", { textContent: label }));
      this.dialog = h("dialog", { part: "dialog", "aria-label": words.title, onclick: (event) => event.target === this.dialog && this.dialog.close() },
        h("div", { className: "sheet" },
          h("header", {}, h("h2", { textContent: words.title }), h("button", { type: "button", className: "close", "aria-label": words.close, onclick: () => this.dialog.close() }, icon("M6 6l12 12M18 6 6 18"))),
          h("div", { className: "ask", ondragover: (event) => event.preventDefault(), ondrop: (event) => this.drop(event) }, this.preview, h("div", { className: "picks" }, h("span", { className: "hint", textContent: words.drop }), pick(words.choose, "main", {}), pick(words.take, "", { capture: "environment" }))),
          this.items, this.status, this.hits));
      rooted(this, this.button, this.dialog);
    }

    open() {
      this.dialog.showModal();
    }

    take(event) {
      const [file] = event.target.files;
      event.target.value = "";
      if (file) this.search(file);
    }

    drop(event) {
      event.preventDefault();
      const [file] = event.dataTransfer.files;
      if (file) this.search(file);
    }

    async search(file) {
      const mine = (this.asked = {}); // an answer that comes late is for another photo
      URL.revokeObjectURL(this.preview.src);
      this.preview.src = URL.createObjectURL(file);
      this.preview.hidden = false;
      this.items.replaceChildren();
      this.hits.replaceChildren(...Array.from({ length: 4 }, () => h("li", { className: "place", "aria-hidden": "true" })));
      this.status.textContent = words.looking;
      try {
        const { drawn } = await import(`${service}/page/drawn.js`);
        const form = new FormData();
        form.append("photo", await drawn(file), "photo");
        form.append("k", k);
        if (shop) form.append("shop", shop);
        const [answer] = await Promise.all([call("/v1/search", { method: "POST", body: form }), learnFacts()]);
        if (mine === this.asked) this.show(answer);
      } catch (problem) {
        if (mine !== this.asked) return;
        console.warn(`twinset: ${problem.message}`);
        this.hits.replaceChildren();
        this.status.textContent = problem.status === 415 ? words.notPhoto : words.failed;
      }
    }

    show(answer) {
      const chips = answer.items.map((item, i) => h("button", { type: "button", className: "chip", textContent: item.category ? nameOf("categories", item.category) : words.area, onclick: () => choose(i) }));
      const choose = (i) => {
        chips.forEach((chip, no) => chip.setAttribute("aria-pressed", no === i));
        const { hits, close_enough } = answer.items[i];
        const from = (position) => ({ position, search_id: answer.search_id, item_no: i });
        this.hits.replaceChildren(...hits.map((hit, position) => card(hit, from(position))));
        hits.slice(0, 4).forEach((hit, position) => tell("view", hit, from(position)));
        this.status.textContent = !hits.length ? words.noHits : close_enough === false ? words.far : words.count(hits.length);
      };
      this.items.replaceChildren(...chips);
      if (chips.length) return choose(0);
      this.hits.replaceChildren();
      this.status.textContent = words.none;
    }
  }

  customElements.define("twinset-similar", Similar);
  customElements.define("twinset-camera", Camera);
  addEventListener("pagehide", flush);
  const begin = () => {
    if (camera === "float" && !document.querySelector("twinset-camera")) document.body.append(h("twinset-camera", { className: "twinset-float" }));
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
  else begin();
})();
