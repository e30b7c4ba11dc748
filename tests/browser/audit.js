// Basic accessibility checks, run in the page; returns what is wrong, one line each.
() => {
  const wrong = [];
  const say = (what, element) => wrong.push(`${what}: ${element.outerHTML.slice(0, 120)}`);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });

  // Structure
  if (!document.documentElement.lang) wrong.push("the page says no language");
  if (all("main").length !== 1) wrong.push("there is not exactly one <main>");
  const levels = all("h1, h2, h3, h4").filter(shown).map((heading) => Number(heading.tagName[1]));
  if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) wrong.push(`headings: ${levels}`);
  levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) wrong.push(`headings skip a level: ${levels}`); });
  const ids = all("[id]").map((element) => element.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) wrong.push(`the id ${id} stands twice`);
  all("[aria-labelledby], [aria-describedby]").forEach((element) => {
    const named = `${element.getAttribute("aria-labelledby") ?? ""} ${element.getAttribute("aria-describedby") ?? ""}`;
    for (const id of named.split(" ").filter(Boolean)) if (!document.getElementById(id)) say(`no element ${id}`, element);
  });
  all("[tabindex]").forEach((element) => { if (element.tabIndex > 0) say("takes the keyboard out of order", element); });

  // Names
  const name = (element) =>
    element.getAttribute("aria-label") || element.textContent.trim() || element.title ||
    document.getElementById(element.getAttribute("aria-labelledby"))?.textContent.trim();
  all("a[href], button, summary").filter(shown).forEach((element) => { if (!name(element)) say("has no name", element); });
  all("input:not([type=hidden]), select, textarea").filter(shown).forEach((element) => {
    if (!element.labels.length && !element.getAttribute("aria-label")) say("has no label", element);
  });
  all("canvas, [role=img]").forEach((element) => { if (!element.getAttribute("aria-label")) say("has no text", element); });
  all("nav, section, [role=region]").forEach((element) => {
    if (!element.getAttribute("aria-label") && !element.getAttribute("aria-labelledby")) say("landmark has no name", element);
  });
  all("table").forEach((table) => { if (!table.querySelector("thead th[scope=col]")) say("has no column heads", table); });

  // Contrast (WCAG 2.2, 1.4.3): text on the nearest grounds below it
  const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const pixel = (...colours) => {
    brush.clearRect(0, 0, 1, 1);
    for (const colour of colours) { brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1); }
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const grounds = (element) => (element ? [...grounds(element.parentElement), getComputedStyle(element).backgroundColor] : []);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !shown(element) || element.closest("script, noscript, .unseen, [aria-disabled], svg, option")) continue;
    const style = getComputedStyle(element);
    const below = grounds(element);
    const [text, ground] = [light(pixel(...below, style.color)), light(pixel(...below))];
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) say(`contrast ${ratio.toFixed(2)}`, element);
  }
  return wrong;
}
