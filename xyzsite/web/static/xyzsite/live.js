// Keeps the parts of a page that bear data-live as the server has them: asks for the page's own address every few
// seconds, with the tag of what it got last, and replaces the parts that differ (xyzsite/web/live.py).
(() => {
  const bar = document.querySelector("[data-live-bar]");
  if (!bar) return;
  const SECONDS = 10, AT_MOST = 300; // between two questions; while the server does not answer, ever longer
  const KEPT = "live"; // in the browser's storage: "paused", for all pages
  const [text, button] = [bar.querySelector("[data-live-text]"), bar.querySelector("button")];
  const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
  const sent = new Map(); // part's id -> what the server has sent of it; scripts change the page's own
  let tag = '"-"', failures = 0, timer, changed = null;

  const parts = () => [...document.querySelectorAll("[data-live]")];
  const remember = (part) => { if (part) sent.set(part.id, part.innerHTML); };
  const paused = () => localStorage.getItem(KEPT) === "paused";
  const since = clock.format();

  function show() {
    bar.classList.toggle("paused", paused());
    bar.classList.toggle("lost", failures > 0);
    button.textContent = paused() ? "Go on" : "Pause";
    const state = paused() ? "Paused" : failures ? "No answer, tries again" : "Live";
    text.textContent = changed ? `${state}, last change ${changed}` : `${state}, no change since ${since}`;
  }

  // What a part says, without ages: that time passes is no change.
  function saying(part) {
    const copy = part.cloneNode(true);
    for (const time of copy.querySelectorAll("time")) time.textContent = time.title && time.dateTime;
    return copy.innerHTML;
  }

  // Someone types, ticks or marks text here, or has typed what is not sent yet: it stays as it is until they are done.
  function busy(part) {
    const selection = getSelection();
    return part.matches(":has(input:focus, select:focus, input:checked, [data-typed]), .htmx-request") ||
      (!selection.isCollapsed && part.contains(selection.anchorNode));
  }

  function replace(part, next) {
    const opened = [...part.querySelectorAll("details")].map((each) => each.open);
    const places = [...part.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
    const link = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
    htmx.swap(part, next.outerHTML, { swapStyle: "outerHTML" });
    const now = document.getElementById(next.id);
    now.querySelectorAll("details").forEach((each, i) => { each.open = opened[i] ?? false; });
    now.querySelectorAll(".scroll").forEach((each, i) => { [each.scrollLeft, each.scrollTop] = places[i] ?? [0, 0]; });
    if (link) now.querySelector(`a[href="${CSS.escape(link)}"]`)?.focus({ preventScroll: true });
  }

  function update(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    let left = false, differs = false;
    for (const part of parts()) {
      const next = page.getElementById(part.id);
      if (!next || next.innerHTML === sent.get(part.id)) continue;
      if (busy(part)) { left = true; continue; }
      const before = document.createElement("div");
      before.innerHTML = sent.get(part.id) ?? "";
      differs ||= saying(before) !== saying(next);
      replace(part, next);
    }
    if (differs) changed = clock.format();
    bar.classList.toggle("changed", differs);
    return !left;
  }

  async function poll() {
    clearTimeout(timer);
    if (paused() || document.hidden) return;
    const address = location.href;
    try {
      const answer = await fetch(address, { headers: { "If-None-Match": tag } });
      if (answer.redirected || [403, 404].includes(answer.status)) return location.reload(); // signed out, or gone
      if (answer.status !== 304 && !answer.ok) throw new Error(answer.statusText);
      failures = 0;
      if (answer.ok) {
        const html = await answer.text();
        const moved = address !== location.href; // filtered meanwhile
        tag = !moved && !paused() && update(html) ? answer.headers.get("ETag") : '"-"';
      }
    } catch {
      failures += 1;
    }
    show();
    clearTimeout(timer);
    timer = setTimeout(poll, 1000 * Math.min(SECONDS * 2 ** failures, AT_MOST) * (0.9 + 0.2 * Math.random()));
  }

  button.addEventListener("click", () => {
    if (paused()) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, "paused");
    show();
    poll();
  });
  document.addEventListener("input", ({ target }) => {
    target.toggleAttribute("data-typed", target.value !== (target.defaultValue ?? ""));
  });
  document.addEventListener("visibilitychange", poll);
  document.addEventListener("htmx:afterSwap", ({ target }) => remember(target.closest("[data-live]"))); // not drawn yet
  parts().forEach(remember);
  show();
  timer = setTimeout(poll, 1000 * SECONDS);
})();
