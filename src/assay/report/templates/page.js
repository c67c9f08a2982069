// Points say what they are under the pointer or a finger; without this script, browsers show their titles.
const tip = document.getElementById("tip");
for (const svg of document.querySelectorAll("svg.plot")) {
  const points = [...svg.querySelectorAll(".hit")].map((element) => {
    const title = element.querySelector("title");
    const point = { element, text: title.textContent, x: +element.getAttribute("cx"), y: +element.getAttribute("cy") };
    title.remove();
    return point;
  });
  const show = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let best = null, least = 28 ** 2;
    for (const point of points) {
      const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (distance < least) [best, least] = [point, distance];
    }
    for (const { element } of points) element.classList.toggle("near", best !== null && element === best.element);
    tip.style.display = best ? "block" : "none";
    if (!best) return;
    tip.textContent = best.text;
    const left = box.left + best.x / scale, top = box.top + best.y / scale;
    tip.style.left = `${Math.max(6, Math.min(left + 12, innerWidth - tip.offsetWidth - 6))}px`;
    tip.style.top = `${Math.max(6, top - tip.offsetHeight - 10)}px`;
  };
  const hide = () => {
    tip.style.display = "none";
    for (const { element } of points) element.classList.remove("near");
  };
  svg.addEventListener("pointermove", show);
  svg.addEventListener("pointerdown", show);
  svg.addEventListener("pointerleave", hide);
}
addEventListener("scroll", () => { tip.style.display = "none"; }, { passive: true });
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
