const PASTE = 300, LONGEST = 1000000; // characters from which on pasted text is a log, and of them sent at most
export default component((root, { setTriggerValue }) => {
  let meta = {}, offers = [], on = -1, asked = "", timer = 0;
  const input = attrs(document.createElement("input"), { type: "search", "aria-label": "Search failed tries", spellcheck: "false", autocomplete: "off", role: "combobox", "aria-expanded": "false", "aria-controls": "offers", "aria-autocomplete": "list", placeholder: "Words of the log, field:value, or a whole log pasted" });
  const lens = svg("svg", { viewBox: "0 0 14 14", fill: "none", stroke: "currentColor", "stroke-width": "1.6" }, svg("circle", { cx: 6, cy: 6, r: 4.3 }), svg("path", { d: "M9.2 9.2 13 13" }));
  const menu = attrs(el("div", "menu"), { role: "listbox", id: "offers" }), form = el("form", "", el("div", "field", lens, input, menu), attrs(el("button", "btn go", "Search"), { type: "submit" }));
  const error = attrs(el("div", "error"), { role: "status" }), hints = el("div", "hints");
  menu.hidden = true;
  root.append(form, error, hints);
  const href = (q) => `search?${new URLSearchParams({ ...(q ? { q } : {}), ...meta.keep })}`;
  // The word before the cursor: with an open quote it goes on over spaces.
  const word = () => /(?:[\w]+:"(?:[^"\\]|\\.)*|[^\s()]*)$/.exec(input.value.slice(0, input.selectionStart))[0].replace(/^[-+]/, "");
  function complete() {
    const typed = word();
    clearTimeout(timer);
    if (!typed || /^\w+:".*"$/.test(typed)) { hide(); return; }
    timer = setTimeout(() => { asked = typed; setTriggerValue("ask", typed); }, 90);
  }
  function hide() { clearTimeout(timer); asked = ""; offers = []; on = -1; show(); }
  function show() {
    menu.hidden = !offers.length;
    attrs(input, { "aria-expanded": String(!menu.hidden), "aria-activedescendant": on < 0 ? "" : `offer-${on}` });
    menu.replaceChildren(...offers.map(([text, count], at) => {
      const node = attrs(el("div", at === on ? "on" : "", el("span", "text", text), count ? num(count) : null), { role: "option", id: `offer-${at}`, "aria-selected": String(at === on) });
      node.addEventListener("mousedown", (event) => { event.preventDefault(); take(text); });
      return node;
    }));
  }
  function take(offer) {
    const end = input.selectionStart, begin = end - word().length, tail = offer.endsWith(":") ? "" : " ";
    input.value = input.value.slice(0, begin) + offer + tail + input.value.slice(end);
    input.setSelectionRange(begin + offer.length + tail.length, begin + offer.length + tail.length);
    hide();
    if (!tail) complete();
  }
  input.addEventListener("input", complete);
  input.addEventListener("blur", hide);
  input.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text/plain");
    if (text.length <= PASTE && !/\n./.test(text.trim())) return;
    event.preventDefault(); hide();
    setTriggerValue("pasted", text.slice(0, LONGEST));
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (/^Arrow(Up|Down)$/.test(event.key) && offers.length) { event.preventDefault(); on = (on + (event.key === "ArrowDown" ? 1 : -1) + offers.length) % offers.length; show(); }
    else if ((event.key === "Tab" || event.key === "Enter") && on >= 0) { event.preventDefault(); take(offers[on][0]); }
    else if (event.key === "Escape" && offers.length) { event.preventDefault(); hide(); }
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); hide(); go(href(input.value.trim())); });
  const key = (event) => { if (event.key === "/" && !typing(event) && !event.ctrlKey && !event.metaKey) { event.preventDefault(); event.stopImmediatePropagation(); input.focus(); } };
  addEventListener("keydown", key, true);
  return {
    update({ data }) {
      const [fresh] = head(data), changed = fresh.q !== meta.q;
      meta = fresh;
      if (changed) input.value = meta.q;
      if (asked && meta.offers.typed === asked && word() === asked) { offers = meta.offers.found; on = -1; show(); }
      wrong(error, meta, href);
      hints.replaceChildren(...meta.chips.map((it) => attrs(link(it.href, "chip x", el("span", "", it.words), " ✕"), { "aria-label": `Take out ${it.words}`, title: "Take it out" })), ...(meta.examples.length ? [el("span", "", "For example"), ...meta.examples.map((it) => link(href(it), "chip", it))] : []), link("search?seen=1", "ask", "Paste a log: have we seen this before?"));
    },
    cleanup() { removeEventListener("keydown", key, true); },
  };
});
