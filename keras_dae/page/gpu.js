/* Models on the graphics card through WebGPU, where the browser offers one.
 *
 * Each node of a prepared model (`kernels.js`) becomes one compute shader, written for
 * the sizes of its tensors. Tensors stay on the card from the image to the answer.
 */
"use strict";

const Gpu = (() => {
  const { convSide, transposeSide, tensor, prepare } =
    typeof require === "undefined" ? Kernels : require("./kernels.js");
  const GROUP = 64; // threads of a workgroup
  const MOST_GROUPS = 65535; // along one axis of a dispatch
  const PIXELS = 4; // neighbours in a row that one thread computes
  const settings = { software: false }; // whether a card that is emulated will do

  // ---- Shaders. A tensor is {height, width, channels, buffer}, channels last.

  const ACTIVATIONS = {
    linear: () => "v",
    relu: () => "max(v, vec4f(0))",
    leaky_relu: ({ slope }) => `select(${slope || 0} * v, v, v > vec4f(0))`,
    sigmoid: () => "1 / (1 + exp(-v))",
    tanh: () => "tanh(v)",
  };

  const activation = (node) =>
    `fn activated(v: vec4f) -> vec4f { return ${ACTIVATIONS[node.activation](node)}; }`;

  const bindings = (names) =>
    names
      .map(([name, type, access], n) => {
        const kind = `var<storage, ${access || "read"}>`;
        return `@group(0) @binding(${n}) ${kind} ${name}: array<${type}>;`;
      })
      .join("\n");

  const INTO = ["into", "f32", "read_write"];

  /* A shader whose threads are numbered by `n`, those below `count` with a `body`. */
  const shader = (names, node, count, body, functions = "") => `
    ${bindings(names)}
    ${activation(node)}
    ${functions}
    @compute @workgroup_size(${GROUP})
    fn main(
      @builtin(global_invocation_id) id: vec3u,
      @builtin(num_workgroups) groups: vec3u,
    ) {
      let n = i32(id.x + id.y * groups.x * ${GROUP}u);
      if (n >= ${count}) { return; }
      ${body}
    }`;

  /* Rows of four filters each; the last is filled up with zeros. */
  function quads(rows, filters, value) {
    const width = 4 * Math.ceil(filters / 4);
    const out = new Float32Array(rows * width);
    for (let r = 0; r < rows; r++)
      for (let f = 0; f < filters; f++) out[r * width + f] = value(r, f);
    return out;
  }

  /* Where pixel `i` of a thread's four reads for the offset (u, v) of the kernel. */
  const term = (i) => `
    let x${i} = column(x + ${i}, v);
    let in${i} = high >= 0 && high < HIGH && x${i} >= 0 && x${i} < WIDE;
    let from${i} = select(0, (high * WIDE + x${i}) * CHANNELS, in${i});
    let share${i} = select(0.0, 1.0, in${i});`;

  const product = (i) => `sum${i} += share${i} * image[from${i} + c] * weight;`;

  /* A convolution, or a transposed one: `row` and `column` say which input pixel meets
   * an offset of the kernel, -1 for none. */
  function convolution(node, x, out, weights, row, column) {
    const [kh, kw] = node.kernel;
    const groups = Math.ceil(out.channels / 4);
    const across = Math.ceil(out.width / PIXELS);
    const each = [...Array(PIXELS).keys()];
    const functions = `
      const HIGH = ${x.height}; const WIDE = ${x.width}; const CHANNELS = ${x.channels};
      fn row(y: i32, u: i32) -> i32 { ${row} }
      fn column(x: i32, v: i32) -> i32 { ${column} }`;
    const body = `
      let quad = n % ${groups};
      let y = n / ${groups * across};
      let x = (n / ${groups} % ${across}) * ${PIXELS};
      ${each.map((i) => `var sum${i} = bias[quad];`).join(" ")}
      for (var u = 0; u < ${kh}; u++) { let high = row(y, u);
      for (var v = 0; v < ${kw}; v++) {
        ${each.map(term).join("")}
        var at = (u * ${kw} + v) * CHANNELS * ${groups} + quad;
        for (var c = 0; c < CHANNELS; c++) {
          let weight = kernel[at];
          at += ${groups};
          ${each.map(product).join(" ")}
        }
      } }
      let many = min(4, ${out.channels} - 4 * quad);
      ${each
        .map(
          (i) => `if (x + ${i} < ${out.width}) {
            var value = activated(sum${i});
            let to = (y * ${out.width} + x + ${i}) * ${out.channels} + 4 * quad;
            for (var f = 0; f < many; f++) { into[to + f] = value[f]; }
          }`,
        )
        .join("\n")}`;
    const names = [["image", "f32"], ["kernel", "vec4f"], ["bias", "vec4f"], INTO];
    const count = groups * across * out.height;
    const bias = quads(1, out.channels, (_, f) => node.bias[f]);
    return {
      out,
      constants: [weights, bias],
      count,
      code: shader(names, node, count, body, functions),
    };
  }

  function conv(node, [x]) {
    const [kh, kw, channels] = node.kernel;
    const [height, top] = convSide(x.height, kh, node.strides[0], node.padding);
    const [width, left] = convSide(x.width, kw, node.strides[1], node.padding);
    const rows = kh * kw * channels;
    const weights = quads(rows, node.filters, (r, f) => node.matrix[f * rows + r]);
    const row = `return y * ${node.strides[0]} + u - ${top};`;
    const column = `return x * ${node.strides[1]} + v - ${left};`;
    const out = { height, width, channels: node.filters };
    return convolution(node, x, out, weights, row, column);
  }

  function transpose(node, [x]) {
    const [kh, kw, filters, channels] = node.kernel;
    const [extraH, extraW] = node.output_padding || [null, null];
    const [sh, sw] = node.strides;
    const [height, top] = transposeSide(x.height, kh, sh, node.padding, extraH);
    const [width, left] = transposeSide(x.width, kw, sw, node.padding, extraW);
    const weights = quads(kh * kw * channels, filters, (r, f) => {
      const offset = Math.floor(r / channels);
      return node.matrix[(offset * filters + f) * channels + (r % channels)];
    });
    const from = (place, stride) =>
      `let s = ${place};
       return select(-1, s / ${stride}, s >= 0 && s % ${stride} == 0);`;
    const row = from(`y + ${top} - u`, sh);
    const column = from(`x + ${left} - v`, sw);
    const out = { height, width, channels: filters };
    return convolution(node, x, out, weights, row, column);
  }

  /* Sums or differences of tensors, or one tensor through an activation. */
  const join = (sign) => (node, tensors) => {
    const { height, width, channels } = tensors[0];
    const count = height * width * channels;
    const names = tensors.map((_, i) => [`x${i}`, "f32"]);
    const value = tensors.map((_, i) => `x${i}[n]`).join(` ${sign} `);
    const body = `into[n] = activated(vec4f(${value})).x;`;
    const code = shader([...names, INTO], node, count, body);
    return { out: { height, width, channels }, constants: [], count, code };
  };

  const OPS = {
    conv,
    transpose,
    add: join("+"),
    subtract: join("-"),
    activation: join(""),
  };

  const runs = (model) => model.nodes.every((node) => node.op in OPS);

  // ---- Models on a device.

  /* A model for images of one size: its buffers, and the passes between them. */
  function compile(device, model, height, width) {
    const buffers = [];
    const STORAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    const buffer = (values, usage = STORAGE | GPUBufferUsage.COPY_SRC) => {
      const made = device.createBuffer({ size: 4 * values, usage });
      buffers.push(made);
      return made;
    };
    const shape = { height, width, channels: model.channels };
    const start = { ...shape, buffer: buffer(height * width * model.channels) };
    const tensors = { [model.input]: start };
    const passes = model.nodes.map((node) => {
      const inputs = node.inputs.map((name) => tensors[name]);
      const { out, constants, count, code } = OPS[node.op](node, inputs);
      out.buffer = buffer(out.height * out.width * out.channels);
      tensors[node.name] = out;
      const held = constants.map((values) => {
        const kept = buffer(values.length);
        device.queue.writeBuffer(kept, 0, values);
        return kept;
      });
      const pipeline = device.createComputePipeline({
        layout: "auto",
        compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
      });
      const bound = [...inputs.map((x) => x.buffer), ...held, out.buffer];
      const group = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: bound.map((one, binding) => ({ binding, resource: { buffer: one } })),
      });
      const groups = Math.ceil(count / GROUP);
      const high = Math.ceil(groups / MOST_GROUPS);
      return { pipeline, group, size: [Math.ceil(groups / high), high] };
    });
    const end = tensors[model.output];
    const values = end.height * end.width * end.channels;
    const back = buffer(values, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    const free = () => buffers.forEach((one) => one.destroy());
    return { key: `${model.name} ${height} ${width}`, start, end, back, passes, free };
  }

  async function run(device, plan, image) {
    const { start, end, back, passes } = plan;
    device.queue.writeBuffer(start.buffer, 0, image.data);
    const encoder = device.createCommandEncoder();
    for (const { pipeline, group, size } of passes) {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...size);
      pass.end();
    }
    encoder.copyBufferToBuffer(end.buffer, 0, back, 0, back.size);
    device.queue.submit([encoder.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    const data = new Float32Array(back.getMappedRange()).slice();
    back.unmap();
    return tensor(end.height, end.width, end.channels, data);
  }

  let device = null; // or a promise of one
  const ready = new Map(); // name -> a promise of the model prepared

  async function open() {
    const adapter = navigator.gpu && (await navigator.gpu.requestAdapter());
    if (!adapter) return null;
    const { isFallbackAdapter, architecture } = adapter.info;
    const emulated = isFallbackAdapter || architecture === "swiftshader";
    return emulated && !settings.software ? null : adapter.requestDevice();
  }

  /* What answers images with a model on the card; null where nothing does. */
  async function predictor(model) {
    if (!runs(model)) return null;
    device = device || open().catch(() => null);
    const found = await device;
    if (!found) return null;
    if (!ready.has(model.name)) ready.set(model.name, prepare(model));
    const prepared = await ready.get(model.name);
    let plan = null,
      last = Promise.resolve();
    async function answer(image) {
      const key = `${model.name} ${image.height} ${image.width}`;
      if (plan === null || plan.key !== key) {
        if (plan) plan.free();
        found.pushErrorScope("validation");
        plan = compile(found, prepared, image.height, image.width);
        const problem = await found.popErrorScope();
        if (problem) throw new Error(problem.message);
      }
      return run(found, plan, image);
    }
    const predict = (image) => {
      const next = last.catch(() => null).then(() => answer(image));
      last = next;
      return next;
    };
    const close = () => plan && plan.free();
    return { predict, close };
  }

  return { predictor, runs, settings };
})();

if (typeof module !== "undefined") module.exports = Gpu;
