/** A file of weights that torchvision publishes. */
export interface PublishedWeights {
  readonly url: string;
  readonly file: string;
  /** The first hexadecimal digits of the file's SHA-256. */
  readonly sha256: string;
  /** In MiB, rounded to three decimals. */
  readonly mebibytes: number;
  /** Normalisation that they were trained with: per channel, on the scale 0..1. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** Of the images of ImageNet. */
export const imagenetStatistics = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;

/**
 * Default weights (trained on ImageNet-1k, 1000 classes) of torchvision 0.29: name of the file, whose end is the
 * beginning of its SHA-256, and its size in MiB. Checked against torchvision by a golden.
 */
const files: Readonly<Record<string, readonly [file: string, mebibytes: number]>> = {
  resnet18: ["resnet18-f37072fd.pth", 44.661],
  resnet50: ["resnet50-11ad3fa6.pth", 97.79],
  mobilenet_v2: ["mobilenet_v2-7ebf99e0.pth", 13.598],
  mobilenet_v3_small: ["mobilenet_v3_small-047dcff4.pth", 9.829],
  mobilenet_v3_large: ["mobilenet_v3_large-5c1a4163.pth", 21.107],
  densenet121: ["densenet121-a639ec97.pth", 30.845],
  densenet161: ["densenet161-8d451a50.pth", 110.369],
  densenet169: ["densenet169-b2777c0a.pth", 54.708],
  densenet201: ["densenet201-c1103571.pth", 77.373],
  efficientnet_b0: ["efficientnet_b0_rwightman-7f5810bc.pth", 20.451],
  efficientnet_b1: ["efficientnet_b1-c27df63c.pth", 30.136],
  efficientnet_b2: ["efficientnet_b2_rwightman-c35c1473.pth", 35.174],
  efficientnet_b3: ["efficientnet_b3_rwightman-b3899882.pth", 47.184],
  efficientnet_b4: ["efficientnet_b4_rwightman-23ab8bcd.pth", 74.489],
  efficientnet_b5: ["efficientnet_b5_lukemelas-1a07897c.pth", 116.864],
  efficientnet_b6: ["efficientnet_b6_lukemelas-24a108a5.pth", 165.362],
  efficientnet_b7: ["efficientnet_b7_lukemelas-c5b4e57e.pth", 254.675],
  efficientnet_v2_s: ["efficientnet_v2_s-dd5fe13b.pth", 82.704],
  efficientnet_v2_m: ["efficientnet_v2_m-dc08266a.pth", 208.01],
  efficientnet_v2_l: ["efficientnet_v2_l-59c71312.pth", 454.573],
  regnet_x_400mf: ["regnet_x_400mf-62229a5f.pth", 21.257],
  regnet_x_800mf: ["regnet_x_800mf-94a99ebd.pth", 27.945],
  regnet_x_1_6gf: ["regnet_x_1_6gf-a12f2b72.pth", 35.339],
  regnet_x_3_2gf: ["regnet_x_3_2gf-7071aa85.pth", 58.756],
  regnet_x_8gf: ["regnet_x_8gf-2b70d774.pth", 151.456],
  regnet_x_16gf: ["regnet_x_16gf-ba3796d7.pth", 207.627],
  regnet_x_32gf: ["regnet_x_32gf-6eb8fdc6.pth", 412.039],
  regnet_y_400mf: ["regnet_y_400mf-e6988f5f.pth", 16.806],
  regnet_y_800mf: ["regnet_y_800mf-58fc7688.pth", 24.774],
  regnet_y_1_6gf: ["regnet_y_1_6gf-0d7bc02a.pth", 43.152],
  regnet_y_3_2gf: ["regnet_y_3_2gf-9180c971.pth", 74.567],
  regnet_y_8gf: ["regnet_y_8gf-dc2b1b54.pth", 150.701],
  regnet_y_16gf: ["regnet_y_16gf-3e4a00f9.pth", 319.49],
  regnet_y_32gf: ["regnet_y_32gf-8db6d4b5.pth", 554.076],
};

/** What was normalised otherwise than by the statistics of ImageNet. */
const normalisations: Readonly<Record<string, Pick<PublishedWeights, "mean" | "std">>> = {
  efficientnet_v2_l: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
};

/** The published weights of an architecture; undefined where there are none. */
export function publishedWeights(architecture: string): PublishedWeights | undefined {
  const row = Object.hasOwn(files, architecture) ? files[architecture] : undefined;
  if (row === undefined) return undefined;
  const [file, mebibytes] = row;
  const sha256 = file.slice(-"01234567.pth".length, -".pth".length);
  const normalisation = normalisations[architecture] ?? imagenetStatistics;
  return { url: `https://download.pytorch.org/models/${file}`, file, sha256, mebibytes, ...normalisation };
}
