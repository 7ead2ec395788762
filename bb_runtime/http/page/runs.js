// Runs in the server's log, the newest first: how each stands, and how it goes on.

import { draw } from "/page/drawing.js";

const MOST = 20;

function line(text, name = "p") {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

/** What a person can do about a run that has not ended well: names, and what the server is told. */
function ways(run) {
  if (run.dry_run || ["done", "undone"].includes(run.status)) return [];
  const doubts = run.steps.filter((step) => step.status === "in doubt").map((step) => step.id);
  const words = doubts.flatMap((id) => [
    [`Step ${id} happened: go on`, { happened: { [id]: true } }],
    [`Step ${id} did not happen: go on`, { not_happened: [id] }],
  ]);
  return [...words, ["Go on", {}], ["Take back what was done", { give_up: true }]];
}

function details(run, goOn) {
  const made = document.createElement("details");
  const how = run.dry_run ? `${run.status}, dry run` : run.status;
  const summary = line(`${new Date(run.at).toLocaleString()}, ${run.domain}: ${how}`, "summary");
  const graph = document.createElement("div");
  made.append(summary, line(`Run ${run.run.slice(0, 12)}`));
  if (run.reason) made.append(line(`Stopped at step ${run.step}: ${run.reason}`));
  made.append(graph);
  const buttons = document.createElement("div");
  buttons.className = "row";
  for (const [name, said] of ways(run)) {
    const button = line(name, "button");
    button.type = "button";
    button.addEventListener("click", () => goOn(run, said));
    buttons.append(button);
  }
  made.append(buttons);
  const mark = draw(graph, run.steps);
  for (const step of run.steps) mark(step.id, step.status);
  return made;
}

/** Show runs, and leave those open that were; `goOn(run, said)` is called to resume one. */
export function showRuns(target, runs, goOn) {
  const open = new Set([...target.querySelectorAll("details[open]")].map((one) => one.dataset.run));
  target.replaceChildren(...runs.slice(-MOST).reverse().map((run) => {
    const made = details(run, goOn);
    made.dataset.run = run.run;
    made.open = open.has(run.run);
    return made;
  }));
  if (!runs.length) target.append(line("Nothing was run yet."));
  if (runs.length > MOST) target.append(line(`${runs.length - MOST} older runs: bb plan status`));
}
