import { spawnSync } from "node:child_process";

/** Two hosts on this machine: network namespaces with a cable between them. */
export interface TwoHosts extends Disposable {
  /** In front of a command that runs on a host. */
  on(host: 0 | 1): readonly string[];
  /** Of host 0. */
  readonly address: string;
  cable(state: "up" | "down"): void;
}

function ip(...args: readonly string[]): boolean {
  return spawnSync("ip", args, { stdio: "ignore" }).status === 0;
}

/** Undefined where this user may not make namespaces. */
export function makeTwoHosts(): TwoHosts | undefined {
  const names = [0, 1].map((host) => `cifar-${process.pid}-${host}`) as [string, string];
  const dispose = (): void => {
    for (const name of names) ip("netns", "del", name);
  };
  const made =
    names.every((name) => ip("netns", "add", name)) &&
    ip("link", "add", "cable0", "netns", names[0], "type", "veth", "peer", "name", "cable1", "netns", names[1]) &&
    names.every(
      (name, host) =>
        ip("-n", name, "addr", "add", `10.177.0.${host + 1}/24`, "dev", `cable${host}`) &&
        ip("-n", name, "link", "set", "lo", "up") &&
        ip("-n", name, "link", "set", `cable${host}`, "up"),
    );
  if (!made) {
    dispose();
    return undefined;
  }
  return {
    on: (host) => ["ip", "netns", "exec", names[host]],
    address: "10.177.0.1",
    cable: (state) => void ip("-n", names[0], "link", "set", "cable0", state),
    [Symbol.dispose]: dispose,
  };
}
