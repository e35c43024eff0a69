// The page's own script: it fills table and figures from the data, and shows one point's page when the address names it.
const data = JSON.parse(document.getElementById("data").textContent);
const library = URL.createObjectURL(new Blob([atob_utf8(document.getElementById("tables-library").textContent)], { type: "text/javascript" }));
const { default: DataTable } = await import(library);

function atob_utf8(text) {
  return new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text; // never as markup: names, logs and reasons come from outside
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const escaped = (text) => element("i", text).innerHTML;

// --- the table -------------------------------------------------------------------------------------------------------

const values = (row, place) => data.rows[row][place];

function shown(place) {
  return (_, kind, row) => {
    const cell = values(row, place);
    const [text, value] = Array.isArray(cell) ? cell : [cell, undefined];
    if (kind === "display") return place ? escaped(text) : `<a href="#point-${row + 1}">${escaped(text)}</a>`;
    if (kind === "filter") return text.includes("&") ? escaped(text) : text; // the library decodes what has an ampersand
    return value === undefined ? (data.columns[place].number ? null : text) : value;
  };
}

// what is unknown comes last, whichever way the rest is sorted
const known = (sign) => (a, b) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : sign * (a - b));
Object.assign(DataTable.ext.type.order, { "known-pre": (value) => value, "known-asc": known(1), "known-desc": known(-1) });

const table = new DataTable("#table", {
  data: data.rows.map((_, row) => row),
  columns: data.columns.map((column, place) => ({
    title: escaped(column.title),
    data: null,
    visible: column.visible,
    className: column.classes,
    type: column.number ? "known" : "string",
    render: shown(place),
    createdCell: (cell) => { if (cell.matches(".long")) cell.title = cell.textContent; },
  })),
  order: [[0, "asc"]],
  autoWidth: false,
  deferRender: true,
  pageLength: 50,
  lengthMenu: [20, 50, 200, 1000],
  createdRow: (tr, row) => tr.classList.add(data.status[row]),
  layout: {
    topStart: { buttons: [{ extend: "colvis", text: "Columns", columnText: (_, place) => escaped(data.columns[place].title) }] },
    topEnd: "search",
    bottomStart: ["pageLength", "info"],
    bottomEnd: "paging",
  },
});

// why a row has no numbers stands below it; made when the row is first shown, as there may be thousands
function reasons_below() {
  table.rows({ page: "current" }).every(function () {
    const reason = data.reason[this.data()];
    if (reason && !this.child()) this.child(element("div", reason), "why").show();
  });
}
table.on("draw", reasons_below);
reasons_below();
const scrolled = document.querySelector("#table").parentElement;
for (const [key, value] of Object.entries({ tabindex: "0", role: "region", "aria-label": "All points" })) scrolled.setAttribute(key, value);
scrolled.classList.add("scrolled");

const as_number = (text) => (text === "" ? NaN : Number(text.replaceAll(",", "")));
const by_size = (texts) => (texts.some((text) => Number.isNaN(as_number(text))) ? texts : texts.sort((a, b) => as_number(a) - as_number(b)));

for (const place of data.facets) {
  const texts = by_size([...new Set(data.rows.map((row) => (Array.isArray(row[place]) ? row[place][0] : row[place])))]);
  const label = element("label", data.columns[place].title);
  const select = element("select");
  select.append(element("option", "all", { value: "" }), ...texts.map((text) => element("option", text, { value: text })));
  select.addEventListener("change", () => {
    const exact = `^${select.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
    table.column(place).search(select.value === "" ? "" : exact, { regex: true, smart: false }).draw();
  });
  label.append(select);
  document.getElementById("filters").append(label);
}

// --- the figures -----------------------------------------------------------------------------------------------------

const narrow = window.matchMedia("(max-width: 640px)").matches;
const common = { margin: { l: 60, r: 20, t: 36, b: 50 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff", hovermode: "closest", font: { size: narrow ? 10 : 13 } };

// room for every name: beside the figure, or below where the screen is narrow
function legend(plot) {
  const named = plot.data.filter((trace) => trace.type !== "heatmap" && trace.showlegend !== false).map((trace) => trace.name.length);
  const height = plot.layout.height || 430;
  if (!narrow) return { height: plot.layout.height || Math.min(900, Math.max(height, 100 + 20 * named.length)), legend: { traceorder: "normal", font: { size: named.length > 18 ? 11 : 13 } } };
  if (!named.length) return { height, legend: {} };
  const columns = Math.max(1, Math.floor(320 / (50 + 5.5 * Math.max(...named))));
  const below = 20 + 20 * Math.ceil(named.length / columns);
  const inside = height - 36 - 60;
  return { height: height + below, margin: { ...common.margin, b: 60 + below }, legend: { orientation: "h", traceorder: "normal", y: -60 / inside, yanchor: "top", maxheight: below + 20 } };
}

// on a narrow screen long names break into two lines, so that they leave room
function broken(text) {
  const parts = String(text).split(", ");
  const half = Math.ceil(parts.length / 2);
  return text.length < 18 || parts.length < 2 ? text : `${parts.slice(0, half).join(", ")},<br>${parts.slice(half).join(", ")}`;
}

function with_broken_names(plot) {
  if (!narrow || plot.layout.yaxis.type !== "category" || plot.data[0].type === "heatmap") return plot;
  const yaxis = { ...plot.layout.yaxis, tickfont: { size: 9 } };
  return { ...plot, data: plot.data.map((trace) => ({ ...trace, y: trace.y.map(broken) })), layout: { ...plot.layout, yaxis, height: plot.layout.height * 1.3 } };
}

function draw(plot) {
  const place = document.getElementById(`plot-${plot.id}`);
  const layout = { ...common, ...plot.layout, ...legend(plot) };
  place.drawn = { height: layout.height, tick_px: layout.yaxis.tickfont?.size ?? null };
  place.style.height = `${layout.height}px`; // which the library asks for when the window changes
  Plotly.newPlot(place, plot.data, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] });
  place.on("plotly_click", (event) => {
    const point = event.points[0].customdata;
    if (point) location.hash = `#point-${point}`;
  });
}

