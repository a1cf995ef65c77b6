/* Run convolutional models on one image, in a browser, a worker or Node.
 *
 * A model is plain data that `keras_dae/page/graph.py` writes: `nodes` in order, each
 * {name, op, inputs, ...}, and `weights`, their kernels and biases, concatenated.
 * An image is a tensor of `layers.js`.
 */
"use strict";

const Kernels = (() => {
  const { unpack } = typeof require === "undefined" ? Weights : require("./weights.js");
  const {
    tensor,
    convSide,
    activate,
    OPS: PLAIN,
  } = typeof require === "undefined" ? Layers : require("./layers.js");
  const BLOCK = 1 << 20; // largest number of values in a buffer of patches

  /* Give each node its kernel, with one row per output channel, and its bias. */
  async function prepare(model) {
    const { few, small, large } = model.weights;
    const parts = [await unpack(small), await unpack(large)];
    const used = [0, 0];
    const take = (count) => {
      const part = count <= few ? 0 : 1;
      return parts[part].subarray(used[part], (used[part] += count));
    };
    const nodes = model.nodes.map((node) => {
      const ready = { ...node };
      if (node.kernel) {
        const [high, wide, third, fourth] = node.kernel;
        const kernel = take(high * wide * third * fourth);
        const rows = high * wide * third;
        ready.matrix = node.op === "conv" ? transposed(kernel, rows, fourth) : kernel;
        ready.bias = node.bias ? take(node.filters) : new Float32Array(node.filters);
      }
      if (node.op === "affine") {
        ready.scale = take(node.channels);
        ready.shift = take(node.channels);
      }
      return ready;
    });
    if (parts.some((part, i) => part.length !== used[i])) {
      throw new Error(`${model.name}: its weights do not fit its layers.`);
    }
    return { ...model, nodes };
  }

  function transposed(matrix, rows, columns) {
    const turned = new Float32Array(matrix.length);
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) turned[c * rows + r] = matrix[r * columns + c];
    return turned;
  }

  // ---- The matrix product behind all convolutions.

  /* out[m, n] = sum over k of a[m, k] * b[n, k] (+ bias[n]), in 4x4 blocks. */
  function multiply(a, b, bias, out, M, N, K, first) {
    for (let m = 0; m < M; m += 4) {
      const rows = Math.min(4, M - m);
      const a0 = m * K;
      const a1 = rows > 1 ? a0 + K : a0;
      const a2 = rows > 2 ? a1 + K : a0;
      const a3 = rows > 3 ? a2 + K : a0;
      let n = 0;
      for (; n + 1 < N; n += 2) {
        const b0 = n * K;
        const b1 = b0 + K;
        let s00 = 0,
          s01 = 0,
          s10 = 0,
          s11 = 0,
          s20 = 0,
          s21 = 0,
          s30 = 0,
          s31 = 0;
        for (let k = 0; k < K; k++) {
          const x = b[b0 + k],
            y = b[b1 + k];
          const p = a[a0 + k],
            q = a[a1 + k],
            r = a[a2 + k],
            s = a[a3 + k];
          s00 += p * x;
          s01 += p * y;
          s10 += q * x;
          s11 += q * y;
          s20 += r * x;
          s21 += r * y;
          s30 += s * x;
          s31 += s * y;
        }
        const u = bias ? bias[n] : 0,
          v = bias ? bias[n + 1] : 0;
        let o = first + m * N + n;
        out[o] = s00 + u;
        out[o + 1] = s01 + v;
        if (rows > 1) {
          o += N;
          out[o] = s10 + u;
          out[o + 1] = s11 + v;
        }
        if (rows > 2) {
          o += N;
          out[o] = s20 + u;
          out[o + 1] = s21 + v;
        }
        if (rows > 3) {
          o += N;
          out[o] = s30 + u;
          out[o + 1] = s31 + v;
        }
      }
      if (n < N) {
        const b0 = n * K;
        let s0 = 0,
          s1 = 0,
          s2 = 0,
          s3 = 0;
        for (let k = 0; k < K; k++) {
          const x = b[b0 + k];
          s0 += a[a0 + k] * x;
          s1 += a[a1 + k] * x;
          s2 += a[a2 + k] * x;
          s3 += a[a3 + k] * x;
        }
        const u = bias ? bias[n] : 0;
        const o = first + m * N + n;
        out[o] = s0 + u;
        if (rows > 1) out[o + N] = s1 + u;
        if (rows > 2) out[o + 2 * N] = s2 + u;
        if (rows > 3) out[o + 3 * N] = s3 + u;
      }
    }
  }

  // ---- Layers.

  function conv(node, [x]) {
    const [kh, kw] = node.kernel;
    const [sh, sw] = node.strides;
    const [height, top] = convSide(x.height, kh, sh, node.padding);
    const [width, left] = convSide(x.width, kw, sw, node.padding);
    const out = tensor(height, width, node.filters);
    const row = kw * x.channels;
    const size = kh * row;
    const lines = Math.max(1, Math.min(height, Math.floor(BLOCK / (width * size))));
    const patches = new Float32Array(lines * width * size);
    for (let start = 0; start < height; start += lines) {
      const end = Math.min(height, start + lines);
      let at = 0;
      for (let i = start; i < end; i++) {
        for (let j = 0; j < width; j++) {
          for (let u = 0; u < kh; u++, at += row) {
            fillRow(patches, at, x, i * sh + u - top, j * sw - left, kw);
          }
        }
      }
      const pixels = (end - start) * width;
      const first = start * width * node.filters;
      multiply(
        patches,
        node.matrix,
        node.bias,
        out.data,
        pixels,
        node.filters,
        size,
        first,
      );
    }
    return out;
  }

  /* Copy pixels (i, j) to (i, j + count) of an image to `at`; 0 beyond its edges. */
  function fillRow(to, at, x, i, j, count) {
    const { channels } = x;
    const low = Math.max(0, -j);
    const high = Math.min(count, x.width - j);
    if (i < 0 || i >= x.height || high <= low) {
      to.fill(0, at, at + count * channels);
      return;
    }
    to.fill(0, at, at + low * channels);
    let from = (i * x.width + j + low) * channels;
    const end = at + high * channels;
    for (let n = at + low * channels; n < end; n++) to[n] = x.data[from++];
    to.fill(0, end, at + count * channels);
  }

  function transposeSide(size, kernel, stride, padding, extra) {
    if (padding === "same") {
      return [size * stride, Math.floor(Math.max(kernel - stride, 0) / 2)];
    }
    const more = extra === null ? Math.max(stride - kernel, 0) : extra;
    return [(size - 1) * stride + kernel + more, 0];
  }

  /* Each input pixel is multiplied by the kernel and added to what it covers. */
  function transpose(node, [x]) {
    const [kh, kw, filters] = node.kernel;
    const [sh, sw] = node.strides;
    const [extraH, extraW] = node.output_padding || [null, null];
    const [height, top] = transposeSide(x.height, kh, sh, node.padding, extraH);
    const [width, left] = transposeSide(x.width, kw, sw, node.padding, extraW);
    const out = tensor(height, width, filters);
    for (let i = 0; i < out.data.length; i++) out.data[i] = node.bias[i % filters];
    const size = kh * kw * filters;
    const lines = Math.max(1, Math.min(x.height, Math.floor(BLOCK / (x.width * size))));
    const stamps = new Float32Array(lines * x.width * size);
    for (let start = 0; start < x.height; start += lines) {
      const end = Math.min(x.height, start + lines);
      const from = start * x.width * x.channels;
      const part = x.data.subarray(from, end * x.width * x.channels);
      const pixels = (end - start) * x.width;
      multiply(part, node.matrix, null, stamps, pixels, size, x.channels, 0);
      for (let p = 0; p < pixels; p++) {
        const i = (start + Math.floor(p / x.width)) * sh - top;
        const j = (p % x.width) * sw - left;
        addStamp(out, stamps, p * size, i, j, kh, kw);
      }
    }
    return out;
  }

  function addStamp(out, stamps, at, i, j, kh, kw) {
    const { channels, data } = out;
    const low = Math.max(0, -j);
    const high = Math.min(kw, out.width - j);
    for (let u = Math.max(0, -i); u < kh && i + u < out.height; u++) {
      let from = at + (u * kw + low) * channels;
      let to = ((i + u) * out.width + j + low) * channels;
      const end = to + (high - low) * channels;
      while (to < end) data[to++] += stamps[from++];
    }
  }

  const OPS = { ...PLAIN, conv, transpose };

  // ---- Models.

  /* Run the nodes of a prepared model and return the tensor of each, by name.
   *
   * `start` is the tensor of the node `from`; nodes before it are skipped. */
  function run(model, start, from = model.input) {
    const values = { [from]: start };
    const position = model.nodes.findIndex((node) => node.name === from);
    for (const node of model.nodes.slice(position + 1)) {
      const out = OPS[node.op](
        node,
        node.inputs.map((name) => values[name]),
      );
      activate(node, out.data);
      values[node.name] = out;
    }
    return values;
  }

  /* The output of a prepared model for an image, and its latent maps (or null). */
  function answer(model, image) {
    const values = run(model, image);
    return { answer: values[model.output], latent: values[model.latent] || null };
  }

  /* The output of the decoder for latent maps. */
  const decode = (model, latent) => run(model, latent, model.latent)[model.output];

  return { tensor, convSide, transposeSide, prepare, run, answer, decode };
})();

if (typeof module !== "undefined") module.exports = Kernels;
