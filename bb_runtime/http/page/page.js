// The page: asks for a text or a plan, and shows what comes of it.

import { ask, events, Refused } from "/page/api.js";
import * as decode from "/page/decode.js";
import { draw } from "/page/drawing.js";
import { showRuns } from "/page/runs.js";

const $ = (id) => document.getElementById(id);
const CONSTRAINTS = {
  json: ["JSON Schema", '{"type": "object", "properties": {"order": {"type": "integer"},\n'
    + ' "city": {"enum": ["Oslo", "Porto"]}}, "required": ["order", "city"],\n'
    + ' "additionalProperties": false}'],
  regex: ["Regular expression", "Order [1-9][0-9]{3} (is on its way|was delivered)\\."],
  choice: ["One answer a line", "yes\nno\nI do not know"],
  grammar: ["Lark grammar; its first rule is start",
    'start: "refund " NUMBER (", " NUMBER)*\nNUMBER: /[1-9][0-9]{3}/'],
};
const ENDS = { // how a plan ended, in words
  checked: () => "The plan passes the checker.",
  done: ({ execution }) =>
    execution.dry_run ? "Dry run done: no tool was called." : "Done: every step succeeded.",
  failed: ({ execution }) => `Failed at step ${execution.step}: ${execution.reason}`,
  undone: ({ execution }) => `Taken back, since step ${execution.step} failed: ${execution.reason}`,
  in_doubt: (view) => `In doubt: nobody knows whether step ${view.in_doubt.join(", ")} happened.`,
};
let stopping = null;
let answerId = null;
let drawn = null; // the plan on show
let nearest = null; // the plan that a refusal offers

const kind = () => document.querySelector("[name=kind]:checked").value;

function request(path, body) {
  return ask(path, { body, key: $("key").value.trim(), signal: stopping?.signal });
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").className = isError ? "error" : "";
}

function parsed(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`The ${what} is no JSON: ${error.message}`);
  }
}

function constraint() {
  const chosen = $("constraint").value, text = $("constraint-text").value;
  if (!chosen) return {};
  const values = {
    json: () => parsed(text, "JSON Schema"),
    choice: () => text.split("\n").filter((line) => line),
  };
  return { structured_outputs: { [chosen]: values[chosen]?.() ?? text } };
}

function sampling() {
  return {
    max_tokens: Number($("tokens").value),
    temperature: Number($("temperature").value),
    seed: Number($("seed").value),
  };
}

// -- a text ----------------------------------------------------------------------------------

async function sendText() {
  const body = {
    messages: [{ role: "user", content: $("prompt").value }],
    stream: true, logprobs: true, top_logprobs: 5, ...sampling(), ...constraint(),
  };
  for await (const chunk of events(await request("/v1/chat/completions", body))) {
    if (chunk.error) throw new Error(chunk.error.message);
    answerId = chunk.id;
    for (const choice of chunk.choices) {
      decode.add(choice.logprobs?.content ?? []);
      if (choice.finish_reason === "stop") say("Complete.");
      if (choice.finish_reason === "length") {
        say(`Cut off: ${choice.stop_reason ?? "all tokens are used"}.`);
      }
    }
  }
}

// -- a plan ----------------------------------------------------------------------------------

function note(text, isError = false) {
  const line = document.createElement("li");
  line.textContent = text;
  if (isError) line.className = "error";
  $("log").append(line);
}

/** What the checker says: a line, and named details. */
function showVerdict(text, isOk, details = []) {
  const line = document.createElement("p");
  line.textContent = text;
  line.className = isOk ? "ok" : "error";
  const list = document.createElement("dl");
  for (const [name, value] of details.filter(([, found]) => found)) {
    for (const [tag, content] of [["dt", name], ["dd", value]]) {
      const made = document.createElement(tag);
      made.textContent = content;
      list.append(made);
    }
  }
  $("verdict").replaceChildren(line, list);
}

function showPlan(steps) {
  drawn = { steps, mark: draw($("graph"), steps) };
  $("edit").hidden = kind() === "sent";
}

