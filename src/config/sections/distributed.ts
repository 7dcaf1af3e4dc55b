import { z } from "zod";

export const distributedSection = z
  .strictObject({
    use_distributed: z.boolean().default(false).describe("Train on several processes."),
    world_size: z.int().min(1).max(1024).default(1).describe("Number of processes."),
    backend: z.enum(["gloo", "nccl", "mpi"]).default("gloo").describe("How processes exchange gradients."),
    use_gpu: z.boolean().default(false).describe("Give each process a GPU."),
    init_method: z
      .string()
      .min(1)
      .default("tcp://localhost:23456")
      .describe("Address at which the processes find each other."),
  })
  .describe("Distributed training.");
