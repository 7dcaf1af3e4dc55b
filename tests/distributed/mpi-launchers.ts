import { spawnSync } from "node:child_process";

/** A launcher of MPI that is installed here, or why it can't be used. */
export interface MpiLauncher {
  readonly name: "openmpi" | "mpich";
  readonly mpirun: readonly string[];
  /** Says in one line how to get it; undefined where it is here. */
  readonly missing: string | undefined;
}

/** mpirun listens on all interfaces: it runs in a network of its own. */
export const privateNetwork = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] as const;

const works = (command: readonly string[]): boolean =>
  spawnSync(command[0]!, command.slice(1), { stdio: "ignore", timeout: 20_000 }).status === 0;

const hasPrivateNetwork = works([...privateNetwork, "true"]);

function find(name: MpiLauncher["name"], options: readonly string[], packages: string): MpiLauncher {
  const program = `mpirun.${name}`;
  const missing = !works([program, "--version"])
    ? `no ${program}: apt-get install ${packages}`
    : !hasPrivateNetwork
      ? "no private network for mpirun: run the tests as root with iproute2"
      : undefined;
  return { name, mpirun: [program, ...options], missing };
}

export const mpiLaunchers: readonly MpiLauncher[] = [
  find("openmpi", ["--mca", "btl", "vader,self"], "openmpi-bin libopenmpi3"),
  find("mpich", [], "mpich"),
];
