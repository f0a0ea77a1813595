// The page's side of the viewer of thoughts: a time line, a slider, pictures, and sentences that can be changed.
// What was thought, and what would have been, is for the kernel to say: see thoughts.py.

const HELP = "← → a moment · PgUp PgDn a thought · Home End";
const READABLE = 0.07;  // share of the time line from which on a band has words

function render({ model, el }) {
  const { moments, seconds, cameras, success, thinks } = model.get("about");
  const spans = model.get("spans"), marks = model.get("marks");
  const kinds = [...new Set(spans.map(([, , subtask]) => subtask).filter(Boolean))];
  const colour = (subtask) => (kinds.includes(subtask) ? COLOURS[kinds.indexOf(subtask) % COLOURS.length] : "#888888");
  const named = (subtask) => subtask || "no subtask, the instruction alone";
  const at = (k) => `${(k * seconds).toFixed(1)} s`;
  let moment = 0, waiting = false, wanted = null;

  // ------------------------------------------------------------------------------------- what is thought, and would be
  function mind(title) {
    const canvases = cameras.map(([name, height, width]) =>
      make("canvas", { width, height, role: "img", "data-camera": name }));
    const labels = cameras.map(([name]) => make("figcaption", { text: name }));
    const list = make("ol"), subtask = make("div", { class: "pilab-subtask" });
    let told = null, editing = null;

    function write() {
      const lines = told.chain.map((text, i) => (i === editing ? line(text) : sentence(text, i)));
      const silent = !lines.length && told.subtask && told.author !== "person";
      if (silent) lines.push(make("li", { class: "pilab-quiet", text: "at once, without a chain" }));
      if (thinks) lines.push(editing === told.chain.length ? line("") : sentence("+ a sentence", told.chain.length));
      const held = list.contains(document.activeElement) ? document.activeElement.dataset.sentence : null;
      list.replaceChildren(...lines);
      // What had the focus is gone: without another one, the next key would be the notebook's.
      if (held !== null) (list.querySelector("input") || list.querySelector(`[data-sentence="${held}"]`) || viewer).focus();
      const swatch = make("span", { class: "pilab-swatch" });
      swatch.style.background = colour(told.subtask);
      subtask.replaceChildren(swatch, make("strong", { text: named(told.subtask) }), make("small", { text: told.author }));
      list.parentElement.dataset.author = told.author;
    }

    function sentence(text, i) {
      if (!thinks) return make("li", { text });
      const more = i === told.chain.length, own = i < told.given && text !== thought.chain()[i];
      const title = `${more ? "say something" : "change this sentence"}, and think on from it`;
      const button = make("button", { text, title, "data-sentence": i, onclick: () => edit(i) });
      const kind = more ? "pilab-quiet" : own ? "pilab-own" : "";
      return make("li", { class: kind }, own ? [button, make("small", { text: "you" })] : [button]);
    }

    function line(text) {
      const i = editing, input = make("input", { type: "text", maxlength: 500, "aria-label": `sentence ${i + 1}` });
      const think = () => {
        busy.textContent = "thinking …";
        model.send({ do: "think", moment, chain: [...told.chain.slice(0, i), input.value] });
      };
      input.value = text;
      input.addEventListener("keydown", (event) => {
        event.stopPropagation();
        if (event.key === "Enter") { event.preventDefault(); think(); }
        if (event.key === "Escape") { edit(null); list.querySelector(`[data-sentence="${i}"]`)?.focus(); }
      });
      return make("li", {}, [input, make("button", { text: "think on", onclick: think })]);
    }

    function edit(i) {
      for (const one of [thought, other]) if (one !== self) one.rest();
      editing = i;
      write();
      list.querySelector("input")?.select();
    }

    async function show(message, buffers) {
      told = message;
      if (editing !== null && editing > told.chain.length) editing = null;
      write();
      cameras.forEach(([name], i) => {
        const taken = told.taken[i];
        const when = taken === null ? "no picture yet" : `${taken < moment ? "last picture, " : ""}${at(taken)}`;
        labels[i].textContent = `${name} · ${when}`;
        canvases[i].setAttribute("aria-label", `${labels[i].textContent}: ${named(told.subtask)}`);
      });
      await Promise.all(canvases.map((canvas, i) => paint(canvas, buffers[i])));
    }

    const node = make("section", { class: "pilab-mind", "aria-label": title }, [
      make("div", { class: "pilab-title", text: title }),
      make("div", { class: "pilab-views" }, canvases.map((canvas, i) => make("figure", {}, [canvas, labels[i]]))),
      make("div", { class: "pilab-said", "aria-live": "polite" }, [list, subtask])]);
    const rest = () => { if (editing !== null) { editing = null; write(); } };
    const self = { node, show, rest, chain: () => told.chain };
    return self;
  }

  const thought = mind("it thought"), other = mind("it would have thought");
  const minds = make("div", { class: "pilab-minds" }, [thought.node]);
  const busy = make("span", { class: "pilab-quiet", role: "status" });
  other.node.firstChild.append(
    make("button", { text: "×", title: "close (Escape)", "aria-label": "close", onclick: () => compare(false) }));
  const sides = cameras.map(([, height, width]) => width / height);
  const stack = sides.slice(1).reduce((sum, side) => sum + 1 / side, 0);  // the others below each other, as tall as the first
  minds.style.setProperty("--row", sides.map((side) => `${side}fr`).join(" "));
  minds.style.setProperty("--stack", stack ? `${sides[0]}fr ${1 / stack}fr` : "1fr");
  minds.style.setProperty("--others", Math.max(1, sides.length - 1));

  function compare(yes) {
    minds.classList.toggle("pilab-two", yes);
    if (yes) {
      minds.append(other.node);
    } else {
      if (other.node.contains(document.activeElement)) viewer.focus();
      other.node.remove();
      busy.textContent = "";
    }
  }

  // --------------------------------------------------------------------------------------------------------- time line
  const place = (node, first, end) => {
    node.style.left = `${(100 * first) / moments}%`;
    node.style.width = `${(100 * (end - first)) / moments}%`;
    return node;
  };
  const bands = [];  // of the same subtask, however it was arrived at
  for (const [first, end, subtask, author] of spans) {
    const last = bands.at(-1);
    if (last && last[2] === subtask && last[3] === author) last[1] = end; else bands.push([first, end, subtask, author]);
  }
  const band = ([first, end, subtask, author]) => {
    const title = `${at(first)} … ${at(end)}: ${named(subtask)} (${author})`;
    const text = end - first > READABLE * moments ? subtask : "";
    const node = place(make("div", { class: "pilab-band", text, title, "data-author": author }), first, end);
    node.style.backgroundColor = `${colour(subtask)}59`;
    return node;
  };
  const cursor = make("div", { class: "pilab-cursor" });
  const spoken = marks.map(([k, words], i) => {
    const title = `a person, ${at(k)}: ${words}`, until = i + 1 < marks.length ? marks[i + 1][0] : moments;
    return place(make("div", { class: "pilab-mark", text: `▾ ${words}`, title, onclick: () => seek(k) }), k, until);
  });
  const scrub = (event) => {
    if (!(event.buttons & 1)) return;
    const box = timeline.getBoundingClientRect();
    seek(Math.floor((moments * (event.clientX - box.left)) / box.width));
  };
  const timeline = make("div", { class: "pilab-line", "aria-hidden": "true", onpointermove: scrub, onpointerdown: (event) => {
    timeline.setPointerCapture(event.pointerId);
    scrub(event);
  } }, [...bands.map(band), ...spans.map(([first]) => place(make("div", { class: "pilab-tick" }), first, first)), cursor]);
  const slider = make("input", {
    type: "range", min: 0, max: moments - 1, value: 0, "aria-label": "moment", oninput: () => seek(Number(slider.value)) });
  const clock = make("span", { class: "pilab-clock" }), task = make("span"), after = make("div");
  const note = make("div", { class: "pilab-note", role: "status" });
  const turn = (text, title, way) => make("button", { text, title, "aria-label": title, onclick: () => jump(way) });

  function jump(way) {  // to where another thought begins
    const starts = spans.map(([first]) => first);
    seek(way > 0 ? starts.find((k) => k > moment) ?? moments - 1 : starts.findLast((k) => k < moment) ?? 0);
  }

  function seek(k) {
    moment = Math.max(0, Math.min(k, moments - 1));
    slider.value = moment;
    const here = spans.find(([first, end]) => first <= moment && moment < end);
    slider.setAttribute("aria-valuetext", `${at(moment)}, ${named(here[2])}`);
    clock.textContent = `${at(moment)} · moment ${moment} of ${moments}`;
    place(cursor, moment + 0.5, moment + 0.5);
    const next = bands.find(([first, , subtask]) => first > moment && subtask !== here[2]);
    const end = success === null ? "" : success ? ", a success" : ", no success";
    after.textContent = `${next ? `then, at ${at(next[0])}: ${named(next[2])} · ` : ""}the end at ${at(moments)}${end}`;
    thought.rest();
    compare(false);
    wanted = moment;
    ask();
  }

  function ask() {  // the newest wish or none: a fast hand must not queue up pictures
    if (waiting || wanted === null) return;
    waiting = true;
    model.send({ do: "moment", moment: wanted });
    wanted = null;
  }

  model.on("msg:custom", async (message, buffers) => {
    const now = message.moment === moment;
    if (message.do === "think" && now) {
      busy.textContent = message.unseen.length ? `never heard in training: ${message.unseen.join(", ")}` : "";
      compare(true);
      await other.show(message, buffers);
      el.dataset.thought = message.subtask;
    }
    if (message.do !== "moment") return;
    try {
      if (now) {
        task.textContent = `“${message.instruction}”`;
        await thought.show(message, buffers);
        el.dataset.moment = message.moment;
      }
    } finally { waiting = false; ask(); }
  });
  model.on("change:error", () => {
    note.textContent = model.get("error");
    if (!model.get("error")) return;
    busy.textContent = "";
    waiting = false;
    ask();
  });

  const keys = (event) => {
    if (event.target.type === "text") return;
    const steps = {
      ArrowRight: () => seek(moment + 1), ArrowLeft: () => seek(moment - 1),
      PageDown: () => jump(1), PageUp: () => jump(-1),
      Home: () => seek(0), End: () => seek(moments - 1), Escape: () => compare(false),
    };
    if (!steps[event.code]) return;
    event.preventDefault(); event.stopPropagation();
    steps[event.code]();
  };
  const heard = { tabindex: "0", "data-lm-suppress-shortcuts": "true", onkeydown: keys };
  const viewer = make("div", { class: "pilab-thoughts", ...heard }, [
    make("div", { class: "pilab-row" }, [task, clock]),
    ...(marks.length ? [make("div", { class: "pilab-marks" }, spoken)] : []), timeline,
    make("div", { class: "pilab-row" }, [turn("◀", "the thought before", -1), slider, turn("▶", "the next thought", 1)]),
    minds, make("div", { class: "pilab-row" }, [after, busy]), note,
    make("div", { class: "pilab-quiet", text: thinks ? `${HELP} · click a sentence to change it` : HELP }),
  ]);
  el.append(viewer);
  seek(0);
}

export default { render };
