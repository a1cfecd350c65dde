"use strict";
// Shows the cards of a report: filters, orders, pages, marks, the enlarged view, and exports. Names and values from
// records are set as text or as attributes, never parsed as HTML.
(() => {
  const PAGE = 120; // cards on a page
  const MARKS = { p: "picked", x: "rejected", u: "" };
  const byId = (id) => document.getElementById(id);
  const read = (node) => JSON.parse(node.textContent);
  const data = read(byId("data"));
  const cards = [...document.querySelectorAll("script.card")].map((node) => {
    const card = read(node);
    node.remove();
    return card;
  });
  const folder = sharedFolder(cards.map((card) => card.n));
  const has = (key) => cards.some((card) => card[key] !== undefined);
  const state = { text: "", score: null, percentile: null, chips: new Map(), order: "", page: 0, shown: [], open: -1 };

  function make(tag, attributes = {}, ...children) {
    const svg = ["svg", "path", "rect", "text", "line"].includes(tag);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (key.startsWith("--")) node.style.setProperty(key, value);
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  // The folder that all names begin with, with its slash; cards leave it out.
  function sharedFolder(names) {
    let shared = names.length > 1 ? names[0].slice(0, names[0].lastIndexOf("/") + 1) : "";
    while (shared && !names.every((name) => name.startsWith(shared))) shared = shared.slice(0, shared.lastIndexOf("/", shared.length - 2) + 1);
    return shared;
  }

  // Marks: by name, kept in this browser as long as it allows.
  const store = `realqa ${data.run} ${data.title}`;
  let marks = {};
  try {
    marks = JSON.parse(localStorage.getItem(store)) || {};
  } catch { /* no storage: marks last as long as the page */ }
  const markOf = (card) => (Object.hasOwn(marks, card.n) ? marks[card.n] : "");
  function mark(card, value) {
    if (value && markOf(card) !== value) marks[card.n] = value;
    else delete marks[card.n];
    try {
      localStorage.setItem(store, JSON.stringify(marks));
    } catch { /* as above */ }
    if (state.chips.has("Mark")) show();
    else for (const node of byId("grid").querySelectorAll("article")) if (node.card === card) dress(node);
    status();
  }

  // Orders.
  const number = (value, otherwise) => (value === undefined ? otherwise : value);
  const ORDERS = [
    ["rank", "by rank", () => has("r"), (a, b) => number(a.r, Infinity) - number(b.r, Infinity)],
    ["best", "best first", () => has("s"), (a, b) => number(b.s, -Infinity) - number(a.s, -Infinity)],
    ["worst", "worst first", () => has("s"), (a, b) => number(a.s, Infinity) - number(b.s, Infinity)],
    ["groups", "by group", () => has("g"), (a, b) => firstRank(a) - firstRank(b) || number(a.gr, 0) - number(b.gr, 0)],
    ["mos", "farthest from the MOS", () => has("mx"), (a, b) => distance(b) - distance(a)],
    ["wide", "least certain", () => has("lo"), (a, b) => width(b) - width(a)],
    ["given", "as given", () => true, () => 0],
    ["name", "by name", () => true, (a, b) => (a.n < b.n ? -1 : a.n > b.n ? 1 : 0)],
  ].filter((order) => order[2]());
  const distance = (card) => (card.mx === undefined || card.x === undefined ? -1 : Math.abs(card.x - card.mx));
  const width = (card) => (card.lo === undefined ? -1 : card.hi - card.lo);
  const groups = new Map();
  for (const card of cards) {
    if (card.g === undefined) continue;
    const group = groups.get(card.g) || { size: 0, rank: Infinity };
    group.size += 1;
    group.rank = Math.min(group.rank, number(card.r, card.i));
    groups.set(card.g, group);
  }
  const firstRank = (card) => (card.g === undefined ? number(card.r, card.i) : groups.get(card.g).rank);

  // Chips: for each field its values, each a predicate.
  function fields() {
    const found = new Map();
    const add = (field, value) => {
      if (!found.has(field)) found.set(field, new Map());
      found.get(field).set(value, (found.get(field).get(value) || 0) + 1);
    };
    for (const card of cards) for (const [field, values] of valuesOf(card)) for (const value of values) add(field, value);
    return found;
  }
  function valuesOf(card) {
    const values = [];
    if (card.k !== undefined) values.push(["Keep", [card.k ? "kept" : "not kept"]]);
    if (card.g !== undefined) values.push(["Group", [groups.get(card.g).size > 1 ? "several photos" : "single photos"]]);
    if (card.st !== undefined) values.push(["Stars", [`${card.st} ★`]]);
    if (card.w !== undefined) values.push(["Score", [card.w]]);
    for (const [title, value] of Object.entries(card.a || {})) values.push([title, [value]]);
    if (card.fl) values.push(["Flags", card.fl]);
    return values;
  }
  const WORDS = ["bad", "poor", "fair", "good", "excellent"];
  const place = (value) => (WORDS.includes(value) ? WORDS.indexOf(value) : parseFloat(value));
  function chips() {
    const rows = [...fields()].filter(([field, values]) => values.size > 1 || field === "Flags" || cards.length === 1);
    rows.push(["Mark", new Map([["picked", null], ["rejected", null], ["unmarked", null]])]);
    for (const [field, values] of rows) {
      const sorted = [...values].sort((a, b) => place(a[0]) - place(b[0]) || (b[1] || 0) - (a[1] || 0));
      const buttons = sorted.map(([value, count]) =>
        make("button", { type: "button", class: "chip", "aria-pressed": "false", onclick: (event) => {
          const chosen = state.chips.get(field) || new Set();
          const on = !chosen.has(value);
          on ? chosen.add(value) : chosen.delete(value);
          chosen.size ? state.chips.set(field, chosen) : state.chips.delete(field);
          event.currentTarget.setAttribute("aria-pressed", on);
          restart();
        } }, count === null ? value : `${value} ${count}`));
      byId("chips").append(make("div", { role: "group", "aria-label": field }, make("span", {}, field), ...buttons));
    }
  }
  function passes(card) {
    if (state.text && !card.n.toLowerCase().includes(state.text)) return false;
    for (const [key, range] of [["s", state.score], ["p", state.percentile]]) {
      if (range && !(card[key] >= range[0] && card[key] <= range[1])) return false;
    }
    for (const [field, chosen] of state.chips) {
      const own = field === "Mark" ? [markOf(card) || "unmarked"] : valuesOf(card).filter(([f]) => f === field).flatMap(([, v]) => v);
      if (!own.some((value) => chosen.has(value))) return false;
    }
    return true;
  }

  // Sliders.
  function slider(id, key, low, high, step, digits) {
    const box = byId(id), [from, to] = box.querySelectorAll("input"), output = box.querySelector("output");
    for (const [input, value] of [[from, low], [to, high]]) Object.assign(input, { min: low, max: high, step, value });
    const tell = () => (output.textContent = `${Number(from.value).toFixed(digits)}–${Number(to.value).toFixed(digits)}`);
    const changed = (event) => {
      if (Number(from.value) > Number(to.value)) {
        if (event.target === from) from.value = to.value;
        else to.value = from.value;
      }
      const whole = Number(from.value) <= low && Number(to.value) >= high;
      state[key] = whole ? null : [Number(from.value), Number(to.value)];
      tell();
      restart();
    };
    from.addEventListener("input", changed);
    to.addEventListener("input", changed);
    tell();
    box.hidden = false;
    return () => {
      from.value = low;
      to.value = high;
      state[key] = null;
      tell();
    };
  }

  // The histogram, with ticks on both axes.
  function histogram() {
    const counts = data.histogram, most = Math.max(...counts);
    if (!most) return;
    const [w, h, left, bottom] = [420, 120, 34, 18], svg = byId("histogram").querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
    const x = (share) => left + share * (w - left - 8), y = (count) => h - bottom - (count / most) * (h - bottom - 8);
    for (const count of [...new Set([0, Math.round(most / 2), most])]) {
      svg.append(make("line", { x1: left, x2: w - 8, y1: y(count), y2: y(count) }));
      svg.append(make("text", { x: left - 5, y: y(count) + 3, "text-anchor": "end" }, String(count)));
    }
    counts.forEach((count, i) => {
      const bar = make("rect", { x: x(i / counts.length) + 0.5, width: (w - left - 8) / counts.length - 1, y: y(count), height: h - bottom - y(count) });
      bar.from = data.low + (i / counts.length) * (data.high - data.low);
      bar.to = data.low + ((i + 1) / counts.length) * (data.high - data.low);
      svg.append(bar);
    });
    for (let i = 0; i <= 4; i++) {
      const value = data.low + (i / 4) * (data.high - data.low);
      svg.append(make("text", { x: x(i / 4), y: h - 4, "text-anchor": "middle" }, String(Number(value.toFixed(2)))));
    }
    byId("histogram").hidden = false;
  }

  // A card.
  function cell(name, value) {
    return value === undefined || value === null ? null : make("div", {}, make("dt", {}, name), make("dd", {}, String(value)));
  }
  function bar(card) {
    const sample = { "--x": card.x, "--lo": card.lo, "--hi": card.hi, "--mx": card.mx, class: "bar", role: "img" };
    const text = `score ${card.s.toFixed(2)}${card.iv ? `, 90 % ${card.iv}` : ""}${card.m === undefined ? "" : `, MOS ${card.m}`}`;
    return make("div", { ...sample, "aria-label": text, title: text },
      card.lo === undefined ? null : make("i", { class: "interval" }), make("i", { class: "value" }),
      card.mx === undefined ? null : make("i", { class: "mos" }));
  }
  function altOf(card) {
    const kind = card.v ? "Video" : "Photo";
    return card.s === undefined ? `${kind} ${card.n}` : `${kind} ${card.n}, score ${card.s.toFixed(2)}, ${card.w}`;
  }
  function attributes(card) {
    const rows = Object.entries(card.a || {}).map(([title, value]) => cell(title, value));
    return rows.length ? make("details", { class: "attributes", open: card.s === undefined }, make("summary", {}, "attributes"), make("dl", {}, ...rows)) : null;
  }
  function article(card, index) {
    const picture = card.t ? make("img", { src: card.t, alt: altOf(card), loading: "lazy" })
      : make("span", {}, `no picture of this ${card.v ? "video" : "photo"}`);
    const group = card.g !== undefined && groups.get(card.g).size > 1 ? `group ${card.g}, ${card.gr} of ${groups.get(card.g).size}` : undefined;
    const details = [
      cell("calibrated", card.ci === undefined ? card.cal : `${card.cal} (${card.ci})`), cell("calibration", card.cw && card.cw.join(", ")),
      cell("pct.", card.p === undefined ? undefined : Math.round(card.p)),
      cell("ref.", card.pr === undefined ? undefined : Math.round(card.pr)),
      cell("90 %", card.iv), cell("MOS", card.m), cell("p", card.mass === undefined ? undefined : card.mass.toPrecision(2)),
      cell("rank", card.r), cell("", group), cell("", card.st && "★".repeat(card.st)), cell("frames", card.fr), cell("flags", card.fl && card.fl.join(", ")),
    ];
    const button = (key, text, label) => make("button", { type: "button", "data-mark": MARKS[key], "aria-label": `${label} ${card.n}`,
      onclick: () => mark(card, MARKS[key]) }, text);
    const node = make("article", {},
      make("button", { type: "button", class: "photo", "aria-label": `enlarge ${altOf(card)}`, onclick: () => enlarge(index) }, picture,
        card.v ? make("span", { class: "tag" }, "▶ video") : null, card.k ? make("span", { class: "tag" }, "keep") : null),
      make("div", { class: "text" },
        card.s === undefined ? null : make("div", { class: "score" }, card.s.toFixed(2), " ", make("small", {}, card.w)),
        card.s === undefined ? null : bar(card),
        card.c ? make("svg", { viewBox: "0 0 48 10", preserveAspectRatio: "none", role: "img", "aria-label": "probability of each score" }, make("path", { d: card.c })) : null,
        make("div", { class: "name", title: card.n }, card.n.slice(folder.length)), make("dl", {}, ...details), attributes(card),
        make("div", { class: "marks" }, button("p", "pick", "pick"), button("x", "reject", "reject"),
          card.u === undefined ? null : make("a", { href: card.u, target: "_blank", rel: "noopener" }, "open"))));
    node.card = card;
    dress(node);
    return node;
  }
  function dress(node) {
    const value = markOf(node.card);
    node.className = value;
    for (const button of node.querySelectorAll("[data-mark]")) button.setAttribute("aria-pressed", button.dataset.mark === value);
  }

  // The page.
  function restart() {
    state.page = 0;
    show();
  }
  function show() {
    const order = ORDERS.find(([key]) => key === state.order);
    state.shown = cards.filter(passes).sort((a, b) => order[3](a, b) || a.i - b.i);
    const pages = Math.max(1, Math.ceil(state.shown.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const start = state.page * PAGE, nodes = [];
    let group;
    state.shown.slice(start, start + PAGE).forEach((card, i) => {
      if (state.order === "groups" && card.g !== group && card.g !== undefined) {
        const size = groups.get(card.g).size;
        nodes.push(make("h2", {}, size > 1 ? `Group ${card.g} · ${size} photos` : `Group ${card.g} · a single photo`));
      }
      group = card.g;
      nodes.push(article(card, start + i));
    });
    byId("grid").replaceChildren(...nodes);
    for (const rect of document.querySelectorAll("#histogram rect")) {
      rect.setAttribute("class", !state.score || (rect.to > state.score[0] && rect.from < state.score[1]) ? "inside" : "");
    }
    paging(pages);
    status();
  }
  function paging(pages) {
    const turn = (page) => () => {
      state.page = page;
      show();
      byId("grid").scrollIntoView();
    };
    const step = (text, page) => make("button", { type: "button", disabled: page < 0 || page >= pages, onclick: turn(page) }, text);
    const nodes = [step("‹ previous", state.page - 1), make("span", {}, `page ${state.page + 1} of ${pages}`), step("next ›", state.page + 1)];
    byId("pages").replaceChildren(...(pages > 1 ? nodes : []));
  }
  function status() {
    const values = cards.map(markOf), count = (value) => values.filter((each) => each === value).length;
    byId("status").textContent = `${state.shown.length} of ${cards.length} shown · ${count("picked")} picked · ${count("rejected")} rejected`;
    byId("clear-marks").disabled = !Object.keys(marks).length;
  }

  // The enlarged view: the thumbnail at once, the original as soon as it is there.
  const viewer = byId("viewer");
  function enlarge(index) {
    if (index < 0 || index >= state.shown.length) return;
    state.open = index;
    const card = state.shown[index], image = viewer.querySelector("img");
    image.alt = altOf(card);
    image.src = card.t || "data:,";
    if (card.u !== undefined && !card.v) {
      const original = new Image();
      original.onload = () => {
        if (state.open === index && state.shown[index] === card) image.src = original.src;
      };
      original.src = card.u;
    }
    const score = card.s === undefined ? "" : ` · ${card.s.toFixed(2)} ${card.w}`;
    const value = markOf(card);
    viewer.querySelector("figcaption").textContent = `${card.n.slice(folder.length)}${score}${value ? ` · ${value}` : ""} (${index + 1} of ${state.shown.length})`;
    if (!viewer.open) viewer.showModal();
  }
  viewer.querySelector(".close").addEventListener("click", () => viewer.close());
  viewer.querySelector(".previous").addEventListener("click", () => enlarge(state.open - 1));
  viewer.querySelector(".next").addEventListener("click", () => enlarge(state.open + 1));
  viewer.addEventListener("close", () => {
    const index = state.open;
    state.open = -1;
    if (Math.floor(index / PAGE) !== state.page) {
      state.page = Math.floor(index / PAGE);
      show();
    }
    focusCard(index - state.page * PAGE);
  });

  // Keys.
  const photoButtons = () => [...byId("grid").querySelectorAll(".photo")];
  function focusCard(index) {
    const node = photoButtons()[index];
    if (node) node.focus();
  }
  function columns() {
    return getComputedStyle(byId("grid")).gridTemplateColumns.split(" ").length;
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const inside = event.target.closest("article");
    const index = viewer.open ? state.open : inside ? state.page * PAGE + photoButtons().indexOf(inside.querySelector(".photo")) : -1;
    const card = state.shown[index];
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() };
    if (key === "/" && !viewer.open) byId("search").focus();
    else if (key in steps && viewer.open) enlarge(index + Math.sign(steps[key]));
    else if (key in steps && card) focusCard(index - state.page * PAGE + steps[key]);
    else if (key in steps && !inside && event.target === document.body && key !== "ArrowUp") focusCard(0);
    else if (card && Object.hasOwn(MARKS, key)) {
      mark(card, MARKS[key]);
      if (viewer.open) enlarge(Math.min(index, state.shown.length - 1));
    } else if (card && key === "o" && card.u !== undefined) window.open(card.u, "_blank", "noopener");
    else return;
    event.preventDefault();
  });

  // Exports.
  function listed() {
    const picked = cards.filter((card) => markOf(card) === "picked");
    return picked.length ? picked : state.shown;
  }
  async function copy() {
    const text = listed().map((card) => card.n).join("\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    byId("status").textContent = `${listed().length} names copied`;
  }
  function csv() {
    const titles = [...new Set(state.shown.flatMap((card) => Object.keys(card.a || {})))];
    const columns = [["name", "n"], ["score", "s"], ["word", "w"], ["calibrated", "cal"], ["percentile", "p"], ["percentile_reference", "pr"], ["mos", "m"],
      ["group", "g"], ["rank", "r"], ["rank_in_group", "gr"], ["keep", "k"], ["stars", "st"]].filter(([, key]) => has(key));
    const quoted = (value) => {
      const text = value === undefined || value === null ? "" : String(value);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const rows = state.shown.map((card) => [...columns.map(([, key]) => card[key]), markOf(card), ...titles.map((title) => (card.a || {})[title])]);
    const head = [...columns.map(([name]) => name), "mark", ...titles];
    const text = [head, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    const link = make("a", { href: address, download: "photos.csv" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  // Start.
  const resets = [];
  const scale = data.high - data.low;
  if (has("s") && scale > 0) resets.push(slider("score-range", "score", data.low, data.high, scale / 80, 2));
  if (has("p")) resets.push(slider("percentile-range", "percentile", 0, 100, 1, 0));
  byId("order").append(...ORDERS.map(([key, text]) => make("option", { value: key }, text)));
  state.order = ORDERS[0][0];
  byId("order").addEventListener("change", (event) => {
    state.order = event.target.value;
    restart();
  });
  byId("search").addEventListener("input", (event) => {
    state.text = event.target.value.toLowerCase();
    restart();
  });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => {
    byId("search").value = state.text = "";
    state.chips.clear();
    for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", "false");
    resets.forEach((reset) => reset());
    restart();
  });
  byId("copy").addEventListener("click", copy);
  byId("csv").addEventListener("click", csv);
  byId("clear-marks").addEventListener("click", () => {
    if (!confirm("Clear all marks of this page?")) return;
    for (const card of cards) if (markOf(card)) mark(card, "");
  });
  byId("keys").addEventListener("click", (event) => {
    byId("key-help").hidden = !byId("key-help").hidden;
    event.currentTarget.setAttribute("aria-expanded", !byId("key-help").hidden);
  });
  byId("legend").hidden = !has("s");
  byId("legend-mos").hidden = !has("mx");
  byId("legend-calibrated").hidden = !has("cal");
  chips();
  byId("filters").open = !matchMedia("(max-width: 600px)").matches;
  if (cards.length) {
    byId("controls").hidden = false;
    histogram();
    show();
  }
})();
