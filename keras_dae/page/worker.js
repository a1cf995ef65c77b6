/* A worker, which holds models and handles one request after the other. */
"use strict";

const models = new Map(); // name -> the model, or a promise of the prepared model

async function answer({ model, image, latent }) {
  const found = models.get(model);
  const ready = found.nodes ? Kernels.prepare(found) : found;
  models.set(model, ready);
  const prepared = await ready;
  const start = performance.now();
  const values = latent
    ? { answer: Kernels.decode(prepared, latent) }
    : Kernels.answer(prepared, image);
  return { ...values, ms: performance.now() - start };
}

self.onmessage = async ({ data }) => {
  if (data.load) {
    models.set(data.load.name, data.load);
    return;
  }
  try {
    self.postMessage(await answer(data));
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
