// Charts are drawn as they come near the screen; all of them before printing.
const draw = (place) => {
  near.unobserve(place);
  const script = place.querySelector("script");
  if (!script) return;
  const target = place.appendChild(document.createElement("div"));
  vegaEmbed(target, JSON.parse(script.textContent), {
    mode: "vega-lite", renderer: "svg", actions: false, config: CONFIG, tooltip: { theme: "assay" },
  });
  script.remove();
};
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) draw(target);
}, { rootMargin: "800px" });
document.querySelectorAll(".chart").forEach((place) => near.observe(place));
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  document.querySelectorAll(".chart").forEach((place) => { if (place.offsetParent) draw(place); });
});