function showRefusal({ step, rule, reason, repair, nearest: found }) {
  nearest = found;
  $("nearest").hidden = found === null;
  showVerdict("Refused by the checker.", false,
    [["Step", step], ["Rule", rule], ["Reason", reason], ["Repair", repair]]);
  drawn?.mark(step, "refused");
}

function follow(event) {
  if (event.event === "text") decode.add(event.logprobs ?? []);
  if (event.event === "fallback") {
    decode.clear(); // the next proposer writes its own
    note(`${event.proposer}: stopped by the rule “${event.rule}”; ${event.next} is asked`, true);
  }
  if (event.event === "decoded") note(`${event.proposer}: decoded in ${event.tokens} tokens`);
  if (event.event === "step") {
    drawn?.mark(event.step, event.ok ? "ok" : event.in_doubt ? "in doubt" : "failed");
    note(`${event.step} ${event.tool}: ${event.ok ? "ok" : event.reason}`, !event.ok);
  }
  // The plan that is run, also where another took the place of the first.
  const isNew = event.plan && JSON.stringify(event.plan) !== JSON.stringify(drawn?.steps);
  if (isNew) showPlan(event.plan);
  if (event.plan_hash) {
    const proof = `The checker passes it; plan ${event.plan_hash.slice(0, 12)}.`;
    showVerdict(proof, true);
    if (event.event === "checked") note(proof);
  }
}

async function ended(view) {
  if (view.error) {
    if (view.error.refusal) showRefusal(view.error.refusal);
    note(view.error.message, true);
    const { refusal, message } = view.error;
    const where = refusal?.step ? ` at step ${refusal.step}` : "";
    say(refusal ? `Refused${where} by the rule “${refusal.rule}”.` : message, true);
    return;
  }
  say(ENDS[view.status](view), ["failed", "undone", "in_doubt"].includes(view.status));
  if (!view.execution) return;
  const { run, undone, stands } = view.execution;
  note(`run ${run.slice(0, 12)}: ${view.status}`);
  if (undone.length) note(`taken back: ${undone.join(", ")}`);
  if (stands.length && !view.execution.dry_run) note(`stands: ${stands.join(", ")}`);
  const found = await (await request(`/v1/plans/${run}`)).json();
  for (const step of found.steps) drawn?.mark(step.id, step.status);
  await loadRuns();
}

async function sendPlan() {
  const then = $("then").value, isSent = kind() === "sent";
  const sent = isSent ? parsed($("plan").value, "plan") : null;
  const what = isSent
    ? { plan: sent }
    : { request: $("prompt").value, top_logprobs: 5, ...sampling() };
  const asked = { ...what, domain: $("domain").value, ...(then && { [then]: true }) };
  await watch("/v1/plans", asked, isSent ? sent?.plan ?? sent : null);
}

/** Begin something with a plan, and show what happens to it until it has ended. */
async function watch(path, asked, steps) {
  const begun = await (await request(path, { ...asked, background: true })).json();
  if (steps) showPlan(steps);
  let view = null;
  for await (const event of events(await request(`/v1/plans/${begun.id}/events`))) {
    answerId = begun.id;
    follow(event);
    if (event.object === "plan") view = event; // the last
  }
  await ended(view);
}

async function loadRuns() {
  $("runs-status").textContent = "";
  try {
    showRuns($("runs"), (await (await request("/v1/plans")).json()).data, goOn);
  } catch (error) {
    $("runs-status").textContent = error.message;
  }
}

/** Resume a run that was stopped. */
function goOn(run, said) {
  $("status").scrollIntoView({ block: "center" });
  work(() => watch(`/v1/plans/${run.run}/resume`, said, run.steps));
}

function edit(steps) {
  document.querySelector("[name=kind][value=sent]").checked = true;
  choose();
  const lines = steps.map((step) => `  ${JSON.stringify(step)}`).join(",\n");
  $("plan").value = `{"plan": [\n${lines}\n]}`;
  $("plan").focus();
}

// -- the form --------------------------------------------------------------------------------

