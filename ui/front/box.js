export default component((root) => {
  let meta = {}, offers = [], on = -1;
  const input = attrs(document.createElement("input"), { type: "search", "aria-label": "Search failed tries", spellcheck: "false", autocomplete: "off", placeholder: "Words of the log, or field:value" });
  const lens = svg("svg", { viewBox: "0 0 14 14", fill: "none", stroke: "currentColor", "stroke-width": "1.6" }, svg("circle", { cx: 6, cy: 6, r: 4.3 }), svg("path", { d: "M9.2 9.2 13 13" }));
  const menu = attrs(el("div", "menu"), { role: "listbox" }), form = el("form", "", el("div", "field", lens, input, menu), attrs(el("button", "btn go", "Search"), { type: "submit" }));
  const error = attrs(el("div", "error"), { role: "status" }), hints = el("div", "hints");
  menu.hidden = true;
  root.append(form, error, hints);
  const href = (q) => `search?${new URLSearchParams({ ...(q ? { q } : {}), ...meta.keep })}`;
  const word = () => /\S*$/.exec(input.value.slice(0, input.selectionStart))[0];
  function complete() {
    const typed = word(), [field, value] = typed.includes(":") ? typed.split(/:(.*)/s) : [null, typed];
    offers = !typed ? [] : field === null ? meta.fields.filter((name) => name.startsWith(typed) && name !== typed).map((name) => `${name}:`) : (meta.values[field] || []).filter((it) => it.toLowerCase().includes(value.toLowerCase().replace(/^"/, "")) && it !== value).map((it) => `${field}:${/^[\w.-]+$/.test(it) ? it : JSON.stringify(it)}`);
    offers = offers.slice(0, 8); on = -1; show();
  }
  function show() {
    menu.hidden = !offers.length;
    menu.replaceChildren(...offers.map((offer, at) => { const node = attrs(el("div", at === on ? "on" : "", offer), { role: "option" }); node.addEventListener("mousedown", (event) => { event.preventDefault(); take(offer); }); return node; }));
  }
  function take(offer) {
    const end = input.selectionStart, begin = end - word().length, tail = offer.endsWith(":") ? "" : " ";
    input.value = input.value.slice(0, begin) + offer + tail + input.value.slice(end);
    input.setSelectionRange(begin + offer.length + tail.length, begin + offer.length + tail.length);
    complete();
  }
  input.addEventListener("input", complete);
  input.addEventListener("blur", () => { offers = []; show(); });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (/^Arrow(Up|Down)$/.test(event.key) && offers.length) { event.preventDefault(); on = (on + (event.key === "ArrowDown" ? 1 : -1) + offers.length) % offers.length; show(); }
    else if ((event.key === "Tab" || event.key === "Enter") && on >= 0) { event.preventDefault(); take(offers[on]); }
    else if (event.key === "Escape" && offers.length) { event.preventDefault(); offers = []; show(); }
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); offers = []; show(); go(href(input.value.trim())); });
  const key = (event) => { if (event.key === "/" && !typing(event) && !event.ctrlKey && !event.metaKey) { event.preventDefault(); event.stopImmediatePropagation(); input.focus(); } };
  addEventListener("keydown", key, true);
  return {
    update({ data }) {
      const [fresh] = head(data), changed = fresh.q !== meta.q;
      meta = fresh;
      if (changed) input.value = meta.q;
      error.textContent = meta.error; error.hidden = !meta.error;
      hints.replaceChildren(...(meta.q && !meta.kept ? [] : meta.kept ? [link(meta.kept.href, "chip x", `${meta.kept.words} ✕`)] : [el("span", "", "For example"), ...meta.examples.map((it) => link(href(it), "chip", it))]));
    },
    cleanup() { removeEventListener("keydown", key, true); },
  };
});