// --- one point's page ------------------------------------------------------------------------------------------------

function block(title, text) {
  const pre = element("pre", text, { tabindex: "0" });
  return text ? [element("h3", title), pre] : [];
}

function point_page(row) {
  const list = element("dl");
  data.columns.forEach((column, place) => {
    const cell = data.rows[row][place];
    const text = Array.isArray(cell) ? cell[0] : cell;
    if (text !== "") list.append(element("dt", column.title), element("dd", text));
  });
  const server = data.servers[data.server[row]];
  const parts = [element("p"), element("h2", `Point ${row + 1}`, { tabindex: "-1" }), list];
  parts[0].append(element("a", "Back to all points", { href: "#points" }));
  if (server) {
    parts.push(...block("Command", server.command));
    parts.push(element("p", [server.host, ...server.gpus, server.started].filter(Boolean).join("; "), { class: "note" }));
    if (server.timeline) parts.push(element("h3", "Timeline"), element("img", undefined, { src: server.timeline, alt: "Telemetry over time with the loads marked" }));
    parts.push(...block("End of the server's log", server.log));
  }
  return parts;
}

let left; // where the reader was before a point's page opened, to be brought back there

function leave(address) {
  left = { y: window.scrollY, focused: document.activeElement, hash: new URL(address).hash };
}

function come_back() {
  window.scrollTo(0, left.y);
  left.focused.focus({ preventScroll: true });
}

function route(change) {
  const number = Number((location.hash.match(/^#point-(\d+)$/) || [])[1]);
  const article = document.getElementById("point");
  const one = number >= 1 && number <= data.rows.length;
  if (one && article.hidden && change) leave(change.oldURL);
  document.getElementById("report").hidden = one;
  article.hidden = !one;
  article.replaceChildren(...(one ? point_page(number - 1) : []));
  if (one) {
    window.scrollTo(0, 0);
    article.querySelector("h2").focus();
    return;
  }
  if (left && ["#points", left.hash].includes(location.hash)) come_back();
  else if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  left = undefined;
}

window.addEventListener("hashchange", route);
document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const text = document.getElementById(copy.dataset.copy).textContent;
    try { await navigator.clipboard.writeText(text); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(document.getElementById(copy.dataset.copy)); }
  }
  const zoom = event.target.closest("a.zoom");
  if (zoom) { event.preventDefault(); zoom.classList.toggle("large"); }
});

// --- on paper --------------------------------------------------------------------------------------------------------

const PAPER_PX = { width: 1040, height: 560 }; // of A4 across, less its margins and a caption; drawings do not shrink of themselves
const MOST_PRINTED = 500; // rows; of more the sheet says which it has
const WIDE = 17; // columns that fit on paper in letters of 9 px
const folded = new Set();

function each_figure(change) {
  for (const place of document.querySelectorAll(".js-plotly-plot")) Plotly.relayout(place, change(place));
}

function on_paper(place) {
  const height = Math.min(place.layout.height, PAPER_PX.height);
  place.style.height = `${height}px`;
  return { width: PAPER_PX.width, height, ...(height < place.drawn.height ? { "yaxis.tickfont.size": 9 } : {}) };
}

function on_screen(place) {
  place.style.height = `${place.drawn.height}px`;
  return { width: null, autosize: true, height: place.drawn.height, "yaxis.tickfont.size": place.drawn.tick_px };
}

let rows_on_screen;
window.addEventListener("beforeprint", () => {
  if (rows_on_screen !== undefined) return; // asked twice
  rows_on_screen = table.page.len();
  if (table.rows({ search: "applied" }).count() <= MOST_PRINTED) table.page.len(-1).draw("page");
  const columns = table.columns(":visible").count();
  document.getElementById("table").style.setProperty("--printed", `${(9 * Math.min(1, WIDE / columns)).toFixed(1)}px`);
  for (const each of document.querySelectorAll("details:not([open])")) folded.add(each);
  folded.forEach((one) => { one.open = true; });
  each_figure(on_paper);
});
window.addEventListener("afterprint", () => {
  if (rows_on_screen === undefined) return;
  table.page.len(rows_on_screen).draw("page");
  rows_on_screen = undefined;
  folded.forEach((one) => { one.open = false; });
  folded.clear();
  each_figure(on_screen);
});
data.plots.map(with_broken_names).forEach(draw);
route();
document.documentElement.dataset.ready = "yes";
