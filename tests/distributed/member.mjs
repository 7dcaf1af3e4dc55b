// One process of a group under test: computes the cases of the conformance suite and prints what came out.
// Argument: how the last rank leaves: "none" (with the others), "hang", "stop" or "die".
import { startCommunicatorHost } from "../../dist/distributed/communicator-host.js";
import { rankFromEnvironment } from "../../dist/distributed/environment.js";

const [ending] = process.argv.slice(2);
const { rank, worldSize } = rankFromEnvironment(process.env);

const waiting = new Map();
let next = 0;
const join = {
  rank,
  host: "127.0.0.1",
  port: Number(process.env.MASTER_PORT),
  secret: process.env.CIFAR_DISTRIBUTED_SECRET,
  patienceMs: 20_000,
};
let goOn;
const allPassed = new Promise((resolve) => {
  goOn = resolve;
});
const host = await startCommunicatorHost(join, (reply) => {
  if (reply.type === "stop") goOn();
  if (reply.type === "result") waiting.get(reply.id).resolve(reply.value);
  if (reply.type === "error") waiting.get(reply.id).reject(Object.assign(new Error(reply.error.message), reply.error));
});
const call = (what) =>
  new Promise((resolve, reject) => {
    waiting.set(next, { resolve, reject });
    host.handle({ type: "call", id: next++, call: what });
  });
const report = (name, value) => host.handle({ type: "report", report: { name, value } });
/** Whole numbers, so that any order of summing gives the same; different for each rank and place. */
const numbers = (length, of) => Float32Array.from({ length }, (_, i) => ((i * 7 + of * 13) % 64) - 32);
const sums = (length) =>
  Float32Array.from({ length }, (_, i) => {
    let total = 0;
    for (let of = 0; of < worldSize; of++) total += ((i * 7 + of * 13) % 64) - 32;
    return total;
  });
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

const { description } = await call({ type: "group" });
report("description", description);

for (const length of [0, 1, 3, worldSize, 1000, 4097, 65_536, 65_537, 2_500_003]) {
  const data = numbers(length, rank);
  await call({ type: "allReduce", data });
  report(`sum of ${length}`, same(data, sums(length)));
}

// Numbers whose sums are rounded: all members must round alike.
const rounded = Float32Array.from({ length: 70_000 }, (_, i) => Math.sin(i + rank * 1000));
await call({ type: "allReduce", data: rounded });
const bits = Buffer.from(rounded.buffer);
const all = await call({ type: "allGather", data: bits });
report(
  "same bits",
  all.every((other) => Buffer.compare(other, bits) === 0),
);
const exact = Float64Array.from({ length: 70_000 }, (_, i) => {
  let total = 0;
  for (let of = 0; of < worldSize; of++) total += Math.fround(Math.sin(i + of * 1000));
  return total;
});
report(
  "largest error",
  rounded.reduce((most, x, i) => Math.max(most, Math.abs(x - exact[i])), 0),
);

// Several calls at once are carried out in their order.
const order = Array.from({ length: 20 }, (_, i) => numbers(10 + i, rank + i));
await Promise.all(order.map((data) => call({ type: "allReduce", data })));
report(
  "order",
  order.every((data, i) => {
    const expected = new Float32Array(10 + i);
    for (let of = 0; of < worldSize; of++)
      numbers(10 + i, of + i).forEach((x, at) => {
        expected[at] += x;
      });
    return same(data, expected);
  }),
);

for (let root = 0; root < worldSize; root++) {
  for (const length of [0, 1, 300_000]) {
    const sent = Uint8Array.from({ length: rank === root ? length : 0 }, (_, i) => (i * 3 + root) % 251);
    const received = await call({ type: "broadcast", data: sent, root });
    report(
      `broadcast of ${length} from ${root}`,
      same(
        received,
        Uint8Array.from({ length }, (_, i) => (i * 3 + root) % 251),
      ),
    );
  }
}
const gathered = await call({ type: "allGather", data: new Uint8Array(rank * 1000).fill(rank) });
report(
  "gathered",
  gathered.map((part) => [part.length, part.every((x, _, { length }) => x === length / 1000)]),
);

const before = performance.now();
if (rank === worldSize - 1) await new Promise((resolve) => setTimeout(resolve, 600));
await call({ type: "barrier" });
report("barrier waits", rank === worldSize - 1 || performance.now() - before > 100);

if (ending !== "none" && rank === worldSize - 1) {
  report("left", true);
  await new Promise((resolve) => setTimeout(resolve, 100));
  if (ending === "stop") process.kill(process.pid, "SIGSTOP");
  if (ending === "die") process.kill(process.pid, "SIGKILL");
  // It lives, but it does not call.
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}
if (ending !== "none") {
  const began = performance.now();
  const failure = await call({ type: "allReduce", data: new Float32Array(100_000) }).catch((error) => error);
  report("lost", { code: failure?.code, message: failure?.message, seconds: (performance.now() - began) / 1000 });
  const again = await call({ type: "allReduce", data: new Float32Array(1) }).catch((error) => error);
  report("still lost", again?.code);
}
// The last act: a sum to which the last rank gives other numbers of floats ends it for all, and says which.
if (ending === "none" && worldSize > 1) {
  await allPassed;
  const data = new Float32Array(rank === worldSize - 1 ? 200 : 100);
  const failure = await call({ type: "allReduce", data }).catch((error) => error);
  report("different sums", { code: failure?.code, message: failure?.message });
}
report("done", true);
await new Promise((resolve) => setTimeout(resolve, 500));
if (ending === "none") await call({ type: "close" });
process.exit(0);
