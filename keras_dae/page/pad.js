/* The area to draw a digit on, with a mouse, a pen, a finger or keys. */
"use strict";

const Pad = (() => {
  const pad = View.$("pad");
  let strokes = [],
    pressed = null; // the strokes; the pointer that is drawing
  let tell; // called with the strokes after each change
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
    tell(strokes);
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
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
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

  /* Clear the drawing, since another image was chosen. */
  function wipe() {
    strokes = [];
    pen.down = false;
    drawPad();
  }

  function clear() {
    wipe();
    tell(strokes);
  }

  function start(told) {
    tell = told;
    onPen();
    onKeys();
    View.$("clear").addEventListener("click", clear);
  }

  return { start, wipe };
})();
