"use strict";
const KEPT = 120, WIDTH = 600, HEIGHT = 160, LEFT = 44, NS = "http://www.w3.org/2000/svg";
const ticks = [];
const short = (value) => value >= 100 ? Math.round(value).toLocaleString("en") : value >= 10 ? value.toFixed(1) : value.toFixed(2);
const time = (seconds) => seconds ? (seconds < 1 ? short(seconds * 1000) + " ms" : short(seconds) + " s") : "–";
const count = (value) => Math.round(value).toLocaleString("en");
const shown = { rate: short, p50: time, p95: time, p99: time, waiting: count, batch: short, failed: short };
function element(name, attributes, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
function draw(svg) {
  const names = svg.dataset.chart.split(" "), scale = names[0] === "p50" ? 1000 : 1;
  const values = names.map((name) => ticks.map((each) => each[name] * scale));
  const top = Math.max(...values.flat(), scale === 1 ? 1 : 0.1) * 1.1;
  const x = (index) => LEFT + (WIDTH - LEFT - 4) * (KEPT - ticks.length + index) / (KEPT - 1);
  const y = (value) => HEIGHT - 14 - (HEIGHT - 24) * value / top;
  const parts = [0, top / 2, top].flatMap((value) => [
    element("line", { x1: LEFT, x2: WIDTH - 4, y1: y(value), y2: y(value), class: "grid" }),
    element("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)),
  ]);
  values.forEach((line, series) => parts.push(element("polyline", {
    points: line.map((value, index) => x(index).toFixed(1) + "," + y(value).toFixed(1)).join(" "), class: "series-" + series,
  })));
  svg.replaceChildren(...parts);
}
function row(model) {
  const cells = [model.name, model.version, model.state, short(model.rate), time(model.p50), time(model.p99),
    model.waiting, short(model.batch), model.answered.toLocaleString("en"), model.errors.toLocaleString("en")];
  const made = document.createElement("tr");
  for (const cell of cells) made.appendChild(document.createElement("td")).textContent = cell;
  return made;
}
const source = new EventSource("/events");
source.onmessage = (message) => {
  const tick = JSON.parse(message.data);
  ticks.push(tick.total);
  if (ticks.length > KEPT) ticks.shift();
  for (const figure of document.querySelectorAll("[data-total]"))
    figure.textContent = shown[figure.dataset.total](tick.total[figure.dataset.total]);
  document.querySelectorAll("[data-chart]").forEach(draw);
  document.querySelector("#models").replaceChildren(...tick.models.map(row));
  document.querySelector("#state").textContent =
    (tick.ready ? "Ready" : "Stopping") + (tick.workers > 1 ? ", " + tick.workers + " processes" : "") + ".";
};
source.onerror = () => { document.querySelector("#state").textContent = "The server does not answer."; };
