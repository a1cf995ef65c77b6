/* The page: a digit, its noise, and what each model answers. */
"use strict";

(async () => {
  const { tensor } = Kernels;
  const { $, element, paint, wipe, readPicture, toGrey, save, takeFiles } = View;
  const content = JSON.parse($("content").textContent);
  const source = $("kernels").textContent + $("worker").textContent;
  const pool = Pool.create(content.models, source);
  const digitModels = content.models.filter((model) => model.digits);
  const state = { truth: null, noisy: null, seed: 1, model: digitModels.at(-1), last: {} };
  let strokes = [], pressed = null; // strokes of the drawing; the stroke that goes on
  let busy = false, again = false;

  // ---- The drawing area.

  const pad = $("pad");
  const pen = { x: 0.5, y: 0.5, shown: false, down: false }; // of the keyboard

  function drawPad() {
    const context = pad.getContext("2d");
    const { width } = pad;
    context.clearRect(0, 0, width, width);
    context.strokeStyle = context.fillStyle = "white";
    context.lineWidth = width / 12;
    context.lineCap = context.lineJoin = "round";
    for (const points of strokes) {
      context.beginPath();
      context.moveTo(points[0].x * width, points[0].y * width);
      for (const p of points) context.lineTo(p.x * width, p.y * width);
      context.stroke();
    }
    if (!pen.shown) return;
    context.strokeStyle = pen.down ? "#5fd0c2" : "#8b949b";
    context.lineWidth = 4;
    context.beginPath();
    context.arc(pen.x * width, pen.y * width, width / 24, 0, 7);
    context.stroke();
  }

  function drawn() {
    drawPad();
    press(null);
    setTruth(Digits.fromStrokes(strokes));
  }

  function placeOf(event) {
    const box = pad.getBoundingClientRect();
    const part = (v, low, size) => Math.min(1, Math.max(0, (v - low) / size));
    return {
      x: part(event.clientX, box.left, box.width),
      y: part(event.clientY, box.top, box.height),
    };
  }

  function onPen() {
    pad.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      pad.setPointerCapture(event.pointerId);
      pen.shown = false;
      pressed = event.pointerId;
      strokes.push([placeOf(event)]);
      drawn();
    });
    pad.addEventListener("pointermove", (event) => {
      if (event.pointerId !== pressed) return;
      const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const one of events.length > 0 ? events : [event])
        strokes.at(-1).push(placeOf(one));
      drawn();
    });
    for (const end of ["pointerup", "pointercancel"])
      pad.addEventListener(end, (event) => {
        if (event.pointerId === pressed) pressed = null;
      });
  }

  function onKeys() {
    const steps = {
      ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
    };
    pad.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return clear();
      if (!(event.key in steps) && event.key !== " ") return;
      event.preventDefault();
      pen.shown = true;
      const [dx, dy] = steps[event.key] || [0, 0];
      if (event.key === " ") pen.down = !pen.down;
      pen.x = Math.min(1, Math.max(0, pen.x + dx / 24));
      pen.y = Math.min(1, Math.max(0, pen.y + dy / 24));
      if (!pen.down) return drawPad();
      if (event.key === " ") strokes.push([{ x: pen.x, y: pen.y }]);
      else strokes.at(-1).push({ x: pen.x, y: pen.y });
      drawn();
    });
    pad.addEventListener("blur", () => {
      pen.shown = pen.down = false;
      drawPad();
    });
  }

  function clear() {
    strokes = [];
    pen.down = false;
    drawn();
  }

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
        strokes = [];
        drawPad();
        press(button);
        setTruth(image);
      });
      $("samples").append(button);
    }
  }

  /* Mark one test image, or none, as the one that is used. */
  function press(button) {
    for (const one of $("samples").children)
      one.setAttribute("aria-pressed", String(one === button));
  }

  async function takeDigit(file) {
    const problem = $("bench-error");
    problem.hidden = true;
    try {
      const image = Digits.fromPicture(toGrey(await readPicture(file)));
      if (!image) throw new Error(`${file.name} is of one shade; there is no digit.`);
      strokes = [];
      drawPad();
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

  /* There is no image: show no answers. */
  function forget() {
    state.noisy = null;
    state.last = {};
    for (const name of ["truth", "noisy"]) {
      wipe($(name));
      $(name).setAttribute("aria-label", `The ${name} image: empty`);
    }
    $("noisy-error").textContent = "nothing yet";
    for (const model of digitModels) showAnswer(model, null);
    $("status").textContent = "Draw a digit or take a test image.";
    Latent.show(null, null);
  }

  // ---- Answers.

  const card = (model) => $(`answer-${content.models.indexOf(model)}`);

  function addCards() {
    for (const model of digitModels) {
      const number = content.models.indexOf(model);
      const button = element(
        "button",
        { type: "button", id: `answer-${number}`, "aria-pressed": "false" },
        element("canvas", { role: "img", "aria-label": `Answer of ${model.name}: empty` }),
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
      `keras-dae denoise noisy.png -o denoised.png --clean truth.png --model ${model.command}`;
  }

  function showAnswer(model, found) {
    const button = card(model);
    const canvas = button.querySelector("canvas");
    const [words, time] = found
      ? [figures(found.error).replace(", ", "\n"), `${found.ms.toFixed(1)} ms`]
      : ["", ""];
    if (found) paint(canvas, found.answer);
    else wipe(canvas);
    canvas.setAttribute("aria-label", `Answer of ${model.name}: ${words || "empty"}`);
    button.querySelector(".figures").innerText = words;
    button.querySelector(".ms").textContent = time;
    button.classList.remove("best");
  }

  /* Ask all models; while they answer, only the newest image waits. */
  async function answerAll() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    do {
      again = false;
      const { truth, noisy } = state;
      if (noisy) await Promise.all(digitModels.map((model) => askOne(model, truth, noisy)));
      if (state.noisy) tellBest();
      else forget();
    } while (again);
    busy = false;
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
    for (const model of digitModels) card(model).classList.toggle("best", model === best);
    $("status").textContent = `${best.name} is nearest to the truth: ${figures(error(best))}.`;
  }

  // ---- The start.

  for (const kind of Object.keys(Noise.NOISES)) $("noise").append(new Option(kind));
  $("noise").addEventListener("change", setKind);
  $("strength").addEventListener("input", update);
  $("again").addEventListener("click", () => {
    state.seed += 1;
    update();
  });
  $("clear").addEventListener("click", clear);
  $("save-noisy").addEventListener("click", () => save(state.noisy, "noisy.png"));
  $("save-truth").addEventListener("click", () => save(state.truth, "truth.png"));
  // A file dropped beside the sections would replace the page.
  for (const name of ["dragover", "drop"])
    window.addEventListener(name, (event) => event.preventDefault());
  Latent.start(pool);
  Photo.start(pool, content.models);
  addSamples();
  addCards();
  onPen();
  onKeys();
  takeFiles($("bench"), $("digit-file"), takeDigit);
  if (state.model) select(state.model);
  setKind();
})();
