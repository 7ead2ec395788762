// Runs in the server's log, the newest first: how each stands, and how it goes on.

import { draw } from "/page/drawing.js";

const MOST = 20;

function line(text, name = "p") {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

/** What a person can do about a run that has not ended well, as commands of the server's machine. */
function ways(run) {
  if (run.dry_run || ["done", "undone"].includes(run.status)) return [];
  const resume = `bb plan resume ${run.run.slice(0, 12)}`;
  const doubts = run.steps.filter((step) => step.status === "in doubt").map((step) => step.id);
  const found = doubts.flatMap((id) => [
    [`If step ${id} happened:`, `${resume} --happened ${id}`],
    [`If it did not:`, `${resume} --not-happened ${id}`],
  ]);
  const lead = run.status === "running" ? "If the server was stopped meanwhile, go on:" : "Go on:";
  return [...found, [lead, resume], ["Take back what was done:", `${resume} --give-up`]];
}

function details(run) {
  const made = document.createElement("details");
  const dry = run.dry_run ? ", dry run" : "";
  const summary = line(`${new Date(run.at).toLocaleString()}, ${run.domain}: ${run.status}${dry}`, "summary");
  const graph = document.createElement("div");
  made.append(summary, line(`Run ${run.run.slice(0, 12)}`));
  if (run.reason) made.append(line(`Stopped at step ${run.step}: ${run.reason}`));
  made.append(graph);
  for (const [lead, command] of ways(run)) {
    const way = line(`${lead} `);
    way.append(line(command, "code"));
    made.append(way);
  }
  const mark = draw(graph, run.steps);
  for (const step of run.steps) mark(step.id, step.status);
  return made;
}

/** Show runs, and leave those open that were. */
export function showRuns(target, runs) {
  const open = new Set([...target.querySelectorAll("details[open]")].map((one) => one.dataset.run));
  target.replaceChildren(...runs.slice(-MOST).reverse().map((run) => {
    const made = details(run);
    made.dataset.run = run.run;
    made.open = open.has(run.run);
    return made;
  }));
  if (!runs.length) target.append(line("Nothing was run yet."));
  if (runs.length > MOST) target.append(line(`${runs.length - MOST} older runs: bb plan status`));
}
