"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));

// ---- descriptors: value = low + step * number
const count = data.rows.length, K = data.descriptors.low.length, side = data.size, C = data.channels.length;
const numbers = new Uint16Array(bytes(data.descriptors.numbers).buffer);
const descriptors = new Float32Array(count * K);
for (let i = 0; i < count; i++) for (let k = 0; k < K; k++)
  descriptors[i * K + k] = data.descriptors.low[k] + data.descriptors.step[k] * numbers[i * K + k];
const descriptor = i => descriptors.slice(i * K, (i + 1) * K);
const axes = data.axes, A = axes.directions.length;
const onAxis = (d, a) => { let sum = 0; for (let k = 0; k < K; k++) sum += (d[k] - axes.mean[k]) * axes.directions[a][k]; return sum; };
const places = axes.directions.map((_, a) => Float32Array.from({length: count}, (_, i) => onAxis(descriptors.subarray(i * K, (i + 1) * K), a)));
const distance = (a, i) => { let sum = 0; for (let k = 0; k < K; k++) { const d = a[k] - descriptors[i * K + k]; sum += d * d; } return Math.sqrt(sum); };
const nearest = (d, many, but = -1) => Array.from({length: count}, (_, i) => [i, distance(d, i)]).filter(([i]) => i !== but)
  .sort((a, b) => a[1] - b[1]).slice(0, many);

/*DECODER*/

// ---- pictures of windows, in the colours of tiae_ros.palette
function paint(canvas, window) {
  const context = canvas.getContext("2d"), picture = context.createImageData(side, side), n = side * side;
  const channel = name => { const at = data.shown_as.indexOf(name); return at < 0 ? null : window.subarray(at * n, (at + 1) * n); };
  const hand = channel("hand_mask"), thing = channel("object_mask"), depth = channel("depth");
  for (let i = 0; i < n; i++) for (let c = 0; c < 3; c++) {
    let value;
    if (hand || thing) {
      value = (hand ? hand[i] * data.colors.hand[c] : 0) + (thing ? thing[i] * data.colors.object[c] : 0);
      if (depth) value *= 0.4 + 0.6 * depth[i];
    } else value = 255 * window[(C < 3 ? 0 : c) * n + i];
    picture.data[4 * i + c] = value;
    picture.data[4 * i + 3] = 255;
  }
  const small = make("canvas", {width: side, height: side});
  small.getContext("2d").putImageData(picture, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}
const sprite = new Image();
function thumbnail(canvas, i) {
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(sprite, i % data.sprite.columns * side, Math.floor(i / data.sprite.columns) * side, side, side, 0, 0, canvas.width, canvas.height);
}
const canvasOf = size => make("canvas", {className: "window", width: size, height: size});

// ---- colours of the map
const hue = n => `hsl(${(n * 137.5) % 360} ${n % 2 ? 75 : 60}% ${[42, 55, 34][n % 3]}%)`;
const GREY = "#b9bfca";
const labelOf = i => data.labels ? data.label_names[data.labels[i]] : "";
let clustering = data.clusterings[data.usual];
const groupOf = i => state.color === "labels" ? data.labels[i] : state.color === "clusters" ? clustering.clusters[i] : -1;

// ---- state: what is chosen, and what the sliders have made of it
const state = {frame: 0, moved: descriptor(0), across: "0", up: A > 1 ? "1" : "0", color: data.labels ? "labels" : "clusters", zoom: 1, x: 0, y: 0};
const coordinate = (name, i) => name === "tsne0" ? data.tsne[i][0] : name === "tsne1" ? data.tsne[i][1] : places[+name][i];
let spots = [];  // of the points, in pixels

function drawMap() {
  const canvas = $("map"), ratio = window.devicePixelRatio || 1, W = canvas.clientWidth, H = canvas.clientHeight;
  canvas.width = W * ratio; canvas.height = H * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const xs = Array.from({length: count}, (_, i) => coordinate(state.across, i)), ys = Array.from({length: count}, (_, i) => coordinate(state.up, i));
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)], edge = 18;
  const px = x => (edge + (x - x0) / (x1 - x0 || 1) * (W - 2 * edge) - W / 2 + state.x) * state.zoom + W / 2;
  const py = y => (H - edge - (y - y0) / (y1 - y0 || 1) * (H - 2 * edge) - H / 2 + state.y) * state.zoom + H / 2;
  spots = xs.map((x, i) => [px(x), py(ys[i])]);
  const radius = Math.min(6, (count > 3000 ? 2 : count > 800 ? 3 : 4) * Math.sqrt(state.zoom));
  spots.forEach(([x, y], i) => {
    const group = groupOf(i);
    context.fillStyle = group < 0 ? GREY : hue(group);
    context.globalAlpha = 0.75;
    context.beginPath(); context.arc(x, y, radius, 0, 7); context.fill();
  });
  context.globalAlpha = 1;
  context.strokeStyle = "#b3188a"; context.fillStyle = "#b3188a"; context.lineWidth = 2;
  const [x, y] = spots[state.frame];
  context.beginPath(); context.arc(x, y, radius + 4, 0, 7); context.stroke();
  if (!state.across.startsWith("tsne") && !state.up.startsWith("tsne")) {
    const within = (v, most) => Math.min(most - 8, Math.max(8, v));  // at the edge when the sliders leave the map
    const [mx, my] = [within(px(onAxis(state.moved, +state.across)), W), within(py(onAxis(state.moved, +state.up)), H)];
    context.beginPath(); context.moveTo(mx, my - 7); context.lineTo(mx + 7, my); context.lineTo(mx, my + 7); context.lineTo(mx - 7, my); context.fill();
  }
  context.fillStyle = "#69707d"; context.font = "12px system-ui, sans-serif";
  context.fillText(axisName(state.across) + " →", W - 130, H - 5);
  context.save(); context.translate(12, 130); context.rotate(-Math.PI / 2); context.fillText(axisName(state.up) + " →", 0, 0); context.restore();
}
const axisName = name => name === "tsne0" ? "t-SNE 1" : name === "tsne1" ? "t-SNE 2" : `component ${+name + 1} (${(100 * axes.shares[+name]).toFixed(0)} %)`;
function drawLegend() {
  const names = state.color === "labels" ? data.label_names.map((name, i) => [i, name]) : state.color === "clusters" ?
    [...new Set(clustering.clusters)].sort((a, b) => a - b).map(c => [c, c < 0 ? "in no cluster" : `cluster ${c + 1}`]) : [];
  $("legend").replaceChildren(...names.map(([group, name]) => {
    const dot = make("i"); dot.style.background = group < 0 ? GREY : hue(group);
    return make("span", {}, dot, name);
  }));
}
function describe(i) {
  const told = [`window ${data.rows[i]}`];
  if (data.labels) told.push(labelOf(i));
  told.push(clustering.clusters[i] < 0 ? "in no cluster" : `cluster ${clustering.clusters[i] + 1}`);
  return told.join(" · ");
}
function tile(i, ...lines) {
  const canvas = canvasOf(64);
  thumbnail(canvas, i);
  const element = make("div", {className: "tile", tabIndex: 0, title: describe(i), onclick: () => choose(i)}, canvas, ...lines.map(text => make("span", {}, text)));
  element.dataset.frame = data.rows[i];
  element.onkeydown = event => { if (event.key === "Enter") choose(i); };
  return element;
}

