// Draws each <canvas data-chart="ID"> from the JSON in the element with that id (made by analytics/series.py).
(() => {
  const WEIGHTS = { line: 2, band: 0 };
  const drawn = new Map();

  // Chart.js wants plain colours: the element resolves custom properties and light-dark() for us.
  const colour = (element, name) => {
    element.style.color = `var(${name})`;
    const value = getComputedStyle(element).color;
    element.style.color = "";
    return value;
  };

  const formatter = (decimals) =>
    new Intl.NumberFormat("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });

  function datasets(data, look) {
    const points = data.points.map(([x, average, minimum, maximum]) => ({ x, average, minimum, maximum }));
    const few = points.length <= 2;
    const alone = ({ dataIndex: i }) =>
      points[i]?.average != null && points[i - 1]?.average == null && points[i + 1]?.average == null;
    const line = {
      label: data.line, data: points, parsing: { yAxisKey: "average" }, borderColor: look.line,
      backgroundColor: look.line, borderWidth: WEIGHTS.line, pointRadius: (each) => (few ? 4 : alone(each) ? 2.5 : 0),
      pointHoverRadius: 4, tension: 0, order: 0, stepped: data.fromZero ? "middle" : false,
    };
    if (data.others.length) return [line, ...data.others.map((other, number) => over(other, look.others[number % look.others.length]))];
    if (!data.band) return [line];
    const edge = { borderWidth: WEIGHTS.band, pointRadius: 0, pointHoverRadius: 0, tension: 0, order: 1 };
    return [
      line,
      { ...edge, label: "Highest", data: points, parsing: { yAxisKey: "maximum" }, backgroundColor: look.band, fill: 2 },
      { ...edge, label: "Lowest", data: points, parsing: { yAxisKey: "minimum" }, fill: false },
    ];
  }

  // A line over the chart's own: of another metric, by the axis on the right, or of one location.
  function over(other, colour) {
    return {
      label: other.label, data: other.points.map(([x, y]) => ({ x, y })), borderColor: colour, backgroundColor: colour,
      borderWidth: 1.5, pointRadius: other.points.length <= 2 ? 4 : 0, pointHoverRadius: 4, tension: 0, order: 1,
      yAxisID: other.axis ? "second" : "y", stepped: other.fromZero ? "middle" : false,
    };
  }

  const titled = ({ label, unit }) => (unit ? `${label}, ${unit}` : label);

  // Room below the lowest value must not suggest that what cannot be negative was.
  function floor({ points }) {
    const values = points.flatMap(([, , minimum, maximum]) => (minimum == null ? [] : [minimum, maximum]));
    const lowest = Math.min(...values);
    return lowest >= 0 && lowest < 0.5 * (Math.max(...values) - lowest) ? 0 : undefined;
  }

  function options(data, look) {
    const number = formatter(data.decimals);
    const withUnit = (value) => `${number.format(value)} ${data.unit}`.trim();
    const second = data.others.find((other) => other.axis);
    const text = { color: look.text, font: { family: look.font, size: 12 } };
    return {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: data.others.length ? "x" : "index", axis: "x", intersect: false },
      scales: {
        x: {
          type: "linear", min: data.start, max: data.end,
          grid: { color: look.grid, drawTicks: false }, border: { color: look.axis },
          afterBuildTicks: (axis) => { axis.ticks = data.marks.map(([value, label]) => ({ value, label })); },
          ticks: { ...text, padding: 6, maxRotation: 0, autoSkip: true, autoSkipPadding: 16,
            callback: (value) => data.marks.find(([at]) => at === value)?.[1] ?? "" },
        },
        y: {
          beginAtZero: data.fromZero, min: floor(data), grace: data.fromZero ? "10%" : "6%",
          grid: { color: look.grid, drawTicks: false }, border: { display: false },
          ticks: { ...text, padding: 8, maxTicksLimit: 6, precision: data.fromZero && !data.summed ? 0 : undefined },
          title: { display: Boolean(second), text: titled(data), ...text, color: look.line },
        },
        ...(second && { second: {
          position: "right", beginAtZero: second.fromZero, grace: second.fromZero ? "10%" : "6%",
          grid: { display: false }, border: { display: false }, ticks: { ...text, padding: 8, maxTicksLimit: 6 },
          title: { display: true, text: titled(second), ...text, color: look.others[0] },
        } }),
      },
      plugins: {
        legend: { display: data.others.length > 0, position: "bottom", labels: { ...text, boxWidth: 16, boxHeight: 2 } },
        tooltip: {
          displayColors: data.others.length > 0, backgroundColor: look.tip, titleColor: look.tipText, bodyColor: look.tipText,
          titleFont: { family: look.font, weight: "600" }, bodyFont: { family: look.font }, padding: 10, cornerRadius: 6,
          callbacks: {
            title: ([first]) => data.points.find(([x]) => x === first?.parsed.x)?.[4] ?? "",
            label: ({ datasetIndex, dataIndex }) => {
              const other = data.others[datasetIndex - 1];
              if (other) {
                const value = other.points[dataIndex][1];
                return value == null ? null : `${other.label}: ${formatter(other.decimals).format(value)} ${other.unit}`;
              }
              const [, average, minimum, maximum] = data.points[dataIndex];
              if (datasetIndex > 0 || average == null) return null;
              if (data.others.length) return `${data.line}: ${withUnit(average)}`;
              if (minimum === maximum) return withUnit(average);
              return [`Average ${withUnit(average)}`, `${withUnit(minimum)} to ${withUnit(maximum)}`];
            },
          },
        },
      },
    };
  }

  function draw(canvas) {
    drawn.get(canvas)?.destroy();
    const data = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
    const names = { line: "--series", band: "--band", grid: "--grid", axis: "--line", text: "--muted", tip: "--text", tipText: "--surface" };
    const look = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, colour(canvas, name)]));
    look.others = Array.from({ length: 8 }, (_, number) => colour(canvas, `--other-${number + 1}`));
    look.font = getComputedStyle(document.body).fontFamily;
    drawn.set(canvas, new Chart(canvas, { type: "line", data: { datasets: datasets(data, look) }, options: options(data, look) }));
    markable(canvas);
  }

  // What is marked of a chart with the mouse is shown alone: the same page, with a range of one's own.
  function markable(canvas) {
    const LEAST = 8; // pixels: less is a click
    let begin, mark;
    const at = (event) => {
      const { left, right } = drawn.get(canvas).chartArea;
      return Math.min(Math.max(event.offsetX, left), right);
    };
    canvas.onpointerdown = (event) => {
      if (event.pointerType === "touch" || event.button) return;
      begin = at(event);
      canvas.setPointerCapture(event.pointerId);
      mark = Object.assign(document.createElement("div"), { className: "marked" });
      canvas.after(mark);
    };
    canvas.onpointermove = (event) => {
      if (!mark) return;
      mark.style.insetInlineStart = `${Math.min(begin, at(event))}px`;
      mark.style.inlineSize = `${Math.abs(at(event) - begin)}px`;
    };
    canvas.onpointercancel = () => { mark?.remove(); mark = null; };
    canvas.onpointerup = (event) => {
      if (!mark) return;
      canvas.onpointercancel();
      if (Math.abs(at(event) - begin) < LEAST) return;
      const time = drawn.get(canvas).scales.x;
      const [from, to] = [begin, at(event)].sort((one, other) => one - other)
        .map((pixel) => `${new Date(time.getValueForPixel(pixel)).toISOString().slice(0, 16)}Z`);
      const address = new URL(location);
      for (const name of ["until", "page"]) address.searchParams.delete(name);
      for (const [name, value] of Object.entries({ from, to })) address.searchParams.set(name, value);
      location.assign(address);
    };
  }

  function drawAll(within) {
    for (const [canvas, chart] of drawn) {
      if (canvas.isConnected) continue;
      chart.destroy();
      drawn.delete(canvas);
    }
    within.querySelectorAll("canvas[data-chart]").forEach(draw);
  }

  const drawPage = () => drawAll(document);
  drawPage();
  // An event for each element that has come: the others live.js is still to see as they were sent.
  document.addEventListener("htmx:afterSwap", ({ target }) => drawAll(target));
  document.addEventListener("theme", drawPage);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPage);
})();
