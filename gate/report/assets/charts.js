/* The charts, drawn by Observable Plot. Colours are the page's own variables, so light, dark and paper need no second drawing. */
const FONT = 12;
const LOOK = { background: "transparent", fontSize: `${FONT}px`, fontFamily: "inherit", color: "var(--ink)", overflow: "visible" };
const VERDICTS = {
  pass: ["var(--good)", "circle"], regression: ["var(--bad)", "times"], inconclusive: ["var(--warn)", "diamond"],
};
/* A name that has no room loses its middle; cells are told apart by how they begin and end. */
const fitted = pixels => ({ lineWidth: pixels / FONT, textOverflow: "ellipsis-middle" });
const percentage = value => `${(100 * value).toFixed(1)} %`;

function chart(said, options, ...marks) {
  const svg = Plot.plot({ style: LOOK, ...options, marks });
  // The picture as a whole says what it shows; names on its groups would be read by nobody.
  for (const part of svg.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", said);
  return svg;
}

/* Difference and 95 % interval of every cell, beside zero, its margin and the old rule's limit. */
function forest(cells, width) {
  const narrow = width < 640;
  const longest = Math.max(...cells.map(cell => cell.name.length));
  const marginLeft = narrow ? 8 : Math.min(7 * longest + 16, width * 0.45);
  const points = value => 100 * value;
  const [colour, shape] = [0, 1].map(i => cell => VERDICTS[cell.verdict]?.[i] ?? ["var(--odd)", "square"][i]);
  const sized = { y: "name" };
  const label = narrow
    ? Plot.text(cells, { ...sized, ...fitted(width - 24), frameAnchor: "left", text: "name", dy: -12, fill: "var(--quiet)", stroke: "var(--page)", strokeWidth: 4, textAnchor: "start" })
    : Plot.axisY({ tickSize: 0, label: null, tickPadding: 10, ...fitted(marginLeft - 14) });
  return chart(
    `Difference from the baseline with its 95 % interval, ${counted(cells.length, "cell")}`,
    {
      width, height: 70 + cells.length * (narrow ? 36 : 24), marginLeft, marginRight: 16, marginTop: 10, marginBottom: 44,
      x: { label: narrow ? "difference in points (95 % interval) →" : "difference from the baseline in percentage points (95 % interval) →", labelAnchor: "center", nice: true },
      y: { domain: cells.map(cell => cell.name), axis: null }, symbol: { type: "identity" },
    },
    Plot.gridX({ stroke: "var(--line)", strokeOpacity: 1 }),
    Plot.ruleX([0], { stroke: "var(--ink)", strokeWidth: 1.25 }),
    ...(narrow ? [] : [label]),
    Plot.axisX({ tickFormat: value => value.toString().replace("-", "−"), tickSize: 0 }),
    Plot.ruleY(cells, { ...sized, x1: cell => points(cell.low), x2: cell => points(cell.high), stroke: colour, strokeWidth: 2 }),
    Plot.tickX(cells.filter(cell => cell.margin !== null), { ...sized, x: cell => -points(cell.margin), stroke: "var(--quiet)", strokeWidth: 2, insetTop: 4, insetBottom: 4 }),
    Plot.dot(cells.filter(cell => cell.rule !== null), { ...sized, x: cell => points(cell.rule), symbol: "triangle", fill: "none", stroke: "var(--quiet)", r: 4 }),
    Plot.dot(cells, { ...sized, x: cell => points(cell.difference), fill: colour, stroke: colour, symbol: shape, r: 5 }),
    ...(narrow ? [label] : []),
  );
}

/* One test statistic over samples against the boundary it had to reach; beyond it the test is decided. */
function course(cell, what, width) {
  const [statistic, boundary, colour, wash] = what === "drop"
    ? ["z_drop", "to_fail", "var(--bad)", "var(--bad-wash)"] : ["z_hold", "to_pass", "var(--good)", "var(--good-wash)"];
  const looks = cell.looks.filter(look => look[statistic] !== null), last = looks.at(-1);
  const values = cell.looks.flatMap(look => [look[boundary], look[statistic] ?? 0]);
  const low = Math.min(0, ...values), high = Math.max(...values) * 1.08;
  return chart(
    `${what === "drop" ? "Sign of a drop" : "Sign that less than the margin was lost"} after each look, and the boundary: ` +
      (last ? `${last[statistic].toFixed(2)} of ${last[boundary].toFixed(2)} needed at ${counted(last.samples, "sample")}` : "no test"),
    {
      width, height: 200, marginLeft: 36, marginRight: 14, marginTop: 12, marginBottom: 38,
      x: { label: "samples →", labelAnchor: "right", domain: [0, Math.max(cell.budget, cell.looks.at(-1).samples)], nice: false },
      y: { label: null, domain: [low, high], clamp: true },
    },
    Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1 }),
    Plot.axisX({ ticks: Math.max(2, width / 90), tickSize: 0 }), Plot.axisY({ ticks: 4, tickSize: 0, label: null }),
    Plot.ruleY([0], { stroke: "var(--strong)" }),
    Plot.areaY(cell.looks, { x: "samples", y1: boundary, y2: high, fill: wash }),
    Plot.lineY(cell.looks, { x: "samples", y: boundary, stroke: "var(--ink)", strokeDasharray: "5 3", strokeWidth: 1.5 }),
    Plot.lineY(looks, { x: "samples", y: statistic, stroke: colour, strokeWidth: 2 }),
    Plot.dot(looks, { x: "samples", y: statistic, fill: colour, r: look => (look === last ? 5 : 2.5) }),
    Plot.text(last ? [last] : [], {
      x: "samples", y: statistic, text: look => `${look[statistic].toFixed(2)} of ${look[boundary].toFixed(2)}`.replace("-", "−"), fill: "var(--ink)", stroke: "var(--page)", strokeWidth: 4,
      dy: -13, fontWeight: 600, textAnchor: last && last.samples > 0.75 * cell.budget ? "end" : "start",
    }),
  );
}

