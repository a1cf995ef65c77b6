/* Denoise images of any size in tiles, like `keras_dae.denoising.tiles`. An image is a
 * tensor of `kernels.js` in [0, 1].
 */
"use strict";

const Tiles = (() => {
  const { tensor } = typeof require === "undefined" ? Kernels : require("./kernels.js");

  /* Positions of the tiles along an axis, and the weights of their pixels. */
  function planAxis(length, tile, overlap, margin) {
    const starts = [];
    for (let s = 0; s < length - tile; s += tile - overlap) starts.push(s);
    starts.push(length - tile);
    const ramp = overlap - 2 * margin;
    const side = (p) => {
      if (p >= overlap - margin) return 1;
      return p < margin
        ? 0
        : Math.sin(((Math.PI / 2) * (p - margin + 0.5)) / ramp) ** 2;
    };
    const total = new Float64Array(length);
    const weights = starts.map((start, number) =>
      Float64Array.from({ length: tile }, (_, p) => {
        let weight = Math.min(side(p), side(tile - 1 - p));
        if (number === 0 && p < tile >> 1) weight = 1;
        if (number === starts.length - 1 && p >= tile >> 1) weight = 1;
        total[start + p] += weight;
        return weight;
      }),
    );
    starts.forEach((start, n) =>
      weights[n].forEach((_, p) => {
        weights[n][p] /= total[start + p];
      }),
    );
    return { starts, weights, tile };
  }

  const up = (value, period) => Math.ceil(value / period) * period;

  /* How an image is split along one axis, given the model's side or reach. */
  function tiling(length, side, reach, most) {
    if (!reach) {
      const overlap = side >> 1;
      return { size: Math.max(length, side), tile: side, overlap, margin: 0 };
    }
    const { pixels, period } = reach;
    const size = up(Math.max(length, 64), period);
    const margin = up(pixels, period);
    const largest = up(Math.max(most, 4 * margin), period);
    const overlap = Math.min(2 * margin, Math.min(size, largest) - period);
    const count = Math.max(1, Math.ceil((size - overlap) / (largest - overlap)));
    const tile = Math.min(
      size,
      up(Math.ceil((size - overlap) / count) + overlap, period),
    );
    return { size, tile, overlap, margin: Math.min(margin, overlap >> 1) };
  }

  /* A part of an image, extended by reflection. */
  function cut(image, top, left, height, width) {
    const mirror = (p, n) => {
      const q = n === 1 ? 0 : ((p % (2 * n - 2)) + 2 * n - 2) % (2 * n - 2);
      return q < n ? q : 2 * n - 2 - q;
    };
    const out = tensor(height, width, image.channels);
    let to = 0;
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++) {
        const row = mirror(top + i, image.height) * image.width;
        const from = (row + mirror(left + j, image.width)) * image.channels;
        for (let c = 0; c < image.channels; c++) out.data[to++] = image.data[from + c];
      }
    return out;
  }

  /* Tiles with the channels of a model; one per colour if the model is grey. */
  function channelsOf(tile, channels) {
    if (tile.channels === channels) return [tile];
    return Array.from({ length: tile.channels }, (_, c) => {
      const part = tensor(tile.height, tile.width, 1);
      for (let p = 0; p < part.data.length; p++)
        part.data[p] = tile.data[p * tile.channels + c];
      return part;
    });
  }

  /* One tile from the outputs for each part of `channelsOf`. */
  function joined(tile, answers) {
    if (answers[0].channels === tile.channels) return answers[0];
    const out = tensor(tile.height, tile.width, tile.channels);
    answers.forEach(({ data }, c) => {
      for (let p = 0; p < data.length; p++) out.data[p * tile.channels + c] = data[p];
    });
    return out;
  }

  const oneColour = ({ data, channels }) =>
    data.every((v, i) => v === data[i % channels]);

  /* An image of any size, denoised tile by tile.
   *
   * `model` has `sides` (null if variable), `channels` and `reach`. `predict` returns
   * the output for a tile, or a promise; up to `atOnce` calls run at a time. After each
   * tile `tick(done, all)` is called; if it returns false, work stops and null is
   * returned. */
  async function denoise(image, model, predict, { tick, atOnce = 1, most = 256 } = {}) {
    if (image.channels < model.channels)
      throw new Error(
        "The image is grey; a model of colour images removes no noise from it. " +
          "Choose another model; keras-dae page --model photo-gray adds one.",
      );
    const [down, across] = [image.height, image.width].map((length, axis) =>
      tiling(length, model.sides[axis], model.reach, most),
    );
    const rows = planAxis(down.size, down.tile, down.overlap, down.margin);
    const columns = planAxis(across.size, across.tile, across.overlap, across.margin);
    const top = (down.size - image.height) >> 1,
      left = (across.size - image.width) >> 1;
    const places = rows.starts.flatMap((_, r) => columns.starts.map((__, c) => [r, c]));
    const out = tensor(image.height, image.width, image.channels);
    let next = 0,
      done = 0,
      stopped = false;
    async function work() {
      while (next < places.length && !stopped) {
        const [r, c] = places[next++];
        const y = rows.starts[r] - top,
          x = columns.starts[c] - left;
        const tile = cut(image, y, x, down.tile, across.tile);
        const parts = oneColour(tile) ? null : channelsOf(tile, model.channels);
        const answers = parts && (await Promise.all(parts.map(predict)));
        const answer = parts ? joined(tile, answers) : tile;
        addTile(out, answer, y, x, rows.weights[r], columns.weights[c]);
        done += 1;
        if (tick && tick(done, places.length) === false) stopped = true;
      }
    }
    await Promise.all(Array.from({ length: atOnce }, work));
    return stopped ? null : out;
  }

  function addTile(out, tile, y, x, rows, columns) {
    const { channels } = out;
    for (let i = Math.max(0, -y); i < tile.height && y + i < out.height; i++)
      for (let j = Math.max(0, -x); j < tile.width && x + j < out.width; j++) {
        const weight = rows[i] * columns[j];
        const from = (i * tile.width + j) * channels;
        const to = ((y + i) * out.width + x + j) * channels;
        for (let c = 0; c < channels; c++)
          out.data[to + c] += weight * tile.data[from + c];
      }
  }

  return { cut, denoise };
})();

if (typeof module !== "undefined") module.exports = Tiles;
