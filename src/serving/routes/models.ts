import { basename, dirname, sep } from "node:path";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { z } from "zod";
import type { BundleMetadata } from "../../inference/bundle-metadata.ts";
import type { RouteContext } from "../dependencies.ts";
import { classesSchema, type modelSummarySchema, modelsSchema } from "../schemas.ts";

/** GET /classes and GET /models: what can be predicted, and by which models. */
export const modelRoutes = ({ bundle, listModels }: RouteContext): FastifyPluginAsyncZod => {
  const { metadata } = bundle;
  return async (app) => {
    app.route({
      method: "GET",
      url: "/classes",
      schema: {
        summary: "Class names in the order of their indices",
        tags: ["models"],
        response: { 200: classesSchema },
      },
      handler: async () => ({ classes: metadata.classes, count: metadata.classes.length }),
    });
    app.route({
      method: "GET",
      url: "/models",
      schema: { summary: "Trained models, newest first", tags: ["models"], response: { 200: modelsSchema } },
      handler: async () => {
        const { bundles, damaged } = await listModels();
        const models = bundles.map((found) => summarise(found.metadata, found.directory === bundle.directory));
        // The served model stays in the list when its folder was moved or deleted meanwhile.
        if (!models.some((model) => model.active)) models.unshift(summarise(metadata, true));
        return {
          active: metadata.name,
          models,
          damaged: damaged.map(({ directory, error }) => ({
            name: basename(directory),
            // Where the server keeps its files is no client's concern.
            message: error.message.replaceAll(dirname(directory) + sep, ""),
          })),
        };
      },
    });
  };
};

function summarise(metadata: BundleMetadata, active: boolean): z.infer<typeof modelSummarySchema> {
  const { model, preprocessing, dataset, metrics } = metadata;
  return {
    name: metadata.name,
    architecture: model.architecture,
    parameter_count: model.parameterCount,
    created_at: metadata.createdAt,
    dataset: dataset.name,
    synthetic_data: dataset.synthetic,
    class_count: metadata.classes.length,
    input_size: [preprocessing.height, preprocessing.width],
    test_accuracy: metrics.test?.accuracy ?? null,
    test_accuracy_with_tta: metrics.test?.accuracyWithTta ?? null,
    validation_accuracy: metrics.validation?.accuracy ?? null,
    active,
  };
}