function clear() {
  decode.clear();
  for (const id of ["log", "graph", "verdict", "thanks"]) $(id).replaceChildren();
  for (const id of ["edit", "nearest", "opinion"]) $(id).hidden = true;
  [answerId, drawn, nearest] = [null, null, null];
}

/** Whoever pressed a button keeps the focus: Send is not disabled, and Stop hands it to Send. */
function working(isWorking) {
  $("send").setAttribute("aria-disabled", isWorking);
  $("kinds").disabled = isWorking;
  if (!isWorking && document.activeElement === $("stop")) $("send").focus();
  $("stop").disabled = !isWorking;
  $("decode").setAttribute("aria-busy", isWorking);
}

function failed(error) {
  if (error.name === "AbortError") {
    say(kind() === "text" ? "Stopped." : "No longer watched; the server goes on with this plan.");
    return;
  }
  say(error.message, true);
  if (error instanceof Refused && error.status === 401) {
    $("key-field").hidden = false;
    $("key").focus();
  }
}

/** Do one thing that may take long, and can be stopped. */
async function work(act) {
  if (stopping) return;
  clear();
  say("Working …");
  stopping = new AbortController();
  working(true);
  try {
    await act();
  } catch (error) {
    failed(error);
  } finally {
    stopping = null;
    working(false);
    $("opinion").hidden = answerId === null || kind() === "sent";
  }
}

async function judge(event) {
  const verdict = event.target.dataset?.verdict;
  if (!verdict) return;
  try {
    await request("/v1/feedback", { id: answerId, verdict });
    $("thanks").textContent = "Thank you, it is kept.";
  } catch (error) {
    $("thanks").textContent = error.message;
  }
}

/** Show what belongs to the chosen kind; what is hidden is neither checked nor sent. */
function choose() {
  for (const part of document.querySelectorAll(".for-text, .for-plan, .for-sent")) {
    part.hidden = !part.classList.contains(`for-${kind()}`);
    const fields = part.querySelectorAll("input, select, textarea");
    for (const field of fields) field.disabled = part.hidden;
  }
  const [name, example] = CONSTRAINTS[kind() === "text" ? $("constraint").value : ""] ?? [];
  $("constraint-field").hidden = !name;
  $("constraint-name").textContent = name ?? "";
  const examples = Object.values(CONSTRAINTS).map(([, text]) => text);
  const mine = $("constraint-text").value;
  if (name && (!mine || examples.includes(mine))) $("constraint-text").value = example;
  $("no-runs").hidden = kind() === "text" || !$("then").querySelector("[value=run]").disabled;
  $("stop").textContent = kind() === "text" ? "Stop" : "Stop watching";
}

function listen() {
  decode.listen();
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    work(kind() === "text" ? sendText : sendPlan);
  });
  $("kinds").addEventListener("change", () => {
    const mayAsk = $("key-field").hidden || $("key").value;
    if (kind() !== "text" && !$("runs").hasChildNodes() && mayAsk) loadRuns();
  });
  $("form").addEventListener("change", choose);
  $("stop").addEventListener("click", () => stopping?.abort());
  $("opinion").addEventListener("click", judge);
  $("edit").addEventListener("click", () => edit(drawn.steps));
  $("nearest").addEventListener("click", () => edit(nearest));
  $("refresh").addEventListener("click", loadRuns);
}

async function begin() {
  listen();
  choose();
  const about = await (await ask("/page-data")).json();
  $("model").textContent = `model ${about.model}`;
  $("key-field").hidden = !about.needs_key;
  $("tokens").value = $("tokens").max = about.max_tokens;
  for (const value of ["plan", "sent"]) {
    document.querySelector(`[name=kind][value=${value}]`).disabled = about.domains.length === 0;
  }
  $("domain").replaceChildren(...about.domains.map((name) => new Option(name, name)));
  for (const value of ["run", "dry_run"]) {
    $("then").querySelector(`[value=${value}]`).disabled = !about.runs;
  }
  choose();
}

begin().catch((error) => say(error.message, true));
