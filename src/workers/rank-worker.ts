// Thread of one process in a distributed training: joins the others, trains with them, tells the owner of the run.
import { parentPort, workerData } from "node:worker_threads";
import { transferError } from "../base/error-transfer.ts";
import { isPipelineError } from "../base/errors.ts";
import { joinTraining } from "../distributed/communicator.ts";
import type { RankStart } from "../experiments/rank-place.ts";
import type { RankReport } from "../experiments/rank-report.ts";
import { runTraining } from "../experiments/train.ts";
import type { TrainingRequest } from "../experiments/training-request.ts";

const { join, threads } = workerData as RankStart;

try {
  await using communicator = await joinTraining(join);
  const report = (message: RankReport): void => communicator.report(message);
  try {
    const outcome = await runTraining(communicator.welcome.task as TrainingRequest, {
      signal: communicator.stopping,
      communicator,
      threads,
      // All tell the same; warnings are each one's own.
      onEvent: (event) => {
        if (join.rank === 0 || event.type === "warning") report({ type: "event", event });
      },
    });
    if (join.rank === 0) {
      report({ type: "outcome", outcome });
      await communicator.ended();
    }
  } catch (error) {
    const isLost = isPipelineError(error, "PEER_LOST");
    // Lost processes are started again; everything else would happen again.
    if (!isLost) report({ type: "failed", error: transferError(error) });
    // It came back when the others were done.
    if (!(isLost && communicator.hasEnded && join.rank !== 0)) throw error;
  }
} catch (error) {
  parentPort?.postMessage(error instanceof Error ? error.message : String(error));
}
parentPort?.close();
