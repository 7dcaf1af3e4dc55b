/** Bins of equal width over low..high; what lies outside counts at the ends. */
export class Histogram {
  readonly low: number;
  readonly high: number;
  readonly counts: Float64Array;

  /** @param bins many for each of the 256 codes, where a divergence between both is to tell anything */
  constructor(low: number, high: number, bins = 4096) {
    this.low = low;
    this.high = high;
    this.counts = new Float64Array(bins);
  }

  get width(): number {
    return (this.high - this.low) / this.counts.length;
  }

  add(values: Float32Array): void {
    const { low, counts } = this;
    const last = counts.length - 1;
    const perUnit = this.width > 0 ? 1 / this.width : 0;
    for (let i = 0; i < values.length; i++) {
      const bin = Math.floor((values[i]! - low) * perUnit);
      counts[bin < 0 ? 0 : bin > last ? last : bin]! += 1;
    }
  }
}
