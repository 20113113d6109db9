function chain(list, depth = 0) {
  const box = el("div", depth ? "part" : "chain");
  list.forEach((it, at) => {
    if (at) box.append(el("span", "link", it.is_cause ? "caused by" : "raised while handling"));
    const title = el("summary", "", el("span", "type", it.type), it.value ? `: ${it.value}` : "", !depth && list.length > 1 && at === list.length - 1 ? el("span", "root-cause", "root cause") : null);
    const fold = el("details", "", title, it.notes.map((note) => el("div", "note", note)), el("div", "frames", it.frames.length ? it.frames.map((frame) => el("div", "", el("span", "fn", frame.function), ` ${frame.file}${frame.line === null ? "" : `:${frame.line}`}`)) : "no frames in the log"));
    fold.open = at === list.length - 1 && it.frames.length <= 12;
    it.parts.forEach((part) => fold.append(chain(part, depth + 1)));
    box.append(fold);
  });
  return box;
}
// Numbers below zero count from the end of a log whose middle was not read.
function unread(bytes) { return el("div", "gap", `… ${bytes.toLocaleString("en")} bytes not read; from here lines are counted from the end …`); }
function same(count) { return el("div", "gap same", `… ${count.toLocaleString("en")} ${count === 1 ? "line" : "lines"} as in the last good run …`); }
function gap(count) { return el("div", "gap", `… ${count.toLocaleString("en")} ${count === 1 ? "line" : "lines"} left out …`); }
export default component((root) => {
  let last = "", rows = [], box = null;
  const aim = () => {
    const wanted = /^#L(-?\d+)$/.exec(location.hash);
    root.querySelectorAll(".aim").forEach((node) => node.classList.remove("aim"));
    const node = wanted && box && box.querySelector(`[data-no="${wanted[1]}"]`);
    if (node) node.classList.add("aim");
    return node;
  };
  const centre = (node) => { if (node) { node.scrollIntoView({ block: "nearest" }); box.scrollTop = node.offsetTop - box.clientHeight / 3; } };
  const jump = () => centre(aim());
  addEventListener("hashchange", jump);
  return {
    async update({ data }) {
      const [meta, bytes] = head(data), said = [meta.id, bytes.length, meta.note, meta.new].join();
      if (said === last) return;
      rows = (await inflate(bytes)).lines;
      const place = last.startsWith(`${meta.id},`) && box ? box.scrollTop : null;
      last = said;
      box = attrs(el("div", "lines"), { tabindex: "0", role: "region", "aria-label": "Log", "data-testid": "log" });
      const telling = [], fresh = [];
      let before = 0, alike = 0, wasNew = false;
      for (const [no, text, level, isTelling, raised, isNew] of rows) {
        if (isNew && alike) { box.append(same(alike)); alike = 0; } else if (!isNew) alike += 1;
        if (no < 0 && before >= 0) box.append(unread(meta.unread));
        else if (no > before + 1) box.append(gap(no - before - 1));
        before = no < 0 ? no : Math.max(before, no);
        const number = attrs(el("a", "no", String(no).replace("-", "−")), { href: `#L${no}`, tabindex: "-1" });
        number.addEventListener("click", (event) => { event.preventDefault(); history.replaceState(history.state, "", `#L${no}`); aim(); });
        const node = attrs(el("div", `line ${level} ${isTelling ? "told" : ""} ${isNew ? "new" : ""}`, number, meta.levels ? el("span", "lvl", level.toLowerCase()) : null, el("span", "text", text)), { "data-no": no });
        if (isTelling) telling.push(node);
        if (isNew) { node.title = "New since the last good run"; if (!wasNew) fresh.push(node); }
        wasNew = isNew;
        box.append(node);
        if (raised.length) { const drawn = chain(raised); if (isNew) drawn.classList.add("new"); box.append(drawn); }
      }
      if (meta.new && alike) box.append(same(alike));
      if (before < -1) box.append(gap(-1 - before));
      else if (before >= 0 && meta.total > before) box.append(gap(meta.total - before));
      let at = 0;
      const next = attrs(el("button", "btn", telling.length > 1 ? `Telling lines ${telling.length} ↓` : "Telling line ↓"), { title: "Go to the lines the problem's signature was made from" });
      next.addEventListener("click", () => { centre(telling[at % telling.length]); at += 1; });
      let seen = 0;
      const nextNew = attrs(el("button", "btn", `New lines ${meta.new} ↓`), { title: "Go to the lines that the log of the last good run lacks" });
      nextNew.addEventListener("click", () => { centre(fresh[seen % fresh.length]); seen += 1; });
      const only = attrs(el("button", "btn", "Only new"), { "aria-pressed": "false", title: "Show the new lines alone" });
      only.addEventListener("click", () => { only.setAttribute("aria-pressed", String(box.classList.toggle("only"))); });
      const copy = el("button", "btn", "Copy");
      copy.addEventListener("click", async () => {
        const raw = rows.map((it) => it[1]).join("\n");
        try { await navigator.clipboard.writeText(raw); } catch {
          const area = attrs(el("textarea"), { style: "position:fixed;opacity:0" }); area.value = raw; root.append(area); area.select(); document.execCommand("copy"); area.remove();
        }
        copy.textContent = "Copied"; setTimeout(() => { copy.textContent = "Copy"; }, 1500);
      });
      root.replaceChildren(el("div", "tools", el("span", "", meta.note), el("span", "grow"), ...(meta.new ? [nextNew, only] : []), telling.length ? next : null, copy), box);
      const node = aim() || telling[0];
      if (place !== null) box.scrollTop = place;
      else if (node) requestAnimationFrame(() => { box.scrollTop = Math.max(0, node.offsetTop - box.clientHeight / 3); if (location.hash.startsWith("#L")) node.scrollIntoView({ block: "nearest" }); });
    },
    cleanup() { removeEventListener("hashchange", jump); },
  };
});
