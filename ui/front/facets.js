// Values of fields with their counts, each a link that narrows the search; a field's rarer ones behind a button.
export default component((root) => {
  let last = "";
  const open = new Set();
  function group(it, most) {
    const rows = it.values.map(([text, count, href]) => {
      const row = link(href, "value", el("span", "name", text), num(count));
      row.title = `${text}: ${count.toLocaleString("en")}`;
      row.style.setProperty("--share", `${Math.max(1, (count / most) * 100)}%`);
      return row;
    });
    const box = attrs(el("section", "", el("h3", "", it.label)), { "aria-label": it.label, "data-facet": it.field });
    const show = () => {
      const all = open.has(it.field), more = rows.length - it.few;
      box.replaceChildren(box.firstChild, ...(all ? rows : rows.slice(0, it.few)));
      if (more <= 0) return;
      const button = attrs(el("button", "more", all ? "Fewer" : `${more} more`), { type: "button", "aria-expanded": String(all) });
      button.addEventListener("click", () => { all ? open.delete(it.field) : open.add(it.field); show(); box.querySelector(".more").focus(); });
      box.append(button);
    };
    show();
    return box;
  }
  return {
    update({ data }) {
      const [it] = head(data), said = JSON.stringify(it);
      if (said === last) return;
      last = said;
      root.replaceChildren(el("div", "groups", it.groups.map((one) => group(one, one.values[0][1]))));
    },
  };
});
