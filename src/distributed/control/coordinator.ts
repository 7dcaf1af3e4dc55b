import { PipelineError } from "../../base/errors.ts";
import type { LostProcess } from "../launchers/launcher.ts";
import type { ByteStream } from "../tcp/byte-stream.ts";
import { receiveJson, sendJson } from "../tcp/frames.ts";
import { startListener } from "../tcp/listener.ts";
import {
  type CoordinatorMessage,
  type MemberMessage,
  maxMessageBytes,
  memberMessage,
  type Welcome,
} from "./messages.ts";
import { startPulse } from "./pulse.ts";

export interface CoordinatorOptions extends Omit<Welcome, "type" | "task"> {
  /** What a process that comes now is to do. */
  readonly task: () => unknown;
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  readonly secret: string;
  /** What ranks report, in the order of each. */
  readonly onReport: (rank: number, report: unknown) => void;
  /** A rank is gone or hangs; it may come back. */
  readonly onLost: (process: LostProcess, reason: string) => void;
  /** A group is complete. */
  readonly onGroup: (generation: number) => void;
  /** A rank did not come (back) in time. */
  readonly onFailure: (error: PipelineError) => void;
}

/** Knows which processes of a training are alive and puts them into groups. */
export interface Coordinator extends AsyncDisposable {
  readonly port: number;
  /** Asks all to stop when it suits, also those that come later. */
  stop(): void;
  /** Tells all that the work is done. */
  end(): void;
}

interface Member extends LostProcess {
  readonly stream: ByteStream;
  lastHeard: number;
  address: { readonly host: string; readonly port: number } | undefined;
  /** It has been ready for a group: before, it would end without the others when it is asked to stop. */
  joined: boolean;
  done: boolean;
}

/** Lives in the process that owns the run, or in that of rank 0. @throws ADDRESS_UNAVAILABLE */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { worldSize, heartbeatTimeoutMs, rejoinTimeoutMs, callTimeoutMs, onReport, onLost, onGroup, onFailure } =
    options;
  const members = new Map<number, Member>();
  let generation = 0;
  /** Whether all are in a group that works. */
  let grouped = false;
  let incompleteSince = performance.now();
  let [stopping, ended] = [false, false];

  const send = (member: Member, message: CoordinatorMessage): void => sendJson(member.stream, message);
  const dissolve = (reason: string): void => {
    if (!grouped) return;
    grouped = false;
    incompleteSince = performance.now();
    for (const member of members.values()) if (member.address === undefined) send(member, { type: "lost", reason });
  };
  const lose = (member: Member, reason: string): void => {
    if (members.get(member.rank) !== member) return;
    members.delete(member.rank);
    member.stream.destroy();
    if (ended || member.done) return;
    dissolve(`rank ${member.rank}: ${reason}`);
    onLost(member, reason);
  };
  const form = (): void => {
    const all = Array.from({ length: worldSize }, (_, rank) => members.get(rank));
    if (ended || all.some((member) => member?.address === undefined)) return;
    generation++;
    grouped = true;
    const addresses = all.map((member) => member!.address!);
    for (const member of all) {
      member!.address = undefined;
      send(member!, { type: "group", generation, members: addresses });
    }
    onGroup(generation);
  };
  const handle = (member: Member, message: MemberMessage): void => {
    switch (message.type) {
      case "hello":
        throw new PipelineError("PEER_REFUSED", `rank ${member.rank} said hello twice`);
      case "join":
        member.address = message.address;
        if (ended) send(member, { type: "end" });
        if (stopping && !member.joined) send(member, { type: "stop" });
        member.joined = true;
        dissolve(`rank ${member.rank} asked for a new group`);
        form();
        break;
      case "beat":
        send(member, { type: "beat" });
        break;
      case "report":
        onReport(member.rank, message.report);
        break;
      case "done":
        member.done = true;
        break;
      default:
        message satisfies never;
    }
  };
  const admit = async (stream: ByteStream): Promise<void> => {
    const hello = memberMessage.parse(await receiveJson(stream, maxMessageBytes));
    if (hello.type !== "hello" || hello.rank >= worldSize) {
      throw new PipelineError("PEER_REFUSED", `a process came that is none of the ranks 0 to ${worldSize - 1}`);
    }
    const { rank, hostname, pid } = hello;
    const before = members.get(rank);
    if (before !== undefined) lose(before, "another process took its place");
    const member: Member = {
      rank,
      hostname,
      pid,
      stream,
      lastHeard: performance.now(),
      address: undefined,
      joined: false,
      done: false,
    };
    members.set(rank, member);
    stream.onLost((error) => lose(member, error.message));
    const { transport, algorithm, task } = options;
    const limits = { heartbeatTimeoutMs, callTimeoutMs, rejoinTimeoutMs };
    send(member, { type: "welcome", worldSize, transport, algorithm, task: task(), ...limits });
    try {
      for (;;) {
        const message = memberMessage.parse(await receiveJson(stream, maxMessageBytes));
        member.lastHeard = performance.now();
        handle(member, message);
      }
    } catch (error) {
      lose(member, error instanceof Error ? error.message : String(error));
    }
  };

  const listener = await startListener({
    host: options.host,
    port: options.port,
    secret: options.secret,
    purpose: "control",
    onConnection: (stream) => {
      admit(stream).catch(() => stream.destroy());
    },
  });
  const watch = startPulse(Math.min(500, heartbeatTimeoutMs / 4), (overslept) => {
    const now = performance.now();
    incompleteSince += overslept;
    for (const member of [...members.values()]) {
      member.lastHeard += overslept;
      const silent = now - member.lastHeard;
      if (silent > heartbeatTimeoutMs) lose(member, `was silent for ${(silent / 1000).toFixed(1)} seconds`);
      // It lives, but what it computes does not come to an end.
      else if (!grouped && generation > 0 && member.address === undefined && now - incompleteSince > callTimeoutMs) {
        lose(member, `did not leave a broken group in ${callTimeoutMs / 1000} seconds`);
      }
    }
    if (grouped || ended || now - incompleteSince < rejoinTimeoutMs) return;
    const missing = Array.from({ length: worldSize }, (_, rank) => rank).filter((rank) => !members.has(rank));
    if (missing.length === 0) return;
    onFailure(
      new PipelineError("PEER_LOST", `rank ${missing.join(", ")} did not come in ${rejoinTimeoutMs / 1000} seconds`, {
        remedy: "start the missing processes, or raise distributed.rejoin_timeout; go on with --resume last",
        details: { missing, rejoinTimeoutMs },
      }),
    );
  });

  return {
    port: listener.port,
    stop() {
      stopping = true;
      for (const member of members.values()) if (member.joined) send(member, { type: "stop" });
    },
    end() {
      ended = true;
      for (const member of members.values()) send(member, { type: "end" });
    },
    async [Symbol.asyncDispose]() {
      ended = true;
      watch[Symbol.dispose]();
      await listener[Symbol.asyncDispose]();
    },
  };
}
