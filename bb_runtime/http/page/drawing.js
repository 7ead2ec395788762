// A plan as SVG: one box a step, in columns by depth, an edge for each reference and each `after`.

const SVG = "http://www.w3.org/2000/svg";
const BOX = { width: 190, height: 52, across: 60, down: 18, margin: 8 };
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

/** Steps with the ids of the steps before them and their column. */
export function layout(steps) {
  const column = new Map();
  const rows = [];
  return steps.map((step) => {
    const before = [...new Set([...references(step.args), ...(step.after ?? [])])]
      .filter((id) => column.has(id));
    const x = before.length ? Math.max(...before.map((id) => column.get(id))) + 1 : 0;
    column.set(step.id, x);
    rows[x] = (rows[x] ?? -1) + 1;
    return { step, before, x, y: rows[x] };
  });
}

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function place({ x, y }) {
  return {
    left: BOX.margin + x * (BOX.width + BOX.across),
    top: BOX.margin + y * (BOX.height + BOX.down),
  };
}

function edge(from, to) {
  const a = place(from), b = place(to);
  const [x1, y1] = [a.left + BOX.width, a.top + BOX.height / 2];
  const [x2, y2] = [b.left, b.top + BOX.height / 2];
  const bend = (x2 - x1) / 2;
  return element("path", { d: `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` });
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Draw a plan into an element; returns a function that marks a step. */
export function draw(target, steps) {
  const placed = layout(steps);
  const byId = new Map(placed.map((one) => [one.step.id, one]));
  const width = 2 * BOX.margin + (1 + Math.max(...placed.map((one) => one.x))) * (BOX.width + BOX.across) - BOX.across;
  const height = 2 * BOX.margin + (1 + Math.max(...placed.map((one) => one.y))) * (BOX.height + BOX.down) - BOX.down;
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  for (const one of placed) {
    for (const id of one.before) svg.append(edge(byId.get(id), one));
  }
  const groups = new Map();
  for (const one of placed) {
    const { left, top } = place(one);
    const group = element("g", { "data-step": one.step.id });
    group.append(
      element("rect", { x: left, y: top, width: BOX.width, height: BOX.height, rx: 6 }),
      element("text", { x: left + 10, y: top + 21 }, `${one.step.id}  ${shortened(one.step.tool, 18)}`),
      element("text", { x: left + 10, y: top + 41 }, shortened(JSON.stringify(one.step.args), 22)),
      element("title", {}, JSON.stringify(one.step.args)),
    );
    groups.set(one.step.id, group);
    svg.append(group);
  }
  target.replaceChildren(svg);
  return (id, isOk) => groups.get(id)?.setAttribute("class", isOk ? "ok" : "failed");
}
