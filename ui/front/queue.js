const ROW = 46;
const TABS = ["needs triage", "ongoing", "flaky", "muted", "resolved", "all"];
const SORTS = {
  last: (d) => (a, b) => d.last[b] - d.last[a], first: (d) => (a, b) => d.first[b] - d.first[a],
  tries: (d) => (a, b) => d.recent[b] - d.recent[a] || d.last[b] - d.last[a],
  title: (d) => (a, b) => d.title[a].localeCompare(d.title[b]), owner: (d) => (a, b) => (d.owner[a] || "~").localeCompare(d.owner[b] || "~"),
  state: (d) => (a, b) => d.state[a].localeCompare(d.state[b]) || a - b,
};
const LASTING = [["for good", {}], ["for 1 day", { hours: 24 }], ["for 7 days", { hours: 168 }], ["until 10 more failures", { more: 10 }], ["until it spreads to another DAG", { spread: true }]];
const LATER = [["in the next deploy", { next_deploy: true }], ["when quiet for 7 days", { quiet: 168 }]];
let told = 0; // the last reply shown in this tab
const places = new Map(); // address -> where the reader was; a module lives as long as its tab

function address(changes) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) value ? url.searchParams.set(name, value) : url.searchParams.delete(name);
  url.hash = "";
  return url.href;
}
function parameter(name, known, otherwise) {
  const value = new URL(location.href).searchParams.get(name);
  return known.includes(value) ? value : otherwise;
}
function sparkline(counts) {
  const most = Math.max(1, ...counts), width = 100 / counts.length;
  const path = counts.map((n, day) => (n ? `M${(day + 0.5) * width} 23v-${Math.max(2, (n / most) * 21)}` : "")).join("");
  const node = svg("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img", "aria-label": `by day, oldest first: ${counts.join(" ")}` });
  node.append(svg("path", { class: "base", d: "M0 23.5H100", "vector-effect": "non-scaling-stroke" }), svg("path", { d: path, stroke: "currentColor", "stroke-width": width * 0.7 }));
  return node;
}

