import type { Kysely, Transaction } from "kysely";
import type { Dialect } from "./dialect.ts";
import type { TrackingDatabase } from "./schema.ts";

/** What a piece of work on the store needs. */
export interface Session<Db extends Kysely<TrackingDatabase> = Kysely<TrackingDatabase>> {
  readonly db: Db;
  readonly dialect: Dialect;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** 32 hexadecimal digits, never the same twice. */
  readonly newId: () => string;
}

export type WriteSession = Session<Transaction<TrackingDatabase>>;
