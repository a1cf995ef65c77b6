/* Weights as `keras_dae/page/graph.py` packs them: base64 of deflated bytes, the first
 * byte of each number before the second ones.
 */
"use strict";

const Weights = (() => {
  function fromBase64(text) {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  }

  async function inflate(text) {
    const stream = new Blob([fromBase64(text)]).stream();
    const plain = stream.pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(plain).arrayBuffer());
  }

  /* The value of each 16-bit float (IEEE 754 half precision). */
  function fromHalf(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1024 + fraction) * 2 ** (exponent - 25);
  }

  async function unpack({ type, data }) {
    const planes = await inflate(data);
    const size = type === "float16" ? 2 : 4;
    const count = planes.length / size;
    const weights = new Float32Array(count);
    const bytes = new Uint8Array(weights.buffer);
    for (let i = 0; i < count; i++) {
      if (size === 2) weights[i] = fromHalf(planes[i] | (planes[count + i] << 8));
      else for (let b = 0; b < 4; b++) bytes[4 * i + b] = planes[b * count + i];
    }
    return weights;
  }

  return { fromHalf, unpack };
})();

if (typeof module !== "undefined") module.exports = Weights;
