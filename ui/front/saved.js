// Saved searches: a form for the one at hand, and the list of all. Each act travels once, and shows as done when the data says so.
export default component((root, { setTriggerValue }) => {
  let last = "", seq = 0;
  const act = (kind, values) => { seq += 1; setTriggerValue("act", { seq: `${Date.now()}-${seq}`, kind, ...values }); };
  const button = (text, cls, press) => { const node = attrs(el("button", `btn ${cls}`, text), { type: "button" }); node.addEventListener("click", press); return node; };
  function field(label, value, submit, ...more) {
    const input = attrs(document.createElement("input"), { "aria-label": label, placeholder: label, maxlength: "80", autocomplete: "off" });
    input.value = value;
    const form = el("form", "", input, ...more);
    form.addEventListener("submit", (event) => { event.preventDefault(); if (input.value.trim()) submit(input.value); });
    return form;
  }
  function saving(it) {
    if (!it.query) return el("p", "quiet", "Search for something first; then it can be saved here.");
    const mine = attrs(document.createElement("input"), { type: "checkbox" });
    const form = field("Name of this search", "", (name) => act("save", { name, query: it.query, mine: mine.checked }), el("label", "", mine, "only for me"), attrs(el("button", "btn", "Save"), { type: "submit" }));
    return el("div", "saving", el("div", "mono quiet cut", it.query), form);
  }
  function row(it) {
    const node = attrs(el("li", ""), { "data-saved": it.id });
    const shown = () => node.replaceChildren(el("div", "what", link(it.href, "", it.name), el("div", "mono quiet cut", it.query)), el("span", "quiet whose", it.whose), button("Rename", "plain", rename), button("Delete", "plain", () => act("delete", { id: it.id })));
    const rename = () => { const form = field("New name", it.name, (name) => act("rename", { id: it.id, name }), attrs(el("button", "btn", "Rename"), { type: "submit" }), button("Cancel", "plain", shown)); node.replaceChildren(form); form.querySelector("input").focus(); form.querySelector("input").select(); };
    shown();
    return node;
  }
  return {
    update({ data }) {
      const [it] = head(data), said = JSON.stringify(it);
      if (said === last) return;
      last = said;
      const undo = it.undo ? button("Undo", "plain", () => act("save", it.undo)) : null;
      root.replaceChildren(saving(it), ...(it.said ? [attrs(el("div", `said${it.bad ? " t-bad" : ""}`, it.said, undo), { role: "status", "data-testid": "saved-said" })] : []),
        it.list.length ? el("ul", "", it.list.map(row)) : el("p", "quiet", "No search is saved yet."));
    },
  };
});
