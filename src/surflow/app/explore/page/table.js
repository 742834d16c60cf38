// The page of a table: a card for every column, rows and their account, two columns together.
import { ask, attempt, contextFields, field, histogram, latest, make, percent, plot, say, section } from "./explore.js";

export async function build({ columns, context, exact }, main) {
  const cards = columns.map((column) => card(column, () => changed(), exact));
  const given = () => Object.fromEntries(cards.map((each) => [each.column.name, each.read()]).filter(([, said]) => said));
  const conditions = contextFields(context, () => changed());
  const asked = (more = {}) => ({ given: given(), context: conditions.read(), ...more });
  const free = make("button", { type: "button", click: () => { cards.forEach((each) => each.write(null)); changed(); } }, "Free all");
  const known = make("p");
  const shown = section("Columns", known, free);
  const grid = make("div", { class: "cards" }, ...cards.map((each) => each.element));
  shown.append(...[conditions.element, grid].filter(Boolean));

  let first = null;
  const update = latest(() => attempt("columns", grid, async () => {
    const stated = given(), from = performance.now();
    const answer = await ask("columns", asked());
    const ms = Math.round(performance.now() - from), count = Object.keys(stated).length;
    first ??= answer.columns;
    cards.forEach((each) => each.show(answer.columns[each.column.name], count ? first[each.column.name] : null));
    free.disabled = !count;
    known.textContent = count ? `Given ${cards.map((each) => each.words()).filter(Boolean).join(", ")}.` : "Nothing is fixed: each column by itself.";
    say(`${count ? `Given ${count} of ${columns.length} columns` : "Each column by itself"}: ${how(answer)} (${ms} ms).`);
  }));

  const rows = rowsOf(columns, asked, (row) => { cards.forEach((each, i) => each.write(row[i])); changed(); }, exact);
  const pair = columns.length > 1 ? pairOf(columns, asked) : null;
  function changed() { update(); rows.stale(); pair?.update(); }
  main.replaceChildren(...[shown, rows.element, pair?.element].filter(Boolean));
  await update();
  pair?.update();
}

function how(answer) {
  if (answer.of) return `${answer.rows.toLocaleString()} of ${answer.of.toLocaleString()} drawn rows`;
  if (!answer.draws) return "exact probabilities";
  const few = answer.few ? "; the bounds hardly ever hold together, state fewer or wider ones" : "";
  return `a mean over ${answer.draws} draws within the bounds, of which ${percent(answer.effective)} count${few}`;
}

/** A column: its element, what is said of it, and how it is shown. */
function card(column, changed, exact) {
  const element = make("fieldset", {}, make("legend", {}, column.name), make("p", { class: "type" }, column.type));
  const missing = !column.missing ? null : make("input", { type: "checkbox", change: () => { if (missing.checked) clear(); changed(); } });
  const body = column.names ? named(column, changed, missing) : numeric(column, () => { if (missing) missing.checked = false; changed(); }, missing, exact);
  const clear = () => body.clear();
  element.append(...body.parts);
  return {
    column, element,
    read: () => body.read(),
    words: () => body.words(),
    write: (value) => body.write(value),
    show: (answer, before) => { element.classList.toggle("set", Boolean(body.read())); body.show(answer, before); },
  };
}

