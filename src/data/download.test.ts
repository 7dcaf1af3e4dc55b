import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DownloadOptions, download } from "./download.ts";

const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
const checksum = { algorithm: "md5", hex: createHash("md5").update(content).digest("hex") } as const;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let folder: string;
let file: string;
let server: Server | undefined;
let ranges: (string | undefined)[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "download-"));
  file = join(folder, "sub", "archive.tar.gz");
  ranges = [];
});

afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

/** Starts a server whose n-th request goes to the n-th handler, the last one also taking all further ones. */
async function serve(...handlers: Handler[]): Promise<string> {
  server = createServer((request, response) => {
    ranges.push(request.headers.range);
    handlers[Math.min(ranges.length, handlers.length) - 1]!(request, response);
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/archive`;
}

const start = (request: IncomingMessage) => Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);

/** As a good server answers; may break off after some bytes or say nothing more. */
function ranged(
  options: { readonly bytes?: Buffer; readonly stopAfter?: number; readonly hang?: number } = {},
): Handler {
  const { bytes = content, stopAfter, hang } = options;
  return (request, response) => {
    const from = start(request);
    if (from >= bytes.length) {
      response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
      return;
    }
    const headers = { "content-length": bytes.length - from };
    if (from > 0) {
      response.writeHead(206, { ...headers, "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
    } else response.writeHead(200, headers);
    if (hang !== undefined) response.write(bytes.subarray(from, from + hang));
    else if (stopAfter === undefined) response.end(bytes.subarray(from));
    else {
      response.write(bytes.subarray(from, from + stopAfter));
      // What has not been read by then would be lost with the connection.
      void received(from + stopAfter).then(() => response.destroy());
    }
  };
}

/** Until so many bytes lie in the part of the file. */
async function received(count: number): Promise<void> {
  for (let waited = 0; waited < 10_000; waited += 5) {
    const size = await stat(`${file}.part`).then(
      (found) => found.size,
      () => 0,
    );
    if (size >= count) return;
    await sleep(5);
  }
}

/** Knows no ranges. */
const whole: Handler = (_request, response) => {
  response.writeHead(200, { "content-length": content.length }).end(content);
};

const status =
  (code: number): Handler =>
  (_request, response) => {
    response.writeHead(code).end("no");
  };

const fetchFrom = (url: string, options: Partial<DownloadOptions> = {}) =>
  download({ url, file, checksum, backoffMs: 1, retries: 2, stallTimeoutMs: 5000, ...options });

async function expectWhole(): Promise<void> {
  expect(Buffer.compare(await readFile(file), content)).toBe(0);
  expect(existsSync(`${file}.part`)).toBe(false);
}

describe("download", () => {
  it("fetches a file and tells its progress", async () => {
    const done: number[] = [];
    await fetchFrom(await serve(ranged()), {
      onProgress: (progress) => {
        expect(progress).toMatchObject({ stage: "download", total: content.length });
        done.push(progress.done);
      },
    });
    await expectWhole();
    expect(done.at(-1)).toBe(content.length);
  });

  it("goes on after connections that break off, from the byte where each stopped", async () => {
    await fetchFrom(await serve(ranged({ stopAfter: 100_000 }), ranged({ stopAfter: 50_000 }), ranged()));
    await expectWhole();
    expect(ranges).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
  });

  it("goes on with the part that an earlier run left", async () => {
    const url = await serve(ranged({ stopAfter: 120_000 }), status(404), ranged());
    await expect(fetchFrom(url)).rejects.toMatchObject({ code: "DOWNLOAD_FAILED" });
    expect(existsSync(file)).toBe(false);
    expect(await readFile(`${file}.part`)).toHaveLength(120_000);
    await fetchFrom(url);
    await expectWhole();
    expect(ranges.at(-1)).toBe("bytes=120000-");
  });

  it("finishes a part that was whole already", async () => {
    const url = await serve(ranged({ stopAfter: 10 }), status(404), ranged());
    await expect(fetchFrom(url)).rejects.toThrow(/404/);
    await writeFile(`${file}.part`, content);
    await fetchFrom(url);
    await expectWhole();
  });

  it("starts anew when the server ignores ranges", async () => {
    await fetchFrom(await serve(ranged({ stopAfter: 100_000 }), whole));
    await expectWhole();
    expect(ranges).toEqual([undefined, "bytes=100000-"]);
  });

  it("starts anew when the old part belongs to another file", async () => {
    const url = await serve(ranged({ bytes: Buffer.alloc(content.length, 1), stopAfter: 1000 }), ranged());
    await fetchFrom(url);
    await expectWhole();
    expect(ranges).toEqual([undefined, "bytes=1000-", undefined]);
  });

  it("refuses another checksum and keeps nothing", async () => {
    await expect(fetchFrom(await serve(ranged({ bytes: Buffer.from("other") })))).rejects.toMatchObject({
      code: "DATA_CORRUPT",
    });
    expect(existsSync(file) || existsSync(`${file}.part`)).toBe(false);
  });

  it("never takes a short answer without a length for the whole", async () => {
    const short: Handler = (_request, response) => {
      response.writeHead(200);
      response.write(content.subarray(0, 5000));
      response.end();
    };
    await expect(fetchFrom(await serve(short))).rejects.toMatchObject({ code: "DATA_CORRUPT" });
    expect(existsSync(file)).toBe(false);
  });

  it("gives up a silent connection and goes on with a new one", async () => {
    await fetchFrom(await serve(ranged({ hang: 70_000 }), ranged()), { stallTimeoutMs: 1500 });
    await expectWhole();
    expect(ranges[1]).toBe("bytes=70000-");
  });

  it("gives up a server that never answers", async () => {
    const url = await serve(() => undefined);
    await expect(fetchFrom(url, { stallTimeoutMs: 500, retries: 1 })).rejects.toThrow(/no data for 0.5 s/);
    expect(ranges).toHaveLength(2);
  });

  it("tries again after 503, not after 404", async () => {
    await fetchFrom(await serve(status(503), ranged()));
    await expectWhole();
    await rm(file);
    server?.close();
    ranges = [];
    await expect(fetchFrom(await serve(status(404)))).rejects.toThrow(/404/);
    expect(ranges).toHaveLength(1);
  });

  it("refuses more bytes than allowed, announced or not", async () => {
    await expect(fetchFrom(await serve(ranged()), { maxBytes: 1000 })).rejects.toThrow(/the limit is 1000/);
    server?.close();
    const endless: Handler = (_request, response) => {
      response.writeHead(200);
      response.end(content);
    };
    await expect(fetchFrom(await serve(endless), { maxBytes: 1000 })).rejects.toThrow(/the limit is 1000/);
    expect(existsSync(file) || existsSync(`${file}.part`)).toBe(false);
  });

  it("follows redirects, but not in circles or to other protocols", async () => {
    const to =
      (location: string): Handler =>
      (_request, response) => {
        response.writeHead(302, { location }).end();
      };
    await fetchFrom(await serve(to("/other"), ranged()));
    await expectWhole();
    server?.close();
    await expect(fetchFrom(await serve(to("/again")))).rejects.toThrow(/redirects/);
    server?.close();
    await expect(fetchFrom(await serve(to("file:///etc/hosts")))).rejects.toThrow(/refused redirect/);
  });

  it("does not decode a body that is served as content-encoding gzip", async () => {
    const encoded: Handler = (_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip", "content-length": content.length }).end(content);
    };
    await fetchFrom(await serve(encoded));
    await expectWhole();
  });

  it("stops when it is told to and keeps the part", async () => {
    const stop = new AbortController();
    const url = await serve(ranged({ hang: 60_000 }));
    const running = fetchFrom(url, { signal: stop.signal, onProgress: () => stop.abort() });
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
    expect(existsSync(file)).toBe(false);
    expect((await readFile(`${file}.part`)).length).toBeGreaterThan(0);
  });

  it("says so when nobody listens", async () => {
    const url = await serve(ranged());
    server?.close();
    await expect(fetchFrom(url, { retries: 1 })).rejects.toMatchObject({ code: "DOWNLOAD_FAILED" });
  });
});
