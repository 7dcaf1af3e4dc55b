import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { logFileNames } from "../../src/observability/logs/service-log.ts";
import { type CliProcess, startCli } from "../cli/run-cli.ts";
import { waitFor } from "../stack/programs.ts";
import { formBody, formType, imagePart } from "./client.ts";
import { writeTinyBundle } from "./tiny-bundle.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const secret = "scan of my passport kumquat";
/** Also as it stands in addresses, in JSON and in RFC 5987. No digits: times have any. */
const traces = /passport|kumquat/i;
const name = `${secret}.png`;
const inUrl = encodeURIComponent(name);

let root: string;
let server: CliProcess;
let url: string;
let output = "";

/** The service as people run it, with every line that it can log. */
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "file-names-"));
  await writeTinyBundle(join(root, "checkpoints", "models"));
  const settings = ["monitoring.log_level=trace", "serving.max_upload_bytes=2000"];
  server = startCli(["serve", "--port", "0", ...settings.flatMap((setting) => ["--set", setting])], { cwd: root });
  for (const stream of [server.child.stdout!, server.child.stderr!]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  url = await waitFor("the server", () => {
    if (server.child.exitCode !== null) throw new Error(`it ended: ${output}`);
    return /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0];
  });
});
afterAll(async () => {
  server.child.kill("SIGTERM");
  await server.ended;
  await rm(root, { recursive: true, force: true });
});

interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** Without fetch, which would mend addresses. @returns the status, 0 for a connection that was cut */
function send({ method = "POST", path, headers = {}, body = "" }: Sent): Promise<number> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(url);
    const sent = request({ hostname, port, path, method, headers, agent: false }, (response) => {
      response.resume().once("close", () => resolve(response.statusCode ?? 0));
    });
    sent.once("error", () => resolve(0));
    sent.end(body);
  });
}

const json = (path: string, body: unknown): Sent => ({
  path,
  headers: { "content-type": "application/json" },
  body: typeof body === "string" ? body : JSON.stringify(body),
});

const form = (path: string, ...parts: Parameters<typeof formBody>[0]): Sent => ({
  path,
  headers: { "content-type": formType, "x-file-name": name },
  body: formBody(parts),
});

function uploads(png: Buffer): Sent[] {
  const base64 = png.toString("base64");
  const part = (content: Uint8Array | string) => imagePart(content, name);
  const ends = formBody([part(png)]);
  const v2 = "/v2/models/tiny_trainer/infer";
  const input = { name: "images", datatype: "BYTES", shape: [1], data: [base64] };
  const routes = ["/predict", "/predict/batch"].flatMap((path) => [
    form(path, part(png)),
    form(path, part("no image")),
    form(path, part(png.subarray(0, 60))),
    form(path, part("")),
    form(path, part(Buffer.alloc(5000))),
    form(path, part(png), part("no image")),
    form(path, ...new Array(70).fill(part(png))),
    form(path, { ...part(png), name: secret }),
    form(path, { name, content: secret }),
    form(path, { name: "file", content: secret }),
    form(path, { ...part(png), name: "__proto__" }),
    { path, headers: { "content-type": formType }, body: ends.subarray(0, ends.length - 40) },
    { path, headers: { "content-type": formType }, body: `--test-boundary-7f3a\r\nContent-Disposition: ${name}\r\n` },
    { path, headers: { "content-type": "multipart/form-data" }, body: ends },
    { path, headers: { "content-type": `multipart/form-data; name="${name}"` }, body: ends },
    { path, headers: { "content-type": `text/plain; name="${name}"` }, body: secret },
    { path, headers: { "content-type": name }, body: png },
    { path, headers: { "content-type": "image/png", "content-encoding": name }, body: png },
    { path, headers: { "content-type": `image/png; name="${name}"`, "content-disposition": name }, body: png },
    { path: `${path}?file=${inUrl}&top_k=${inUrl}`, headers: { "content-type": "image/png" }, body: png },
    { path: `${path}?model=${inUrl}`, headers: { "content-type": formType }, body: ends },
    { path: `${path}?version=${inUrl}`, headers: { "content-type": formType }, body: ends },
    { path: `${path}/${inUrl}`, body: png },
    { path: `${path}/${inUrl}`, method: "PUT", body: png },
    { path: `${path}/${inUrl}%zz`, method: "PUT", body: png },
    { path: `${path}?name=${inUrl}`, method: "PUT", body: png },
    json(path, { image: base64, images: [base64], [name]: name }),
    json(path, { image: name }),
    json(path, { images: [name] }),
    json(path, `{"image": ${name}`),
    json(path, JSON.stringify(name)),
  ]);
  return [
    ...routes,
    json(v2, { id: name, inputs: [input] }),
    json(v2, { inputs: [{ ...input, name }] }),
    json(v2, { inputs: [{ ...input, data: [name] }] }),
    json(v2, { inputs: [input], outputs: [{ name }] }),
    json(v2, { inputs: [{ ...input, datatype: name }] }),
    json(v2, { inputs: [input], parameters: { [name]: [] } }),
    json(v2, { [name]: [input] }),
    json("/v2/models/tiny_trainer/versions/1/infer", { inputs: [{ ...input, name }] }),
    {
      path: v2,
      headers: { "content-type": "application/octet-stream", "inference-header-content-length": "60" },
      body: JSON.stringify({ inputs: name }).padEnd(60) + secret,
    },
    json("/feedback", { request_id: name, true_label: name }),
    json("/feedback", { request_id: "none", [name]: name }),
    { path: `/${inUrl}`, method: "PUT", body: png },
    { path: `/models/${inUrl}`, body: png },
  ];
}

it("names of uploaded files stand in no line of any log, whatever route they come by and however it ends", async () => {
  const png = await sharp({ create: { width: 32, height: 32, channels: 3, background: "#3366aa" } })
    .png()
    .toBuffer();
  const statuses: number[] = [];
  const all = uploads(png);
  for (const upload of all) statuses.push(await send(upload));
  // They were read, and refused in all these ways.
  for (const status of [200, 400, 404, 405, 413, 415]) expect(statuses).toContain(status);
  expect(statuses.filter((status) => status >= 500)).toEqual([]);

  const folder = join(root, "logs");
  const access = () => readFileSync(join(folder, logFileNames.access), "utf8").trim().split("\n");
  await send({ method: "GET", path: "/health", headers: { "x-request-id": "the-last" } });
  await waitFor("the last line", () => access().at(-1)?.includes("the-last"));
  const found = [...readdirSync(folder).map((file) => readFileSync(join(folder, file), "utf8")), output]
    .flatMap((text) => text.split("\n"))
    .filter((line) => traces.test(line));
  expect(found).toEqual([]);
  // What a reader of the log needs is there.
  expect(output).toMatch(/"code":"REQUEST_INVALID","reason":"the request has no file in a field named \\"file\\" but/);
  expect(access().map((line) => JSON.parse(line).req.url)).toContain("/predict");
});