function bar() { return make("svg:svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }); }

function fillBar(svg, share, before, kind) {
  const parts = [make("svg:rect", { class: kind, x: 0, y: 1, width: 100 * share, height: 8 })];
  if (before !== null) parts.push(make("svg:rect", { class: "before", x: 0, y: 1, width: 100 * before, height: 8 }));
  svg.replaceChildren(...parts);
}

/** Names: every one has a box to tick; one ticked fixes the column, several bound it. */
function named(column, changed, missing) {
  const lines = [...column.names, ...(column.missing ? [null] : [])].map((name) => {
    const box = make("input", { type: "checkbox", change: changed });
    const share = make("span", { class: "share" }), svg = bar(), text = name ?? "missing";
    return { name, box, share, svg, element: make("label", { class: "name" }, box, make("span", { title: text }, text), svg, share) };
  });
  const read = () => { const names = lines.filter((line) => line.box.checked).map((line) => line.name); return names.length ? { names } : null; };
  return {
    parts: [make("div", { class: "names" }, ...lines.map((line) => line.element))],
    read,
    words: () => { const said = read(); return said && `${column.name}: ${said.names.map((name) => name ?? "missing").join(" or ")}`; },
    clear: () => lines.forEach((line) => { line.box.checked = false; }),
    write: (value) => lines.forEach((line) => { line.box.checked = value !== null && (value.missing ? line.name === null : line.name === value.text); }),
    show: (answer, before) => {
      const of = (from, line, i) => line.name === null ? from.missing : from.shares[i];
      const inside = !answer && lines.filter((line) => line.box.checked).length;
      lines.forEach((line, i) => {
        const fixed = inside ? (line.box.checked && inside === 1 ? 1 : line.box.checked ? null : 0) : null;
        const share = answer ? of(answer, line, i) : fixed;
        fillBar(line.svg, share ?? 0, before ? of(before, line, i) : null, answer ? "fill" : "own");
        line.share.textContent = share === null ? "" : percent(share);
        line.element.hidden = line.name === "(other)" && !line.box.checked && (share ?? 0) < 0.0005;
      });
    },
  };
}

/** Numbers: bars, of which some may be picked by dragging, and a least and a greatest value. */
function numeric(column, changed, missing, exact) {
  const unit = column.unit ? ` ${column.unit}` : "";
  const svg = make("svg:svg", { class: "bars", role: "img" }), note = make("p", { class: "note" });
  const wait = debounced(changed);
  const input = (name) => make("input", { type: "text", inputmode: "decimal", autocomplete: "off", input: wait, "aria-label": `${column.name}, ${name}` });
  const [low, high] = [input("at least"), input("at most")];
  const gone = missing && make("label", { class: "field" }, "missing", missing);
  const inputs = make("div", { class: "inputs" }, field("at least", low), field("at most", high), gone);
  if (missing) missing.setAttribute("aria-label", `${column.name} is missing`);
  const clear = () => { low.value = high.value = ""; };
  const read = () => missing?.checked ? { missing: true } : low.value.trim() || high.value.trim() ? { from: low.value.trim(), to: high.value.trim() } : null;
  let last = null;
  const pick = (picked) => { if (last) histogram(svg, last, { picked }); };
  drag(svg, column.bars, pick, (from, to) => {
    low.value = from === 0 ? "" : column.firsts[from];
    high.value = to === column.bars - 1 ? "" : column.lasts[to];
    changed();
  });
  return {
    parts: [svg, make("div", { class: "ends", "aria-hidden": "true" }, make("span", {}, column.ends[0]), make("span", {}, column.ends[1] + unit)), note, inputs],
    read, clear,
    words: () => {
      const said = read();
      if (!said) return "";
      if (said.missing) return `${column.name} missing`;
      if (said.from === said.to) return `${column.name} = ${said.from}`;
      return [said.from && `${column.name} ≥ ${said.from}`, said.to && `${column.name} ≤ ${said.to}`].filter(Boolean).join(", ");
    },
    write: (value) => {
      if (missing) missing.checked = Boolean(value?.missing);
      low.value = high.value = value?.text ?? "";
    },
    show: (answer, before) => {
      const mass = answer?.mass ?? null;
      last = mass ?? before?.mass ?? null;
      let text = missing?.checked ? "missing" : low.value.trim() === high.value.trim() ? "fixed" : "within these bounds";
      if (answer) {
        const [from, middle, to] = answer.middle ?? [];
        const said = [answer.middle && `half below ${middle}, 90 % from ${from} to ${to}${unit}`];
        said.push(...answer.atoms.map(([value, share]) => `${percent(share)} exactly ${value}`));
        if (column.missing) said.push(`missing ${percent(answer.missing)}`);
        text = said.filter(Boolean).join("; ");
      }
      note.textContent = text;
      svg.setAttribute("aria-label", `${column.name}: ${text}`);
      if (mass) histogram(svg, mass, { before: before?.mass });
      else if (before) histogram(svg, before.mass.map(() => 0), { before: before.mass, picked: bounds(column, low.value, high.value) });
    },
  };
}

/** Which bars two values stand for, as far as they are among their ends. */
function bounds(column, low, high) {
  const from = low.trim() ? column.firsts.findIndex((_, i) => Number(column.lasts[i]) >= Number(low)) : 0;
  const to = high.trim() ? column.firsts.findIndex((_, i) => Number(column.lasts[i]) >= Number(high)) : column.bars - 1;
  return from < 0 || to < 0 ? null : [from, to + 1];
}

/** Bars from where a pointer goes down to where it comes up. */
function drag(svg, bars, during, done) {
  let from = null;
  const at = (event) => { const box = svg.getBoundingClientRect(); return Math.min(bars - 1, Math.max(0, Math.floor(bars * (event.clientX - box.left) / box.width))); };
  svg.addEventListener("pointerdown", (event) => { from = at(event); svg.setPointerCapture(event.pointerId); during([from, from + 1]); event.preventDefault(); });
  svg.addEventListener("pointermove", (event) => { if (from !== null) { const to = at(event); during([Math.min(from, to), Math.max(from, to) + 1]); } });
  svg.addEventListener("pointerup", (event) => { if (from !== null) { const to = at(event); done(Math.min(from, to), Math.max(from, to)); from = null; } });
  svg.addEventListener("pointercancel", () => { from = null; });
}

function debounced(work) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(work, 250); };
}

