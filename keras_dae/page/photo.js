/* A photograph: cut into tiles, which the graphics card answers, or the workers. */
"use strict";

const Photo = (() => {
  const { $, paint, readPicture, save, takeFiles, seconds } = View;
  let pool,
    models,
    photo = null,
    file = "",
    result = null;
  let job = 0; // a new job cancels earlier ones

  const model = () => models[Number($("photo-model").value)];

  /* The centre of an image, at most `side` pixels per side; the whole image for 0. */
  function part(image, side) {
    const [height, width] = [image.height, image.width].map((n) =>
      Math.min(n, side || n),
    );
    const top = (image.height - height) >> 1,
      left = (image.width - width) >> 1;
    return Tiles.cut(image, top, left, height, width);
  }

  function fail(error) {
    $("photo-error").textContent = error.message;
    $("photo-error").hidden = false;
    $("photo-work").hidden = true;
  }

  async function take(chosen) {
    $("photo-error").hidden = true;
    try {
      photo = await readPicture(chosen);
      file = chosen.name;
      $("photo-part").value = photo.height * photo.width > 2 ** 20 ? "512" : "0";
      denoise();
    } catch (error) {
      fail(error);
    }
  }

  async function denoise() {
    if (!photo) return;
    job += 1;
    const own = job;
    const sigma = Number($("photo-noise").value) / 255;
    const clean = part(photo, Number($("photo-part").value));
    const noisy = sigma > 0 ? Noise.addNoise(clean, "gaussian", sigma, 1) : clean;
    const began = performance.now();
    const tick = (done, all) => {
      if (own === job) progress(done, all, (performance.now() - began) / 1000);
      return own === job;
    };
    progress(0, 1, 0);
    const chosen = model();
    try {
      const { image, where } = await answered(noisy, chosen, tick);
      if (image && own === job) {
        const took = (performance.now() - began) / 1000;
        show(clean, noisy, image, chosen, { took, where });
      }
    } catch (error) {
      if (own === job) fail(error);
    }
  }

  /* The image denoised, and what did it; no image where `tick` stopped the work. */
  async function answered(noisy, chosen, tick) {
    const card = await Gpu.predictor(chosen);
    if (card) {
      try {
        const image = await Tiles.denoise(noisy, chosen, card.predict, { tick });
        return { image, where: " by WebGPU" };
      } catch {
        // A card that fails leaves the work to the processor.
      } finally {
        card.close();
      }
    }
    const predict = async (image) =>
      (await pool.ask({ model: chosen.name, image })).answer;
    const options = { tick, atOnce: pool.count };
    return { image: await Tiles.denoise(noisy, chosen, predict, options), where: "" };
  }

  function progress(done, all, took) {
    $("photo-work").hidden = done === all;
    $("photo-progress").value = done / all;
    $("photo-left").textContent =
      done > 0
        ? `about ${seconds((took * (all - done)) / done)} left`
        : "running the first tiles";
  }

  function show(clean, noisy, answer, chosen, { took, where }) {
    result = answer;
    paint($("photo-before"), noisy);
    paint($("photo-after"), answer);
    $("photo-result").hidden = false;
    split();
    const psnr = (image) => `${Noise.psnr(Noise.mse(clean, image)).toFixed(2)} dB`;
    const added = noisy !== clean;
    const time = `${took.toFixed(1)} s${where}`;
    const size = `${answer.width} x ${answer.height} pixels in ${time}`;
    const gain = added ? `; PSNR ${psnr(noisy)} before, ${psnr(answer)} after` : "";
    $("photo-status").textContent = `${chosen.name}: ${size}${gain}.`;
    $("photo-command").textContent = command(chosen, added);
  }

  function command(chosen, added) {
    const plain = /^[\w.-]+$/.test(file);
    const name = plain ? file : `'${file.replaceAll("'", "'\\''")}'`;
    const sigma = (Number($("photo-noise").value) / 255).toFixed(3);
    const noise = added ? ` --add-noise gaussian:${sigma}` : "";
    const which = ` --model ${chosen.command}`;
    return `keras-dae denoise ${name} -o denoised.png${which}${noise}`;
  }

  /* Show the photograph left of the slider, the output right of it. */
  function split() {
    $("photo-before").style.clipPath = `inset(0 ${100 - $("photo-split").value}% 0 0)`;
    $("photo-before").style.zIndex = 1;
  }

  function start(shared, all) {
    pool = shared;
    models = all;
    all.forEach((one, n) => $("photo-model").append(new Option(one.name, n)));
    $("photo-model").value = all.findIndex((one) => one.photographs);
    if (!model()) $("photo-model").value = 0;
    takeFiles($("photo"), $("photo-file"), take);
    for (const name of ["photo-model", "photo-part", "photo-noise"])
      $(name).addEventListener("change", denoise);
    $("photo-noise").addEventListener("input", () => {
      $("photo-noise-value").textContent = $("photo-noise").value;
    });
    $("photo-split").addEventListener("input", split);
    $("photo-save").addEventListener("click", () => save(result, "denoised.png"));
    $("photo-stop").addEventListener("click", () => {
      job += 1;
      $("photo-work").hidden = true;
    });
  }

  return { start };
})();
