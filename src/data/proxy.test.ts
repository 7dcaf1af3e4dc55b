import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, request as forward, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, onTestFinished, vi } from "vitest";
import { download } from "./download.ts";
import { proxyFor } from "./proxy.ts";

afterEach(() => vi.unstubAllEnvs());

const content = Buffer.from("an archive");
const checksum = { algorithm: "md5", hex: createHash("md5").update(content).digest("hex") } as const;

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "proxy-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A proxy that takes every host for the server on that port of this machine. */
async function startProxy(
  port: number,
  password?: string,
): Promise<{ readonly port: number; readonly seen: string[] }> {
  const seen: string[] = [];
  const allowed = (header: string | undefined): boolean =>
    password === undefined || header === `Basic ${Buffer.from(`ada:${password}`).toString("base64")}`;
  const proxy = createServer((incoming, outgoing) => {
    seen.push(`${incoming.method} ${incoming.url}`);
    if (!allowed(incoming.headers["proxy-authorization"])) return void outgoing.writeHead(407).end();
    const { pathname } = new URL(incoming.url ?? "");
    forward({ host: "127.0.0.1", port, path: pathname, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(outgoing);
    }).end();
  });
  proxy.on("connect", (incoming, socket) => {
    seen.push(`CONNECT ${incoming.url}`);
    if (!allowed(incoming.headers["proxy-authorization"])) return void socket.end("HTTP/1.1 407 Who are you\r\n\r\n");
    const target = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connected\r\n\r\n");
      target.pipe(socket).pipe(target);
    });
    for (const end of [target, socket]) end.on("error", () => target.destroy());
  });
  return { port: await listen(proxy), seen };
}

it("downloads an http address through HTTP_PROXY", async () => {
  const proxy = await startProxy(await listen(createServer((_request, response) => response.end(content))));
  const file = join(temporary(), "archive");
  const env = { HTTP_PROXY: `127.0.0.1:${proxy.port}` };
  await download({ url: "http://files.example/archive", file, checksum, env });
  expect(readFileSync(file)).toEqual(content);
  expect(proxy.seen).toEqual(["GET http://files.example/archive"]);
});

const openssl = spawnSync("openssl", ["version"]).status === 0;
const without = openssl ? "" : " (not run: install openssl)";

it.skipIf(!openssl)(
  `downloads an https address through a tunnel of HTTPS_PROXY, with its password${without}`,
  async () => {
    const folder = temporary();
    const [key, cert] = [join(folder, "key"), join(folder, "cert")];
    const made = ["-nodes", "-subj", "/CN=files.example", "-keyout", key, "-out", cert];
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", ...made], { stdio: "ignore" });
    const options = { key: readFileSync(key), cert: readFileSync(cert) };
    const server = createSecureServer(options, (_request, response) => response.end(content));
    const proxy = await startProxy(await listen(server), "se:cret");
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    const file = join(folder, "archive");
    const env = { https_proxy: `http://ada:se%3Acret@127.0.0.1:${proxy.port}/`, HTTPS_PROXY: "http://127.0.0.1:1" };
    await download({ url: "https://files.example/archive", file, checksum, env });
    expect(readFileSync(file)).toEqual(content);
    expect(proxy.seen).toEqual(["CONNECT files.example:443"]);
  },
);

it.each(["http", "https"])("names the proxy, without its password, that refuses an %s address", async (scheme) => {
  const proxy = await startProxy(1, "right");
  const variable = `${scheme.toUpperCase()}_PROXY`;
  const env = { [variable]: `http://ada:wrong@127.0.0.1:${proxy.port}` };
  const file = join(temporary(), "archive");
  const error = await download({ url: `${scheme}://files.example/archive`, file, checksum, env }).catch(String);
  expect(error).toContain(`(1 attempts): through the proxy http://127.0.0.1:${proxy.port} (${variable}): `);
  expect(error).toMatch(/answered 407/);
  expect(error).not.toContain("wrong");
});

it("names the proxy that can't be reached, after trying again", async () => {
  const file = join(temporary(), "archive");
  const options = { url: "https://files.example/archive", file, checksum, retries: 1, backoffMs: 1 };
  await expect(download({ ...options, env: { HTTPS_PROXY: "http://127.0.0.1:1" } })).rejects.toThrow(
    /\(2 attempts\): through the proxy http:\/\/127\.0\.0\.1:1 \(HTTPS_PROXY\): .*ECONNREFUSED/,
  );
  await expect(download({ ...options, env: { HTTPS_PROXY: "socks5://proxy:1" } })).rejects.toThrow(
    /HTTPS_PROXY does not name an http/,
  );
});

it.each([
  ["https://a.example/x", "", "proxy"],
  ["https://a.example/x", "b.example, a.example", "direct"],
  ["https://a.example/x", ".example", "direct"],
  ["https://a.example/x", "*.example", "direct"],
  ["https://a.example/x", "ple", "proxy"],
  ["https://a.example/x", "A.EXAMPLE:443", "direct"],
  ["https://a.example/x", "a.example:8443", "proxy"],
  ["https://a.example/x", "*", "direct"],
  ["https://10.0.0.7/x", "10.0.0.7", "direct"],
  ["https://[fd00::1]/x", "[fd00::1]:443", "direct"],
  ["https://[fd00::1]/x", "fd00::1", "direct"],
  ["https://localhost/x", "", "direct"],
  ["https://127.0.0.1:8443/x", "", "direct"],
  ["https://[::1]/x", "", "direct"],
  ["http://a.example/x", "", "direct"],
])("reaches %s with NO_PROXY=%j: %s", (address, exceptions, way) => {
  const env = { HTTPS_PROXY: "proxy.example:3128", NO_PROXY: exceptions };
  expect(proxyFor(new URL(address), env)?.url.href).toBe(way === "proxy" ? "http://proxy.example:3128/" : undefined);
});
