import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { describeSqlStore } from "./describe-sql-store.ts";
import { describeTrackingStore } from "./describe-tracking-store.ts";
import { findPostgresql, type PostgresqlServer, startPostgresql } from "./postgresql.ts";

const binaries = findPostgresql();
const name =
  binaries === undefined ? "PostgreSQL is not installed (apt-get install postgresql, or POSTGRESQL_BIN)" : "PostgreSQL";

describe.skipIf(binaries === undefined)(name, () => {
  let server: PostgresqlServer;
  beforeAll(async () => {
    server = await startPostgresql(binaries ?? "");
  });
  afterAll(() => server[Symbol.asyncDispose]());

  let uri = "";
  describeTrackingStore("postgresql", {
    open: async () => {
      uri = await server.createDatabase();
      return openSqlStore({ path: uri });
    },
    reopen: () => openSqlStore({ path: uri }),
  });

  describeSqlStore(async () => openSqlStore({ path: await server.createDatabase() }));

  it("is brought up to date by one of several that open it at the same time", async () => {
    const database = await server.createDatabase();
    const stores = await Promise.all(Array.from({ length: 4 }, () => openSqlStore({ path: database })));
    const { runId } = (await stores[0]!.createRun("0")).info;
    await Promise.all(
      stores.map(async (store, writer) => {
        for (let step = 0; step < 20; step++)
          await store.logBatch(runId, { metrics: [{ key: "m", value: writer, step, timestamp: step }] });
      }),
    );
    expect((await stores[1]!.getMetricHistory(runId, "m")).items).toHaveLength(80);
    await Promise.all(stores.map((store) => store.close()));
  });

  it("says what is wrong with an address, without its password", async () => {
    const opening = openSqlStore({ path: "postgresql://ada:secret@127.0.0.1:1/none" });
    await expect(opening).rejects.toMatchObject({ code: "TRACKING_STORE_FAILED" });
    await expect(opening).rejects.not.toThrow(/secret/);
  });
});
