import { readFileSync } from "node:fs";

/** Process ids of the ranks that a launcher has started, from what the system tells. */
export function rankProcesses(launcher: number): ReadonlyMap<number, number> {
  const ranks = new Map<number, number>();
  const look = (pid: number): void => {
    const read = (file: string): string => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, "utf8");
      } catch {
        return "";
      }
    };
    const rank = /\0(?:RANK|OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)\0/.exec(`\0${read("environ")}`)?.[1];
    if (rank !== undefined && read("cmdline").includes("rank-process")) ranks.set(Number(rank), pid);
    for (const child of read(`task/${pid}/children`).trim().split(" ")) if (child !== "") look(Number(child));
  };
  look(launcher);
  return ranks;
}
