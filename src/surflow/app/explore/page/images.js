// The page of images: draws under conditions, variations of one, and a path between two.
import { ask, attempt, contextFields, field, latest, make, say, section } from "./explore.js";

export async function build({ context, vary, path, no_path }, main) {
  let seed = 0, first = 0, second = 1, next = "first";
  const conditions = contextFields(context, () => update());
  const draws = make("div", { class: "strip" }), varied = make("div", { class: "strip" }), way = make("div", { class: "strip" });
  const amount = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.3, input: () => variations() });
  const again = make("button", { type: "button", click: () => { seed += 1; update(); } }, "Draw others");
  const drawn = section("Draws", again, make("p", {}, `Press one to vary it${path ? "; the two last pressed are the ends of the path" : ""}. Other conditions keep the latents.`));
  drawn.append(...[conditions.element, draws].filter(Boolean));
  const variation = section("Variations", vary === "latent" ? field("how far from it", amount) : null, make("p", {}, vary === "below" ? "with the same latent: what the layers draw on the way back is drawn anew" : ""));
  variation.append(varied);
  const between = section("A path between two", make("p", {}, no_path ?? ""));
  between.append(way);
  main.replaceChildren(...[drawn, vary && variation, between].filter(Boolean));

  const asked = (more = {}) => ({ context: conditions.read(), seed, ...more });
  const given = () => Object.entries(conditions.read()).map(([name, value]) => `, ${name} ${value}`).join("");
  const image = (source, words) => make("img", { src: source, alt: words });
  const press = (i) => { if (path && next === "second") { second = first; } first = i; next = "second"; mark(); variations(); if (path) walk(); };
  const mark = () => [...draws.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === first || (path && i === second))));

  const update = latest(() => attempt("draw", draws, async () => {
    const from = performance.now(), { images } = await ask("draw", asked());
    const focused = [...draws.children].indexOf(document.activeElement);
    draws.replaceChildren(...images.map((each, i) => make("button", { type: "button", click: () => press(i) }, image(each, `draw ${i + 1}${given()}`))));
    if (focused >= 0) draws.children[focused].focus();
    mark();
    say(`${images.length} images drawn${given()} (${Math.round(performance.now() - from)} ms).`);
    if (vary) variations();
    if (path) walk();
  }));
  const variations = latest(() => attempt("vary", varied, async () => {
    const { images } = await ask("vary", asked({ image: first, amount: Number(amount.value) }));
    varied.replaceChildren(...images.map((each, i) => image(each, `variation ${i + 1} of draw ${first + 1}`)));
  }));
  const walk = latest(() => attempt("path", way, async () => {
    const { images } = await ask("path", asked({ image: second, other: first }));
    way.replaceChildren(...images.map((each, i) => image(each, `step ${i + 1} of ${images.length} from draw ${second + 1} to draw ${first + 1}`)));
  }));
  await update();
}
