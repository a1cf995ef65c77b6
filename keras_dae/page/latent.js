/* The latent maps of the chosen model, and the decoder output for changed maps. */
"use strict";

const Latent = (() => {
  const { $, element, heat, paint, wipe } = View;
  const MOST = 3; // largest factor of a map
  let pool, model, truth, maps; // maps: the output of the encoder
  let factors = []; // one per map
  let cells = new Map(); // position in the latent -> replacement value
  let chosen = null; // position of the cell whose value the slider sets
  let busy = false,
    again = false;

  const changed = () => cells.size > 0 || factors.some((f) => f !== 1);

  /* The latent after all changes. */
  function current() {
    const data = maps.data.map((v, i) =>
      cells.has(i) ? cells.get(i) : v * factors[i % maps.channels],
    );
    return { ...maps, data };
  }

  const highest = () => Math.max(1e-6, ...maps.data);

  /* Make a canvas and sliders for each map of a model. */
  function choose(next) {
    model = next;
    maps = null;
    $("inside").hidden = !model.latent;
    if (!model.latent) return;
    $("inside-name").textContent = model.name;
    const noise = model.noise ? `Trained on noise of ${model.noise}. ` : "";
    $("inside-help").textContent =
      `${noise}The encoder outputs ${model.maps} maps of ${model.latentSide} values, ` +
      "the only input of the decoder. Change the factor of a map, or the value of " +
      "one cell (click it, or focus a map and use the arrow keys).";
    reset();
    $("maps").replaceChildren(
      ...Array.from({ length: model.maps }, (_, n) => block(n)),
    );
  }

  function block(n) {
    const canvas = element("canvas", { id: `map-${n}`, tabindex: 0, role: "img" });
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      const at = (part, whole, count) =>
        Math.min(count - 1, Math.floor((part / whole) * count));
      if (maps) {
        const j = at(event.clientX - box.left, box.width, maps.width);
        pick(n, at(event.clientY - box.top, box.height, maps.height), j);
      }
    });
    canvas.addEventListener("keydown", (event) => move(event, n));
    const slider = (name, label, most, input) =>
      element(
        "label",
        { class: "slider" },
        element("span", { id: `${name}-name-${n}` }, label),
        element("input", {
          id: `${name}-${n}`,
          type: "range",
          min: 0,
          max: most,
          step: "any",
          value: 0,
          disabled: "",
          oninput: input,
        }),
        element("output", { id: `${name}-value-${n}` }),
      );
    return element(
      "div",
      { role: "group", "aria-label": `Latent map ${n + 1}` },
      element("figure", {}, canvas),
      slider("factor", `Map ${n + 1}, factor`, MOST, (event) => {
        factors[n] = Number(event.target.value);
        refresh();
      }),
      slider("cell", "Value of a cell", 1, (event) => {
        if (chosen !== null) cells.set(chosen, Number(event.target.value));
        refresh();
      }),
    );
  }

  function pick(n, i, j) {
    chosen = (i * maps.width + j) * maps.channels + n;
    refresh();
  }

  function move(event, n) {
    const steps = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const step = steps[event.key];
    if (!step || !maps) return;
    event.preventDefault();
    const here = chosen !== null && chosen % maps.channels === n;
    const pixel = here ? Math.floor(chosen / maps.channels) : 0;
    const within = (v, count) => Math.min(count - 1, Math.max(0, v));
    const i = within(
      Math.floor(pixel / maps.width) + (here ? step[0] : 0),
      maps.height,
    );
    pick(n, i, within((pixel % maps.width) + (here ? step[1] : 0), maps.width));
  }

  function reset() {
    factors = Array.from({ length: model.maps }, () => 1);
    cells = new Map();
    chosen = null;
    if (maps) refresh();
  }

  /* Set the output of the encoder for a new noisy image; null if there is none. */
  function show(latent, clean) {
    maps = latent;
    truth = clean;
    if (!model.latent) return;
    if (maps) refresh();
    else empty();
  }

  function empty() {
    for (let n = 0; n < model.maps; n++) {
      wipe($(`map-${n}`));
      $(`map-${n}`).setAttribute("aria-label", `Latent map ${n + 1}: empty`);
      $(`factor-${n}`).disabled = $(`cell-${n}`).disabled = true;
    }
    wipe($("changed"));
    $("changed").setAttribute("aria-label", "Output of the decoder: empty");
    $("changed-error").textContent = "";
    $("reset").disabled = true;
  }

  function refresh() {
    if (!maps) return;
    const values = current();
    for (let n = 0; n < maps.channels; n++) drawMap(n, values);
    $("reset").disabled = !changed();
    decode(values);
  }

  function drawMap(n, values) {
    const { height, width, channels } = values;
    const most = highest();
    const data = values.data.filter((_, i) => i % channels === n);
    const canvas = $(`map-${n}`);
    paint(
      canvas,
      { height, width, channels: 1, data: data.map((v) => v / most) },
      heat,
    );
    const mean = data.reduce((sum, v) => sum + v, 0) / data.length;
    canvas.setAttribute(
      "aria-label",
      `Latent map ${n + 1}: ${height} x ${width} values, mean ${mean.toFixed(2)}, ` +
        `highest ${Math.max(...data).toFixed(2)}`,
    );
    $(`factor-${n}`).disabled = false;
    $(`factor-${n}`).value = factors[n];
    $(`factor-value-${n}`).textContent = factors[n].toFixed(2);
    const own = chosen !== null && chosen % channels === n;
    const cell = $(`cell-${n}`);
    cell.disabled = !own;
    cell.max = 2 * most;
    cell.value = own ? values.data[chosen] : 0;
    $(`cell-value-${n}`).textContent = own ? values.data[chosen].toFixed(2) : "";
    const pixel = Math.floor(chosen / channels);
    const place = `row ${Math.floor(pixel / width) + 1}, column ${(pixel % width) + 1}`;
    $(`cell-name-${n}`).textContent = own ? `Value in ${place}` : "Choose a cell";
    if (own) frame(canvas, Math.floor(pixel / width), pixel % width);
  }

  /* Enlarge a canvas and draw a frame around one of its pixels. */
  function frame(canvas, i, j) {
    const scale = 12;
    const small = new OffscreenCanvas(canvas.width, canvas.height);
    small.getContext("2d").drawImage(canvas, 0, 0);
    canvas.width *= scale;
    canvas.height *= scale;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
    context.strokeStyle = "white";
    context.lineWidth = 3;
    context.strokeRect(j * scale + 1.5, i * scale + 1.5, scale - 3, scale - 3);
  }

  async function decode(values) {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    $("changed").setAttribute("aria-busy", "true");
    const question = { model: model.name, latent: values };
    const { answer } = await pool.ask(question, true);
    busy = false;
    if (maps) {
      paint($("changed"), answer);
      const error = Noise.mse(truth, answer);
      const words = `MSE ${error.toFixed(4)}, PSNR ${Noise.psnr(error).toFixed(2)} dB`;
      $("changed-error").textContent = words;
      const after = changed() ? "changed maps" : "the original maps";
      $("changed").setAttribute(
        "aria-label",
        `Output of the decoder for ${after}: ${words}`,
      );
    }
    if (again) {
      again = false;
      refresh();
    }
    $("changed").setAttribute("aria-busy", String(busy));
  }

  function start(shared) {
    pool = shared;
    $("reset").addEventListener("click", reset);
  }

  return { start, choose, show };
})();
