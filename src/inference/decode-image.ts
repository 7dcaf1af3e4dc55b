// Training folders and uploads are decoded by one function, so it lives with the data transforms.
export {
  decodeImage,
  defaultImageLimits,
  type ImageLimits,
  imageFormats,
} from "../data/transforms/decode-image.ts";
