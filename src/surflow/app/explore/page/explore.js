// What the pages of all kinds of models share: asking, saying what happened, building elements, drawing.

export const $ = (id) => document.getElementById(id);

/** An element with attributes, whose functions are listeners, and what it holds. */
export function make(tag, attributes = {}, ...held) {
  const [, space, name] = /^(svg:)?(.*)$/.exec(tag);
  const made = space ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...held.filter((each) => each !== null && each !== undefined));
  return made;
}

export const percent = (share) => share >= 0.9995 ? "100 %" : share >= 0.0995 ? `${(100 * share).toFixed(0)} %` : share >= 0.001 ? `${(100 * share).toFixed(1)} %` : share > 0 ? "< 0.1 %" : "0 %";

/** Ask the model one question; what it refuses is thrown with its words. */
export async function ask(question, asked = {}) {
  let reply;
  try {
    reply = await fetch(`ask/${question}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
  } catch {
    throw new Error("The command that serves this page has ended: start surflow explore again, and open the address that it prints.");
  }
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error);
  return answer;
}

/** Do something now, or, if it is at work, once more when it is done: what is asked meanwhile counts once. */
export function latest(work) {
  let busy = false, again = false;
  return async function run() {
    if (busy) { again = true; return; }
    busy = true;
    do { again = false; await work(); } while (again);
    busy = false;
  };
}

export function say(text) { $("status").textContent = text; }

const troubles = new Map();

/** Say in words what a part of the page was refused, or that it no longer is. */
export function trouble(part, text) {
  if (text) troubles.set(part, text); else troubles.delete(part);
  const shown = [...troubles.values()].join(" ");
  if ($("trouble").textContent !== shown) $("trouble").textContent = shown;
  $("trouble").hidden = !shown;
}

/** Run a part of the page that asks; what is refused is said, and what stands there grows pale. */
export async function attempt(part, where, work) {
  where.classList.add("busy");
  where.setAttribute("aria-busy", "true");
  try {
    await work();
    trouble(part, "");
    where.classList.remove("busy");
  } catch (error) {
    trouble(part, error.message);
  }
  where.removeAttribute("aria-busy");
}

let fields = 0;

export function field(label, input) {
  input.id ||= `field-${(fields += 1)}`;
  return make("label", { class: "field", for: input.id }, label, input);
}

/** Fields of a context: the element, and a function that reads them; null where there is none. */
export function contextFields(columns, changed) {
  if (!columns.length) return { element: null, read: () => ({}) };
  const inputs = columns.map((column) => {
    if (!column.names) return make("input", { type: "text", inputmode: "decimal", value: column.value, change: changed });
    return make("select", { change: changed }, ...column.names.map((name) => make("option", { value: name }, name)));
  });
  const element = make("fieldset", { class: "fields" }, make("legend", {}, "Given"), ...columns.map((column, i) => field(column.name, inputs[i])));
  return { element, read: () => Object.fromEntries(columns.map((column, i) => [column.name, inputs[i].value])) };
}

const path = (mass, top) => {
  let d = "M0 100";
  mass.forEach((share, i) => { const y = 100 - 96 * share / top; d += `L${i} ${y}L${i + 1} ${y}`; });
  return `${d}L${mass.length} 100`;
};

/** A histogram into an SVG: probabilities of bars, and others as an outline behind or before them. */
export function histogram(svg, mass, { before = null, exact = null, picked = null, mark = null } = {}) {
  const top = Math.max(1e-9, ...mass, ...(exact ?? []), ...(before ?? []));
  svg.setAttribute("viewBox", `0 0 ${mass.length} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  const parts = [make("svg:path", { class: "fill", d: path(mass, top) })];
  if (picked) parts.unshift(make("svg:rect", { class: "picked", x: picked[0], width: picked[1] - picked[0], y: 0, height: 100 }));
  if (before) parts.push(make("svg:path", { class: "before", d: path(before, top) }));
  if (exact) parts.push(make("svg:path", { class: "exact", d: path(exact, top) }));
  if (mark !== null) parts.push(make("svg:line", { class: "true", x1: mark, x2: mark, y1: 0, y2: 100 }));
  svg.replaceChildren(...parts);
}

const SIDE = 400, LEFT = 84, BELOW = 42;

/** A plot of the plane: a picture of a density, sets of points, lines; axes with their ends or names. */
export function plot(svg, x, y, { picture = null, points = [], lines = [], label }) {
  svg.setAttribute("viewBox", `0 0 ${LEFT + SIDE + 26} ${SIDE + BELOW + 8}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const at = (axis, value, low, size) => low + size * (value - axis.low) / (axis.high - axis.low);
  const across = (v) => at(x, v, LEFT, SIDE), up = (v) => at(y, v, SIDE + 4, -SIDE);
  const seen = ([a, b]) => a >= x.low && a <= x.high && b >= y.low && b <= y.high;
  const parts = [];
  if (picture) parts.push(make("svg:image", { href: picture, x: LEFT, y: 4, width: SIDE, height: SIDE, preserveAspectRatio: "none", class: x.names || y.names ? "cells" : null }));
  const over = picture ? " over" : "";
  for (const line of lines) {
    const d = line.map((p, i) => `${i && seen(line[i - 1]) && seen(p) ? "L" : "M"}${across(p[0]).toFixed(1)} ${up(p[1]).toFixed(1)}`).join("");
    parts.push(make("svg:path", { class: `line${over}`, d }));
  }
  for (const { of, name } of points) {
    for (const p of of.filter(seen)) parts.push(make("svg:circle", { class: `dot ${name}${over}`, cx: across(p[0]).toFixed(1), cy: up(p[1]).toFixed(1), r: of.length > 800 ? 1.7 : 2.4 }));
  }
  parts.push(make("svg:rect", { class: "box", x: LEFT, y: 4, width: SIDE, height: SIDE }));
  const text = (words, attributes) => parts.push(make("svg:text", attributes, words));
  if (x.names) x.names.forEach((name, i) => text(cut(name, SIDE / x.names.length / 7), { x: LEFT + SIDE * (i + 0.5) / x.names.length, y: SIDE + 20, "text-anchor": "middle" }));
  else { text(x.ends[0], { x: LEFT, y: SIDE + 20 }); text(x.ends[1], { x: LEFT + SIDE, y: SIDE + 20, "text-anchor": "end" }); }
  if (y.names) y.names.forEach((name, i) => text(cut(name, 11), { x: LEFT - 6, y: 8 + SIDE - SIDE * (i + 0.5) / y.names.length, "text-anchor": "end" }));
  else { text(y.ends[0], { x: LEFT - 6, y: SIDE + 4, "text-anchor": "end" }); text(y.ends[1], { x: LEFT - 6, y: 14, "text-anchor": "end" }); }
  text(cut(x.name, 40), { x: LEFT + SIDE / 2, y: SIDE + 40, "text-anchor": "middle" });
  text(cut(y.name, 40), { x: 0, y: 0, "text-anchor": "middle", transform: `translate(12 ${SIDE / 2}) rotate(-90)` });
  svg.replaceChildren(...parts);
}

export const cut = (text, most) => text.length <= most ? text : most < 2 ? "" : `${text.slice(0, Math.floor(most) - 1)}…`;

export function section(title, ...held) {
  const id = `section-${(fields += 1)}`;
  return make("section", { "aria-labelledby": id }, make("div", { class: "head" }, make("h2", { id }, title), ...held));
}

async function start() {
  try {
    const described = await ask("describe");
    const { build } = await import(`./${document.body.dataset.kind}.js`);
    await build(described, $("main"));
    document.body.dataset.ready = "yes";
  } catch (error) {
    say("");
    trouble("page", error.message);
  }
}

start();
