import { execFile, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A database server of our own, on a free port and in a temporary folder. */
export interface PostgresqlServer extends AsyncDisposable {
  /** The URI of a new, empty database. */
  createDatabase(): Promise<string>;
}

/** Folder of initdb and postgres; undefined where PostgreSQL is not installed (Debian: apt-get install postgresql). */
export function findPostgresql(): string | undefined {
  const given = process.env.POSTGRESQL_BIN;
  const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql").sort() : [];
  const folders = [...(given === undefined ? [] : [given]), ...versions.map((v) => `/usr/lib/postgresql/${v}/bin`)];
  return folders.findLast((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")));
}

export async function startPostgresql(binaries: string): Promise<PostgresqlServer> {
  const folder = mkdtempSync(join(tmpdir(), "cifar-postgresql-"));
  // PostgreSQL refuses to run as root: then it runs as the user that its package has made.
  const user = process.getuid?.() === 0 ? userNamed("postgres") : undefined;
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const identity = user === undefined ? {} : { uid: user.uid, gid: user.gid };
  const data = join(folder, "data");
  await run(join(binaries, "initdb"), ["-D", data, "-U", "cifar", "--auth=trust", "-E", "UTF8", "--no-sync"], {
    cwd: folder,
    ...identity,
  });
  const port = await freePort();
  const child = spawn(
    join(binaries, "postgres"),
    ["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", folder, "-c", "fsync=off"],
    { cwd: folder, stdio: "ignore", ...identity },
  );
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const psql = (sql: string) =>
    run(join(binaries, "psql"), ["-h", "127.0.0.1", "-p", String(port), "-U", "cifar", "-d", "postgres", "-c", sql]);
  for (let attempt = 0; ; attempt++) {
    try {
      await psql("SELECT 1");
      break;
    } catch (error) {
      if (attempt > 100 || child.exitCode !== null) throw error;
      await sleep(100);
    }
  }
  let count = 0;
  return {
    createDatabase: async () => {
      count += 1;
      await psql(`CREATE DATABASE tracking${count}`);
      return `postgresql://cifar@127.0.0.1:${port}/tracking${count}`;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGINT");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function userNamed(name: string): { readonly uid: number; readonly gid: number } {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`there is no user ${name} to run PostgreSQL as`);
  return { uid: Number(uid), gid: Number(gid) };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
