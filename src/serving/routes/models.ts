import { basename, dirname, sep } from "node:path";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { errorResponses } from "../../http/errors/api-error-schema.ts";
import type { BundleMetadata } from "../../inference/bundle-metadata.ts";
import { identityOf } from "../../inference/model-identity.ts";
import type { RouteContext } from "../dependencies.ts";
import { classesSchema, type modelSummarySchema, modelsSchema } from "../schemas.ts";

const classesQuerySchema = z.object({
  model: z.string().min(1).max(200).optional().meta({ description: "Name of a loaded model; default: the active one" }),
});

/** GET /classes and GET /models: what can be predicted, and by which models. */
export const modelRoutes = ({ models, links }: RouteContext): FastifyPluginAsyncZod => {
  return async (app) => {
    app.route({
      method: "GET",
      url: "/classes",
      schema: {
        summary: "Class names in the order of their indices",
        tags: ["models"],
        querystring: classesQuerySchema,
        response: { 200: classesSchema, ...errorResponses(400, 404, 421) },
      },
      handler: async ({ query }) => {
        const { classes } = models.find(query.model === undefined ? undefined : { name: query.model }).bundle.metadata;
        return { classes, count: classes.length };
      },
    });
    app.route({
      method: "GET",
      url: "/models",
      schema: {
        summary: "Trained models, newest first",
        tags: ["models"],
        response: { 200: modelsSchema, ...errorResponses(421) },
      },
      handler: async () => {
        const { bundles, damaged } = await models.list();
        const active = models.active.bundle;
        const forms = new Map(models.loaded.map((model) => [model.bundle.directory, model.forms]));
        const loaded = models.loaded.map(({ bundle }) => bundle);
        const onDisk = new Set(bundles.map(({ directory }) => directory));
        // A model in memory stays in the list when its folder was moved or deleted meanwhile.
        const gone = loaded.filter(({ directory }) => !onDisk.has(directory));
        return {
          active: active.metadata.name,
          models: [...gone, ...bundles].map(({ directory, metadata }) =>
            summarise(metadata, {
              active: directory === active.directory,
              loaded: forms.has(directory),
              forms: [...(forms.get(directory) ?? [])],
            }),
          ),
          links: { ...links },
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

function summarise(
  metadata: BundleMetadata,
  state: Pick<z.infer<typeof modelSummarySchema>, "active" | "loaded" | "forms">,
): z.infer<typeof modelSummarySchema> {
  const { model, preprocessing, dataset, metrics, training } = metadata;
  return {
    name: metadata.name,
    version: identityOf(metadata.name).version,
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
    trained_epochs: training.epochs,
    ...state,
  };
}
