"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const remembered = (name, value) => {
    try {
      if (value === undefined) return localStorage.getItem(name);
      localStorage.setItem(name, value);
    } catch { /* a page opened from a file may have no storage */ }
    return null;
  };

  // Theme: the system's, until somebody chooses.
  const button = byId("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", dark() ? "Use the light theme" : "Use the dark theme"); };
  const chosen = remembered("resbench-theme");
  if (chosen) root.dataset.theme = chosen;
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; remembered("resbench-theme", root.dataset.theme); label(); });
  label();

  // Filter.
  const form = byId("filter"), words = byId("words"), found = byId("found");
  const claims = [...document.querySelectorAll(".claim")];
  const groups = [...document.querySelectorAll(".group")];
  const tiles = new Map([...document.querySelectorAll(".tile")].map((tile) => [tile.getAttribute("href").slice(1), tile]));
  const selects = ["paper", "kind", "setting"].map((name) => [name, byId(name)]);
  const apply = () => {
    const statuses = new Set([...form.querySelectorAll("input[name=status]:checked")].map((box) => box.value));
    const parts = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const claim of claims) {
      const fits = statuses.has(claim.dataset.status)
        && selects.every(([name, select]) => !select.value || claim.dataset[name] === select.value)
        && parts.every((part) => claim.dataset.words.includes(part));
      claim.hidden = !fits;
      const tile = tiles.get(claim.id);
      if (tile) tile.style.opacity = fits ? "" : "0.15";
      shown += fits;
    }
    for (const group of groups) {
      group.hidden = !group.querySelector(".claim:not([hidden])");
      if (shown < claims.length) group.firstElementChild.open = true;
    }
    found.value = shown === claims.length ? `${shown} verdicts` : `${shown} of ${claims.length} verdicts`;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) { event.preventDefault(); words.focus(); }
  });
  apply();

  // A link to a claim opens it, even where the filter hides it.
  const open = () => {
    const named = byId(decodeURIComponent(location.hash.slice(1)));
    if (!named || !named.matches(".claim, .group")) return;
    if (named.hidden) { form.reset(); apply(); }
    if (named.matches(".claim")) named.open = true;
    named.closest(".group").firstElementChild.open = true;
    named.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();

  // Specifications and tables are packed: base64 of zlib.
  const unpacked = async (packed) => {
    const bytes = Uint8Array.from(atob(packed.trim()), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  };
  for (const button of document.querySelectorAll(".csv")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([await unpacked(button.dataset.packed)], { type: "text/csv" }));
      link.download = `${button.dataset.name}.csv`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  // Figures are drawn when they come into view, and again where the room they have changes.
  const draw = async (chart) => {
    const width = chart.clientWidth;
    chart.dataset.width = width;
    try {
      const spec = JSON.parse(await unpacked(byId(chart.dataset.spec).textContent));
      await vegaEmbed(chart, resbenchFit(spec, width), {
        renderer: "svg",
        actions: { export: true, source: false, compiled: false, editor: false },
        downloadFileName: chart.dataset.spec.replace(/^spec-/, ""),
      });
      chart.querySelector("summary")?.setAttribute("aria-label", "Save this figure");
      // What Vega calls a picture without naming it (marks without values) is none.
      for (const mark of chart.querySelectorAll("[role=graphics-symbol]:not([aria-label])")) {
        mark.removeAttribute("role");
        mark.removeAttribute("aria-roledescription");
      }
      chart.querySelector("svg.marks").setAttribute("aria-label", chart.dataset.description);
      chart.dataset.drawn = "yes";
    } catch (error) {
      chart.textContent = `The figure could not be drawn: ${error.message}`;
      throw error;
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting && !entry.target.dataset.width) draw(entry.target);
  }, { rootMargin: "400px" });
  const charts = [...document.querySelectorAll(".chart")];
  for (const chart of charts) watcher.observe(chart);
  let resized;
  addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => { for (const chart of charts) if (chart.dataset.drawn && chart.clientWidth !== Number(chart.dataset.width)) draw(chart); }, 200);
  });
  addEventListener("beforeprint", () => { for (const chart of charts) if (!chart.dataset.drawn) draw(chart); });
})();
