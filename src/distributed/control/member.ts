import { hostname } from "node:os";
import { PipelineError } from "../../base/errors.ts";
import type { ByteStream } from "../tcp/byte-stream.ts";
import { connect } from "../tcp/connect.ts";
import { receiveJson, sendJson } from "../tcp/frames.ts";
import {
  type CoordinatorMessage,
  coordinatorMessage,
  type MemberMessage,
  maxMessageBytes,
  type Welcome,
} from "./messages.ts";
import { startPulse } from "./pulse.ts";

export interface MembershipOptions {
  readonly rank: number;
  /** Of the coordinator. */
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  /** How long to look for a coordinator that does not answer. */
  readonly patienceMs: number;
  /** The group is broken: its pending calls have to end. */
  readonly onLost: (reason: PipelineError) => void;
  readonly onStop: () => void;
  /** All is done. */
  readonly onEnd: () => void;
}

export interface Group {
  readonly generation: number;
  readonly members: readonly { readonly host: string; readonly port: number }[];
}

/** A process's line to the coordinator, held open by heartbeats in both directions and taken up again when it is cut. */
export interface Membership extends AsyncDisposable {
  readonly welcome: Welcome;
  /** Address of this process on the network that leads to the coordinator. */
  readonly localAddress: string;
  /** Waits for the next complete group. @throws PEER_LOST when there is no coordinator any more */
  join(port: number): Promise<Group>;
  report(report: unknown): void;
  done(): void;
}

interface Line {
  readonly stream: ByteStream;
  readonly welcome: Welcome;
  lastHeard: number;
}

/** @throws PEER_REFUSED, PEER_LOST */
export async function becomeMember(options: MembershipOptions): Promise<Membership> {
  const { rank, host, port, secret, onLost, onStop, onEnd } = options;
  let waiting: { resolve: (group: Group) => void; reject: (error: PipelineError) => void } | undefined;
  let closed = false;
  let patienceMs = options.patienceMs;

  const cut = (error: PipelineError): void => {
    if (closed) return;
    onLost(error);
    waiting?.reject(error);
    waiting = undefined;
  };
  const handle = (message: CoordinatorMessage): void => {
    switch (message.type) {
      case "welcome":
      case "beat":
        break;
      case "group":
        waiting?.resolve(message);
        waiting = undefined;
        break;
      case "lost":
        onLost(new PipelineError("PEER_LOST", message.reason));
        break;
      case "stop":
        onStop();
        break;
      case "end":
        onEnd();
        waiting?.reject(new PipelineError("PEER_LOST", "the training has ended without this process"));
        waiting = undefined;
        break;
      default:
        message satisfies never;
    }
  };
  const open = async (): Promise<Line> => {
    const stream = await connect({ host, port, secret, purpose: "control", patienceMs });
    sendJson(stream, { type: "hello", rank, hostname: hostname(), pid: process.pid } satisfies MemberMessage);
    const welcome = coordinatorMessage.parse(await receiveJson(stream, maxMessageBytes));
    if (welcome.type !== "welcome") throw new PipelineError("PEER_REFUSED", "the coordinator did not say welcome");
    const line: Line = { stream, welcome, lastHeard: performance.now() };
    const beat = startPulse(Math.min(1000, welcome.heartbeatTimeoutMs / 4), (overslept) => {
      line.lastHeard += overslept;
      const silent = performance.now() - line.lastHeard;
      if (silent > welcome.heartbeatTimeoutMs) stream.destroy();
      else sendJson(stream, { type: "beat" } satisfies MemberMessage);
    });
    stream.onLost((cause) => {
      beat[Symbol.dispose]();
      cut(new PipelineError("PEER_LOST", `the line to the coordinator is cut: ${cause.message}`, { cause }));
    });
    const listen = async (): Promise<void> => {
      for (;;) {
        const message = coordinatorMessage.parse(await receiveJson(stream, maxMessageBytes));
        line.lastHeard = performance.now();
        handle(message);
      }
    };
    listen().catch(() => stream.destroy());
    return line;
  };

  let line = await open();
  patienceMs = line.welcome.rejoinTimeoutMs;
  return {
    get welcome() {
      return line.welcome;
    },
    get localAddress() {
      return line.stream.localAddress;
    },
    async join(at) {
      const until = performance.now() + patienceMs;
      for (;;) {
        try {
          if (line.stream.isLost) line = await open();
          return await new Promise<Group>((resolve, reject) => {
            waiting = { resolve, reject };
            const address = { host: line.stream.localAddress, port: at };
            sendJson(line.stream, { type: "join", address } satisfies MemberMessage);
          });
        } catch (error) {
          // The line was cut while this process waited for others: another look for the coordinator.
          if (!line.stream.isLost || performance.now() > until) throw error;
        }
      }
    },
    report(report) {
      sendJson(line.stream, { type: "report", report } satisfies MemberMessage);
    },
    done() {
      sendJson(line.stream, { type: "done" } satisfies MemberMessage);
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await line.stream.flushed().catch(() => undefined);
      line.stream.end();
      line.stream.destroy();
    },
  };
}
