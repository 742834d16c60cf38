// The page of the plane: samples, densities and the grid of latents in one picture.
import { ask, attempt, contextFields, field, latest, make, plot, say, section } from "./explore.js";

const TITLES = { samples: "samples", density: "density", grid: "grid of latents", truth: "exact density" };

export async function build({ layers, no_grid, context, exact, x, y }, main) {
  const conditions = contextFields(context, () => update());
  const boxes = layers.filter((layer) => layer !== "truth").map((layer) => make("input", { type: "checkbox", name: layer, checked: layer !== "grid", change: () => update() }));
  let seed = 0;
  const again = make("button", { type: "button", click: () => { seed += 1; update(); } }, "Draw again");
  const show = make("fieldset", { class: "fields" }, make("legend", {}, "Show"), ...boxes.map((box) => field(box.name === "density" && !exact ? "lower bound of the density" : TITLES[box.name], box)), again);
  const svg = make("svg:svg", { class: "plot" }), caption = make("figcaption", { class: "note" });
  const side = make("div", { class: "side" }, make("figure", {}, svg, caption));
  const part = section("The plane");
  part.append(...[conditions.element, show, no_grid && make("p", { class: "note" }, no_grid), side].filter(Boolean));
  main.replaceChildren(part);

  const update = latest(() => attempt("plane", side, async () => {
    const from = performance.now(), on = boxes.filter((box) => box.checked).map((box) => box.name), asked = { context: conditions.read(), seed };
    const found = Object.fromEntries(await Promise.all(on.map(async (layer) => [layer, await ask(layer, asked)])));
    const words = on.map((layer) => TITLES[layer]).join(", ") || "nothing";
    plot(svg, x, y, { picture: found.density?.picture, points: found.samples ? [{ of: found.samples.points, name: "model" }] : [], lines: found.grid?.lines ?? [], label: `The model over ${x.name} and ${y.name}: ${words}` });
    caption.textContent = `The model: ${words}.`;
    say(`Shown: ${found.samples ? `${found.samples.points.length.toLocaleString()} ` : ""}${words} (${Math.round(performance.now() - from)} ms).`);
  }));

  if (layers.includes("truth")) {
    const truth = make("svg:svg", { class: "plot" });
    side.append(make("figure", {}, truth, make("figcaption", { class: "note" }, "The density that the data are from.")));
    await attempt("truth", truth, async () => plot(truth, x, y, { picture: (await ask("truth")).picture, label: `The exact density over ${x.name} and ${y.name}` }));
  }
  await update();
}
