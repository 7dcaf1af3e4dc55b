import { z } from "zod";

export const servingSection = z
  .strictObject({
    host: z.string().min(1).default("127.0.0.1").describe("Address that the server listens on."),
    port: z.int().min(0).max(65_535).default(8000).describe("Port that the server listens on. 0: any free one."),
    workers: z.int().min(1).max(64).default(1).describe("Worker threads that run the network."),
    max_batch_size: z.int().min(1).max(1024).default(32).describe("Most images predicted together."),
    max_delay_ms: z
      .number()
      .min(0)
      .max(1000)
      .default(2)
      .describe("Longest time that an image waits for others to share its batch, in milliseconds."),
    queue_limit: z
      .int()
      .min(1)
      .max(100_000)
      .default(256)
      .describe("Most images that wait; further requests are refused with status 503."),
    max_upload_bytes: z
      .int()
      .min(1024)
      .max(268_435_456)
      .default(10_485_760)
      .describe("Largest accepted upload, in bytes."),
  })
  .describe("The prediction server.");
