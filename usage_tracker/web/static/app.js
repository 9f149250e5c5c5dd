// Charts, colours, keys and what a form does by itself. Pages are whole without it: links, forms and tables.
"use strict";

(() => {
  const root = document.documentElement;
  const charts = new Map();

  // --- colours: as the system has them, light or dark; kept in a cookie, so that the server draws the first page right

  const themes = ["auto", "light", "dark"];
  const theme = () => root.dataset.theme || "auto";

  function showTheme() {
    const name = document.getElementById("theme-name");
    if (name) name.textContent = theme()[0].toUpperCase() + theme().slice(1);
  }

  function nextTheme() {
    const next = themes[(themes.indexOf(theme()) + 1) % themes.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    const path = document.body.dataset.root || "/";
    const age = next === "auto" ? 0 : 31536000;
    document.cookie = `usage_tracker_theme=${next}; path=${path}; max-age=${age}; samesite=lax`;
    showTheme();
    redraw();
  }

  // --- charts

  function colours() {
    const style = getComputedStyle(root);
    const of = (name) => style.getPropertyValue(name).trim();
    return {
      series: (name) => of(`--series-${name}`),
      ink: of("--ink"), dim: of("--dim"), line: of("--line"), raised: of("--raised"), strong: of("--line-strong"), track: of("--track"),
      font: of("--font"),
    };
  }

  function short(value, measure) {
    const money = `${value < 0 ? "-" : ""}${measure === "cost" ? "$" : ""}`;
    if (measure === "duration") return value >= 1000 ? `${+(value / 1000).toPrecision(3)} s` : `${+value.toPrecision(3)} ms`;
    const size = Math.abs(value);
    for (const [limit, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
      if (size >= limit) return `${money}${+(size / limit).toPrecision(3)}${unit}`;
    }
    const digits = String(+size.toPrecision(3));
    return money + (measure === "cost" && /\.\d$/.test(digits) ? `${digits}0` : digits); // $1.50, not $1.5
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function tip(chart, index) {
    const box = element("div", "tip");
    box.append(element("b", "", chart.labels[index]));
    const shown = chart.series.filter((series) => series.values[index] || (series.values[index] === null && series.shown[index]));
    for (const series of shown) {
      const line = element("div");
      line.append(element("i", `swatch c-${series.colour}`), element("span", "", series.name), element("em", "", series.shown[index]));
      box.append(line);
    }
    if (!shown.length) box.append(element("div", "", "nothing"));
    if (shown.length > 1 && chart.together[index]) {
      const line = element("div", "sum");
      line.append(element("span", "", "Together"), element("em", "", chart.together[index]));
      box.append(line);
    }
    return box;
  }

  function label(chart, text) {
    if (chart.unit === "month") return text;
    if (chart.unit === "hour") return text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16);
    return text.slice(5);
  }

  function overTime(chart, paint) {
    const stacked = chart.kind === "bars";
    const few = chart.labels.length <= 40;
    return {
      animation: false,
      grid: { left: 4, right: 6, top: 14, bottom: 4, containLabel: true },
      textStyle: { fontFamily: paint.font },
      tooltip: {
        trigger: "axis", confine: true, transitionDuration: 0, axisPointer: { type: stacked ? "shadow" : "line", shadowStyle: { color: paint.track, opacity: 0.6 } },
        backgroundColor: paint.raised, borderColor: paint.strong, borderWidth: 1, padding: [9, 12], extraCssText: "border-radius: 7px; box-shadow: 0 8px 24px rgb(0 0 0 / 0.14)",
        formatter: (points) => tip(chart, points[0].dataIndex),
      },
      xAxis: {
        type: "category", data: chart.labels, axisTick: { show: false }, axisLine: { lineStyle: { color: paint.strong } },
        axisLabel: { color: paint.dim, fontSize: 11.5, hideOverlap: true, formatter: (text) => label(chart, text) },
      },
      yAxis: {
        type: "value", splitNumber: 4, axisLabel: { color: paint.dim, fontSize: 11.5, formatter: (value) => short(value, chart.measure) },
        splitLine: { lineStyle: { color: paint.line } }, axisLine: { show: false }, axisTick: { show: false },
      },
      series: [...chart.series].reverse().map((series) => ({
        type: stacked ? "bar" : "line", name: series.name, stack: stacked ? "all" : undefined, data: series.values,
        color: paint.series(series.colour), barCategoryGap: few ? "26%" : "8%", barMaxWidth: 54, showSymbol: few && !stacked, symbolSize: 5,
        lineStyle: { width: 2 }, connectNulls: false, cursor: "pointer", emphasis: { disabled: true },
        itemStyle: stacked ? { borderColor: paint.raised, borderWidth: few ? 0.5 : 0 } : undefined,
      })),
    };
  }

  function ranks(chart, paint) {
    const rows = chart.series;
    return {
      animation: false,
      grid: { left: 4, right: 18 + 7.2 * Math.max(8, ...rows.map((row) => row.shown[0].length)), top: 4, bottom: 4, containLabel: true },
      textStyle: { fontFamily: paint.font },
      xAxis: { type: "value", show: false },
      yAxis: {
        type: "category", inverse: true, data: rows.map((row) => row.name), axisTick: { show: false }, axisLine: { show: false },
        axisLabel: { color: paint.dim, fontSize: 12, width: 190, overflow: "truncate" },
      },
      series: [{
        type: "bar", barMaxWidth: 16, emphasis: { disabled: true },
        data: rows.map((row) => ({ value: row.values[0], itemStyle: { color: paint.series(row.colour), borderRadius: [0, 3, 3, 0] } })),
        label: { show: true, position: "right", color: paint.ink, fontSize: 12, formatter: (point) => rows[point.dataIndex].shown[0] },
      }],
    };
  }

  function draw(figure) {
    const plot = figure.querySelector(".plot");
    const source = figure.querySelector("script[type='application/json']");
    if (!plot || !source || charts.has(plot)) return;
    const chart = JSON.parse(source.textContent);
    if (chart.kind === "ranks") plot.classList.add(`rows-${Math.min(chart.series.length, 30)}`);
    const height = chart.kind === "ranks" ? Math.max(90, chart.series.length * 27 + 10) : undefined;
    const drawn = echarts.init(plot, null, { renderer: "svg", height });
    const paint = () => drawn.setOption(chart.kind === "ranks" ? ranks(chart, colours()) : overTime(chart, colours()), true);
    paint();
    if (figure.dataset.zoom && chart.spans.length) {
      drawn.getZr().on("click", (event) => {
        if (!drawn.containPixel("grid", [event.offsetX, event.offsetY])) return;
        const [index] = drawn.convertFromPixel("grid", [event.offsetX, event.offsetY]);
        const span = chart.spans[Math.round(index)];
        if (span) zoom(figure.dataset.zoom, span);
      });
    }
    const watcher = new ResizeObserver(() => drawn.resize({ height }));
    watcher.observe(plot);
    charts.set(plot, { paint, drop: () => { watcher.disconnect(); drawn.dispose(); } });
    figure.dataset.drawn = "yes";
  }

  function zoom(address, [since, until]) {
    const target = new URL(address, location.href);
    target.searchParams.set("since", since);
    target.searchParams.set("until", until);
    go(target.pathname + target.search);
  }

  function redraw() {
    for (const { paint } of charts.values()) paint();
  }

  function go(address) {
    htmx.ajax("GET", address, { target: "#page", select: "#page", swap: "outerHTML show:none", push: address }).then(() => {
      if (location.pathname + location.search !== address) history.pushState({ htmx: true }, "", address);
    }, () => {}); // events say why there is no answer
  }

  // --- each page as it comes

  function arrive() {
    for (const [plot, { drop }] of charts) {
      if (!plot.isConnected) { drop(); charts.delete(plot); }
    }
    document.querySelectorAll("figure.chart").forEach(draw);
    const page = document.querySelector("#page > [data-current]");
    document.querySelectorAll(".top nav a").forEach((link) => {
      if (page && link.dataset.page === page.dataset.current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    for (const zones of document.querySelectorAll("datalist[data-zones]")) {
      if (zones.children.length > 1 || !Intl.supportedValuesOf) continue;
      for (const zone of Intl.supportedValuesOf("timeZone")) zones.append(new Option(zone, zone));
    }
    const waiting = document.querySelector("[data-retry]");
    if (waiting) setTimeout(() => { if (waiting.isConnected) reload(); }, waiting.dataset.retry * 1000);
    for (const chosen of document.querySelectorAll(".ranges [aria-current], .ranges [data-chosen], .choice [aria-current]")) {
      const row = chosen.parentElement; // which a phone shows a part of
      const [outer, inner] = [row.getBoundingClientRect(), chosen.getBoundingClientRect()];
      row.scrollLeft += inner.left - outer.left - (outer.width - inner.width) / 2;
    }
    showTheme();
  }

  function reload() { // which is not what somebody waits for
    if (root.classList.contains("busy")) return;
    htmx.ajax("GET", location.pathname + location.search, { target: "#page", select: "#page", swap: "outerHTML show:none" }).catch(() => {});
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    // an address says what differs from the usual, and nothing twice
    if (event.target.method !== "get") return;
    const unsaid = [...event.target.querySelectorAll("input, select")].filter((field) => field.name && field.value === "");
    for (const field of unsaid) field.disabled = true;
    setTimeout(() => { for (const field of unsaid) field.disabled = false; }); // it is sent by then, and may be wanted next
  }, true);
  let onTheWay = null; // the page that was asked for last; an earlier one that comes after it would take its place
  const giveUp = () => { if (onTheWay) onTheWay.abort(); };
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.matches && event.target.matches("[data-live]")) return;
    if (event.detail.requestConfig.verb === "get") {
      giveUp();
      onTheWay = event.detail.xhr;
    }
    root.classList.add("busy");
  });
  for (const name of ["htmx:afterRequest", "htmx:sendError", "htmx:responseError"]) {
    document.addEventListener(name, () => root.classList.remove("busy"));
  }
  document.addEventListener("htmx:sendError", () => {
    document.getElementById("said").textContent = "The server can't be reached. What you see is what it said last.";
    if (document.querySelector("[data-retry]")) setTimeout(reload, 3000);
  });
  // a page instead of new calls, or a proxy's own page, takes the place of nothing: what is there asks again
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    if (xhr.status === 204 || xhr.responseText.includes(`id="${target.id}"`)) return;
    event.detail.shouldSwap = false;
    document.getElementById("said").textContent = "The server has no answer just now. What you see is what it said last.";
    if (document.querySelector("[data-retry]")) setTimeout(reload, 3000);
  });
  // a page on a wall shows new figures by itself, unless somebody is at it

  const REFRESH_SECONDS = 60;
  const GONE_SECONDS = 300;
  let arrived = Date.now();
  let touched = arrived;
  for (const name of ["keydown", "pointerdown"]) document.addEventListener(name, () => { touched = Date.now(); }, true);

  function somebodyIsAtIt() { // what was chosen keeps the keyboard, also of who has left
    const field = document.activeElement;
    const typed = field.defaultValue !== undefined && field.value !== field.defaultValue;
    if (typed || document.querySelector("#page details[open], dialog[open], #page form[method=post]")) return true;
    return Date.now() - touched < GONE_SECONDS * 1000 && document.querySelector("#page select:focus, #page :focus-visible") !== null;
  }

  setInterval(() => {
    const busy = document.hidden || somebodyIsAtIt();
    const still = document.querySelector("#page [data-refresh]");
    if (still && !busy && Date.now() - arrived > REFRESH_SECONDS * 1000 && scrollY < 40) { arrived = Date.now(); reload(); }
  }, 5000);

  document.addEventListener("htmx:afterSettle", () => {
    arrived = Date.now();
    document.getElementById("said").textContent = "";
    arrive();
  });
  // another page begins at its top, and going back leads to where one was

  let place = 0;
  document.addEventListener("htmx:beforeHistoryUpdate", (event) => {
    const [here, next] = [new URL(location.href), new URL(event.detail.history.path, location.href)];
    history.replaceState({ ...history.state, place: scrollY }, "");
    const turned = here.searchParams.get("after") !== next.searchParams.get("after");
    if (turned || here.pathname !== next.pathname) scrollTo(0, 0);
  });
  addEventListener("popstate", (event) => {
    place = (event.state && event.state.place) || 0; // htmx drops it then
    giveUp(); // who goes back wants no other page any more
  }, true);
  document.addEventListener("htmx:historyRestore", (event) => {
    const { path } = event.detail; // of who has gone back twice, the first page may come last
    if (path && path !== location.pathname + location.search) { location.reload(); return; }
    arrive();
    scrollTo(0, place);
    history.replaceState({ ...history.state, place }, ""); // for when one comes back once more
  });
  // what is shown has to be what the address says
  document.addEventListener("htmx:historyCacheMissLoadError", () => location.reload());

  // --- keys

  let after = "";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const first = after;
    after = "";
    if (first === "g") {
      const link = [...document.querySelectorAll(".top nav a")].find((each) => each.dataset.key === event.key);
      if (link) { link.click(); event.preventDefault(); }
    } else if (event.key === "g") {
      after = "g";
    } else if (event.key === "/") {
      const filter = document.getElementById("filter");
      if (filter) { filter.focus(); event.preventDefault(); }
    } else if (event.key === "t") {
      nextTheme();
    } else if (event.key === "?") {
      document.getElementById("keys").showModal();
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("click", (event) => {
    if (event.target.closest("#theme")) nextTheme();
    if (event.target.closest("#keys-button")) document.getElementById("keys").showModal();
    document.querySelectorAll("details.custom[open]").forEach((open) => { if (!open.contains(event.target)) open.open = false; });
  });
  arrive();
})();
