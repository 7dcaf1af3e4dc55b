import { Worker } from "node:worker_threads";
import { restoreError } from "../base/error-transfer.ts";
import { PipelineError } from "../base/errors.ts";
import { workerUrl } from "../base/worker-url.ts";
import { decodeByLibrary, type ImageLimits } from "../data/transforms/decode-image.ts";
import type { ImageSize } from "../data/transforms/image-size.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { DecodeCommand, DecodeReply } from "./worker-protocol.ts";

interface Pending {
  readonly resolve: (data: Uint8Array) => void;
  readonly reject: (reason: unknown) => void;
}

/** decodeImage for a thread that must not be held: what takes JavaScript has a thread of its own, from its first image on. */
export class ImageDecoder implements Disposable {
  #worker: Worker | undefined;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #isClosed = false;

  /** @throws what decodeImage throws; INFERENCE_FAILED when the thread dies over it */
  async decode(bytes: Uint8Array, size: ImageSize, limits: ImageLimits = {}): Promise<Tensor<"uint8">> {
    const image = await decodeByLibrary(bytes, size, limits);
    if (image !== undefined) return image;
    const data = await new Promise<Uint8Array>((resolve, reject) => {
      const id = this.#nextId++;
      this.#pending.set(id, { resolve, reject });
      this.#worker ??= this.#start();
      this.#worker.ref();
      // A copy: the bytes may lie within memory that others use.
      const own = new Uint8Array(bytes);
      this.#worker.postMessage({ type: "decode", id, bytes: own, size, limits } satisfies DecodeCommand, [own.buffer]);
    });
    return tensor("uint8", [3, size.height, size.width], data);
  }

  #start(): Worker {
    const worker = new Worker(workerUrl("workers/decode-worker"), { name: "decode" });
    worker.on("message", (reply: DecodeReply) => {
      const pending = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if ("error" in reply) pending?.reject(restoreError(reply.error));
      else pending?.resolve(reply.data);
      if (this.#pending.size === 0) this.#rest();
    });
    const fail = (cause: unknown): void => {
      if (this.#worker !== worker) return;
      // The next image starts another.
      this.#worker = undefined;
      const error = new PipelineError("INFERENCE_FAILED", "the thread that decodes images ended", { cause });
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    };
    worker.on("error", fail);
    worker.on("exit", (code) => fail(new Error(`exit code ${code}`)));
    return worker;
  }

  /** An idle thread keeps no process alive. */
  #rest(): void {
    this.#worker?.unref();
    if (this.#isClosed) this.#worker?.postMessage({ type: "close" } satisfies DecodeCommand);
  }

  /** Images in hand are decoded to their end. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    if (this.#pending.size === 0) this.#rest();
  }
}
