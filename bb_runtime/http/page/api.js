// Requests to the server, its streams, and what goes wrong in words.

const BROKEN = "The connection broke: what is shown is not all of the answer.";

/** An answer that is no success; `details` is the error of the answer's body. */
export class Refused extends Error {
  constructor(status, details, retryAfter) {
    const said = details.message ?? `The server answered ${status}.`;
    super(status === 429 && retryAfter ? `Busy: ${said} (Retry-After: ${retryAfter} s)` : said);
    this.status = status;
    this.details = details;
  }
}

function failure(error) {
  if (error.name === "AbortError" || error instanceof Refused) return error;
  return new Error("The server cannot be reached. Is it still running?");
}

/** Ask the server; a body makes it a POST. Raises Refused, AbortError, or an Error in words. */
export async function ask(path, { body, key, signal } = {}) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  if (body) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body),
    });
  } catch (error) {
    throw failure(error);
  }
  if (answer.ok) return answer;
  const found = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, found.error ?? {}, answer.headers.get("retry-after"));
}

/** The data of server-sent events until [DONE]; a stream that ends before it has broken. */
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Error(BROKEN);
    });
    if (done) throw new Error(BROKEN);
    const pieces = (held + value).split("\n\n");
    held = pieces.pop();
    for (const piece of pieces) {
      const line = piece.split("\n").find((one) => one.startsWith("data: "));
      if (line === "data: [DONE]") return;
      if (line) yield JSON.parse(line.slice(6));
    }
  }
}
