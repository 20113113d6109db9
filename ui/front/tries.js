const marked = (parts) => parts.map(([text, hit]) => (hit ? el("mark", "", text) : text)); // text nodes and <mark>s
export default component((root) => {
  let last = "";
  return {
    async update({ data }) {
      const [meta, bytes] = head(data), said = JSON.stringify(meta) + bytes.length;
      const rows = (await inflate(bytes)).tries, all = said + JSON.stringify(rows);
      if (all === last) return;
      last = all;
      const snippet = (it) => attrs(el("div", "snippet", it.lines.map(([number, parts]) => link(`problem?id=${it.problem}&try=${it.id}#L${number}`, `line${number === it.line ? " hit" : ""}`, el("span", "no", number < 0 ? `−${-number}` : String(number)), el("span", "text", marked(parts))))), { "data-snippet": it.line });
      const one = (it) => {
        const own = meta.titles ? link(it.problem ? `problem?id=${it.problem}&try=${it.id}` : `problem?try=${it.id}`, "title", marked(it.title)) : link(`problem?id=${it.problem}&try=${it.id}`, "id mono", marked(it.task));
        const sub = meta.titles ? [el("span", "mono", marked(it.task)), " · "] : [];
        return attrs(el("div", `try${it.id === meta.shown ? " on" : ""}`,
          el("div", "", own, el("div", "sub", sub, `run ${it.run} · try ${it.try}${it.took === null ? "" : ` · ran ${span(it.took)}`}${it.host ? ` · ${it.host}` : ""}`, it.many ? ` · ${it.deployment}` : "")),
          el("span", "marks", it.marks.join(" · ")),
          el("span", "r when", time(it.at)),
          el("span", "r", it.airflow ? away(it.airflow, "", "Airflow") : ""),
          it.lines ? snippet(it) : it.said ? attrs(el("div", "said", it.said), { title: it.said }) : null), { "data-try": it.id });
      };
      const step = (href, text, rel) => (href ? attrs(link(href, "btn", text), { rel }) : null);
      root.replaceChildren(...rows.map(one), ...(meta.more || meta.back ? [el("nav", "more", step(meta.first, "Newest", "first"), step(meta.back, "Previous", "prev"), step(meta.more, "Next", "next"), el("span", "quiet", meta.left))] : []));
    },
  };
});