export default component((root, first) => {
  let meta = {}, rows = null, view = [], cursor = 0, selected = new Set(), sent = new Set(), body = null, menu = null, typed = null, here = location.href;
  let trigger = first.setTriggerValue, seq = Date.now(), anchor = null, said = 0, pending = [];
  const tabs = attrs(el("nav", "tabs"), { "aria-label": "Queue" }), bar = el("div", "bar"), error = attrs(el("div", "error"), { role: "status" }), top = el("div"), foot = el("div", "foot");
  const list = attrs(el("div", "list"), { tabindex: "0", role: "list", "aria-label": "Problems", "data-testid": "queue-list" });
  const input = attrs(document.createElement("input"), { type: "search", placeholder: "Filter by words, or by field: dag:orders* \"rate limit\"", "aria-label": "Filter problems", spellcheck: "false", autocomplete: "off" });
  const lens = svg("svg", { viewBox: "0 0 14 14", fill: "none", stroke: "currentColor", "stroke-width": "1.6" }, svg("circle", { cx: 6, cy: 6, r: 4.3 }), svg("path", { d: "M9.2 9.2 13 13" }));
  const help = attrs(el("button", "btn key", "?"), { title: "Keys", "aria-label": "Show the keys" });
  root.append(tabs, bar, error, top, list, foot);

  const tab = () => parameter("tab", TABS, TABS[0]);
  const sort = () => parameter("sort", Object.keys(SORTS), "");
  const only = () => parameter("deployment", meta.deployments || [], "");
  const move = (changes) => { history.pushState({}, "", address(changes)); arrive(); };
  const local = (href, changes, ...kids) => {
    const a = attrs(el("a", "", ...kids), { href });
    a.addEventListener("click", (event) => { if (!event.button && !event.metaKey && !event.ctrlKey && !event.shiftKey) { event.preventDefault(); move(changes); } });
    return a;
  };

  function arrive() { // the address changed, or the data did
    if (here !== location.href) { remember(); here = location.href; const place = places.get(here); cursor = place ? place.cursor : 0; selected = new Set(place && place.selected); choose(); draw(); list.scrollTop = place ? place.top : 0; paint(); }
    else { choose(); draw(); paint(); }
  }
  function remember() { places.set(here, { top: list.scrollTop, cursor, selected: [...selected] }); }
  function within(i) { return !only() || rows.deployments[i].includes(only()); }
  function choose() {
    if (!rows) return;
    const wanted = tab(), at = rows.id[view[cursor]];
    view = rows.id.map((_, i) => i).filter((i) => within(i) && (wanted === "all" || rows.pill[i] === wanted));
    if (sort()) view.sort(SORTS[sort()](rows));
    const again = view.findIndex((i) => rows.id[i] === at);
    cursor = again >= 0 ? again : Math.max(0, Math.min(cursor, view.length - 1));
    const present = new Set(view.map((i) => rows.id[i]));
    selected = new Set([...selected].filter((id) => present.has(id)));
  }
  function draw() {
    const counts = Object.fromEntries(TABS.map((name) => [name, 0]));
    if (rows) rows.pill.forEach((pill, i) => { if (within(i)) { counts[pill] += 1; counts.all += 1; } });
    tabs.replaceChildren(...TABS.map((name) => attrs(local(address({ tab: name === TABS[0] ? "" : name }), { tab: name === TABS[0] ? "" : name }, name[0].toUpperCase() + name.slice(1), el("span", "n", short(counts[name]))), { "aria-current": tab() === name ? "page" : null, "data-tab": name })));
    const ranges = attrs(el("div", "seg", meta.ranges.map(([name, words]) => attrs(link(address({ range: name === "7d" ? "" : name }), "", words), { "aria-current": meta.range === name ? "true" : null, title: `Problems seen in this range, and their tries in it` }))), { "aria-label": "Time range", role: "group" });
    const choice = meta.deployments.length > 1 ? attrs(el("select", "", attrs(el("option", "", "All deployments"), { value: "" }), meta.deployments.map((name) => attrs(el("option", "", name), { value: name }))), { "aria-label": "Deployment" }) : null;
    if (choice) { choice.value = only(); choice.addEventListener("change", () => move({ deployment: choice.value })); }
    if (!bar.firstChild) bar.append(el("div", "filter", lens, input));
    while (bar.children.length > 1) bar.lastChild.remove();
    bar.append(...[choice, ranges, help].filter(Boolean));
    if (root.getRootNode().activeElement !== input && typed === null) input.value = meta.q;
    wrong(error, meta, (q) => address({ q }));
    drawTop();
    foot.replaceChildren(el("span", "num", `${view.length.toLocaleString("en")} ${view.length === 1 ? "problem" : "problems"}`), meta.note ? el("span", "", meta.note) : "", el("span", "keys hide", el("kbd", "", "j"), " ", el("kbd", "", "k"), " move  ", el("kbd", "", "o"), " open  ", el("kbd", "", "x"), " select  ", el("kbd", "", "m"), " mute  ", el("kbd", "", "r"), " resolve  ", el("kbd", "", "a"), " assign  ", el("kbd", "", "g"), " GitLab  ", el("kbd", "", "/"), " filter"));
  }
  function drawTop() {
    if (selected.size) {
      const states = new Set(view.filter((i) => selected.has(rows.id[i])).map((i) => rows.state[i]));
      const button = (words, key, act) => { const it = attrs(el("button", "btn", words), { "data-act": key }); it.addEventListener("click", act); return it; };
      const mute = button("Mute…", "mute", () => openMenu(mute, lasting())), assign = button("Assign…", "assign", () => openOwners(assign)), merge = button("Merge…", "merge", () => openMenu(merge, targets()));
      const later = button("Resolve later…", "later", () => openMenu(later, LATER.map(([words, how]) => [words, { "data-later": words }, () => act("resolve", how)])));
      const gitlab = meta.gitlab ? null : button("GitLab…", "gitlab", () => openMenu(gitlab, issues()));
      top.replaceChildren(el("div", "acts", el("span", "count", `${selected.size.toLocaleString("en")} selected`),
        states.has("RESOLVED") ? null : mute, states.has("RESOLVED") ? null : button("Resolve", "resolve", () => act("resolve")), states.has("RESOLVED") ? null : later, assign,
        states.has("MUTED") && states.size === 1 ? button("Unmute", "unmute", () => act("unmute")) : null,
        states.has("RESOLVED") && states.size === 1 ? button("Reopen", "reopen", () => act("reopen")) : null,
        gitlab, selected.size > 1 ? merge : null,
        selected.size < view.length ? button(`Select all ${short(view.length)}`, "all", () => { view.forEach((i) => selected.add(rows.id[i])); drawTop(); paint(); }) : null,
        button("Clear", "clear", () => { selected.clear(); drawTop(); paint(); })));
      return;
    }
    menu = null;
    if (!view.length) { top.replaceChildren(); return; }
    const by = (name, words, cls = "") => { const it = attrs(el("button", cls, words, sort() === name ? " ↓" : ""), { "aria-pressed": String(sort() === name), title: sort() === name ? "Back to the order of urgency" : "Order by this" }); it.addEventListener("click", () => move({ sort: sort() === name ? "" : name })); return it; };
    const every = attrs(document.createElement("input"), { type: "checkbox", "aria-label": "Select all", style: "margin-left:8px;width:15px;height:15px" });
    every.addEventListener("change", () => { view.forEach((i) => selected.add(rows.id[i])); drawTop(); paint(); });
    top.replaceChildren(el("div", "head", every, by("state", "State"), by("title", "Problem"), el("span", "hide", by("owner", "Owner")), el("span", "", "14 days"), by("tries", meta.range === "all" ? "Tries" : `In ${meta.words}`, "r"), by("last", "Last", "r"), by("first", "Since", "r hide")));
  }
  function openMenu(beside, choices) { // a choice is its words, its mark, and what it does; its number is its key
    const again = menu && menu.beside === beside;
    if (menu) { menu.remove(); menu = null; }
    if (again) return;
    menu = attrs(el("div", "menu", choices.map(([words, mark, does], n) => { const it = attrs(el("button", "", el("span", "", words), el("kbd", "", String(n + 1))), mark); it.addEventListener("click", () => { menu = null; does(); }); return it; })), { role: "menu" });
    Object.assign(menu, { beside, choices });
    menu.style.left = `${beside.offsetLeft}px`;
    beside.parentElement.append(menu);
    menu.firstChild.focus();
  }
  const chosen = () => view.filter((i) => selected.has(rows.id[i]));
  const lasting = () => [...LASTING, ...(chosen().every((i) => rows.gitlab[i]) ? [["until its GitLab issue closes", { closed: true }]] : [])].map(([words, how], n) => [words, { "data-lasting": n + 1 }, () => act("mute", how)]);
  function issues() {
    const all = chosen(), without = all.filter((i) => !rows.stands[i]).map((i) => rows.id[i]);
    const ways = all.filter((i) => rows.issue[i]).slice(0, 8).map((i) => [`go to ${rows.gitlab[i]}`, { "data-issue": rows.gitlab[i] }, () => goTo(i)]);
    return [...ways, ...(without.length ? [[without.length > 1 ? `open ${without.length} issues now` : "open an issue now", { "data-open": "" }, () => act("open", {}, without)]] : [])];
  }
  const goTo = (i) => open(rows.issue[i], "_blank", "noopener,noreferrer");
  function targets() {
    const all = chosen(), ids = all.map((i) => rows.id[i]);
    const into = all.slice(0, 8).map((i) => [`into ${rows.title[i].slice(0, 70)}`, { "data-into": rows.id[i] }, () => act("merge", { into: rows.id[i] }, ids)]);
    return [["into the one most was decided about", { "data-into": "" }, () => act("merge", {}, ids)], ...into];
  }
  function openOwners(beside) {
    const again = menu && menu.beside === beside;
    if (menu) { menu.remove(); menu = null; }
    if (again) return;
    const name = attrs(document.createElement("input"), { type: "text", placeholder: "A name, or @team", "aria-label": "Owner", spellcheck: "false", autocomplete: "off", maxlength: "100" });
    const give = (to) => { if (to) { menu = null; act("assign", { to }); } };
    const choices = el("div", "names");
    const offer = () => {
      const part = name.value.trim().toLowerCase(), fits = (one) => one.toLowerCase().includes(part), fit = [...meta.owners.filter(fits).slice(0, 8), ...["nobody"].filter(fits)];
      choices.replaceChildren(...fit.map((one) => { const it = el("button", "", one); it.addEventListener("click", () => give(one)); return it; }));
    };
    name.addEventListener("input", offer);
    name.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); give(name.value.trim()); }
      if (event.key === "ArrowDown" && choices.firstChild) { event.preventDefault(); event.stopPropagation(); choices.firstChild.focus(); }
      if (event.key === "Escape") { event.stopPropagation(); menu.remove(); menu = null; list.focus(); }
    });
    menu = attrs(el("div", "menu", name, choices), { role: "dialog", "aria-label": "Assign to", "data-testid": "owners" });
    menu.beside = beside;
    menu.style.left = `${beside.offsetLeft}px`;
    beside.parentElement.append(menu);
    offer();
    name.focus();
  }
  function act(kind, how = {}, ids = null) {
    const about = ids || (selected.size ? [...selected] : view.length ? [rows.id[view[cursor]]] : []);
    if (!about.length) return;
    seq += 1;
    pending.push({ seq, kind, ids: about, ...how });
    about.forEach((id) => sent.add(id));
    selected.clear();
    trigger("act", pending);
    drawTop(); paint(); list.focus();
  }
  function tell(reply) {
    root.querySelector(".said")?.remove();
    const box = attrs(el("div", `said ${reply.undo || reply.done ? "" : "bad"}`, el("span", "", reply.said)), { role: "status", "data-testid": "said" });
    if (reply.undo) {
      const undo = el("button", "", "Undo");
      undo.addEventListener("click", () => { box.remove(); act(reply.undo.kind, reply.undo.how || {}, reply.undo.ids); });
      box.append(undo);
    }
    root.append(box);
    setTimeout(() => box.remove(), 12000);
  }
  function row(i, place) {
    const d = rows, id = d.id[i], box = attrs(document.createElement("input"), { type: "checkbox", "aria-label": `Select ${d.title[i]}` });
    box.checked = selected.has(id);
    box.addEventListener("click", (event) => { event.stopPropagation(); pick(place, event.shiftKey); });
    const more = d.tasks[i] > 1 ? `+${d.tasks[i] - 1} ${d.tasks[i] === 2 ? "task" : "tasks"}${d.dags[i] > 1 ? ` in ${d.dags[i]} DAGs` : ""}` : "";
    const node = link(`problem?id=${id}`, `row s-${d.state[i]}${place === cursor ? " on" : ""}${sent.has(id) ? " sent" : ""}`);
    node.classList.remove(`s-${d.state[i]}`);
    const spark = el("span", `s-${d.state[i]}`, sparkline(d.daily[i]));
    node.append(box, state(d.state[i]),
      el("div", "main", el("div", "one", attrs(el("span", "title", d.title[i]), { title: d.title[i] }), d.grows[i] ? attrs(el("span", "chip grows", `▲ ×${short(Math.round(d.grows[i]))}`), { title: d.why[i] }) : null, d.cause[i] ? el("span", "chip", d.cause[i]) : null, d.issue[i] ? issue(i) : null),
        el("div", "two", el("span", "mono", d.task[i]), more ? el("span", "more", more) : null, meta.deployments.length > 1 ? el("span", "dep", d.deployments[i].join(", ")) : null, d.how[i] ? attrs(el("span", "how", d.how[i]), { title: d.said[i] }) : null, attrs(el("span", "why", d.why[i]), { title: d.why[i] }))),
      attrs(el("span", "owner hide", d.owner[i]), { title: d.owned[i] }), spark, el("span", "tries r", num(d.recent[i])), el("span", "when r", time(d.last[i], bare)), el("span", "when r hide", time(d.first[i], bare)));
    attrs(node, { role: "listitem", "data-id": id, tabindex: "-1" }).style.top = `${place * ROW}px`;
    box.addEventListener("change", (event) => event.stopPropagation());
    node.addEventListener("mousedown", () => { cursor = place; });
    return node;
  }
  function issue(i) { // a link within the row's own link: it opens GitLab, and the row stays
    const node = attrs(el("a", "issue", rows.gitlab[i]), { href: rows.issue[i], target: "_blank", rel: "noreferrer", title: rows.stands[i], tabindex: "-1" });
    node.addEventListener("click", (event) => event.stopPropagation());
    return node;
  }
  function pick(place, range) {
    const from = range && anchor !== null ? Math.min(anchor, place) : place, to = range && anchor !== null ? Math.max(anchor, place) : place;
    const on = !selected.has(rows.id[view[place]]);
    for (let at = from; at <= to; at += 1) on ? selected.add(rows.id[view[at]]) : selected.delete(rows.id[view[at]]);
    anchor = place; cursor = place; drawTop(); paint();
  }
  function paint() {
    if (!rows) return;
    if (!view.length) {
      const empty = meta.empty[rows.id.length ? (tab() === TABS[0] && !meta.q ? "quiet" : "tab") : meta.nothing];
      list.replaceChildren(attrs(el("div", "empty", el("h3", "", empty.title), empty.lines.map((line) => el("p", "", line)), empty.pre ? el("pre", "", empty.pre) : null), { "data-testid": "empty" }));
      return;
    }
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 6), to = Math.min(view.length, Math.ceil((list.scrollTop + (list.clientHeight || 800)) / ROW) + 6);
    const tall = el("div");
    tall.style.cssText = `height:${view.length * ROW}px;position:relative`;
    for (let place = from; place < to; place += 1) tall.append(row(view[place], place));
    const top = list.scrollTop;
    list.replaceChildren(tall);
    if (list.scrollTop !== top) list.scrollTop = top;
  }
  function step(by) {
    cursor = Math.max(0, Math.min(view.length - 1, cursor + by));
    const top = cursor * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    paint();
  }
  function showKeys() {
    const keys = [["j k", "next, previous"], ["o or Enter", "open the problem"], ["x", "select; with Shift and a click, a range"], ["m", "mute"], ["r", "resolve"], ["R", "resolve later"], ["a", "assign"], ["g", "its GitLab issue: go there, or open one"], ["u", "unmute or reopen"], ["/", "filter"], ["Esc", "clear"], ["?", "these keys"]];
    const box = el("dialog", "", el("h3", "", "Keys"), el("dl", "", keys.map(([key, words]) => [el("dt", "", el("kbd", "", key)), el("dd", "", words)]).flat()));
    root.append(box);
    box.addEventListener("close", () => box.remove());
    box.addEventListener("click", () => box.close());
    box.showModal();
  }
  function key(event) {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const handled = () => { event.preventDefault(); event.stopImmediatePropagation(); };
    if (typing(event)) {
      if (event.composedPath()[0] === input && event.key === "Escape") { handled(); if (input.value) { input.value = ""; search(); } else list.focus(); }
      if (event.composedPath()[0].type !== "checkbox") return;
    }
    if (root.querySelector("dialog")) return;
    if (menu && menu.choices?.[event.key - 1]) { handled(); const does = menu.choices[event.key - 1][2]; menu = null; return does(); }
    const at = rows && rows.state[view[cursor]];
    const acts = {
      j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1), PageDown: () => step(10), PageUp: () => step(-10), Home: () => step(-1e9), End: () => step(1e9),
      o: () => view.length && go(`problem?id=${rows.id[view[cursor]]}`), Enter: () => view.length && go(`problem?id=${rows.id[view[cursor]]}`), x: () => view.length && pick(cursor, false),
      m: () => { if (!view.length) return; if (!selected.size) pick(cursor, false); const beside = top.querySelector("[data-act=mute]"); if (beside) openMenu(beside, lasting()); },
      a: () => { if (!view.length) return; if (!selected.size) pick(cursor, false); const beside = top.querySelector("[data-act=assign]"); if (beside) openOwners(beside); },
      R: () => { if (!view.length || (!selected.size && at === "RESOLVED")) return; if (!selected.size) pick(cursor, false); const beside = top.querySelector("[data-act=later]"); if (beside) beside.click(); },
      g: () => { if (!view.length) return; if (meta.gitlab) return tell({ said: meta.gitlab }); if (!selected.size && rows.issue[view[cursor]]) return goTo(view[cursor]); if (!selected.size) pick(cursor, false); const beside = top.querySelector("[data-act=gitlab]"); if (beside) openMenu(beside, issues()); },
      r: () => (selected.size || at !== "RESOLVED") && act("resolve"), u: () => at === "MUTED" ? act("unmute") : at === "RESOLVED" && act("reopen"),
      "/": () => input.focus(), "?": showKeys, Escape: () => { if (menu) { menu.remove(); menu = null; } else { selected.clear(); drawTop(); paint(); } },
    };
    const onButton = /^(BUTTON|A|SUMMARY)$/.test(event.composedPath()[0].tagName) && !event.composedPath()[0].classList.contains("row");
    if (onButton && event.key === "Enter") return;
    if (menu && /^Arrow/.test(event.key)) { handled(); const next = root.getRootNode().activeElement?.[event.key === "ArrowDown" ? "nextSibling" : "previousSibling"]; return next && next.focus(); }
    if (acts[event.key]) { handled(); acts[event.key](); }
  }
  function search() {
    clearTimeout(typed);
    typed = setTimeout(() => { typed = null; go(address({ q: input.value.trim() }), true); here = location.href; list.scrollTop = 0; cursor = 0; }, 160);
  }
  const page = location.pathname, back = () => { if (rows && root.isConnected && location.pathname === page) arrive(); };
  input.addEventListener("input", search);
  help.addEventListener("click", showKeys);
  list.addEventListener("scroll", paint, { passive: true });
  addEventListener("keydown", key, true);
  addEventListener("popstate", back);
  addEventListener("resize", paint);
  return {
    async update({ data, setTriggerValue }) {
      trigger = setTriggerValue;
      const mine = (said += 1), [fresh, bytes] = head(data), known = body && body.length === bytes.length && bytes.every((byte, at) => byte === body[at]);
      const decoded = known ? rows : await inflate(bytes);
      if (mine !== said || !root.isConnected) return;
      const news = fresh.reply && fresh.reply.seq > told ? fresh.reply : null;
      const arrived = !rows;
      meta = fresh; body = bytes.slice(); rows = decoded;
      if (fresh.reply) { pending = pending.filter((it) => it.seq > fresh.reply.seq); if (!pending.length) sent.clear(); }
      root.style.setProperty("--above", `${Math.round(root.getBoundingClientRect().top + scrollY) + 10}px`);
      if (arrived) { const place = places.get(here); if (place) { cursor = place.cursor; selected = new Set(place.selected); choose(); draw(); paint(); list.scrollTop = place.top; paint(); } else { arrive(); if (!/^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName || "")) list.focus({ preventScroll: true }); } }
      else arrive();
      if (news) { told = news.seq; tell(news); }
      root.dataset.ready = String(mine);
    },
    cleanup() { remember(); clearTimeout(typed); removeEventListener("keydown", key, true); removeEventListener("popstate", back); removeEventListener("resize", paint); },
  };
});