// ---- clusters
function drawClusters() {
  clustering = data.clusterings[+$("bandwidth").value];
  const sizes = new Map();
  clustering.clusters.forEach(c => sizes.set(c, (sizes.get(c) || 0) + 1));
  const alone = sizes.get(-1) || 0, many = sizes.size - (alone ? 1 : 0);
  const agreement = clustering.nmi === undefined ? "" : ` · of those in clusters, with the labels: NMI ${clustering.nmi.toFixed(2)}, adjusted Rand ${clustering.ari.toFixed(2)}`;
  $("clustering").textContent = `${clustering.bandwidth} · ${many} cluster${many === 1 ? "" : "s"}, ${alone} windows in none${agreement}`;
  const shown = Math.min(many, 32);
  $("clusters").replaceChildren(...Array.from({length: shown}, (_, c) => {
    const members = [...Array(count).keys()].filter(i => clustering.clusters[i] === c), mean = new Float32Array(K);
    members.forEach(i => { for (let k = 0; k < K; k++) mean[k] += descriptors[i * K + k] / members.length; });
    const [[middle]] = nearest(mean, 1), names = {};
    members.forEach(i => names[labelOf(i)] = (names[labelOf(i)] || 0) + 1);
    const [most, times] = Object.entries(names).sort((a, b) => b[1] - a[1])[0];
    const lines = [`${c + 1}: ${members.length}`, ...(data.labels ? [`${Math.round(100 * times / members.length)} %`, most] : [])];
    const element = tile(middle, ...lines), restored = decode(mean);
    element.style.borderColor = hue(c);
    if (restored) paint(element.querySelector("canvas"), restored);
    return element;
  }));
  $("clusters-note").textContent = (data.decoder ? "Each picture is what the decoder makes of the cluster's mean descriptor." : "Each picture is the window nearest to the cluster's mean.") +
    ` Clusters of fewer than ${data.fewest_members} windows count as none${many > shown ? `; the ${shown} largest of ${many} are shown` : ""}.`;
  drawLegend(); drawMap();
}

