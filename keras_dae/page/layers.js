/* Tensors, and the layers of a model without kernels.
 *
 * A tensor is {height, width, channels, data}, data a Float32Array, channels last. A
 * layer is a function of its node and of its input tensors.
 */
"use strict";

const Layers = (() => {
  const tensor = (height, width, channels = 1, data = null) => ({
    height,
    width,
    channels,
    data: data || new Float32Array(height * width * channels),
  });

  /* How many windows fit along a side, and the padding before the first one. */
  function convSide(size, kernel, stride, padding) {
    if (padding === "valid") return [Math.floor((size - kernel) / stride) + 1, 0];
    const made = Math.ceil(size / stride);
    const missing = Math.max((made - 1) * stride + kernel - size, 0);
    return [made, Math.floor(missing / 2)];
  }

  function pool(node, [x]) {
    const [kh, kw] = node.size;
    const [sh, sw] = node.strides;
    const [height, top] = convSide(x.height, kh, sh, node.padding);
    const [width, left] = convSide(x.width, kw, sw, node.padding);
    const out = tensor(height, width, x.channels);
    out.data.fill(-Infinity);
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++)
        for (let u = 0; u < kh; u++)
          for (let v = 0; v < kw; v++) {
            const y = i * sh + u - top,
              z = j * sw + v - left;
            if (y < 0 || z < 0 || y >= x.height || z >= x.width) continue;
            for (let c = 0; c < x.channels; c++) {
              const to = (i * width + j) * x.channels + c;
              const value = x.data[(y * x.width + z) * x.channels + c];
              if (value > out.data[to]) out.data[to] = value;
            }
          }
    return out;
  }

  function enlarge(node, [x]) {
    const [by, across] = node.size;
    const out = tensor(x.height * by, x.width * across, x.channels);
    let to = 0;
    for (let i = 0; i < out.height; i++)
      for (let j = 0; j < out.width; j++) {
        const from = Math.floor(i / by) * x.width + Math.floor(j / across);
        for (let c = 0; c < x.channels; c++)
          out.data[to++] = x.data[from * x.channels + c];
      }
    return out;
  }

  function concatenate(node, tensors) {
    const channels = tensors.reduce((sum, x) => sum + x.channels, 0);
    const out = tensor(tensors[0].height, tensors[0].width, channels);
    let to = 0;
    for (let p = 0; p < out.height * out.width; p++)
      for (const x of tensors)
        for (let c = 0; c < x.channels; c++)
          out.data[to++] = x.data[p * x.channels + c];
    return out;
  }

  const join =
    (change) =>
    (node, [x, ...others]) => {
      const out = tensor(x.height, x.width, x.channels, x.data.slice());
      for (const other of others)
        for (let i = 0; i < out.data.length; i++)
          out.data[i] = change(out.data[i], other.data[i]);
      return out;
    };

  function affine(node, [x]) {
    const out = tensor(x.height, x.width, x.channels);
    for (let i = 0; i < out.data.length; i++) {
      const c = i % x.channels;
      out.data[i] = x.data[i] * node.scale[c] + node.shift[c];
    }
    return out;
  }

  const copy = (node, [x]) => tensor(x.height, x.width, x.channels, x.data.slice());

  const OPS = {
    pool,
    enlarge,
    concatenate,
    affine,
    activation: copy,
    add: join((x, y) => x + y),
    subtract: join((x, y) => x - y),
  };

  const ACTIVATIONS = {
    relu: (x) => (x > 0 ? x : 0),
    sigmoid: (x) => 1 / (1 + Math.exp(-x)),
    tanh: Math.tanh,
  };

  function activate(node, data) {
    if (node.activation === "linear") return;
    const slope = node.slope || 0;
    const f =
      node.activation === "leaky_relu"
        ? (x) => (x > 0 ? x : slope * x)
        : ACTIVATIONS[node.activation];
    for (let i = 0; i < data.length; i++) data[i] = f(data[i]);
  }

  return { tensor, convSide, OPS, activate };
})();

if (typeof module !== "undefined") module.exports = Layers;
