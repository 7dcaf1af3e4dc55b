/**
 * What is known of each architecture before it is built. Data alone, so that everything that lists architectures (the
 * registry, the configuration, the published weights, `cifar models`) has them from here.
 */

export interface Architecture {
  readonly family: string;
  /** Height and width of the images that it is meant for; of published weights: that they were evaluated on. */
  readonly inputSize: number;
  /** Whether its channel counts can be multiplied. */
  readonly scalable?: boolean;
  /** "small": made for small images, without strides in the first layers that could be chosen. */
  readonly stem?: "small";
  /**
   * Default weights (trained on ImageNet-1k, 1000 classes) of torchvision 0.29: name of the file, whose end is the
   * beginning of its SHA-256, and its size in MiB. Checked against torchvision by a golden.
   */
  readonly weights?: readonly [file: string, mebibytes: number];
}

export const architectures = {
  resnet9: { family: "resnet9", inputSize: 32, scalable: true, stem: "small" },
  airbench: { family: "airbench", inputSize: 32, scalable: true, stem: "small" },
  mobilenet_v2: { family: "mobilenet", inputSize: 224, scalable: true, weights: ["mobilenet_v2-7ebf99e0.pth", 13.598] },
  mobilenet_v3_small: { family: "mobilenet", inputSize: 224, weights: ["mobilenet_v3_small-047dcff4.pth", 9.829] },
  mobilenet_v3_large: { family: "mobilenet", inputSize: 224, weights: ["mobilenet_v3_large-5c1a4163.pth", 21.107] },
  efficientnet_b0: {
    family: "efficientnet",
    inputSize: 224,
    weights: ["efficientnet_b0_rwightman-7f5810bc.pth", 20.451],
  },
  efficientnet_b1: { family: "efficientnet", inputSize: 240, weights: ["efficientnet_b1-c27df63c.pth", 30.136] },
  efficientnet_b2: {
    family: "efficientnet",
    inputSize: 288,
    weights: ["efficientnet_b2_rwightman-c35c1473.pth", 35.174],
  },
  efficientnet_b3: {
    family: "efficientnet",
    inputSize: 300,
    weights: ["efficientnet_b3_rwightman-b3899882.pth", 47.184],
  },
  efficientnet_b4: {
    family: "efficientnet",
    inputSize: 380,
    weights: ["efficientnet_b4_rwightman-23ab8bcd.pth", 74.489],
  },
  efficientnet_b5: {
    family: "efficientnet",
    inputSize: 456,
    weights: ["efficientnet_b5_lukemelas-1a07897c.pth", 116.864],
  },
  efficientnet_b6: {
    family: "efficientnet",
    inputSize: 528,
    weights: ["efficientnet_b6_lukemelas-24a108a5.pth", 165.362],
  },
  efficientnet_b7: {
    family: "efficientnet",
    inputSize: 600,
    weights: ["efficientnet_b7_lukemelas-c5b4e57e.pth", 254.675],
  },
  efficientnet_v2_s: { family: "efficientnet", inputSize: 384, weights: ["efficientnet_v2_s-dd5fe13b.pth", 82.704] },
  efficientnet_v2_m: { family: "efficientnet", inputSize: 480, weights: ["efficientnet_v2_m-dc08266a.pth", 208.01] },
  efficientnet_v2_l: { family: "efficientnet", inputSize: 480, weights: ["efficientnet_v2_l-59c71312.pth", 454.573] },
  resnet18: { family: "resnet", inputSize: 224, weights: ["resnet18-f37072fd.pth", 44.661] },
  resnet50: { family: "resnet", inputSize: 224, weights: ["resnet50-11ad3fa6.pth", 97.79] },
  densenet121: { family: "densenet", inputSize: 224, weights: ["densenet121-a639ec97.pth", 30.845] },
  densenet161: { family: "densenet", inputSize: 224, weights: ["densenet161-8d451a50.pth", 110.369] },
  densenet169: { family: "densenet", inputSize: 224, weights: ["densenet169-b2777c0a.pth", 54.708] },
  densenet201: { family: "densenet", inputSize: 224, weights: ["densenet201-c1103571.pth", 77.373] },
  regnet_x_400mf: { family: "regnet", inputSize: 224, weights: ["regnet_x_400mf-62229a5f.pth", 21.257] },
  regnet_x_800mf: { family: "regnet", inputSize: 224, weights: ["regnet_x_800mf-94a99ebd.pth", 27.945] },
  regnet_x_1_6gf: { family: "regnet", inputSize: 224, weights: ["regnet_x_1_6gf-a12f2b72.pth", 35.339] },
  regnet_x_3_2gf: { family: "regnet", inputSize: 224, weights: ["regnet_x_3_2gf-7071aa85.pth", 58.756] },
  regnet_x_8gf: { family: "regnet", inputSize: 224, weights: ["regnet_x_8gf-2b70d774.pth", 151.456] },
  regnet_x_16gf: { family: "regnet", inputSize: 224, weights: ["regnet_x_16gf-ba3796d7.pth", 207.627] },
  regnet_x_32gf: { family: "regnet", inputSize: 224, weights: ["regnet_x_32gf-6eb8fdc6.pth", 412.039] },
  regnet_y_400mf: { family: "regnet", inputSize: 224, weights: ["regnet_y_400mf-e6988f5f.pth", 16.806] },
  regnet_y_800mf: { family: "regnet", inputSize: 224, weights: ["regnet_y_800mf-58fc7688.pth", 24.774] },
  regnet_y_1_6gf: { family: "regnet", inputSize: 224, weights: ["regnet_y_1_6gf-0d7bc02a.pth", 43.152] },
  regnet_y_3_2gf: { family: "regnet", inputSize: 224, weights: ["regnet_y_3_2gf-9180c971.pth", 74.567] },
  regnet_y_8gf: { family: "regnet", inputSize: 224, weights: ["regnet_y_8gf-dc2b1b54.pth", 150.701] },
  regnet_y_16gf: { family: "regnet", inputSize: 224, weights: ["regnet_y_16gf-3e4a00f9.pth", 319.49] },
  regnet_y_32gf: { family: "regnet", inputSize: 224, weights: ["regnet_y_32gf-8db6d4b5.pth", 554.076] },
} as const satisfies Readonly<Record<string, Architecture>>;

export type ArchitectureName = keyof typeof architectures;

/** What the name of a family stands for. */
export const familyDefaults = {
  mobilenet: "mobilenet_v3_large",
  efficientnet: "efficientnet_b0",
  resnet: "resnet18",
  densenet: "densenet121",
  regnet: "regnet_y_400mf",
} as const satisfies Readonly<Record<string, ArchitectureName>>;

export type Family = keyof typeof familyDefaults;

/** In the order of the catalogue: of all architectures, or of those of a kind. */
export function architectureNames(
  isWanted: (architecture: Architecture) => boolean = () => true,
): readonly ArchitectureName[] {
  const names = Object.keys(architectures) as ArchitectureName[];
  return names.filter((name) => isWanted(architectures[name]));
}
