import type { ModelEvent } from "../registry.ts";
import { modelRow } from "./registry-rows.ts";
import type { Session, WriteSession } from "./session.ts";

/** The newest so many are read. */
const maxEvents = 1000;

/** Records what happened to a version, as part of what made it happen. */
export async function noteEvent(
  session: WriteSession,
  name: string,
  { version, kind, value }: { readonly version: number; readonly kind: ModelEvent["kind"]; readonly value: string },
): Promise<void> {
  const { db } = session;
  // Holds the model's row: two writers do not count to the same position.
  await db
    .updateTable("registered_models")
    .set((row) => ({ name: row.ref("name") }))
    .where("name", "=", name)
    .execute();
  const last = await db
    .selectFrom("model_events")
    .select("position")
    .where("name", "=", name)
    .orderBy("position", "desc")
    .limit(1)
    .executeTakeFirst();
  await db
    .insertInto("model_events")
    .values({ name, position: (last?.position ?? 0) + 1, time: session.now(), version, kind, value })
    .execute();
}

/** What happened to the versions of a model, the newest first. */
export async function getModelHistory(session: Session, name: string): Promise<readonly ModelEvent[]> {
  await modelRow(session, name);
  const rows = await session.db
    .selectFrom("model_events")
    .selectAll()
    .where("name", "=", name)
    .orderBy("position", "desc")
    .limit(maxEvents)
    .execute();
  return rows.map(({ time, version, kind, value }) => ({
    time,
    version: String(version),
    kind: kind as ModelEvent["kind"],
    value,
  }));
}
