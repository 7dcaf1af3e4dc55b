import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe } from "vitest";
import { createHttpClient } from "../../src/tracking/client/http.ts";
import { createRestStore } from "../../src/tracking/client/rest-store.ts";
import { startTrackingServer, type TrackingServer } from "../../src/tracking/server/server.ts";
import { describeTrackingStore } from "./describe-tracking-store.ts";

const folder = mkdtempSync(join(tmpdir(), "cifar-tracking-rest-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
let server: TrackingServer | undefined;
const client = () => createRestStore(createHttpClient({ url: server!.url, retries: 0 }));

describe("our client and our server", () => {
  afterEach(() => server?.close());
  describeTrackingStore("rest", {
    open: async () => {
      count += 1;
      server = await startTrackingServer({ port: 0, store: join(folder, `store-${count}`, "t.sqlite") });
      return client();
    },
    reopen: async () => client(),
  });
});
