import { CallThread } from "../base/call-thread.ts";
import { PipelineError } from "../base/errors.ts";
import { decodeByLibrary, type ImageLimits } from "../data/transforms/decode-image.ts";
import type { ImageSize } from "../data/transforms/image-size.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** What the thread is asked: decodeImage's arguments. */
export interface DecodeRequest {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly size: ImageSize;
  readonly limits: ImageLimits;
}

/** decodeImage for a thread that must not be held: what takes JavaScript has a thread of its own, from its first image on. */
export class ImageDecoder implements Disposable {
  /** It gives 3 * height * width bytes. */
  readonly #thread = new CallThread<DecodeRequest, Uint8Array>({
    entry: "workers/decode-worker",
    failure: (cause) => new PipelineError("INFERENCE_FAILED", "the thread that decodes images ended", { cause }),
  });

  /** @throws what decodeImage throws; INFERENCE_FAILED when the thread dies over it */
  async decode(bytes: Uint8Array, size: ImageSize, limits: ImageLimits = {}): Promise<Tensor<"uint8">> {
    const image = await decodeByLibrary(bytes, size, limits);
    if (image !== undefined) return image;
    // A copy: the bytes may lie within memory that others use.
    const own = new Uint8Array(bytes);
    const data = await this.#thread.call({ bytes: own, size, limits }, [own.buffer]);
    return tensor("uint8", [3, size.height, size.width], data);
  }

  /** Images in hand are decoded to their end. */
  [Symbol.dispose](): void {
    this.#thread[Symbol.dispose]();
  }
}
