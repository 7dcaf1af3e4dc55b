const off = { random_crop: false, horizontal_flip: false };
const always = (name, more = {}) => ({ ...off, [name]: true, [`${name}_probability`]: 1, ...more });

/** The section "augmentation" of the configuration for each row; peer: the row of peer.py that does the same. */
export const recipes = {
  "crop and flip (default)": { settings: {}, peer: "crop_flip" },
  "random crop": { settings: { ...off, random_crop: true }, peer: "crop" },
  "horizontal flip": { settings: { ...off, horizontal_flip: true }, peer: "flip" },
  "vertical flip": { settings: { ...off, vertical_flip: true }, peer: "vertical_flip" },
  "random resized crop": { settings: { ...off, random_resized_crop: true }, peer: "resized_crop" },
  rotation: { settings: { ...off, rotation_degrees: 15 }, peer: "rotation" },
  "square symmetry rotations": { settings: { ...off, square_symmetry_rotations: true } },
  affine: { settings: always("affine"), peer: "affine" },
  "grid distortion": { settings: always("grid_distortion") },
  "elastic transform": { settings: always("elastic_transform"), peer: "elastic" },
  "color jitter": { settings: always("color_jitter"), peer: "jitter" },
  "channel dropout": { settings: always("channel_dropout") },
  gamma: { settings: always("gamma") },
  "noise (gaussian)": { settings: always("noise", { noise_kinds: ["gaussian"] }), peer: "noise" },
  "noise (all kinds)": { settings: always("noise") },
  "blur (gaussian)": { settings: always("blur", { blur_kinds: ["gaussian"] }), peer: "blur" },
  "blur (median)": { settings: always("blur", { blur_kinds: ["median"] }) },
  "blur (all kinds)": { settings: always("blur") },
  "coarse dropout": { settings: always("coarse_dropout") },
  cutout: { settings: always("cutout") },
  "random erasing": { settings: always("random_erasing"), peer: "erasing" },
  "grid mask": { settings: always("grid_mask") },
  mixup: { settings: { ...off, mixup: true }, peer: "mixup" },
  cutmix: { settings: { ...off, cutmix: true }, peer: "cutmix" },
  RandAugment: { settings: { ...off, rand_augment: true }, peer: "rand_augment" },
  TrivialAugment: { settings: { ...off, trivial_augment: true }, peer: "trivial_augment" },
  /** The one that the limits are set for. */
  heavy: {
    settings: {
      ...off,
      horizontal_flip: true,
      random_resized_crop: true,
      color_jitter: true,
      affine: true,
      cutout: true,
    },
    peer: "heavy",
  },
};

/** What the costs are measured against. */
export const settings = {
  train: { size: 32, batch: 128, network: "mobilenet_v2", limit: 0.1, what: "training step of mobilenet_v2 at 32x32" },
  frozen: {
    ...{ size: 224, batch: 64, network: "mobilenet_v3_large", limit: 0.15 },
    what: "frozen forward pass of mobilenet_v3_large at 224x224",
  },
};
