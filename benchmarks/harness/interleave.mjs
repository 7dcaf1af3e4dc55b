import { setTimeout as sleep } from "node:timers/promises";

/** Threads of the one that has just finished go to sleep before the next begins. */
const SETTLE_MS = 100;

/**
 * Asks contestants in turn, each for `steps` steps, for `rounds` rounds or until `budgetMs` is over (at least three
 * rounds). Each round begins with another contestant, so that none always follows the same one.
 * @returns times[i][r]: milliseconds of the steps of contestant i in round r; idleShare: the largest share of one core
 *   that the waiting ones together used during a turn, null where unknown
 */
export async function interleave(contestants, { rounds, steps, budgetMs }) {
  const times = contestants.map(() => []);
  let idleShare = null;
  const start = performance.now();
  for (let round = 0; round < rounds; round++) {
    if (round >= 3 && performance.now() - start > budgetMs) break;
    for (let turn = 0; turn < contestants.length; turn++) {
      const index = (round + turn) % contestants.length;
      await sleep(SETTLE_MS);
      const waiting = contestants.filter((_, i) => i !== index);
      const before = cpuOf(waiting);
      const began = performance.now();
      const { ms, loss } = await contestants[index].ask({ steps });
      const seconds = (performance.now() - began) / 1000;
      if (ms.length !== steps || !Number.isFinite(loss)) {
        throw new Error(`${contestants[index].name}: ${ms.length} of ${steps} steps, loss ${loss}`);
      }
      times[index].push(ms);
      const after = cpuOf(waiting);
      if (before !== null && after !== null) idleShare = Math.max(idleShare ?? 0, (after - before) / seconds);
    }
  }
  return { times, idleShare };
}

function cpuOf(contestants) {
  const seconds = contestants.map((contestant) => contestant.cpuSeconds());
  return seconds.includes(null) ? null : seconds.reduce((sum, value) => sum + value, 0);
}
