// The page: sends a prompt, shows its tokens as they come, draws its plan, and keeps the log.

import { draw } from "/page/drawing.js";

const $ = (id) => document.getElementById(id);
const FORCED = -1e-9; // a forced token has log-probability 0
let stopping = null;
let answerId = null;

function headers() {
  const key = $("key").value.trim();
  return { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
}

async function failed(answer) {
  const found = await answer.json().catch(() => ({}));
  return new Error(found.error?.message ?? `the server answered ${answer.status}`);
}

/** The data of server-sent events, until [DONE]. */
async function* events(answer) {
  if (!answer.ok) throw await failed(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const pieces = (held + value).split("\n\n");
    held = pieces.pop();
    for (const piece of pieces) {
      const line = piece.split("\n").find((one) => one.startsWith("data: "));
      if (line === "data: [DONE]") return;
      if (line) yield JSON.parse(line.slice(6));
    }
  }
}

function post(path, body) {
  return fetch(path, {
    method: "POST", headers: headers(), body: JSON.stringify(body), signal: stopping.signal,
  });
}

function constraint() {
  const kind = $("constraint").value, text = $("constraint-text").value;
  if (!kind) return {};
  const values = {
    json: () => JSON.parse(text),
    choice: () => text.split("\n").filter((line) => line),
  };
  return { structured_outputs: { [kind]: values[kind]?.() ?? text } };
}

function sampling() {
  return {
    max_tokens: Number($("tokens").value),
    temperature: Number($("temperature").value),
    seed: Number($("seed").value),
  };
}

/** Show one token, shaded where the mask left no choice. */
function showToken(entry) {
  const token = document.createElement("span");
  token.textContent = entry.token;
  if (entry.logprob > FORCED) token.className = "forced";
  token.title = entry.top_logprobs
    .map((one) => `${JSON.stringify(one.token)}  ${(100 * Math.exp(one.logprob)).toFixed(1)}%`)
    .join("\n");
  $("decode").append(token);
}

async function sendText() {
  const body = {
    messages: [{ role: "user", content: $("prompt").value }],
    stream: true, logprobs: true, top_logprobs: 4, ...sampling(), ...constraint(),
  };
  for await (const chunk of events(await post("/v1/chat/completions", body))) {
    if (chunk.error) throw new Error(chunk.error.message);
    answerId = chunk.id;
    for (const choice of chunk.choices) {
      choice.logprobs?.content.forEach(showToken);
      if (choice.finish_reason) $("status").textContent = `ended: ${choice.finish_reason}`;
    }
  }
}

function note(text, isError = false) {
  const line = document.createElement("li");
  line.textContent = text;
  if (isError) line.className = "error";
  $("log").append(line);
}

async function sendPlan() {
  const then = $("then").value;
  const body = {
    request: $("prompt").value, domain: $("domain").value, background: true, ...sampling(),
    ...(then ? { [then]: true } : {}),
  };
  const begun = await post("/v1/plans", body);
  if (!begun.ok) throw await failed(begun);
  answerId = (await begun.json()).id;
  const path = `/v1/plans/${answerId}/events`;
  const watched = await fetch(path, { headers: headers(), signal: stopping.signal });
  let mark = null;
  for await (const event of events(watched)) {
    if (event.event === "text") $("decode").append(event.text);
    if (event.plan && !mark) mark = draw($("graph"), event.plan);
    if (event.event === "decoded") note(`${event.proposer}: decoded in ${event.tokens} tokens`);
    if (event.event === "checked") note(`checked: plan ${event.plan_hash.slice(0, 12)}`);
    if (event.event === "step") {
      mark?.(event.step, event.ok);
      note(`${event.step} ${event.tool}: ${event.ok ? "ok" : event.reason}`, !event.ok);
    }
    if (event.object === "plan" || event.error) {
      $("status").textContent = `ended: ${event.status}`;
      if (event.error) note(event.error.message, true);
      if (event.execution) note(`run ${event.execution.run}: ${event.status}`);
    }
  }
}

async function send(event) {
  event.preventDefault();
  for (const id of ["decode", "log", "graph"]) $(id).replaceChildren();
  for (const id of ["status", "thanks"]) $(id).textContent = "";
  $("status").className = "";
  $("verdict").hidden = true;
  stopping = new AbortController();
  answerId = null;
  $("send").disabled = true;
  $("stop").disabled = false;
  try {
    await ($("kind").value === "plan" ? sendPlan() : sendText());
  } catch (error) {
    $("status").textContent = error.name === "AbortError" ? "stopped" : error.message;
    $("status").className = error.name === "AbortError" ? "" : "error";
  } finally {
    $("send").disabled = false;
    $("stop").disabled = true;
    $("verdict").hidden = answerId === null;
  }
}

async function judge(event) {
  const verdict = event.target.dataset?.verdict;
  if (!verdict) return;
  const body = JSON.stringify({ id: answerId, verdict });
  const answer = await fetch("/v1/feedback", { method: "POST", headers: headers(), body });
  $("thanks").textContent = answer.ok ? "kept" : (await failed(answer)).message;
}

function choose() {
  const isPlan = $("kind").value === "plan";
  document.querySelectorAll(".for-plan").forEach((one) => { one.hidden = !isPlan; });
  document.querySelectorAll(".for-text").forEach((one) => { one.hidden = isPlan; });
  $("constraint-field").hidden = isPlan || !$("constraint").value;
}

async function begin() {
  const about = await (await fetch("/page-data")).json();
  $("model").textContent = about.model;
  $("key-field").hidden = !about.needs_key;
  $("tokens").value = about.max_tokens;
  $("tokens").max = about.max_tokens;
  $("kind").querySelector("[value=plan]").disabled = about.domains.length === 0;
  $("domain").replaceChildren(...about.domains.map((name) => new Option(name, name)));
  if (!about.runs) {
    for (const value of ["run", "dry_run"]) $("then").querySelector(`[value=${value}]`).disabled = true;
  }
  $("form").addEventListener("submit", send);
  $("stop").addEventListener("click", () => stopping?.abort());
  $("verdict").addEventListener("click", judge);
  $("kind").addEventListener("change", choose);
  $("constraint").addEventListener("change", choose);
  choose();
}

begin();
