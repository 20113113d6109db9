// Shared by every component; prepended to each module. Foreign text becomes text nodes only.
function el(tag, cls, ...kids) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  for (const kid of kids.flat()) if (kid !== null && kid !== undefined && kid !== false) node.append(kid);
  return node;
}
function attrs(node, values) {
  for (const [name, value] of Object.entries(values)) if (value !== null && value !== undefined) node.setAttribute(name, value);
  return node;
}
// Streamlit's own popstate handler runs the page of the new address; the plain link remains as fallback.
function go(href, replace = false) {
  history[replace ? "replaceState" : "pushState"]({}, "", new URL(href, location.href));
  dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}
function link(href, cls, ...kids) {
  const a = attrs(el("a", cls, ...kids), { href });
  a.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(a.href);
  });
  return a;
}
function away(href, cls, ...kids) {
  if (!/^https?:\/\//i.test(href || "")) return el("span", cls, ...kids);
  return attrs(el("a", `${cls || ""} ext`, ...kids), { href, target: "_blank", rel: "noopener noreferrer" });
}
// A query that cannot be read: carets under the place, the sentence, and the query as it may have been meant.
function wrong(node, { error, caret, better }, href) {
  node.replaceChildren(...(caret ? [el("pre", "caret", caret)] : []), el("span", "", error, " "), ...(better ? [link(href(better.q), "better", `Use ${better.words}`)] : []));
  node.hidden = !error;
}
function short(n) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (n >= size * 0.9995) return `${(n < 99.95 * size ? (n / size).toFixed(1) : (n / size).toFixed(0)).replace(/\.0$/, "")} ${unit}`;
  return String(n);
}
function num(n, noun = "") {
  const node = el("span", "num", short(n) + (noun ? ` ${noun}` : ""));
  if (n >= 1000) node.title = n.toLocaleString("en");
  return node;
}
function span(s) {
  if (s < 60) return `${Math.max(0, Math.floor(s))} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h`;
  if (s < 86400 * 60) return `${Math.floor(s / 86400)} d`;
  const months = Math.floor(s / 2629800);
  return months < 24 ? `${months} months` : `${Math.floor(months / 12)} years`;
}
function ago(at) {
  const past = Date.now() / 1000 - at;
  return past < -1 ? `in ${span(-past)}` : past < 2 ? "just now" : `${span(past)} ago`;
}
const clockFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const clockZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
function clock(at) { return `${clockFormat.format(at * 1000)} ${clockZone}`; }
function time(at, words = ago) {
  const node = attrs(el("time", "num", words(at)), { title: clock(at), datetime: new Date(at * 1000).toISOString() });
  node.fresh = () => { const said = words(at); if (node.textContent !== said) node.textContent = said; };
  return node;
}
function bare(at) { return ago(at).replace(" ago", ""); }
const SHAPES = {
  NEW: '<circle cx="6" cy="6" r="5" fill="currentColor"/>',
  REGRESSED: '<path d="M6 .8 11.6 11H.4Z" fill="currentColor"/>',
  ONGOING: '<rect x="1.2" y="1.2" width="9.6" height="9.6" rx="1.5" fill="currentColor"/>',
  MUTED: '<circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M2.8 9.2 9.2 2.8" stroke="currentColor" stroke-width="1.5"/>',
  RESOLVED: '<path d="M1.2 6.4 4.6 9.8 10.9 2.4" fill="none" stroke="currentColor" stroke-width="2"/>',
  good: '<path d="M1.2 6.4 4.6 9.8 10.9 2.4" fill="none" stroke="currentColor" stroke-width="2"/>',
  warn: '<path d="M6 .8 11.6 11H.4Z" fill="currentColor"/>',
  bad: '<path d="M3.5 .5h5l3 3v5l-3 3h-5l-3-3v-5Z" fill="currentColor"/>',
  quiet: '<circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.5"/>',
};
const WORDS = { NEW: "New", REGRESSED: "Regressed", ONGOING: "Ongoing", MUTED: "Muted", RESOLVED: "Resolved" };
function shape(name) {  // our own constants only
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  attrs(svg, { viewBox: "0 0 12 12", "aria-hidden": "true" }).innerHTML = SHAPES[name] || SHAPES.quiet;
  return svg;
}
function state(name) { return el("span", `state s-${name}`, shape(name), WORDS[name] || name); }
function svg(tag, values, ...kids) {
  const node = attrs(document.createElementNS("http://www.w3.org/2000/svg", tag), values);
  node.append(...kids);
  return node;
}
// Data: four bytes of length, a head of JSON, and (often) a deflated JSON of columns.
function head(data) {
  const length = new DataView(data.buffer, data.byteOffset).getUint32(0);
  return [JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length))), data.subarray(4 + length)];
}
function inflate(bytes) { return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json(); }
function typing(event) {
  const target = event.composedPath()[0];
  return target instanceof Element && (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable);
}
// One instance per place: `create(root)` returns {update, cleanup}; errors are told, not thrown into the void.
const instances = new WeakMap();
function component(create) {
  return (args) => {
    let it = instances.get(args.parentElement);
    if (!it) {
      const root = el("div", "root");
      args.parentElement.append(root);
      it = create(root, args);
      const timer = setInterval(() => root.querySelectorAll("time").forEach((node) => node.fresh && node.fresh()), 15000);
      it.end = () => { clearInterval(timer); it.cleanup && it.cleanup(); instances.delete(args.parentElement); root.remove(); };
      it.root = root;
      instances.set(args.parentElement, it);
    }
    const failed = (error) => { console.error(error); it.root.replaceChildren(el("div", "oops", "This part of the page could not be drawn; reload it.")); };
    try { Promise.resolve(it.update(args)).catch(failed); } catch (error) { failed(error); }
    return it.end;
  };
}
