const TONES = ["good", "warn", "bad"];
function run(it) {
  if (typeof it === "string") return document.createTextNode(it);
  switch (it.t) {
    case "time": return time(it.at);
    case "num": return num(it.n, it.noun);
    case "link": return link(it.href, "", it.text);
    case "away": return away(it.href, "", it.text);
    case "file": return attrs(el("a", "", it.text), { href: it.href, download: "" });
    case "b": return el("b", "", it.text);
    case "quiet": return el("span", "quiet", it.text);
    case "code": return el("code", "mono", it.text);
    case "state": return state(it.state);
    case "chip": return el("span", "chip", it.text);
    case "dot": return el("span", `dot t-${it.tone}${it.text ? "" : " bare"}`, shape(it.tone), it.text);
  }
}
function block(it) {
  const runs = (list) => list.map(run);
  switch (it.k) {
    case "headline": return el("div", "headline", el("div", "marks", runs(it.c)), attrs(el("h1", "", it.title), { "data-testid": "headline" }));
    case "label": return el("h2", "", it.text, it.c.length ? el("span", "rest", runs(it.c)) : null);
    case "p": return el("p", TONES.includes(it.tone) ? `note t-${it.tone}` : it.tone, TONES.includes(it.tone) ? el("span", "ink", runs(it.c)) : runs(it.c));
    case "facts": return el("dl", "", it.rows.map(([name, value]) => [el("dt", "", name), el("dd", "", runs(value))]).flat());
    case "steps": return el("ol", "", it.items.map((text) => el("li", "", text)));
    case "entries": return el("ul", "entries", it.items.map(([first, below]) => el("li", "", runs(first), below.length ? el("div", "below", runs(below)) : null)));
    case "fold": {
      const box = el("details", "", el("summary", "", runs(it.head)), it.blocks.map(block));
      box.open = it.open;
      return box;
    }
    case "table": return el("table", "", el("thead", "", el("tr", "", it.head.map((name) => el("th", "", name)))), el("tbody", "", it.rows.map((row) => el("tr", "", row.map((cell) => el("td", "", runs(cell)))))));
    case "pre": return el("pre", "", it.text);
    case "empty": return el("div", "empty", el("h3", "", it.title), it.c.map((runsOf) => el("p", "", runs(runsOf))), it.lines ? el("pre", "", it.lines) : null);
  }
}
export default component((root) => {
  let last = "";
  return {
    update({ data }) {
      const [it] = head(data);
      const said = JSON.stringify(it);
      if (said === last) return;
      last = said;
      const open = [...root.querySelectorAll("details")].map((box) => box.open);
      root.replaceChildren(...it.blocks.map(block));
      root.querySelectorAll("details").forEach((box, place) => { if (place in open) box.open = open[place]; });
    },
  };
});
