/* The noise of `keras_dae.images.noise` with other random numbers, and error metrics.
 * An image is a tensor of `kernels.js` in [0, 1].
 */
"use strict";

const Noise = (() => {
  /* Random numbers from a seed: uniform in [0, 1) and normal. */
  function generator(seed) {
    let state = seed >>> 0;
    function uniform() {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    }
    const normal = () =>
      Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal };
  }

  /* A Poisson-distributed integer with this mean. */
  function poisson(mean, { uniform }) {
    // Sum draws with small means, since exp(-mean) would be 0 for a large one.
    let count = 0;
    for (let rest = mean; rest > 0; rest -= 30) {
      const bound = Math.exp(-Math.min(rest, 30));
      for (let product = uniform(); product > bound; product *= uniform()) count += 1;
    }
    return count;
  }

  /* Each kind: its strength, and its function of a value, before clipping. */
  const NOISES = {
    gaussian: {
      strength: "sigma",
      low: 0,
      high: 1,
      step: 0.01,
      usual: 0.5,
      apply: (v, s, r) => v + s * r.normal(),
    },
    "salt-pepper": {
      strength: "amount",
      low: 0,
      high: 1,
      step: 0.01,
      usual: 0.3,
      apply: (v, s, r) => {
        const drawn = r.uniform();
        return drawn >= s ? v : drawn < s / 2 ? 0 : 1;
      },
    },
    poisson: {
      strength: "peak",
      low: 0.5,
      high: 30,
      step: 0.5,
      usual: 4,
      apply: (v, s, r) => poisson(v * s, r) / s,
    },
    speckle: {
      strength: "sigma",
      low: 0,
      high: 1,
      step: 0.01,
      usual: 0.5,
      apply: (v, s, r) => v * (1 + s * r.normal()),
    },
    uniform: {
      strength: "width",
      low: 0,
      high: 1,
      step: 0.01,
      usual: 0.5,
      apply: (v, s, r) => v + s * (2 * r.uniform() - 1),
    },
    masking: {
      strength: "amount",
      low: 0,
      high: 1,
      step: 0.01,
      usual: 0.5,
      apply: (v, s, r) => (r.uniform() < s ? 0 : v),
    },
  };

  /* A noisy copy of an image, clipped to [0, 1]; the same for the same seed. */
  function addNoise(image, kind, strength, seed) {
    const random = generator(seed);
    const { apply } = NOISES[kind];
    const data = image.data.map((v) =>
      Math.min(1, Math.max(0, apply(v, strength, random))),
    );
    return { ...image, data };
  }

  function mse(one, other) {
    let sum = 0;
    for (let i = 0; i < one.data.length; i++) sum += (one.data[i] - other.data[i]) ** 2;
    return sum / one.data.length;
  }

  /* Peak signal-to-noise ratio in dB, of images in [0, 1]. */
  const psnr = (error) => -10 * Math.log10(error);

  return { NOISES, addNoise, mse, psnr };
})();

if (typeof module !== "undefined") module.exports = Noise;