/** Drawn rows, each with its account, and with a way to fix its values above. */
function rowsOf(columns, asked, fix, exact) {
  let seed = 0;
  const table = make("div", { class: "scroll" }), account = make("div");
  const draw = () => attempt("rows", table, async () => {
    const { rows } = await ask("rows", asked({ seed }));
    seed += 1;
    const head = make("tr", {}, ...columns.map((column) => make("th", { scope: "col" }, column.name)), make("th", { scope: "col" }, "ask"));
    const body = rows.map((row, number) => make("tr", {}, ...row.map((text) => make("td", { class: text === null ? "gone" : null }, brief(text))), make("td", {},
      make("button", { type: "button", "aria-label": `Explain row ${number + 1}`, click: () => explain(row) }, "Explain"), " ",
      exact ? make("button", { type: "button", "aria-label": `Fix the values of row ${number + 1}`, click: () => fix(row.map((text) => text === null ? { missing: true } : { text })) }, "Fix") : null)));
    table.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
    say(`${rows.length} rows drawn.`);
  });
  const explain = (row) => attempt("explain", account, async () => {
    const answer = await ask("explain", asked({ row: Object.fromEntries(columns.map((column, i) => [column.name, row[i]])) }));
    const words = exact ? `The oddest value is that of ${answer.oddest}: ${answer.value ?? "missing"}, where ${answer.expected ?? "missing"} is expected.`
      : `${answer.exact ? "Log-density" : "Bound of the log-density"} ${nats(answer.log_prob)} nats: ${percent(answer.below)} of the drawn rows are less likely.`;
    const parts = [make("p", { tabindex: "-1" }, words)];
    if (exact) parts.push(accountOf(columns, row, answer));
    account.replaceChildren(...parts);
    say(words);
  });
  const stale = () => { if (table.firstChild) table.classList.add("busy"); };
  const element = section("Rows", make("button", { type: "button", click: draw }, "Draw rows"), make("p", {}, "as the model expects them under what is given above"));
  element.append(table, account);
  return { element, stale };
}


// A number of full resolution has more digits than anybody reads.
const brief = (text) => text === null ? "missing" : /^-?\d*\.\d{9,}(e.*)?$/.test(text) ? Number(text).toPrecision(5) : text;

const nats = (value) => value === null ? "−∞" : value.toFixed(2).replace("-", "−");

function accountOf(columns, row, answer) {
  const lines = columns.map((column, i) => make("tr", { class: column.name === answer.oddest ? "odd" : null }, make("th", { scope: "row" }, column.name), make("td", {}, brief(row[i])),
    make("td", { class: "number" }, nats(answer.nats[i])), make("td", { class: "number" }, nats(answer.usual[i]))));
  const head = ["column", "value", "nats given the others", "usual"].map((name, i) => make("th", { scope: "col", class: i > 1 ? "number" : null }, name));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines)));
}

const isFixed = (said) => Boolean(said) && (said.missing || said.names?.length === 1 || (said.from !== undefined && said.from === said.to));

/** Two columns as a density, or as drawn rows. */
function pairOf(columns, asked) {
  const choose = (at) => make("select", { change: () => update() }, ...columns.map((column, i) => make("option", { value: column.name, selected: i === at }, column.name)));
  const order = columns.map((_, i) => i).sort((a, b) => Boolean(columns[a].names) - Boolean(columns[b].names) || a - b);
  const [x, y] = [choose(order[0]), choose(order[1])]; // numbers first
  const svg = make("svg:svg", { class: "plot" }), note = make("figcaption", { class: "note" });
  const figure = make("figure", {}, svg, note);
  const element = section("Two columns together", field("across", x), field("up", y));
  element.append(figure);
  const update = latest(async () => {
    figure.classList.add("busy");
    try {
      const fixed = [x.value, y.value].find((name) => isFixed(asked().given[name]));
      if (fixed || x.value === y.value) throw new Error(fixed ? `${fixed} is fixed: choose another column, or free it.` : "Choose two different columns.");
      const answer = await ask("pair", asked({ x: x.value, y: y.value }));
      const label = `${x.value} across and ${y.value} up, ${answer.picture ? "their density" : `${answer.rows} drawn rows`}`;
      const axis = (side) => ({ low: 0, high: 1, ...side });
      plot(svg, axis(answer.x), axis(answer.y), { picture: answer.picture, points: answer.points ? [{ of: answer.points, name: "model" }] : [], label });
      note.textContent = answer.picture ? "Brighter is likelier; missing values are left out." : `${answer.rows} drawn rows.`;
      figure.classList.remove("busy");
    } catch (error) {
      note.textContent = error.message; // said beside the picture: the columns above are answered all the same
    }
  });
  return { element, update };
}
