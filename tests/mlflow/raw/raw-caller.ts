/** What a server answered to one step of the scenario. */
export interface Answer {
  readonly step: string;
  readonly status: number;
  readonly type: string;
  readonly body: unknown;
}

// The scenario reads what it needs out of the answers; a server that leaves it out makes the next steps differ.
// biome-ignore lint/suspicious/noExplicitAny: answers are what is compared, no shape is taken for granted
export type Json = any;

export interface CallOptions {
  /** In place of JSON. */
  readonly raw?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** Path as it is, in place of /api/2.0/mlflow/PATH. */
  readonly at?: string;
}

/** Makes calls at one server and keeps the answers. */
export interface RawCaller {
  readonly url: string;
  readonly answers: readonly Answer[];
  /** @param line method and path below /api/2.0/mlflow; @param input the query of a GET, the JSON body of the others */
  call(step: string, line: string, input?: Json, options?: CallOptions): Promise<Json>;
}

export function openRawCaller(url: string): RawCaller {
  const answers: Answer[] = [];
  return {
    url,
    answers,
    call: async (step, line, input, { raw, headers = {}, at } = {}) => {
      if (answers.some((answer) => answer.step === step)) throw new Error(`two steps are named ${step}`);
      const [method = "GET", path = ""] = line.split(" ");
      const target = new URL(`${url}${at ?? `/api/2.0/mlflow/${path}`}`);
      const inQuery = method === "GET";
      if (inQuery)
        for (const [key, value] of Object.entries((input ?? {}) as Record<string, unknown>))
          for (const item of Array.isArray(value) ? value : [value]) target.searchParams.append(key, String(item));
      const json = inQuery || input === undefined ? undefined : JSON.stringify(input);
      const body = raw ?? json;
      const response = await fetch(target, {
        method,
        headers: { ...(json === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { body: body as string }),
      });
      const text = await response.text();
      const type = (response.headers.get("content-type") ?? "").split(";")[0] ?? "";
      answers.push({ step, status: response.status, type, body: type === "application/json" ? parse(text) : text });
      return answers.at(-1)?.body;
    },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return `no JSON: ${text}`;
  }
}
