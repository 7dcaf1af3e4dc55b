/** AsyncDisposableStack, which Node 20 lacks: disposes in reverse order, all of them, and reports the first failure. */
export class AsyncStack implements AsyncDisposable {
  #resources: AsyncDisposable[] = [];

  use<T extends AsyncDisposable>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  defer(close: () => Promise<void>): void {
    this.#resources.push({ [Symbol.asyncDispose]: close });
  }

  /** Hands the resources over: this stack disposes nothing any more. */
  move(): AsyncStack {
    const moved = new AsyncStack();
    moved.#resources = this.#resources;
    this.#resources = [];
    return moved;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const errors: unknown[] = [];
    for (const resource of this.#resources.splice(0).reverse()) {
      try {
        await resource[Symbol.asyncDispose]();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
