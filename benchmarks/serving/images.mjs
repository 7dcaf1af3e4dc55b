import sharp from "sharp";

/** Smooth noise, the same at each call. */
export function noise(width, height) {
  let state = 1;
  const data = Uint8Array.from({ length: width * height * 3 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 60 + (state >>> 25);
  });
  return sharp(data, { raw: { width, height, channels: 3 } });
}
