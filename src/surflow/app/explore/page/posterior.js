// The page of posteriors: the observation is moved, and the parameters are shown given it.
import { ask, attempt, field, histogram, latest, make, percent, plot, say, section } from "./explore.js";

export async function build({ parameters, size, fields, exact, bound }, main) {
  let seed = 0, observation = [], theta = parameters.map((each) => each.start);
  const sliders = parameters.map((each, i) => {
    const number = make("input", { type: "range", min: each.low, max: each.high, step: (each.high - each.low) / 200, value: each.start, input: () => { theta[i] = Number(number.value); said[i].textContent = ` ${theta[i].toPrecision(3)}`; simulate(); } });
    return number;
  });
  const said = parameters.map((each) => make("span", {}, ` ${each.start.toPrecision(3)}`));
  const named = sliders.map((slider, i) => { const label = field(parameters[i].name, slider); label.insertBefore(said[i], slider); return label; });
  const again = make("button", { type: "button", click: () => { seed += 1; simulate(); } }, "Observe again");
  const moved = make("fieldset", { class: "fields" }, make("legend", {}, "Parameters that the observation is simulated with"), ...named, again);
  const inputs = fields ? Array.from({ length: size }, (_, i) => make("input", { type: "number", step: "any", input: () => { observation[i] = Number(inputs[i].value); truth = null; show(); } })) : [];
  const typed = fields ? make("fieldset", { class: "fields" }, make("legend", {}, "The observation: its numbers may be changed"), ...inputs.map((input, i) => field(`x${i + 1}`, input))) : null;
  const part = section("The observation");
  part.append(...[moved, typed].filter(Boolean));
  const notes = parameters.map(() => make("p", { class: "note" }));
  const ends = parameters.map(() => make("div", { class: "ends", "aria-hidden": "true" }));
  const charts = parameters.map(() => make("svg:svg", { class: "bars still", role: "img" }));
  const cards = make("div", { class: "cards" }, ...parameters.map((each, i) => make("fieldset", {}, make("legend", {}, each.name), charts[i], ends[i], notes[i])));
  const about = make("p", {}, `Bars: the model${exact ? "; line: the exact posterior" : ""}; orange: the parameters of the observation.`);
  const result = section("The posterior", about);
  result.append(cards);
  let pair = null;
  if (parameters.length > 1) {
    const choose = (at) => make("select", { change: () => show() }, ...parameters.map((each, i) => make("option", { value: i, selected: i === at }, each.name)));
    pair = { x: choose(0), y: choose(1), svg: make("svg:svg", { class: "plot" }) };
    const together = section("Two parameters together", field("across", pair.x), field("up", pair.y));
    together.append(make("figure", {}, pair.svg, make("figcaption", { class: "note" }, `Blue: draws of the model${exact ? "; in the colour of this text: of the exact posterior" : ""}; orange: the parameters of the observation.`)));
    main.replaceChildren(part, result, together);
  } else main.replaceChildren(part, result);

  let truth = theta;
  const simulate = latest(() => attempt("simulate", part, async () => {
    truth = [...theta];
    ({ observation } = await ask("simulate", { theta: truth, seed }));
    inputs.forEach((input, i) => { input.value = observation[i]; });
    await show();
  }));
  const show = latest(() => attempt("posterior", cards, async () => {
    const from = performance.now(), answer = await ask("posterior", { observation });
    parameters.forEach((each, i) => {
      const model = answer.model[i], beside = answer.exact?.[i], axis = answer.axes[i];
      const mark = truth ? axis.bars * (truth[i] - axis.low) / (axis.high - axis.low) : null;
      ends[i].replaceChildren(...axis.ends.map((text) => make("span", {}, text)));
      histogram(charts[i], model.mass, { exact: beside?.mass, mark });
      const words = (of) => `half below ${of.middle[1]}, 90 % from ${of.middle[0]} to ${of.middle[2]}`;
      notes[i].textContent = `Model: ${words(model)}.${beside ? ` Exact: ${words(beside)}.` : ""}`;
      charts[i].setAttribute("aria-label", `${each.name}. ${notes[i].textContent}`);
    });
    if (pair) {
      const [a, b] = [Number(pair.x.value), Number(pair.y.value)], two = (points) => points.map((point) => [point[a], point[b]]);
      const sets = [{ of: two(answer.points), name: "model" }];
      if (answer.exact_points) sets.push({ of: two(answer.exact_points), name: "truth" });
      if (truth) sets.push({ of: [[truth[a], truth[b]]], name: "own" });
      plot(pair.svg, { ...answer.axes[a], name: parameters[a].name }, { ...answer.axes[b], name: parameters[b].name }, { points: sets, label: `Draws of ${parameters[a].name} across and ${parameters[b].name} up` });
    }
    const trust = answer.efficiency === undefined ? "" : `, the exact posterior by weighted draws of which ${percent(answer.efficiency)} count`;
    say(`${answer.draws.toLocaleString()} draws of the model${bound ? ", whose density is a bound" : ""}${trust} (${Math.round(performance.now() - from)} ms).${answer.no_exact ? ` No exact posterior: ${answer.no_exact}` : ""}`);
  }));
  await simulate();
}
