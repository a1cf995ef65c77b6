/* Functions that the page shares: elements, images on canvases, files. */
"use strict";

const View = (() => {
  const { tensor } = Kernels;
  const $ = (id) => document.getElementById(id);

  /* Create an element: attributes by name, `on...` functions, then its children. */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  const grey = (v) => [255 * v, 255 * v, 255 * v];

  // Dark blue, teal, yellow, with increasing lightness.
  const STOPS = [
    [13, 8, 60],
    [30, 80, 140],
    [33, 145, 140],
    [120, 205, 90],
    [253, 231, 37],
  ];
  function heat(v) {
    const at = Math.min(1, Math.max(0, v)) * (STOPS.length - 1);
    const low = Math.min(STOPS.length - 2, Math.floor(at));
    return STOPS[low].map((c, i) => c + (at - low) * (STOPS[low + 1][i] - c));
  }

  /* Put an image of one or three channels on a canvas, pixel by pixel. */
  function paint(canvas, image, colour = grey) {
    canvas.width = image.width;
    canvas.height = image.height;
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(image.width, image.height);
    const { channels, data } = image;
    for (let p = 0; p < image.width * image.height; p++) {
      const from = p * channels;
      const shade =
        channels === 3
          ? [0, 1, 2].map((c) => 255 * data[from + c])
          : colour(data[from]);
      for (let c = 0; c < 3; c++) pixels.data[4 * p + c] = Math.round(shade[c]);
      pixels.data[4 * p + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
  }

  function wipe(canvas) {
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  }

  /* Read an image file: one channel if all pixels are grey, else three. */
  async function readPicture(file) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      throw new Error(`${file.name} is not an image that this browser can open.`);
    }
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context.fillStyle = "white"; // behind transparent pixels
    context.fillRect(0, 0, bitmap.width, bitmap.height);
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    const pixels = bitmap.width * bitmap.height;
    let isGrey = true;
    for (let i = 0; i < data.length && isGrey; i += 4)
      isGrey = data[i] === data[i + 1] && data[i] === data[i + 2];
    const channels = isGrey ? 1 : 3;
    const image = tensor(bitmap.height, bitmap.width, channels);
    for (let p = 0; p < pixels; p++)
      for (let c = 0; c < channels; c++)
        image.data[p * channels + c] = data[4 * p + c] / 255;
    return image;
  }

  /* Convert three channels to luma. */
  function toGrey(image) {
    if (image.channels === 1) return image;
    const out = tensor(image.height, image.width, 1);
    for (let p = 0; p < out.data.length; p++) {
      const [r, g, b] = image.data.subarray(3 * p, 3 * p + 3);
      out.data[p] = 0.299 * r + 0.587 * g + 0.114 * b;
    }
    return out;
  }

  /* Offer an image as a PNG file of this name. */
  function save(image, name) {
    const canvas = document.createElement("canvas");
    paint(canvas, image);
    canvas.toBlob((blob) => {
      const link = element("a", { href: URL.createObjectURL(blob), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }

  /* Pass files dropped on `zone`, or chosen in `input`, to `take`. */
  function takeFiles(zone, input, take) {
    const over = (event) => {
      event.preventDefault();
      zone.classList.add("over");
    };
    zone.addEventListener("dragenter", over);
    zone.addEventListener("dragover", over);
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      if (event.dataTransfer.files.length > 0) take(event.dataTransfer.files[0]);
    });
    input.addEventListener("change", () => {
      if (input.files.length > 0) take(input.files[0]);
      input.value = "";
    });
  }

  const seconds = (s) => (s < 60 ? `${Math.ceil(s)} s` : `${Math.ceil(s / 60)} min`);

  return {
    $,
    element,
    heat,
    paint,
    wipe,
    readPicture,
    toGrey,
    save,
    takeFiles,
    seconds,
  };
})();
