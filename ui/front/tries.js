function marked(text, words) { // the searched words, as text nodes and <mark>s
  if (!words.length) return [text];
  const pattern = new RegExp(words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "gi"), parts = [];
  let from = 0;
  for (const hit of text.matchAll(pattern)) { if (!hit[0]) continue; parts.push(text.slice(from, hit.index), el("mark", "", hit[0])); from = hit.index + hit[0].length; }
  return [...parts, text.slice(from)];
}
export default component((root) => {
  let last = "";
  return {
    async update({ data }) {
      const [meta, bytes] = head(data), said = JSON.stringify(meta) + bytes.length;
      const rows = (await inflate(bytes)).tries, all = said + JSON.stringify(rows);
      if (all === last) return;
      last = all;
      const one = (it) => {
        const own = meta.titles ? link(it.problem ? `problem?id=${it.problem}&try=${it.id}` : `problem?try=${it.id}`, "title", marked(it.title, meta.words)) : link(`problem?id=${it.problem}&try=${it.id}`, "id mono", marked(it.task, meta.words));
        const sub = meta.titles ? [el("span", "mono", marked(it.task, meta.words)), " · "] : [];
        return attrs(el("div", `try${it.id === meta.shown ? " on" : ""}`,
          el("div", "", own, el("div", "sub", sub, `run ${it.run} · try ${it.try}${it.took === null ? "" : ` · ran ${span(it.took)}`}${it.host ? ` · ${it.host}` : ""}`, it.many ? ` · ${it.deployment}` : "")),
          el("span", "marks", it.marks.join(" · ")),
          el("span", "r when", time(it.at)),
          el("span", "r", it.airflow ? away(it.airflow, "", "Airflow") : ""),
          it.said ? attrs(el("div", "said", marked(it.said, meta.words)), { title: it.said }) : null), { "data-try": it.id });
      };
      root.replaceChildren(...rows.map(one), ...(meta.more ? [el("div", "more", link(meta.more, "btn", "Load more"), "  ", el("span", "quiet", meta.left))] : []));
    },
  };
});