// ---- the chosen window, its neighbours, the sliders
const pictures = {};
for (const [name, title] of [["input", "input"], ["restored", "restored"], ["moved", "by the sliders"]]) {
  pictures[name] = canvasOf(144);
  if (name === "input" || data.decoder) $("pictures").append(make("figure", {}, pictures[name], make("figcaption", {}, title)));
}
pictures.restored.style.outline = `2px solid ${data.colors.restored}`;
function choose(i) {
  state.frame = i;
  state.moved = descriptor(i);
  $("chosen").textContent = describe(i) + ` · shift ${data.shifts[i].map(v => v.toFixed(1)).join(", ")} px`;
  thumbnail(pictures.input, i);
  state.restored = decode(state.moved);
  if (state.restored) paint(pictures.restored, state.restored);
  show();
}
function show() {
  const changed = distance(state.moved, state.frame);
  const made = decode(state.moved);
  if (made) {
    paint(pictures.moved, made);
    const difference = made.reduce((sum, v, i) => sum + Math.abs(v - state.restored[i]), 0) / made.length;
    $("difference").textContent = changed < 1e-4 ? "The sliders are at this window's own descriptor." :
      `The sliders are ${changed.toFixed(2)} away from this window's descriptor; what is restored differs by ${difference.toFixed(4)} a pixel (0 to 1).`;
  }
  const still = changed < 1e-4;
  $("neighbours").replaceChildren(...nearest(state.moved, 14, still ? state.frame : -1).map(([i, d]) => tile(i, d.toFixed(2), ...(data.labels ? [labelOf(i)] : [])) ));
  $("neighbours-note").textContent = `The 14 windows whose descriptors are nearest to ${still ? "this one's" : "the sliders'"}, with their distances${data.labels ? " and labels" : ""}.`;
  sliders.forEach(slider => slider.update());
  drawMap();
}
const sliders = [];
function addSlider(parent, name, low, high, get, set) {
  const input = make("input", {type: "range", min: low, max: high, step: "any"}), output = make("output");
  input.setAttribute("aria-label", name);
  input.oninput = () => { set(+input.value); show(); };
  parent.append(make("label", {}, name), input, output);
  const slider = {input, set, update() { const value = get(); input.value = value; output.textContent = value.toFixed(2); }};
  sliders.push(slider);
  return slider;
}
const onAxes = axes.directions.map((direction, a) => addSlider($("axes"), `component ${a + 1}`, -3, 3,
  () => onAxis(state.moved, a) / (axes.spreads[a] || 1),
  value => { const step = value * axes.spreads[a] - onAxis(state.moved, a); for (let k = 0; k < K; k++) state.moved[k] += step * direction[k]; }));
const onNumbers = data.spreads.map((spread, k) => addSlider($("dimensions"), `number ${k + 1}`, -3, 3,
  () => (state.moved[k] - axes.mean[k]) / (spread || 1), value => { state.moved[k] = axes.mean[k] + value * (spread || 1); }));
$("axes-note").textContent = `The ${A} directions in which these descriptors differ most (principal components, ` +
  `${(100 * axes.shares.reduce((a, b) => a + b, 0)).toFixed(0)} % of their variance), from −3 to 3 standard deviations about the mean of all.`;
$("each").querySelector("summary").textContent = `each of the ${K} numbers of the descriptor, in its standard deviations about the mean`;
$("reset").onclick = () => choose(state.frame);
$("mean").onclick = () => { state.moved = Float32Array.from(axes.mean); show(); };
if (!data.decoder) { $("slide").replaceChildren(make("h2", {}, "No sliders"), make("p", {className: "note"}, data.no_decoder)); sliders.length = 0; }

