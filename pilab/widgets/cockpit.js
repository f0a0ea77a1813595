// The page's side of the cockpit: draws the newest pictures, says 25 times a second what is held down.
// Nothing here decides anything: see cockpit.py.

const BEAT = 40; // ms between two heartbeats
const DRIVEN = new Set("KeyW KeyA KeyS KeyD KeyQ KeyE KeyZ KeyX KeyC KeyV KeyI KeyJ KeyK KeyL KeyU KeyO KeyN KeyM Comma Period ShiftLeft ShiftRight".split(" "));
const SLIDERS = ["x", "y", "z", "roll", "pitch", "yaw", "grip"];
const HELP = "left hand W A S D, Q E down and up, Z X turn, C V close and open · right hand I J K L, U O, N M, comma and full stop · " +
  "Shift turns instead of moving · Space or Escape stops · R lets go";

function render({ model, el }) {
  const held = new Set();
  const sliders = Object.fromEntries(SLIDERS.map((name) => [name, 0]));
  let drag = [0, 0, 0], arm = 0, beat = 0, closed = false, dragging = null, speed = 0.6;
  const act = (name, more = {}) => model.send({ do: name, ...more });
  const stop = () => { model.set("stops", model.get("stops") + 1); model.save_changes(); };
  const button = (text, name, title) => make("button", { text, title: title || name, "data-do": name, onclick: () => act(name) });

  // ------------------------------------------------------------------------------------------------------- pictures
  const canvases = model.get("views").map(([name, height, width]) =>
    make("canvas", { width, height, title: name, "data-camera": name }));
  const age = make("span", { class: "pilab-age" });
  const said = make("div", { class: "pilab-said" });
  const pictures = make("div", { class: "pilab-pictures" }, [...canvases, said, age]);

  model.on("msg:custom", async (message, buffers) => {
    if (message.do === "ping") return act("pong", { number: message.number });
    if (message.do !== "picture") return;
    try {
      await Promise.all(canvases.map(async (canvas, i) => {
        const view = buffers[i];
        if (!view || !view.byteLength) return;
        const picture = await createImageBitmap(new Blob([view], { type: "image/jpeg" }));
        canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
        picture.close();
      }));
      shownAt = performance.now();
      shownAge = message.age;
      el.dataset.tick = message.tick;
      el.dataset.shown = Number(el.dataset.shown || 0) + 1;
    } finally {
      act("shown", { at: message.at });
    }
  });
  let shownAt = null, shownAge = 0;

  // --------------------------------------------------------------------------------------------------------- controls
  // Jupyter takes keys before any listener here hears them: without the attribute, "a" would insert a cell.
  const focus = make("div", { class: "pilab-cockpit", tabindex: "0", "data-lm-suppress-shortcuts": "true" });
  focus.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" && event.target.type === "text") return;
    if (event.code === "Space" || event.code === "Escape") { event.preventDefault(); event.stopPropagation(); stop(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.code === "Tab") return;
    if (event.code === "KeyR") { event.stopPropagation(); act("release"); return; }
    if (!DRIVEN.has(event.code)) return;
    event.preventDefault(); event.stopPropagation();
    held.add(event.code);
  });
  focus.addEventListener("keyup", (event) => { held.delete(event.code); event.stopPropagation(); });
  const let_go = () => {
    held.clear(); drag = [0, 0, 0]; dragging = null;
    for (const name of SLIDERS) sliders[name] = 0;
    for (const input of focus.querySelectorAll("input[data-axis]")) input.value = 0;
  };
  focus.addEventListener("focusout", (event) => { if (!focus.contains(event.relatedTarget)) let_go(); });
  const hidden = () => { if (document.visibilityState !== "visible") let_go(); };
  window.addEventListener("blur", let_go);
  window.addEventListener("pagehide", let_go);
  document.addEventListener("visibilitychange", hidden);

  const base = canvases[0];
  if (base) {
    base.addEventListener("pointerdown", (event) => { dragging = [event.clientX, event.clientY]; base.setPointerCapture(event.pointerId); focus.focus(); });
    base.addEventListener("pointermove", (event) => {
      if (!dragging) return;
      const reach = base.clientWidth / 4;
      drag[0] = (event.clientX - dragging[0]) / reach;
      drag[1] = -(event.clientY - dragging[1]) / reach;
    });
    for (const name of ["pointerup", "pointercancel"]) base.addEventListener(name, () => { dragging = null; drag = [0, 0, 0]; });
    let rest = null;
    base.addEventListener("wheel", (event) => {
      if (document.activeElement !== focus) return;
      event.preventDefault();
      drag[2] = -Math.sign(event.deltaY); clearTimeout(rest); rest = setTimeout(() => { drag[2] = 0; }, 120);
    }, { passive: false });
  }

  const hand = make("select", { title: "the hand that gamepad, pointer and sliders drive", onchange: () => { arm = hand.selectedIndex; } },
    ["left hand", "right hand"].map((text) => make("option", { text })));
  const axes = SLIDERS.map((name) => make("label", { text: name }, [make("input", {
    type: "range", min: -1, max: 1, step: 0.05, value: 0, "data-axis": name,
    oninput: (event) => { sliders[name] = Number(event.target.value); },
    onchange: (event) => { sliders[name] = 0; event.target.value = 0; },
  })]));
  const pace = make("label", { text: "speed" }, [make("input", {
    type: "range", min: 0.1, max: 1, step: 0.1, value: speed, oninput: (event) => { speed = Number(event.target.value); },
  })]);

  const STOP = make("button", { class: "pilab-stop", text: "STOP", title: "Space or Escape", onclick: stop });
  const line = (placeholder, name) => make("input", {
    type: "text", placeholder, "data-say": name,
    onkeydown: (event) => {
      event.stopPropagation();
      if (event.key !== "Enter" || !event.target.value.trim()) return;
      act(name, { text: event.target.value }); event.target.value = "";
    },
  });
  const mode = make("span", { class: "pilab-mode" }), words = make("div", { class: "pilab-words" });
  const note = make("div", { class: "pilab-note" }), tape = make("span", { class: "pilab-tape" });
  const recorder = make("div", { class: "pilab-row" }, [
    button("● record", "start"), button("keep", "keep"), button("discard", "discard"), button("undo last", "undo"),
    button("success", "success"), button("failure", "failure"), tape,
  ]);
  focus.append(
    pictures,
    make("div", { class: "pilab-row" }, [STOP, button("arm", "arm"), button("disarm", "disarm"), button("go home", "home"), button("let go", "release"), mode]),
    make("div", { class: "pilab-row" }, [line("what to do, then Enter", "instruct"), line("coach: what to do next, then Enter", "say")]),
    words, recorder,
    make("details", { class: "pilab-row" }, [make("summary", { text: "hands" }), hand, pace, ...axes, make("div", { class: "pilab-help", text: HELP })]),
    note,
  );

  // ------------------------------------------------------------------------------------------------------- what it says
  const show = () => {
    const s = model.get("state") || {};
    focus.dataset.mode = s.mode || "";
    mode.textContent = `${s.mode || "…"}${s.source && s.mode === "armed" ? " · " + s.source : ""}${s.driving ? " · you drive" : ""}`;
    mode.title = s.why || "";
    words.textContent = s.task ? `“${s.task}”` : "";
    said.textContent = s.subtask ? `${s.author === "person" ? "you: " : ""}${s.subtask}` : "";
    const r = s.recording;
    recorder.style.display = r ? "" : "none";
    if (r) {
      tape.textContent = (r.active ? `recording, ${r.steps} steps` : "") + ` · ${r.episodes} kept` + (r.filing ? ` · ${r.filing} being filed` : "") +
        (r.unfinished ? ` · ${r.unfinished} unfinished` : "") + (r.verdict === null || !r.active ? "" : r.verdict ? " · a success" : " · a failure");
      recorder.dataset.active = r.active;
    }
    const notes = [s.note, r && r.error, s.mode === "holding" || s.mode === "stopped" ? s.why : ""];
    if (s.deaf) notes.push("STOP is not heard while a cell is busy here: the robot is held instead, 0.3 s after the heartbeat ends.");
    note.textContent = notes.filter(Boolean).join(" · ");
  };
  model.on("change:state", show);
  show();

  // -------------------------------------------------------------------------------------------------------- heartbeat
  let pressed = false;
  const pads = () => [...(navigator.getGamepads ? navigator.getGamepads() : [])].filter((p) => p && p.connected);
  const pulse = () => {
    if (closed) return;
    const seen = document.visibilityState === "visible";
    const pad = seen && pads()[0];
    if (pad) {
      const button = (i) => Boolean(pad.buttons[i] && pad.buttons[i].pressed);
      if (button(1) && !pressed) stop();
      pressed = button(1);
      if (button(4)) { arm = 0; hand.selectedIndex = 0; }
      if (button(5)) { arm = 1; hand.selectedIndex = 1; }
    }
    model.set("held", {
      beat: beat++, keys: [...held], drag: [...drag], sliders: { ...sliders }, arm, speed,
      pad: pad ? { axes: [...pad.axes], buttons: pad.buttons.map((b) => b.value) } : null,
    });
    model.save_changes();
    if (shownAt !== null) age.textContent = `${Math.round(performance.now() - shownAt + shownAge)} ms`;
  };
  const timer = setInterval(pulse, BEAT);

  el.append(focus);
  act("hello");
  return () => {
    closed = true;
    clearInterval(timer);
    window.removeEventListener("blur", let_go);
    window.removeEventListener("pagehide", let_go);
    document.removeEventListener("visibilitychange", hidden);
  };
}

export default { render };
