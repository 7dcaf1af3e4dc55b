import type { ErrorCode } from "../base/error-codes.ts";
import type { Welcome } from "./control/messages.ts";

/** How a process finds the others. */
export interface JoinOptions {
  readonly rank: number;
  /** Of the coordinator. */
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  /** How long to look for a coordinator that does not answer yet. */
  readonly patienceMs: number;
}

export interface GroupDescription {
  readonly rank: number;
  readonly worldSize: number;
  readonly description: string;
}

/** What the thread that computes asks of the thread that communicates. */
export type CommunicatorCall =
  | { readonly type: "group" }
  | { readonly type: "allReduce"; readonly data: Float32Array; readonly residual?: Float32Array }
  | { readonly type: "broadcast"; readonly data: Uint8Array; readonly root: number }
  | { readonly type: "allGather"; readonly data: Uint8Array }
  | { readonly type: "barrier" }
  | { readonly type: "abort"; readonly reason: string }
  | { readonly type: "close" };

export type CommunicatorRequest =
  | { readonly type: "call"; readonly id: number; readonly call: CommunicatorCall }
  | { readonly type: "report"; readonly report: unknown }
  | { readonly type: "done" };

export type CommunicatorReply =
  | { readonly type: "welcome"; readonly welcome: Welcome }
  | { readonly type: "unwelcome"; readonly error: PlainError }
  | { readonly type: "result"; readonly id: number; readonly value: unknown }
  | { readonly type: "error"; readonly id: number; readonly error: PlainError }
  | { readonly type: "lost"; readonly reason: string }
  | { readonly type: "stop" }
  | { readonly type: "end" };

export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
}
