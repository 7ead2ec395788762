// A plan as a list of its steps, with an SVG of what waits for what beside it: one lane a step that
// others depend on, as `bb plan show` draws it.

const SVG = "http://www.w3.org/2000/svg";
const LANE = 14;
const REFERENCE = /^\$([A-Za-z_][A-Za-z0-9_]*)\./;

/** The ids that a value of arguments refers to. */
function references(value) {
  if (typeof value === "string") {
    const found = REFERENCE.exec(value);
    return found ? [found[1]] : [];
  }
  if (value === null || typeof value !== "object") return [];
  return Object.values(value).flatMap(references);
}

/** One arc a step that others depend on: its row, theirs, and a lane that no arc beside it has. */
export function layout(steps) {
  const found = steps.map((step, source) => {
    const data = steps.flatMap((one, at) => references(one.args).includes(step.id) ? [at] : []);
    const order = steps.flatMap((one, at) => one.after?.includes(step.id) ? [at] : []);
    const targets = [...new Set([...data, ...order])];
    return { source, targets, isData: data.length > 0, rows: [source, ...targets] };
  }).filter((arc) => arc.targets.length);
  const ends = (arc) => [Math.min(...arc.rows), Math.max(...arc.rows)];
  const span = (arc) => ends(arc)[1] - ends(arc)[0];
  const arcs = [];
  // Short arcs lie inside: they take the lanes next to the steps first.
  for (const arc of found.sort((a, b) => span(a) - span(b) || a.source - b.source)) {
    const [low, high] = ends(arc);
    const taken = arcs.filter((one) => low <= ends(one)[1] && ends(one)[0] <= high);
    let lane = 0;
    while (taken.some((one) => one.lane === lane)) lane += 1;
    arcs.push({ ...arc, lane });
  }
  return arcs;
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function text(name, content, className = "") {
  const made = document.createElement(name);
  made.textContent = content;
  made.className = className;
  return made;
}

/** Draw a plan into an element; returns a function that says how a step stands. */
export function draw(target, steps) {
  const arcs = layout(steps);
  const left = LANE * (1 + Math.max(-1, ...arcs.map((arc) => arc.lane))) + (arcs.length ? 10 : 0);
  const list = document.createElement("ol");
  list.setAttribute("aria-label", "Steps of the plan");
  list.style.marginLeft = `${left}px`;
  const rows = steps.map((step, at) => {
    const line = document.createElement("li");
    const into = arcs.filter((arc) => arc.targets.includes(at));
    const before = into.map((arc) => steps[arc.source].id);
    line.dataset.step = step.id;
    line.append(
      text("span", "", "state"), `${step.id}  `, text("b", step.tool), " ",
      text("code", JSON.stringify(step.args)),
      text("span", before.length ? ` after ${before.join(", ")}` : "", "unseen"),
    );
    return line;
  });
  list.append(...rows);
  const svg = element("svg", { "aria-hidden": "true" });
  const box = document.createElement("div");
  box.className = "plan";
  box.append(svg, list);
  target.replaceChildren(box);
  // Rows wrap, so that the arcs follow their heights.
  new ResizeObserver(() => drawArcs(svg, arcs, rows, left)).observe(list);
  return (id, state) => {
    const line = rows.find((one) => one.dataset.step === id);
    if (!line) return;
    line.dataset.state = state;
    line.querySelector(".state").textContent = state;
  };
}

function drawArcs(svg, arcs, rows, left) {
  const middle = (at) => rows[at].offsetTop + rows[at].offsetHeight / 2;
  svg.setAttribute("width", left);
  svg.setAttribute("height", svg.parentNode.offsetHeight);
  svg.replaceChildren(...arcs.flatMap(({ source, targets, isData, lane }) => {
    const x = left - 14 - LANE * lane, from = middle(source) + 4;
    return targets.flatMap((target) => {
      const to = middle(target) - 4, bend = Math.sign(to - from) * 5;
      const d = `M${left},${from} H${x + 5} Q${x},${from} ${x},${from + bend} V${to - bend} `
        + `Q${x},${to} ${x + 5},${to} H${left - 5}`;
      const head = `M${left - 6},${to - 4} L${left},${to} L${left - 6},${to + 4} z`;
      return [
        element("path", { d, class: isData ? "data" : "order" }),
        element("path", { d: head, class: "head" }),
      ];
    });
  }));
}
