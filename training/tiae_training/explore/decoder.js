// ---- the decoder: the graph of decoder.onnx, step by step; a tensor is {shape, values}
const tensors = {};
if (data.decoder) {
  const weights = bytes(data.decoder.weights).buffer;
  for (const [name, told] of Object.entries(data.decoder.arrays)) {
    const size = told.shape.reduce((a, b) => a * b, 1);
    let values = told.values;
    if (told.float32 !== undefined) values = new Float32Array(weights, told.float32, size);
    if (told.int8 !== undefined) {
      const whole = new Int8Array(weights, told.int8, size), factors = new Float32Array(weights, told.factors, told.shape[0]);
      const row = size / told.shape[0];
      values = new Float32Array(size);
      for (let i = 0; i < size; i++) values[i] = whole[i] * factors[Math.floor(i / row)];
    }
    tensors[name] = {shape: told.shape, values};
  }
}
const sizeOf = shape => shape.reduce((a, b) => a * b, 1);
const tensor = shape => ({shape, values: new Float32Array(sizeOf(shape))});
const mapped = (x, f) => ({shape: x.shape, values: Float32Array.from(x.values, f)});
function broadcast(a, b, f) {
  const rank = Math.max(a.shape.length, b.shape.length);
  const padded = x => [...Array(rank - x.shape.length).fill(1), ...x.shape];
  const [one, other] = [padded(a), padded(b)], shape = one.map((n, i) => Math.max(n, other[i]));
  const steps = dims => { let step = 1; const made = Array(rank); for (let i = rank - 1; i >= 0; i--) { made[i] = dims[i] === 1 ? 0 : step; step *= dims[i]; } return made; };
  const [sa, sb] = [steps(one), steps(other)], out = tensor(shape), at = Array(rank).fill(0);
  for (let n = 0, ia = 0, ib = 0; n < out.values.length; n++) {
    out.values[n] = f(a.values[ia], b.values[ib]);
    for (let i = rank - 1; i >= 0; i--) {
      at[i]++; ia += sa[i]; ib += sb[i];
      if (at[i] < shape[i]) break;
      ia -= sa[i] * shape[i]; ib -= sb[i] * shape[i]; at[i] = 0;
    }
  }
  return out;
}
function gemm(x, w, bias, transposed, alpha = 1, beta = 1) {
  const [n, inner] = x.shape, m = transposed ? w.shape[0] : w.shape[1], out = tensor([n, m]);
  for (let r = 0; r < n; r++) for (let j = 0; j < m; j++) {
    let sum = 0;
    if (transposed) for (let k = 0, at = j * inner; k < inner; k++) sum += x.values[r * inner + k] * w.values[at + k];
    else for (let k = 0; k < inner; k++) sum += x.values[r * inner + k] * w.values[k * m + j];
    out.values[r * m + j] = alpha * sum + (bias ? beta * bias.values[j % bias.values.length] : 0);
  }
  return out;
}
function conv(x, w, bias, {pads = [0, 0, 0, 0], strides = [1, 1], dilations = [1, 1]}) {
  const [, inputs, height, width] = x.shape, [outputs, , kh, kw] = w.shape;
  const H = Math.floor((height + pads[0] + pads[2] - dilations[0] * (kh - 1) - 1) / strides[0]) + 1;
  const W = Math.floor((width + pads[1] + pads[3] - dilations[1] * (kw - 1) - 1) / strides[1]) + 1, out = tensor([1, outputs, H, W]);
  for (let o = 0; o < outputs; o++) {
    if (bias) out.values.fill(bias.values[o], o * H * W, (o + 1) * H * W);
    for (let c = 0; c < inputs; c++) for (let dy = 0; dy < kh; dy++) for (let dx = 0; dx < kw; dx++) {
      const weight = w.values[((o * inputs + c) * kh + dy) * kw + dx];
      for (let y = 0; y < H; y++) {
        const from = y * strides[0] + dy * dilations[0] - pads[0];
        if (from < 0 || from >= height) continue;
        for (let X = 0; X < W; X++) {
          const left = X * strides[1] + dx * dilations[1] - pads[1];
          if (left >= 0 && left < width) out.values[(o * H + y) * W + X] += weight * x.values[(c * height + from) * width + left];
        }
      }
    }
  }
  return out;
}
function cut(x, axis, from, to) {
  const before = sizeOf(x.shape.slice(0, axis)), along = x.shape[axis], size = sizeOf(x.shape.slice(axis + 1));
  const shape = x.shape.map((n, i) => i === axis ? to - from : n), out = tensor(shape), length = (to - from) * size;
  for (let b = 0; b < before; b++) out.values.set(x.values.subarray((b * along + from) * size, (b * along + to) * size), b * length);
  return out;
}
function reshaped(x, wanted) {
  const shape = wanted.map((n, i) => n === 0 ? x.shape[i] : n), known = shape.reduce((a, n) => n < 0 ? a : a * n, 1);
  return {shape: shape.map(n => n < 0 ? x.values.length / known : n), values: x.values};
}
const operators = {
  Add: ([a, b]) => broadcast(a, b, (x, y) => x + y), Sub: ([a, b]) => broadcast(a, b, (x, y) => x - y),
  Mul: ([a, b]) => broadcast(a, b, (x, y) => x * y), Div: ([a, b]) => broadcast(a, b, (x, y) => x / y),
  Sigmoid: ([x]) => mapped(x, v => 1 / (1 + Math.exp(-v))), Relu: ([x]) => mapped(x, v => Math.max(0, v)),
  Sqrt: ([x]) => mapped(x, Math.sqrt),
  Cast: ([x]) => x, Identity: ([x]) => x,
  Clip: ([x, low, high]) => mapped(x, v => Math.min(high ? high.values[0] : Infinity, Math.max(low ? low.values[0] : -Infinity, v))),
  Gemm: ([x, w, b], {transB, alpha, beta}) => gemm(x, w, b, transB, alpha, beta), MatMul: ([x, w]) => gemm(x, w, null, 0),
  Conv: ([x, w, b], attributes) => conv(x, w, b, attributes),
  Reshape: ([x, shape]) => reshaped(x, shape.values), Flatten: ([x]) => reshaped(x, [x.shape[0], -1]),
  Unsqueeze: ([x, where]) => { const shape = [...x.shape]; for (const at of where.values) shape.splice(at, 0, 1); return {shape, values: x.values}; },
  DepthToSpace: ([x], {blocksize: b, mode}) => {
    const [n, channels, H, W] = x.shape, made = channels / b / b, out = tensor([n, made, H * b, W * b]);
    for (let c = 0; c < made; c++) for (let i = 0; i < b; i++) for (let j = 0; j < b; j++) {
      const from = mode === "CRD" ? (c * b + i) * b + j : (i * b + j) * made + c;
      for (let y = 0; y < H; y++) for (let X = 0; X < W; X++)
        out.values[(c * H * b + y * b + i) * W * b + X * b + j] = x.values[(from * H + y) * W + X];
    }
    return out;
  },
  Slice: ([x, starts, ends, where, steps]) => {
    if (steps && steps.values.some(step => step !== 1)) throw new Error("Slice in steps");
    return Array.from(starts.values).reduce((rest, start, i) => {
      const axis = where ? (where.values[i] + x.shape.length) % x.shape.length : i, side = x.shape[axis];
      const within = n => Math.min(side, n < 0 ? n + side : n);
      return cut(rest, axis, within(start), within(ends.values[i]));
    }, x);
  },
  Split: ([x], {axis, num_outputs: parts}) => {
    if (axis !== 1) throw new Error("Split along another axis");
    return Array.from({length: parts}, (_, i) => cut(x, 1, i * x.shape[1] / parts, (i + 1) * x.shape[1] / parts));
  },
  Concat: (parts, {axis}) => {
    if (axis !== 1) throw new Error("Concat along another axis");
    return {shape: [1, parts.reduce((a, x) => a + x.shape[1], 0), ...parts[0].shape.slice(2)],
      values: Float32Array.from(parts.flatMap(x => [...x.values]))};
  },
  ReduceSum: ([x, where]) => {
    if (where.values.length !== 1 || where.values[0] !== 1) throw new Error("ReduceSum along another axis");
    const size = sizeOf(x.shape.slice(2)), out = tensor([1, 1, ...x.shape.slice(2)]);
    for (let i = 0; i < x.values.length; i++) out.values[i % size] += x.values[i];
    return out;
  },
};
function decode(d) {  // (K,) -> (C * side * side,) 0..1, or null
  if (!data.decoder) return null;
  const known = {...tensors, [data.decoder.source]: {shape: [1, K], values: Float32Array.from(d)}};
  for (const step of data.decoder.steps) {
    const made = operators[step.op](step.in.map(name => name ? known[name] : undefined), step.attributes);
    (Array.isArray(made) ? made : [made]).forEach((one, i) => known[step.out[i]] = one);
  }
  return known[data.decoder.result].values.map(v => Math.min(1, Math.max(0, v)));
}