/* The score of each group of questions: hollow in the baseline, filled now; the bar is what sampling alone does. */
function groupScores(groups, width) {
  const marginLeft = Math.min(24 + 7 * Math.max(...groups.map(group => group.name.length + 5)), width * 0.4);
  const named = groups.map(group => ({ ...group, label: `${group.name} (${group.questions})` }));
  return chart(
    `Score by question group: ${groups.map(group => `${group.name} ${percentage(group.before)} to ${percentage(group.after)}`).join(", ")}`,
    {
      width, height: 56 + 28 * groups.length, marginLeft, marginRight: 14, marginTop: 8, marginBottom: 40,
      x: { label: "% of the samples correct →", labelAnchor: "center", nice: true }, y: { domain: named.map(group => group.label), axis: null },
    },
    Plot.gridX({ stroke: "var(--line)", strokeOpacity: 1 }), Plot.axisX({ tickSize: 0, ticks: 5 }), Plot.axisY({ tickSize: 0, label: null, tickPadding: 10, ...fitted(marginLeft - 14) }),
    Plot.ruleY(named, { y: "label", x1: group => 100 * (group.before - 1.96 * group.error), x2: group => 100 * (group.before + 1.96 * group.error), stroke: "var(--strong)", strokeWidth: 7, strokeOpacity: 0.45, strokeLinecap: "round" }),
    Plot.dot(named, { y: "label", x: group => 100 * group.before, fill: "var(--page)", stroke: "var(--quiet)", strokeWidth: 1.75, r: 5 }),
    Plot.dot(named, { y: "label", x: group => 100 * group.after, fill: "var(--ink)", r: 4.5, symbol: "diamond" }),
  );
}

/* How far the log-probabilities moved, in units of what two healthy runs of one build differ by. */
function numericsBar(times, width) {
  const far = Math.max(2.5, 1.15 * times);
  return chart(
    `The log-probabilities moved ${times.toFixed(2)} times as far as between healthy runs`,
    { width, height: 70, marginLeft: 8, marginRight: 14, marginTop: 6, marginBottom: 36, x: { domain: [0, far], label: "× the difference between healthy runs →", labelAnchor: "center" }, y: { axis: null } },
    Plot.axisX({ tickSize: 0, ticks: 6 }),
    Plot.barX([times], { x: value => value, fill: times > 1 ? "var(--bad)" : "var(--good)", insetTop: 6, insetBottom: 6 }),
    Plot.ruleX([1], { stroke: "var(--ink)", strokeDasharray: "5 3", strokeWidth: 1.5 }),
  );
}

/* How far each prompt stands out of its run; where two are past the line, a few prompts moved. Roots, for one may be a thousand times another. */
function singlePrompts({ apart, needed }, width) {
  const prompts = apart.map((value, prompt) => ({ prompt, value })).filter(one => one.value !== null), far = prompts.filter(one => one.value >= needed);
  const second = prompts.map(one => one.value).sort((a, b) => b - a)[1] ?? 0, moved = far.length > 1;
  const rounded = value => (value >= 10 ? value.toFixed(0) : value.toFixed(1));
  return chart(
    `How far each of ${counted(prompts.length, "prompt")} stands out: ${far.length} past the line, the second furthest at ${rounded(second)} of ${rounded(needed)} needed`,
    {
      width, height: 200, marginLeft: 36, marginRight: 14, marginTop: 20, marginBottom: 38,
      x: { label: "prompt →", labelAnchor: "right", domain: [-0.5, apart.length - 0.5] },
      y: { type: "sqrt", domain: [0, 1.15 * Math.max(needed, ...prompts.map(one => one.value))], label: null },
    },
    Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }),
    Plot.axisX({ ticks: Math.min(8, apart.length), tickSize: 0, tickFormat: "d" }), Plot.axisY({ ticks: 5, tickSize: 0, label: "× its noise", labelArrow: "none" }),
    Plot.ruleX(prompts, { x: "prompt", y1: 0, y2: "value", stroke: "var(--strong)" }),
    Plot.ruleY([needed], { stroke: "var(--ink)", strokeDasharray: "5 3", strokeWidth: 1.5 }),
    Plot.dot(prompts, { x: "prompt", y: "value", r: 3.5, fill: one => (one.value < needed ? "var(--quiet)" : moved ? "var(--bad)" : "var(--warn)"), symbol: one => (one.value < needed ? "circle" : "diamond") }),
    Plot.text(far, { x: "prompt", y: "value", text: one => `${one.prompt}`, dy: -11, fill: "var(--ink)", stroke: "var(--page)", strokeWidth: 4, fontWeight: 600 }),
  );
}
