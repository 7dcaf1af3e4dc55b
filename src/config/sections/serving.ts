import { z } from "zod";
import { pathText } from "../path-text.ts";

export const servingSection = z
  .strictObject({
    host: z.string().min(1).default("127.0.0.1").describe("Address that the server listens on."),
    port: z.int().min(0).max(65_535).default(8000).describe("Port that the server listens on. 0: any free one."),
    workers: z
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe("Worker threads that run the network, each with its own copy; they share the cores."),
    form: z
      .enum(["auto", "portable", "machine", "int8"])
      .default("auto")
      .describe(
        "Which form of the network serves: model.onnx (portable), the same for this processor (machine), or the quantised " +
          "one (int8); auto: the quickest of those that give its answers, and int8 only where it is as accurate.",
      ),
    max_batch_size: z.int().min(1).max(1024).default(32).describe("Most images predicted together."),
    max_delay_ms: z
      .number()
      .min(0)
      .max(1000)
      .default(2)
      .describe("Longest time that an image waits for others to share its batch, in milliseconds."),
    batch_window: z
      .enum(["adaptive", "fixed"])
      .default("adaptive")
      .describe("adaptive: wait only while others can be expected; fixed: always wait for max_delay_ms."),
    queue_limit: z
      .int()
      .min(1)
      .max(100_000)
      .default(256)
      .describe("Most images that wait; further requests are refused with status 503."),
    max_loaded_models: z.int().min(1).max(64).default(4).describe("Most models in memory at once."),
    max_upload_bytes: z
      .int()
      .min(1024)
      .max(268_435_456)
      .default(10_485_760)
      .describe("Largest accepted upload, in bytes."),
    max_images_per_request: z.int().min(1).max(1024).default(64).describe("Most images in one request."),
    predict_timeout_ms: z
      .int()
      .min(1)
      .max(600_000)
      .default(30_000)
      .describe(
        "Longest time from the arrival of a prediction request to its answer, in milliseconds; clients can ask for less.",
      ),
    upload_idle_timeout_ms: z
      .int()
      .min(100)
      .max(600_000)
      .default(15_000)
      .describe("An upload of which nothing arrives for this long is given up with status 408, in milliseconds."),
    upload_min_bytes_per_second: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(1024)
      .describe("An upload that has taken upload_idle_timeout_ms must have come at this average rate, or is given up."),
    drain_delay_ms: z
      .int()
      .min(0)
      .max(300_000)
      .default(0)
      .describe("From SIGTERM, with /health/ready at 503, to the closing of the listener, in milliseconds."),
    shutdown_timeout_ms: z
      .int()
      .min(0)
      .max(600_000)
      .default(7000)
      .describe(
        "From the closing of the listener, in milliseconds: requests that have arrived are answered, then what is still " +
          "open is closed.",
      ),
    api_keys_file: pathText()
      .nullable()
      .default(null)
      .describe("File of API keys, made with `cifar key`. null: no keys."),
    auth: z
      .enum(["auto", "open"])
      .default("auto")
      .describe("auto: what changes state needs a key unless the listener is loopback without keys; open: never."),
    predictions_need_key: z.boolean().default(false).describe("Predictions need a key too."),
    allowed_hosts: z
      .array(z.string().min(1).max(253))
      .default([])
      .describe(
        "Host names that the server answers to beside loopback ones. Empty: any, unless it listens on loopback.",
      ),
    cors_origins: z
      .array(z.string().regex(/^https?:\/\/[^/]+$/, "must be an origin such as https://example.org"))
      .default([])
      .describe("Origins of other sites whose pages may use the service."),
    rate_limit_per_second: z
      .number()
      .positive()
      .max(1_000_000)
      .nullable()
      .default(null)
      .describe("Requests a second that one client may send to predict or to change something. null: no limit."),
    trusted_proxies: z
      .array(z.string().min(1))
      .default([])
      .describe("Addresses or ranges of proxies whose X-Forwarded-For is believed. Empty: none."),
  })
  .describe("The prediction server.");
