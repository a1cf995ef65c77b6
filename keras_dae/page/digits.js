/* Preprocess digits like MNIST: white on black, the longer side 20 pixels, the centre
 * of mass at pixel (14, 14) of 28x28. An image is a tensor of `kernels.js` in [0, 1].
 */
"use strict";

const Digits = (() => {
  const { tensor } = typeof require === "undefined" ? Kernels : require("./kernels.js");

  const SIDE = 28,
    BOX = 20,
    CENTRE = 14;
  const STROKE = 2.5; // pixels; the median stroke width of MNIST
  const MOST_SCALE = 120; // pixels per side of the canvas, so that a dot stays a dot

  /* The centre of mass, {x, y} in pixels; null for an image without ink. */
  function massCentre({ height, width, data }) {
    let total = 0,
      x = 0,
      y = 0;
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++) {
        const value = data[i * width + j];
        total += value;
        x += j * value;
        y += i * value;
      }
    return total > 0 ? { x: x / total, y: y / total } : null;
  }

  /* The distance of a point from the line between two others. */
  function distance(x, y, a, b) {
    const dx = b.x - a.x,
      dy = b.y - a.y;
    const length = dx * dx + dy * dy;
    const along = length > 0 ? ((x - a.x) * dx + (y - a.y) * dy) / length : 0;
    const t = Math.min(1, Math.max(0, along));
    return Math.hypot(x - a.x - t * dx, y - a.y - t * dy);
  }

  /* Draw lines with the stroke width of MNIST, with grey edges. */
  function drawLines(strokes) {
    const image = tensor(SIDE, SIDE);
    const reach = STROKE / 2 + 1;
    for (const points of strokes) {
      points.forEach((a, n) => {
        const b = points[Math.max(0, n - 1)];
        const low = (p, q) => Math.max(0, Math.floor(Math.min(p, q) - reach));
        const high = (p, q) => Math.min(SIDE - 1, Math.ceil(Math.max(p, q) + reach));
        for (let i = low(a.y, b.y); i <= high(a.y, b.y); i++)
          for (let j = low(a.x, b.x); j <= high(a.x, b.x); j++) {
            const ink = STROKE / 2 + 0.5 - distance(j, i, a, b);
            const at = i * SIDE + j;
            image.data[at] = Math.max(image.data[at], Math.min(1, ink));
          }
      });
    }
    return image;
  }

  /* A drawn digit, preprocessed like MNIST; null if nothing is drawn.
   *
   * `strokes` are lists of points {x, y}, from 0 to 1 across the canvas. */
  function fromStrokes(strokes) {
    const points = strokes.flat();
    if (points.length === 0) return null;
    const xs = points.map((p) => p.x),
      ys = points.map((p) => p.y);
    const left = Math.min(...xs),
      top = Math.min(...ys);
    const extent = Math.max(Math.max(...xs) - left, Math.max(...ys) - top);
    const scale = Math.min(MOST_SCALE, (BOX - STROKE) / Math.max(extent, 1e-6));
    const place = (dx, dy) =>
      strokes.map((stroke) =>
        stroke.map((p) => ({
          x: (p.x - left) * scale + dx,
          y: (p.y - top) * scale + dy,
        })),
      );
    // Draw it without cropping first, then with its centre of mass in the middle.
    const edge = (SIDE - BOX + STROKE) / 2;
    const mass = massCentre(drawLines(place(edge, edge)));
    return drawLines(place(edge + CENTRE - mass.x, edge + CENTRE - mass.y));
  }

  /* A picture of a digit, one channel, preprocessed like MNIST; null if empty.
   *
   * Images of 28x28 pixels are not changed. In others, the level at the edges becomes
   * black. */
  function fromPicture(picture) {
    const { height, width, data } = picture;
    if (height === SIDE && width === SIDE) return picture;
    const edges = [];
    for (let i = 0; i < height; i++)
      edges.push(data[i * width], data[(i + 1) * width - 1]);
    for (let j = 0; j < width; j++) edges.push(data[j], data[(height - 1) * width + j]);
    const ground = edges.sort((a, b) => a - b)[edges.length >> 1];
    const ink = tensor(height, width);
    let most = 0;
    for (let i = 0; i < data.length; i++) {
      ink.data[i] = Math.abs(data[i] - ground);
      most = Math.max(most, ink.data[i]);
    }
    if (most < 0.1) return null;
    for (let i = 0; i < data.length; i++) {
      const value = ink.data[i] / most;
      ink.data[i] = value < 0.2 ? 0 : value;
    }
    const part = crop(ink);
    const scale = BOX / Math.max(part.height, part.width);
    const side = (length) => Math.max(1, Math.round(length * scale));
    return centred(resize(part, side(part.height), side(part.width)));
  }

  /* The bounding box of everything that is not black, in an image of one channel. */
  function crop({ height, width, data }) {
    let top = height,
      left = width,
      bottom = 0,
      right = 0;
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++)
        if (data[i * width + j] > 0) {
          top = Math.min(top, i);
          left = Math.min(left, j);
          bottom = Math.max(bottom, i + 1);
          right = Math.max(right, j + 1);
        }
    const part = tensor(bottom - top, right - left);
    for (let i = 0; i < part.height; i++) {
      const from = (top + i) * width + left;
      part.data.set(data.subarray(from, from + part.width), i * part.width);
    }
    return part;
  }

  /* Resize an image of one channel: means over the area of each pixel. */
  function resize(image, height, width) {
    const rows = shares(image.height, height),
      columns = shares(image.width, width);
    const out = tensor(height, width);
    rows.forEach((row, i) =>
      columns.forEach((column, j) => {
        let sum = 0;
        for (const [y, a] of row)
          for (const [x, b] of column) sum += a * b * image.data[y * image.width + x];
        out.data[i * width + j] = sum;
      }),
    );
    return out;
  }

  /* For each new pixel of an axis, the old ones that it covers and their weights. */
  function shares(from, to) {
    return Array.from({ length: to }, (_, i) => {
      const low = (i * from) / to,
        high = ((i + 1) * from) / to;
      const covered = [];
      for (let p = Math.floor(low); p < Math.min(from, Math.ceil(high)); p++) {
        const share = Math.min(high, p + 1) - Math.max(low, p);
        if (share > 1e-9) covered.push([p, share / (high - low)]);
      }
      return covered;
    });
  }

  /* Place a small image in 28x28 pixels, centred by mass. */
  function centred(part) {
    const mass = massCentre(part);
    const fit = (size, middle) =>
      Math.min(SIDE - size, Math.max(0, Math.round(CENTRE - middle)));
    const top = fit(part.height, mass.y),
      left = fit(part.width, mass.x);
    const out = tensor(SIDE, SIDE);
    for (let i = 0; i < part.height; i++) {
      const row = part.data.subarray(i * part.width, (i + 1) * part.width);
      out.data.set(row, (top + i) * SIDE + left);
    }
    return out;
  }

  return { fromStrokes, fromPicture };
})();

if (typeof module !== "undefined") module.exports = Digits;
