import { expect, it } from "vitest";
import type { SqlStore } from "../../src/tracking/sql/store.ts";

/** What only a store of ours can tell: what happened to the versions of a model. */
export function describeModelHistory(open: () => Promise<SqlStore>): void {
  it("tells what happened to the versions of a model", async () => {
    await using store = await open();
    await store.createRegisteredModel("net");
    for (const source of ["s3://a", "s3://b"]) await store.createModelVersion("net", { source });
    await store.transitionStage("net", "1", { stage: "Production", archiveExisting: "no" });
    await store.transitionStage("net", "2", { stage: "Production", archiveExisting: "yes" });
    await store.setAlias("net", { alias: "champion", version: "1" });
    await store.setAlias("net", { alias: "champion", version: "2" });
    await store.deleteAlias("net", "champion");
    await store.deleteAlias("net", "champion");
    await store.deleteModelVersion("net", "1");
    await store.renameRegisteredModel("net", "renamed");
    const events = await store.getModelHistory("renamed");
    expect(events.map(({ version, kind, value }) => `${version} ${kind} ${value}`.trim())).toEqual([
      "1 deleted",
      "2 alias removed champion",
      "2 alias set champion",
      "1 alias set champion",
      "2 stage Production",
      "1 stage Archived",
      "1 stage Production",
      "2 created",
      "1 created",
    ]);
    // Two at once both leave their mark.
    await Promise.all(["a", "b", "c"].map((alias) => store.setAlias("renamed", { alias, version: "2" })));
    expect(await store.getModelHistory("renamed")).toHaveLength(12);
    await store.deleteRegisteredModel("renamed");
    await expect(store.getModelHistory("renamed")).rejects.toMatchObject({ code: "TRACKING_NOT_FOUND" });
  });
}
