import { withoutPlace } from "../environment.ts";
import { type Child, startChild } from "./child.ts";
import type { Launcher } from "./launcher.ts";

/** Starts all ranks as child processes on this machine; one that ends too early is started again alone. */
export const localLauncher: Launcher = async (plan) => {
  const { worldSize, command, env, maxRestarts, onRestart, onFailure } = plan;
  const children = new Map<number, Child>();
  let [restarts, ending] = [0, false];
  const start = (rank: number): void => {
    const child = startChild({
      command,
      tie: "channel",
      env: {
        ...withoutPlace(process.env),
        ...env,
        RANK: `${rank}`,
        WORLD_SIZE: `${worldSize}`,
        LOCAL_RANK: `${rank}`,
        LOCAL_WORLD_SIZE: `${worldSize}`,
      },
      onExit(how, code) {
        if (ending || code === 0) return;
        if (restarts >= maxRestarts) {
          onFailure(`rank ${rank} ended with ${how}, after ${restarts} restarts`);
          return;
        }
        restarts++;
        onRestart(`rank ${rank} ended with ${how}; restart ${restarts} of ${maxRestarts}`);
        start(rank);
      },
    });
    children.set(rank, child);
  };
  for (let rank = 0; rank < worldSize; rank++) start(rank);
  return {
    kill: ({ rank, pid }) => {
      const child = children.get(rank);
      // Another one has its place already where it died by itself.
      if (child?.pid === pid) child.kill();
    },
    async finish() {
      ending = true;
      await Promise.all([...children.values()].map((child) => child.end()));
    },
    async [Symbol.asyncDispose]() {
      ending = true;
      for (const child of children.values()) child.kill();
      await Promise.all([...children.values()].map((child) => child.end()));
    },
  };
};
