/* The page: a digit, its noise, and the outputs of the models. */
"use strict";

(() => {
  const { tensor } = Kernels;
  const { $, element, paint, wipe, readPicture, toGrey, save, takeFiles } = View;
  const content = JSON.parse($("content").textContent);
  const parts = ["weights", "layers", "kernels", "worker"];
  const source = parts.map((name) => $(`js-${name}`).textContent).join("\n");
  const pool = Pool.create(content.models, source);
  const digitModels = content.models.filter((model) => model.digits);
  const state = {
    truth: null,
    noisy: null,
    seed: 1,
    model: digitModels.at(-1),
    last: {},
  };
  let busy = false,
    again = false;

  // ---- Test images and files.

  function digitOf({ pixels }) {
    const bytes = atob(pixels);
    const image = tensor(28, 28, 1);
    for (let i = 0; i < bytes.length; i++) image.data[i] = bytes.charCodeAt(i) / 255;
    return image;
  }

  function addSamples() {
    for (const sample of content.samples) {
      const image = digitOf(sample);
      const canvas = element("canvas", {});
      const button = element(
        "button",
        { type: "button", "aria-pressed": "false", "aria-label": sample.about },
        canvas,
      );
      paint(canvas, image);
      button.addEventListener("click", () => {
        Pad.wipe();
        press(button);
        setTruth(image);
      });
      $("samples").append(button);
    }
  }

  /* Mark one test image, or none, as selected. */
  function press(button) {
    for (const one of $("samples").children)
      one.setAttribute("aria-pressed", String(one === button));
  }

  async function takeDigit(file) {
    const problem = $("bench-error");
    problem.hidden = true;
    try {
      const image = Digits.fromPicture(toGrey(await readPicture(file)));
      if (!image) throw new Error(`${file.name} is of one colour: no digit.`);
      Pad.wipe();
      press(null);
      setTruth(image);
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  }

  // ---- Noise.

  function setTruth(image) {
    state.truth = image;
    update();
  }

  function setKind() {
    const row = Noise.NOISES[$("noise").value];
    const strength = $("strength");
    strength.min = row.low;
    strength.max = row.high;
    strength.step = row.step;
    strength.value = row.usual;
    $("strength-name").textContent = row.strength;
    update();
  }

  function figures(error) {
    return error > 0
      ? `MSE ${error.toFixed(4)}, PSNR ${Noise.psnr(error).toFixed(2)} dB`
      : "equal to the truth";
  }

  function update() {
    const { truth } = state;
    const strength = Number($("strength").value);
    $("strength-value").textContent = strength;
    for (const name of ["save-noisy", "save-truth"]) $(name).disabled = !truth;
    if (!truth) return forget();
    state.noisy = Noise.addNoise(truth, $("noise").value, strength, state.seed);
    const words = figures(Noise.mse(truth, state.noisy));
    paint($("truth"), truth);
    paint($("noisy"), state.noisy);
    $("truth").setAttribute("aria-label", "The clean digit, 28 x 28 pixels");
    $("noisy").setAttribute("aria-label", `The noisy digit: ${words}`);
    $("noisy-error").textContent = words;
    return answerAll();
  }

  /* There is no image: clear all outputs. */
  function forget() {
    state.noisy = null;
    state.last = {};
    for (const name of ["truth", "noisy"]) {
      wipe($(name));
      $(name).setAttribute("aria-label", `The ${name} image: empty`);
    }
    $("noisy-error").textContent = "nothing yet";
    for (const model of digitModels) showAnswer(model, null);
    $("status").textContent = "Draw a digit or choose a test image.";
    Latent.show(null, null);
  }

  // ---- Outputs.

  const card = (model) => $(`answer-${content.models.indexOf(model)}`);

  function addCards() {
    for (const model of digitModels) {
      const number = content.models.indexOf(model);
      const button = element(
        "button",
        { type: "button", id: `answer-${number}`, "aria-pressed": "false" },
        element("canvas", {
          role: "img",
          "aria-label": `Output of ${model.name}: empty`,
        }),
        element(
          "span",
          {},
          element("b", {}, model.name),
          element("span", { class: "about" }, model.about),
          element("span", { class: "figures" }),
          element("span", { class: "ms" }),
        ),
      );
      button.addEventListener("click", () => select(model));
      $("answers").append(button);
    }
  }

  function select(model) {
    state.model = model;
    for (const one of digitModels)
      card(one).setAttribute("aria-pressed", String(one === model));
    Latent.choose(model);
    const last = state.last[model.name];
    Latent.show(last ? last.latent : null, last ? last.truth : null);
    $("command").textContent =
      "keras-dae denoise noisy.png -o denoised.png --clean truth.png " +
      `--model ${model.command}`;
  }

  function showAnswer(model, found) {
    const button = card(model);
    const canvas = button.querySelector("canvas");
    const [words, time] = found
      ? [figures(found.error), `${found.ms.toFixed(1)} ms`]
      : ["", ""];
    if (found) paint(canvas, found.answer);
    else wipe(canvas);
    canvas.setAttribute("aria-label", `Output of ${model.name}: ${words || "empty"}`);
    // Two lines, which screen readers read as one.
    const lines = words.split(", ").flatMap((line) => [line, element("br")]);
    button.querySelector(".figures").replaceChildren(...lines.slice(0, -1));
    button.querySelector(".ms").textContent = time;
    button.classList.remove("best");
  }

  /* Run all models; while they run, only the newest image is queued. */
  async function answerAll() {
    again = true;
    if (busy) return;
    busy = true;
    $("answers").setAttribute("aria-busy", "true");
    try {
      while (again) await answerOnce();
    } catch (error) {
      $("status").textContent = `The models cannot run here: ${error.message}`;
    } finally {
      busy = false;
      $("answers").setAttribute("aria-busy", "false");
    }
  }

  async function answerOnce() {
    again = false;
    const { truth, noisy } = state;
    if (!noisy) return;
    await Promise.all(digitModels.map((model) => askOne(model, truth, noisy)));
    if (state.noisy === noisy) tellBest();
  }

  async function askOne(model, truth, noisy) {
    const found = await pool.ask({ model: model.name, image: noisy });
    if (!state.noisy) return;
    found.error = Noise.mse(truth, found.answer);
    state.last[model.name] = { ...found, truth };
    showAnswer(model, found);
    if (model === state.model) Latent.show(found.latent, truth);
  }

  function tellBest() {
    const error = (model) => state.last[model.name].error;
    const best = digitModels.reduce((a, b) => (error(b) < error(a) ? b : a));
    for (const model of digitModels)
      card(model).classList.toggle("best", model === best);
    $("status").textContent =
      `${best.name} is closest to the truth: ${figures(error(best))}.`;
  }

  // ---- Start-up.

  function startDigits() {
    for (const kind of Object.keys(Noise.NOISES)) $("noise").append(new Option(kind));
    $("noise").addEventListener("change", setKind);
    $("strength").addEventListener("input", update);
    $("again").addEventListener("click", () => {
      state.seed += 1;
      update();
    });
    $("save-noisy").addEventListener("click", () => save(state.noisy, "noisy.png"));
    $("save-truth").addEventListener("click", () => save(state.truth, "truth.png"));
    Latent.start(pool);
    addSamples();
    addCards();
    // The first run takes longer: weights are unpacked, and code is compiled.
    for (const { name } of digitModels)
      pool.ask({ model: name, image: tensor(28, 28) });
    Pad.start((strokes) => {
      press(null);
      setTruth(Digits.fromStrokes(strokes));
    });
    takeFiles($("bench"), $("digit-file"), takeDigit);
    select(state.model);
    setKind();
    // Outputs say more than empty frames do.
    if (digitModels.length) $("samples").firstElementChild?.click();
  }

  // A file dropped outside the drop zones would replace the page.
  for (const name of ["dragover", "drop"])
    window.addEventListener(name, (event) => event.preventDefault());
  if (digitModels.length > 0) startDigits();
  else for (const part of document.querySelectorAll(".of-digits")) part.hidden = true;
  Photo.start(pool, content.models);
  document.body.dataset.ready = "true";
})();
