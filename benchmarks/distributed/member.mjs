// One process of an all-reduce benchmark: as a training does it, from one thread through another.
import { joinTraining } from "../../dist/distributed/communicator.js";
import { rankFromEnvironment } from "../../dist/distributed/environment.js";

const { rank } = rankFromEnvironment(process.env);
const communicator = await joinTraining({
  rank,
  host: process.env.MASTER_ADDR,
  port: Number(process.env.MASTER_PORT),
  secret: process.env.CIFAR_DISTRIBUTED_SECRET,
  patienceMs: 20_000,
});
const { sizes, repeats } = communicator.welcome.task;
const group = await communicator.nextGroup();
const times = {};
for (const mb of sizes) {
  const data = group.allocate(mb * 2 ** 18);
  times[mb] = [];
  for (let i = -2; i < repeats; i++) {
    data.fill(1);
    await group.barrier();
    const began = performance.now();
    await group.allReduce(data);
    if (i >= 0) times[mb].push(performance.now() - began);
  }
  if (data[0] !== group.worldSize || data.at(-1) !== group.worldSize) throw new Error(`a wrong sum: ${data[0]}`);
}
if (rank === 0) communicator.report({ times, description: group.description });
communicator.done();
await communicator.ended();
await communicator[Symbol.asyncDispose]();