// ---- controls of the map
for (const id of ["across", "up"]) {
  const names = [...axes.directions.keys()].map(String);
  if (data.tsne) names.push("tsne0", "tsne1");
  $(id).append(...names.map(name => make("option", {value: name}, axisName(name))));
  if (data.tsne) state[id] = id === "across" ? "tsne0" : "tsne1";
  $(id).value = state[id];
  $(id).onchange = () => { state[id] = $(id).value; drawMap(); };
}
$("color").append(...[...(data.labels ? ["labels"] : []), "clusters", "none"].map(name => make("option", {value: name}, name)));
$("color").onchange = () => { state.color = $("color").value; drawLegend(); drawMap(); };
$("whole").onclick = () => { Object.assign(state, {zoom: 1, x: 0, y: 0}); drawMap(); };
$("bandwidth").max = data.clusterings.length - 1;
$("bandwidth").value = data.usual;
$("bandwidth").oninput = () => { drawClusters(); show(); };
const map = $("map");
let drag = null;
function under(event) {
  const box = map.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = -1, least = 14;
  spots.forEach(([sx, sy], i) => { const d = Math.hypot(sx - x, sy - y); if (d < least) { least = d; best = i; } });
  return best;
}
map.onpointerdown = event => { drag = {x: event.clientX, y: event.clientY, moved: false}; map.setPointerCapture(event.pointerId); };
map.onpointerup = event => { if (drag && !drag.moved) { const i = under(event); if (i >= 0) choose(i); } drag = null; };
map.onpointermove = event => {
  if (drag && (drag.moved || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4)) {
    state.x += (event.clientX - drag.x) / state.zoom; state.y += (event.clientY - drag.y) / state.zoom;
    drag = {x: event.clientX, y: event.clientY, moved: true};
    drawMap();
  }
  const i = under(event), hover = $("hover");
  hover.style.display = i < 0 ? "none" : "block";
  if (i < 0) return;
  thumbnail(hover.querySelector("canvas"), i);
  hover.querySelector("span").textContent = describe(i);
  hover.style.left = Math.min(event.clientX + 14, innerWidth - 230) + "px"; hover.style.top = Math.min(event.clientY + 14, innerHeight - 150) + "px";
};
map.onpointerleave = () => { $("hover").style.display = "none"; };
map.addEventListener("wheel", event => {
  event.preventDefault();
  const box = map.getBoundingClientRect(), cx = event.clientX - box.left - box.width / 2, cy = event.clientY - box.top - box.height / 2;
  const zoom = Math.min(60, Math.max(1, state.zoom * Math.exp(-event.deltaY / 400)));
  state.x += cx / zoom - cx / state.zoom; state.y += cy / zoom - cy / state.zoom; state.zoom = zoom;
  drawMap();
}, {passive: false});
addEventListener("keydown", event => {
  if (event.target.tagName === "INPUT" || event.target.tagName === "SELECT") return;
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (step) { event.preventDefault(); choose((state.frame + step + count) % count); }
});
addEventListener("resize", drawMap);

// ---- begin; explore.html#frame=12&component1=2&number3=-1&bandwidth=4&color=clusters&across=3 shows that at once
function followAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const id of ["bandwidth", "color", "across", "up"]) if (asked.has(id)) { $(id).value = asked.get(id); if (id !== "bandwidth") state[id] = $(id).value; }
  drawClusters();
  const at = data.rows.indexOf(+(asked.get("frame") ?? data.rows[0]));
  choose(at < 0 ? 0 : at);
  for (const [name, value] of asked) {
    const [, kind, number] = name.match(/^(component|number)(\d+)$/) || [];
    const slider = data.decoder && (kind === "component" ? onAxes : onNumbers)[number - 1];
    if (kind && slider) { slider.set(+value); show(); }
  }
}
addEventListener("hashchange", followAddress);
function checkDecoder() {
  if (!data.decoder) return;
  const told = bytes(data.checked.restored), n = C * side * side;
  let largest = 0, sum = 0;
  data.checked.frames.forEach((i, at) => decode(descriptor(i)).forEach((v, p) => {
    const off = Math.abs(v - told[at * n + p] / 255); sum += off; largest = Math.max(largest, off);
  }));
  const mean = sum / n / data.checked.frames.length;
  $("decoder-note").textContent = `The decoder runs in this page, its large matrices rounded to 8 bits. On ${data.checked.frames.length} windows it differs from ` +
    `ONNX Runtime by ${mean.toFixed(4)} a pixel in the mean and ${largest.toFixed(3)} at most (0 to 1).`;
  Object.assign($("decoder-note").dataset, {mean: mean.toFixed(5), largest: largest.toFixed(5)});
}
document.title = `${data.model}: what it has learnt`;
$("title").textContent = `What ${data.model} has learnt`;
$("about").textContent = `${count} windows of ${data.data} · ${C} × ${side} × ${side} (${data.channels.join(", ")}) · descriptors of ${K} numbers · tiae_ros ${data.version}`;
sprite.onload = () => { followAddress(); checkDecoder(); document.body.dataset.ready = "yes"; };
sprite.src = data.sprite.picture;
