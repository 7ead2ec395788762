// The tokens of an answer as they come, and what the mask allowed where one of them stands.

const $ = (id) => document.getElementById(id);
let tokens = [];
let bytes = new TextDecoder();

function made(name, text) {
  const one = document.createElement(name);
  one.textContent = text;
  return one;
}

export function clear() {
  tokens = [];
  bytes = new TextDecoder();
  for (const id of ["decode", "counts", "token"]) $(id).replaceChildren();
}

/** Show further tokens: entries of `logprobs.content`. */
export function add(entries) {
  for (const entry of entries) {
    // A character of several tokens appears with the last of them.
    const text = entry.bytes ? bytes.decode(new Uint8Array(entry.bytes), { stream: true }) : "";
    const span = made("span", text);
    if (entry.forced) span.className = "forced";
    tokens.push({ entry, span });
    $("decode").append(span);
  }
  $("decode").scrollTop = $("decode").scrollHeight;
  const asked = tokens.filter(({ entry }) => !entry.forced).length;
  $("counts").textContent = `${tokens.length} tokens: the model was called for ${asked}, `
    + `the mask forced ${tokens.length - asked}.`;
}

function shown() {
  return tokens.findIndex(({ span }) => span.classList.contains("shown"));
}

function candidate({ token, logprob }) {
  const line = document.createElement("li");
  const share = document.createElement("meter");
  share.value = Math.exp(logprob);
  share.setAttribute("aria-hidden", "true");
  const percent = made("span", `${(100 * share.value).toFixed(1)}%`);
  line.append(made("code", JSON.stringify(token)), share, percent);
  return line;
}

/** Say what was allowed at a token. */
function show(at) {
  tokens[shown()]?.span.classList.remove("shown");
  const { entry, span } = tokens[at];
  span.classList.add("shown");
  span.scrollIntoView({ block: "nearest" });
  const which = `Token ${at + 1} of ${tokens.length}, ${JSON.stringify(entry.token)}: `;
  if (entry.forced) {
    $("token").replaceChildren(made("p", `${which}forced, nothing else was allowed.`));
    return;
  }
  const others = document.createElement("ol");
  others.append(...entry.top_logprobs.map(candidate));
  const count = entry.allowed === 1 ? "1 token was" : `${entry.allowed} tokens were`;
  $("token").replaceChildren(made("p", `${which}${count} allowed; likeliest:`), others);
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

export function listen() {
  $("decode").addEventListener("click", (event) => {
    const at = tokens.findIndex(({ span }) => span === event.target);
    if (at >= 0) show(at);
  });
  $("decode").addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (step === undefined || !tokens.length) return;
    event.preventDefault();
    show(Math.min(Math.max(shown() + step, 0), tokens.length - 1));
  });
}
