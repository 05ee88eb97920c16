"use strict";
// The browser of samples: what is seen follows from the fragment of the address, so that every view can be linked to.
(() => {
  const GAP = 6;
  const SPARE_ROWS = 2;
  const DISPLAYED = 64;
  const SORTS = {
    "order": (set) => set.positions,
    "confidence-down": (set) => set.confidence,
    "confidence-up": (set) => set.confidence,
    "distance-up": (set) => set.distance,
    "distance-down": (set) => set.distance,
  };
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("samples").textContent);
  const [box, cells, details] = ["box", "cells", "details"].map(find);
  const thousands = (count) => count.toLocaleString("en-US");
  const made = new Map(); // cells that exist, by their place in the view
  const sheets = new Map(); // sheets that were asked for, as promises
  let state = null; // {set, label (null: all), wrong, sort}
  let view = []; // samples to look through, in order
  let active = -1; // place in the view
  let layout = { columns: 1, pitch: 1, across: 1, side: 1 };

  const element = (tag, words = "") => {
    const one = document.createElement(tag);
    one.textContent = words;
    return one;
  };
  const current = () => data.sets[state.set];
  const isWrong = (set, sample) => set.predicted[sample] !== set.labels[sample];

  const readFragment = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    const set = Math.max(0, data.sets.findIndex((one) => one.name === words.get("set")));
    const label = data.classes.indexOf(words.get("class"));
    return {
      set,
      label: label < 0 ? null : label,
      wrong: words.get("wrong") === "1",
      sort: Object.hasOwn(SORTS, words.get("sort") ?? "") ? words.get("sort") : "order",
    };
  };

  const go = (changes) => {
    const next = { ...state, ...changes };
    const words = new URLSearchParams({ set: data.sets[next.set].name });
    if (next.label !== null) words.set("class", data.classes[next.label]);
    if (next.wrong) words.set("wrong", "1");
    if (next.sort !== "order") words.set("sort", next.sort);
    history.pushState(null, "", `#${words}`);
    apply();
  };

  const samplesOf = ({ label, wrong, sort }, set) => {
    const found = [];
    for (let sample = 0; sample < set.keys.length; sample += 1) {
      if ((label === null || set.labels[sample] === label) && (!wrong || isWrong(set, sample))) found.push(sample);
    }
    const values = SORTS[sort](set);
    const sign = sort.endsWith("-down") ? -1 : 1;
    return found.sort((one, other) => {
      const [first, second] = [values[one], values[other]];
      if (first === second) return set.positions[one] - set.positions[other];
      if (first === null || second === null) return first === null ? 1 : -1; // without a number: last
      return sign * (first - second);
    });
  };

  const apply = () => {
    state = readFragment();
    view = samplesOf(state, current());
    active = -1;
    find("choose-set").value = String(state.set);
    find("choose-sort").value = state.sort;
    find("choose-wrong").checked = state.wrong;
    showClasses();
    showCount();
    showDetails(null);
    box.scrollTop = 0;
    measure();
  };

  const showCount = () => {
    const set = current();
    const of = state.label === null ? "" : ` of class ${data.classes[state.label]}`;
    const kind = state.wrong ? " recognised as something else" : "";
    const samples = view.length === 1 ? "sample" : "samples";
    const cut = set.keys.length < set.images ? `; here are ${thousands(set.keys.length)} of ${thousands(set.images)}` : "";
    find("count").textContent = `${thousands(view.length)} ${samples}${of}${kind}${cut}`;
  };

  const showClasses = () => {
    const set = current();
    const counts = new Array(data.classes.length).fill(0);
    for (let sample = 0; sample < set.keys.length; sample += 1) {
      if (!state.wrong || isWrong(set, sample)) counts[set.labels[sample]] += 1;
    }
    const total = counts.reduce((sum, count) => sum + count, 0);
    const buttons = find("choose-class").children;
    [total, ...counts].forEach((count, place) => {
      const isChosen = state.label === (place === 0 ? null : place - 1);
      buttons[place].setAttribute("aria-pressed", String(isChosen));
      buttons[place].lastChild.textContent = thousands(count);
    });
  };

  const sheetImage = (set, place) => {
    const id = `sheet-${set}-${place}`;
    if (!sheets.has(id)) {
      // A bitmap stays decoded; an image may be decoded again, while the page waits, each time it is drawn from.
      sheets.set(id, fetch(find(id).textContent).then((answer) => answer.blob()).then(createImageBitmap));
    }
    return sheets.get(id);
  };

  const thumbnail = (sample) => {
    const set = current();
    const { side, columns } = set;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const perSheet = columns * columns;
    const cell = sample % perSheet;
    sheetImage(state.set, Math.floor(sample / perSheet)).then((image) => {
      const [x, y] = [(cell % columns) * side, Math.floor(cell / columns) * side];
      canvas.getContext("2d").drawImage(image, x, y, side, side, 0, 0, side, side);
    });
    return canvas;
  };

  const measure = () => {
    const side = current().side * Math.max(1, Math.floor(DISPLAYED / current().side));
    const pitch = side + GAP;
    const columns = Math.max(1, Math.floor((cells.clientWidth + GAP) / pitch));
    const across = Math.max(pitch, Math.floor((cells.clientWidth + GAP) / columns)); // no gap left over at the end
    layout = { columns, pitch, across, side };
    cells.style.height = `${Math.max(0, Math.ceil(view.length / columns) * pitch - GAP)}px`;
    cells.replaceChildren();
    made.clear();
    draw();
  };

  const draw = () => {
    const { columns, pitch } = layout;
    const first = Math.max(0, Math.floor(box.scrollTop / pitch) - SPARE_ROWS) * columns;
    const rows = Math.ceil(box.clientHeight / pitch) + 1 + 2 * SPARE_ROWS;
    const end = Math.min(view.length, first + rows * columns);
    for (const [place, cell] of made) {
      if (place < first || place >= end) {
        cell.remove();
        made.delete(place);
      }
    }
    for (let place = first; place < end; place += 1) if (!made.has(place)) makeCell(place);
    if (made.has(active)) box.setAttribute("aria-activedescendant", made.get(active).id);
    else box.removeAttribute("aria-activedescendant");
  };

  const makeCell = (place) => {
    const { columns, pitch, across, side } = layout;
    const set = current();
    const sample = view[place];
    const cell = element("div");
    const canvas = thumbnail(sample);
    canvas.style.width = canvas.style.height = `${side}px`;
    cell.append(canvas);
    cell.id = `cell-${place}`;
    cell.dataset.place = String(place);
    cell.dataset.key = set.keys[sample];
    cell.style.transform = `translate(${(place % columns) * across}px, ${Math.floor(place / columns) * pitch}px)`;
    cell.classList.toggle("wrong", isWrong(set, sample));
    cell.setAttribute("role", "option");
    cell.setAttribute("aria-selected", String(place === active));
    cell.setAttribute("aria-posinset", String(place + 1));
    cell.setAttribute("aria-setsize", String(view.length));
    cell.setAttribute("aria-label", factsOf(sample).map(([name, value]) => `${name} ${value}`).join(", "));
    made.set(place, cell);
    cells.append(cell);
  };

  const factsOf = (sample) => {
    const set = current();
    const shown = (number, places) => (number === null ? "–" : number.toFixed(places));
    const distance = set.distance[sample];
    const isCopy = distance !== null && distance <= 1;
    return [
      ["class", data.classes[set.labels[sample]]],
      ["recognised as", data.classes[set.predicted[sample]]],
      ["confidence", shown(set.confidence[sample], 4)],
      ["distance to training images", `${shown(distance, 3)}${isCopy ? ", a copy" : " (copies: up to 1)"}`],
      ["key", set.keys[sample]],
      ["place in the set", thousands(set.positions[sample] + 1)],
    ];
  };

  const showDetails = (sample) => {
    if (sample === null) {
      const note = element("p", "Choose a sample to see what is known of it.");
      note.className = "note";
      details.replaceChildren(note);
      return;
    }
    const list = element("dl");
    for (const [name, value] of factsOf(sample)) list.append(element("dt", name), element("dd", value));
    details.replaceChildren(thumbnail(sample), list);
  };

  const choose = (place) => {
    if (place < 0 || place >= view.length) return;
    made.get(active)?.setAttribute("aria-selected", "false");
    active = place;
    const top = Math.floor(place / layout.columns) * layout.pitch;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + layout.pitch > box.scrollTop + box.clientHeight) box.scrollTop = top + layout.pitch - box.clientHeight + GAP;
    draw();
    made.get(active)?.setAttribute("aria-selected", "true");
    showDetails(view[place]);
  };

  const keyed = (event) => {
    const page = layout.columns * Math.max(1, Math.floor(box.clientHeight / layout.pitch));
    const moves = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: layout.columns, ArrowUp: -layout.columns, PageDown: page, PageUp: -page,
      Home: -Infinity, End: Infinity, Enter: 0, " ": 0,
    };
    if (!Object.hasOwn(moves, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(active < 0 ? 0 : Math.min(view.length - 1, Math.max(0, active + moves[event.key])));
  };

  const makeButtons = () => {
    ["all classes", ...data.classes].forEach((name, place) => {
      const button = element("button");
      button.type = "button";
      button.title = name;
      button.append(element("span", name), element("small"));
      button.addEventListener("click", () => go({ label: place === 0 ? null : place - 1 }));
      find("choose-class").append(button);
    });
  };

  makeButtons();
  find("controls").hidden = false;
  find("choose-set").addEventListener("change", (event) => go({ set: Number(event.target.value) }));
  find("choose-sort").addEventListener("change", (event) => go({ sort: event.target.value }));
  find("choose-wrong").addEventListener("change", (event) => go({ wrong: event.target.checked }));
  cells.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-place]");
    if (cell) choose(Number(cell.dataset.place));
  });
  box.addEventListener("keydown", keyed);
  box.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  const isView = () => location.hash.includes("=");
  window.addEventListener("hashchange", () => { if (isView() || !location.hash) apply(); });
  let width = 0;
  new ResizeObserver(() => {
    if (cells.clientWidth === width) return;
    width = cells.clientWidth;
    measure();
  }).observe(cells);
  apply();
  if (isView()) find("browser").scrollIntoView();
})();
