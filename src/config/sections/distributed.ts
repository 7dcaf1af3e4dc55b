import { z } from "zod";

export const distributedSection = z
  .strictObject({
    use_distributed: z.boolean().default(false).describe("Train on several processes."),
    world_size: z.int().min(1).max(1024).default(1).describe("Number of processes."),
    backend: z
      .enum(["gloo", "nccl", "mpi"])
      .default("gloo")
      .describe("How processes exchange gradients: gloo stands for TCP connections, mpi for an installed MPI library."),
    use_gpu: z.boolean().default(false).describe("Give each process a GPU."),
    init_method: z
      .string()
      .min(1)
      .default("tcp://localhost:23456")
      .describe(
        "Address at which the processes find each other: tcp://HOST:PORT, port 0 for any free one where this program " +
          "starts the processes itself; env:// for MASTER_ADDR and MASTER_PORT, which win where they are set.",
      ),
    launcher: z
      .enum(["auto", "local", "mpirun", "ray", "env"])
      .default("auto")
      .describe(
        "Who starts the processes: this program on this machine, mpirun, a Ray cluster (ray_tune.ray) as jobs, or somebody " +
          "else who sets RANK and WORLD_SIZE " +
          "(torchrun, Slurm, Kubernetes). auto: what the environment says, else mpirun with the backend mpi, else local.",
      ),
    mpirun: z
      .array(z.string().min(1))
      .min(1)
      .default(["mpirun"])
      .describe("Command of the launcher mpirun, with arguments such as --host a,b."),
    ray_cpus: z.number().positive().default(1).describe("With the launcher ray: CPUs that each process occupies."),
    sync_batch_norm: z
      .boolean()
      .default(false)
      .describe("Batch norm over the images of all processes, as one process would; false: over each process's own."),
    algorithm: z
      .enum(["auto", "ring", "tree"])
      .default("auto")
      .describe("How numbers are summed over TCP. auto: a tree for few numbers, a ring for many."),
    bucket_mb: z.number().positive().max(1024).default(4).describe("MiB of gradients that are summed in one call."),
    compression: z
      .enum(["none", "float16"])
      .default("none")
      .describe(
        "How gradients travel over TCP. float16: half the bytes; what rounding takes away comes with the next gradients.",
      ),
    local_steps: z
      .int()
      .min(1)
      .max(100_000)
      .default(1)
      .describe(
        "Steps that each process takes by itself before all exchange what they have learnt (DiLoCo), for slow links. 1: " +
          "every gradient is exchanged.",
      ),
    outer_learning_rate: z
      .number()
      .positive()
      .default(0.7)
      .describe("With local_steps: learning rate of the step between the processes (SGD with Nesterov momentum)."),
    outer_momentum: z.number().min(0).lt(1).default(0.9).describe("With local_steps: its momentum."),
    backward_parts: z
      .int()
      .min(1)
      .max(16)
      .default(1)
      .describe("Parts of the backward pass: the gradients of one travel while the next is computed."),
    heartbeat_timeout: z
      .number()
      .min(0.5)
      .default(10)
      .describe("Seconds of silence after which a process or a link counts as lost."),
    collective_timeout: z
      .number()
      .min(1)
      .default(300)
      .describe("Seconds that processes wait for each other in a step: one that takes longer counts as hanging."),
    rejoin_timeout: z
      .number()
      .min(1)
      .default(120)
      .describe("Seconds that a training waits for processes that are missing, at the start and after a loss."),
    max_restarts: z.int().min(0).default(3).describe("How often lost processes are started again in one training."),
  })
  .describe("Distributed training.");
