import { cpus, loadavg, totalmem } from "node:os";

/** What the figures depend on, printed; a warning where they will say little. */
export function describeMachine(versions, print) {
  const hardware = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, memory: totalmem(), load: loadavg()[0] };
  print(`${hardware.cpu}, ${hardware.cores} cores, load ${hardware.load.toFixed(2)} at the start`);
  if (hardware.load > 0.5) print("warning: the machine is not idle; figures of a busy machine say little");
  print(`node ${process.versions.node}, torch ${versions.torch}, torchvision ${versions.torchvision}`);
  return hardware;
}
