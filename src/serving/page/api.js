// Calls of the service, with the API key of this visit where one is needed.

const keyName = "api-key";

/** An answer of the service that is no success. */
export class ApiFailure extends Error {
  constructor(status, body) {
    super(body?.message ?? `the server answered ${status}`);
    this.status = status;
    this.body = body;
    this.requestId = body?.request_id;
  }

  get needsKey() {
    return this.status === 401 || this.status === 403;
  }
}

export function rememberKey(key) {
  sessionStorage.setItem(keyName, key);
}

export async function call(path, options = {}) {
  const key = sessionStorage.getItem(keyName);
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  // A proxy in between may answer with something else than JSON.
  const body = await response.json().catch(() => undefined);
  if (!response.ok) throw new ApiFailure(response.status, body);
  return body;
}

/** The state of the service, also when it can't predict (status 503). */
export async function readHealth() {
  return call("/health").catch((failure) => {
    if (failure.body?.status === "down") return failure.body;
    throw failure;
  });
}

export function predict(file, { model, signal }) {
  const form = new FormData();
  form.append("file", file, file.name || "pasted-image");
  const query = model ? `?model=${encodeURIComponent(model)}` : "";
  return call(`/predict${query}`, { method: "POST", body: form, signal });
}

export function sendFeedback(requestId, trueLabel) {
  return call("/feedback", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ request_id: requestId, true_label: trueLabel }),
  });
}
