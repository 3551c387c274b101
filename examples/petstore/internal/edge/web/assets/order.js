// Shows an order's frames one after the other, slowly enough to follow, however fast the saga was.
"use strict";
(() => {
  const panel = document.getElementById("tracker");
  const headline = document.getElementById("headline");
  const steps = document.getElementById("steps");
  const again = document.getElementById("again");
  const pace = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 700; // milliseconds a frame stays at least
  let frames = [];
  let shown = 0;
  let timer = 0;
  let ended = false;

  function show(frame) {
    panel.dataset.direction = frame.backward ? "backward" : "forward";
    panel.dataset.outcome = frame.outcome;
    headline.textContent = frame.headline;
    frame.steps.forEach((step, i) => {
      const item = steps.children[i];
      if (!item) return;
      item.dataset.status = step.status;
      item.querySelector(".step-label").textContent = step.label;
      item.querySelector(".step-status").textContent = step.status;
      item.querySelector(".step-note").textContent = step.note;
    });
  }

  function play() {
    timer = 0;
    if (shown < frames.length) {
      show(frames[shown++]);
      timer = setTimeout(play, pace);
      return;
    }
    if (ended) {
      again.hidden = false;
      refreshFacts();
    }
  }

  // The facts below the tracker come from the server as well, rendered there.
  async function refreshFacts() {
    if (panel.dataset.done === "true" && panel.dataset.fresh !== "true") return;
    panel.dataset.done = "true";
    panel.dataset.fresh = "false";
    const reply = await fetch(location.pathname, { credentials: "same-origin" });
    if (!reply.ok) return;
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const facts = page.getElementById("facts");
    if (facts) document.getElementById("facts").replaceWith(document.adoptNode(facts));
    history.replaceState(null, "", location.pathname);
  }

  function watch() {
    const source = new EventSource(panel.dataset.live);
    source.addEventListener("frame", (event) => {
      frames.push(JSON.parse(event.data));
      if (!timer) play();
    });
    source.addEventListener("end", () => {
      source.close();
      ended = true;
      if (!timer) play();
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) poll(); // refused; otherwise the browser connects again by itself
    });
  }

  // Without live updates the page is read now and then: it shows where the order stands.
  async function poll() {
    const reply = await fetch(location.pathname, { credentials: "same-origin" }).catch(() => null);
    const page = reply && reply.ok ? new DOMParser().parseFromString(await reply.text(), "text/html") : null;
    const there = page && page.getElementById("tracker");
    if (there) {
      const frame = frameOf(there);
      if (JSON.stringify(frame) !== JSON.stringify(frames[frames.length - 1])) frames.push(frame);
      ended = there.dataset.done === "true";
      if (!timer) play();
    }
    if (!ended) setTimeout(poll, 1000);
  }

  function frameOf(there) {
    const text = (element, selector) => element.querySelector(selector).textContent;
    return {
      backward: there.dataset.direction === "backward",
      outcome: there.dataset.outcome,
      headline: text(there, "#headline"),
      steps: Array.from(there.querySelectorAll(".step"), (step) => ({
        status: step.dataset.status,
        label: text(step, ".step-label"),
        note: text(step, ".step-note"),
      })),
    };
  }

  again.addEventListener("click", () => {
    again.hidden = true;
    if (frames.length === 0) {
      watch();
      return;
    }
    shown = 0;
    if (!timer) play();
  });

  if (panel.dataset.done === "true" && panel.dataset.fresh !== "true") {
    again.hidden = false;
  } else {
    watch();
  }
})();
