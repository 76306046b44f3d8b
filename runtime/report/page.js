"use strict";
for (const svg of document.querySelectorAll("svg[data-box]")) {
  const [left, right, first, last] = JSON.parse(svg.dataset.box);
  const curves = ["train", "valid"].filter((k) => k in svg.dataset).map((k) => [k, JSON.parse(svg.dataset[k])]);
  const steps = [...new Set(curves.flatMap(([, c]) => c.map(([s]) => s)))].sort((a, b) => a - b);
  const cursor = svg.querySelector(".cursor");
  const output = svg.parentElement.querySelector("output");
  const resting = [...output.childNodes].map((n) => n.cloneNode(true));
  let at = steps.length - 1;
  const near = (list, step) => list.reduce((a, b) => (Math.abs(b[0] - step) < Math.abs(a[0] - step) ? b : a));
  const span = (className, text) => {
    const node = document.createElement("span");
    node.className = className;
    node.textContent = text;
    return node;
  };
  const show = (step) => {
    const x = left + ((step - first) / (last - first)) * (right - left);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    output.replaceChildren(span("step", "step " + step.toLocaleString("en").replaceAll(",", "\u202f")));
    for (const [kind, curve] of curves) {
      const [where, number] = near(curve, step);
      const key = span("key " + kind, (where === step ? kind : kind + " at " + where) + " ");
      const value = document.createElement("b");
      value.textContent = String(Number(number.toPrecision(4))).replace("-", "\u2212");
      key.append(value);
      output.append(key);
    }
  };
  const rest = () => {
    cursor.setAttribute("x1", -9);
    cursor.setAttribute("x2", -9);
    output.replaceChildren(...resting.map((n) => n.cloneNode(true)));
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const step = first + ((x - left) / (right - left)) * (last - first);
    at = steps.indexOf(near(steps.map((s) => [s]), step)[0]);
    show(steps[at]);
  });
  svg.addEventListener("pointerleave", rest);
  svg.addEventListener("blur", rest);
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -steps.length, End: steps.length }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    at = Math.min(Math.max(at + move, 0), steps.length - 1);
    show(steps[at]);
  });
}
