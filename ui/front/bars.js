const DAY = 86400000;
function whole(days) { // every day between the first and the last, at most two years of them
  const counts = new Map(days), first = Date.parse(days[0][0]), last = Date.parse(days[days.length - 1][0]);
  const from = Math.max(first, last - 730 * DAY), all = [];
  const begin = Math.min(from, last - 13 * DAY);
  for (let at = begin; at <= last; at += DAY) { const day = new Date(at).toISOString().slice(0, 10); all.push([day, counts.get(day) || 0]); }
  return all;
}
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const longFormat = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
export default component((root) => {
  let last = "";
  return {
    update({ data }) {
      const [it] = head(data), said = JSON.stringify(it);
      if (said === last) return;
      last = said;
      if (!it.days.length) { root.replaceChildren(el("div", "none", "Nothing in this time.")); return; }
      const days = whole(it.days), most = Math.max(...days.map((day) => day[1])), step = 1000 / days.length, wide = Math.min(step * 0.76, 24);
      const plot = svg("svg", { class: "plot", viewBox: "0 0 1000 92", preserveAspectRatio: "none", role: "img", "aria-label": `${it.word} by day, ${days[0][0]} to ${days[days.length - 1][0]}, at most ${most} on a day` });
      days.forEach(([day, n], at) => {
        const high = n ? Math.max(3, (n / most) * 86) : 1;
        const slot = svg("g", { class: "slot" }, svg("rect", { class: "back", x: at * step, y: 0, width: step, height: 92 }), svg("rect", { class: n ? "bar" : "bar none", x: at * step + (step - wide) / 2, y: 92 - high, width: wide, height: high }));
        const title = svg("title", {}); title.textContent = `${longFormat.format(Date.parse(day))} UTC: ${n.toLocaleString("en")}`;
        slot.append(title); plot.append(slot);
      });
      const box = el("div", it.narrow ? "narrow" : "", el("div", "most", `${short(most)} a day at most`), plot, el("div", "axis", el("span", "", dayFormat.format(Date.parse(days[0][0]))), days.length > 8 ? el("span", "", dayFormat.format(Date.parse(days[Math.floor(days.length / 2)][0]))) : "", el("span", "", dayFormat.format(Date.parse(days[days.length - 1][0])))));
      root.replaceChildren(box);
      if (!it.narrow) return;
      let start = null, brush = null;
      const place = (event) => { const at = plot.getBoundingClientRect(); return Math.max(0, Math.min(days.length - 1, Math.floor(((event.clientX - at.left) / at.width) * days.length))); };
      const drag = (event) => { const [a, b] = [start, place(event)].sort((x, y) => x - y); attrs(brush, { x: a * step, width: (b - a + 1) * step }); return [a, b]; };
      plot.addEventListener("pointerdown", (event) => { if (event.button) return; start = place(event); brush = svg("rect", { class: "brush", y: 0, height: 92 }); plot.append(brush); drag(event); plot.setPointerCapture(event.pointerId); });
      plot.addEventListener("pointermove", (event) => { if (brush) drag(event); });
      plot.addEventListener("pointerup", (event) => { if (!brush) return; const [a, b] = drag(event); brush.remove(); brush = null; go(it.narrow.replace("{from}", days[a][0]).replace("{to}", days[b][0])); });
    },
  };
});
