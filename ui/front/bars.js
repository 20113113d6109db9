// Counts by steps of time. A bar clicked, or several dragged over, narrow the span; so do the arrow keys and Enter.
const zone = { timeZone: "UTC" };
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", ...zone });
const longFormat = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", ...zone });
const hourFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", ...zone });
const exactFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", ...zone });
const DAY = 86400, STEPS = [[1, "second"], [10, "10 seconds"], [60, "minute"], [300, "5 minutes"], [900, "15 minutes"], [3600, "hour"], [21600, "6 hours"], [DAY, "day"], [7 * DAY, "week"], [28 * DAY, "4 weeks"]];
const stepName = (step) => (STEPS.find(([size]) => size === step) || [0, `${step} s`])[1];
const address = (at) => new Date(at * 1000).toISOString().replace(/(:00)?\.000Z$/, "");
// The events of a span above its bars: by bar, the newest three; the word beside the newest one where there is room.
function above(marks, plot, placeOf, size, slot, clock) {
  const by = new Map();
  for (const [when, shape, word, says] of marks) { const place = placeOf(when); if (place >= 0 && place < size) by.set(place, [...(by.get(place) || []), [when, shape, word, says]]); }
  if (!by.size) return null;
  const row = attrs(el("div", "marks"), { role: "list", "aria-label": "What happened" });
  for (const [place, its] of [...by].sort(([a], [b]) => a - b)) {
    const roomy = size <= 31 && ![1, 2].some((by1) => by.has(place + by1) || by.has(place - by1)), shown = its.slice(size <= 31 ? -3 : -1), x = (place + 0.5) * slot;
    const words = roomy ? el("span", "", shown.at(-1)[2]) : null, more = its.length > shown.length ? el("span", "", `+${its.length - shown.length}`) : null;
    const node = attrs(el("span", "mark", more, shown.map(([, shape1]) => el("span", `${/^[A-Z]/.test(shape1) ? "s" : "t"}-${shape1}`, shape(shape1))), words), { role: "listitem", tabindex: "0", title: its.map(([when, , , says]) => `${says}, ${clock(when)}`).join("\n"), "data-testid": "mark" });
    node.setAttribute("aria-label", node.title);
    if (x > 850) node.style.right = `calc(${100 - x / 10}% - 6px)`; else node.style.left = `calc(${x / 10}% - 6px)`;
    if (x > 850) node.classList.add("last");
    row.append(node);
    plot.append(svg("path", { class: "event", d: `M${x} 0V92`, "vector-effect": "non-scaling-stroke" }));
  }
  return row;
}
export default component((root) => {
  let last = "", focus = -1;
  return {
    update({ data }) {
      const [it] = head(data), said = JSON.stringify(it);
      if (said === last) return;
      last = said; focus = -1;
      if (!it.counts.length) { root.replaceChildren(el("div", "none", "Nothing in this time.")); return; }
      const { start, step, counts } = it, size = counts.length, most = Math.max(...counts), slot = 1000 / size, wide = Math.min(slot * 0.78, 24);
      const at = (place) => start + place * step;
      const day = (when) => dayFormat.format(when * 1000), hour = (when) => (step < 60 ? exactFormat : hourFormat).format(when * 1000);
      const short1 = (when) => (step >= DAY ? day(when) : `${day(when)}, ${hour(when)}`);
      const told = (place) => step >= 7 * DAY ? `${day(at(place))} to ${day(at(place + 1) - 1)}` : step === DAY ? longFormat.format(at(place) * 1000) : `${longFormat.format(at(place) * 1000)}, ${hour(at(place))} to ${hour(at(place + 1))}`;
      const plot = svg("svg", { class: "plot", viewBox: "0 0 1000 92", preserveAspectRatio: "none", role: "img", "aria-label": `${it.word} by ${stepName(step)}, ${short1(start)} to ${short1(at(size))}, at most ${most}` });
      counts.forEach((n, place) => {
        const high = n ? Math.max(3, (n / most) * 86) : 1;
        const node = svg("g", { class: "slot" }, svg("rect", { class: "back", x: place * slot, y: 0, width: slot, height: 92 }), svg("rect", { class: n ? "bar" : "bar none", x: place * slot + (slot - wide) / 2, y: 92 - high, width: wide, height: high }));
        const title = svg("title", {}); title.textContent = `${told(place)} UTC: ${n.toLocaleString("en")}`;
        node.append(title); plot.append(node);
      });
      const per = STEPS.some(([each]) => each === step) && !/^\d/.test(stepName(step)) ? `${stepName(step) === "hour" ? "an" : "a"} ${stepName(step)}` : `in ${stepName(step)}`;
      const now = el("span", "now"), top = el("div", "most", now, el("span", "", `at most ${short(most)} ${per}`));
      const marks = size > 8 ? [0, size >> 1] : [0];
      const row = above(it.marks, plot, (when) => Math.floor((when - start) / step), size, slot, (when) => `${longFormat.format(when * 1000)}, ${hourFormat.format(when * 1000)} UTC`);
      const axis = el("div", "axis", marks.map((place) => el("span", "", short1(at(place)))), el("span", "", `${step >= DAY ? day(at(size) - 1) : short1(at(size))} UTC`));
      root.replaceChildren(el("div", it.narrow ? "narrow" : "", top, row, plot, axis));
      if (!it.narrow) return;
      // Whole days as dates, whose last is included; all else as times, whose last is not.
      const span = (a, b) => (step % DAY ? [address(at(a)), address(at(b + 1))] : [address(at(a)).slice(0, 10), address(at(b + 1) - DAY).slice(0, 10)]);
      const zoom = (a, b) => { const [from, to] = span(a, b); go(it.narrow.replace("{from}", encodeURIComponent(from)).replace("{to}", encodeURIComponent(to))); };
      let begin = null, brush = null;
      const place = (event) => { const box = plot.getBoundingClientRect(); return Math.max(0, Math.min(size - 1, Math.floor(((event.clientX - box.left) / box.width) * size))); };
      const mark = (a, b) => { attrs(brush, { x: a * slot, width: (b - a + 1) * slot }); now.textContent = `${told(a)}${b > a ? ` … ${told(b)}` : ""} UTC: ${counts.slice(a, b + 1).reduce((sum, n) => sum + n, 0).toLocaleString("en")}`; };
      const drag = (event) => { const pair = [begin, place(event)].sort((x, y) => x - y); mark(...pair); return pair; };
      const brushed = () => { if (!brush) { brush = svg("rect", { class: "brush", y: 0, height: 92 }); plot.append(brush); } };
      const clear = () => { if (brush) brush.remove(); brush = null; begin = null; now.textContent = ""; };
      plot.addEventListener("pointerdown", (event) => { if (event.button) return; clear(); begin = place(event); brushed(); drag(event); plot.setPointerCapture(event.pointerId); });
      plot.addEventListener("pointermove", (event) => { if (begin !== null) drag(event); });
      plot.addEventListener("pointercancel", clear);
      plot.addEventListener("pointerup", (event) => { if (begin === null) return; const pair = drag(event); clear(); zoom(...pair); });
      attrs(plot, { tabindex: "0", role: "application", "aria-roledescription": "histogram: arrows choose a bar, with shift several, Enter narrows to them" });
      plot.addEventListener("keydown", (event) => {
        const to = { ArrowLeft: Math.max(0, focus - 1), ArrowRight: Math.min(size - 1, focus + 1), Home: 0, End: size - 1 }[event.key];
        if (to !== undefined) { event.preventDefault(); focus = to; if (begin === null || !event.shiftKey) begin = to; brushed(); mark(...[begin, focus].sort((x, y) => x - y)); }
        else if (event.key === "Enter" && begin !== null) { const pair = [begin, focus].sort((x, y) => x - y); clear(); zoom(...pair); }
        else if (event.key === "Escape") { clear(); focus = -1; }
      });
      plot.addEventListener("blur", () => { clear(); focus = -1; });
    },
  };
});
