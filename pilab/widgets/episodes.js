// The page's side of the browser of episodes: a list, pictures, a slider, and what happened when.

function render({ model, el }) {
  const { cameras, fps, columns, name } = model.get("about");
  const rows = model.get("rows");
  let episode = 0, frame = 0, story = null, waiting = false, wanted = null, playing = null;

  const canvases = cameras.map((camera) => make("canvas", { title: camera, "data-camera": camera }));
  const slider = make("input", { type: "range", min: 0, value: 0, oninput: () => seek(Number(slider.value)) });
  const play = make("button", { text: "▶", title: "play", onclick: () => (playing ? pause() : run()) });
  const clock = make("span", { class: "pilab-clock" }), words = make("div", { class: "pilab-words" });
  const chart = make("canvas", { class: "pilab-chart", width: 800, height: 110 });
  const note = make("div", { class: "pilab-note" });
  const body = make("tbody");
  const find = make("input", { type: "text", placeholder: `find among ${rows.length} episodes`, oninput: list });
  const table = make("table", {}, [
    make("thead", {}, [make("tr", {}, ["no.", "s", ...columns].map((text) => make("th", { text })))]), body]);

  function list() {
    const text = find.value.toLowerCase();
    body.replaceChildren(...rows.filter((row) => JSON.stringify(row).toLowerCase().includes(text)).slice(0, 500).map((row) => {
      const cells = [row.episode, row.seconds.toFixed(1), ...columns.map((c) => (row[c] === null || row[c] === undefined ? "" : String(row[c])))];
      const line = make("tr", { "data-episode": row.episode, onclick: () => open(row.episode) }, cells.map((text) => make("td", { text })));
      if (row.episode === episode) line.className = "pilab-open";
      return line;
    }));
  }

  function open(e) {
    pause();
    episode = e; story = null;
    slider.max = rows[e].length - 1;
    model.send({ do: "episode", episode: e });
    list();
    seek(0);
  }

  function seek(k) {
    frame = Math.max(0, Math.min(k, rows[episode].length - 1));
    slider.value = frame;
    clock.textContent = `${(frame / fps).toFixed(1)} s · frame ${frame} of ${rows[episode].length}`;
    draw();
    wanted = [episode, frame];
    ask();
  }

  function ask() {  // the newest wish or none: a fast hand must not queue up pictures
    if (waiting || !wanted) return;
    waiting = true;
    model.send({ do: "frame", episode: wanted[0], frame: wanted[1] });
    wanted = null;
  }

  function run() {
    play.textContent = "❚❚";
    playing = setInterval(() => (frame + 1 < rows[episode].length ? seek(frame + 1) : pause()), 1000 / fps);
  }

  function pause() { clearInterval(playing); playing = null; play.textContent = "▶"; }

  function draw() {
    const g = chart.getContext("2d"), n = rows[episode].length, x = (k) => (k / Math.max(1, n - 1)) * chart.width;
    g.clearRect(0, 0, chart.width, chart.height);
    if (story) {
      const lanes = Object.entries(story.spans);
      lanes.forEach(([, spans], lane) => {
        const kinds = [...new Set(spans.map((s) => s[2]))];
        spans.forEach(([a, b, text]) => {
          g.fillStyle = COLOURS[kinds.indexOf(text) % COLOURS.length];
          g.globalAlpha = 0.35;
          g.fillRect(x(a), 16 * lane, Math.max(1, x(b) - x(a)), 14);
          g.globalAlpha = 1; g.fillStyle = "#222"; g.font = "11px sans-serif";
          g.save(); g.beginPath(); g.rect(x(a), 16 * lane, x(b) - x(a), 14); g.clip(); g.fillText(text, x(a) + 3, 16 * lane + 11); g.restore();
        });
      });
      const top = 16 * lanes.length + 4, height = chart.height - top - 2;
      (story.curves || []).forEach((curve, i) => {
        g.strokeStyle = COLOURS[i % COLOURS.length]; g.globalAlpha = 0.7; g.beginPath();
        curve.forEach((v, k) => g.lineTo((k / Math.max(1, curve.length - 1)) * chart.width, top + height * (1 - v)));
        g.stroke();
      });
      g.globalAlpha = 1;
      const now = (story.spans.subtask || []).find(([a, b]) => a <= frame && frame < b);
      const verdict = story.success === undefined ? "" : story.success ? " · a success" : " · no success";
      words.textContent = `“${rows[episode].task}”${verdict}${now && now[2] ? " — " + now[2] : ""}`;
    }
    g.strokeStyle = "#000"; g.beginPath(); g.moveTo(x(frame), 0); g.lineTo(x(frame), chart.height); g.stroke();
  }

  model.on("msg:custom", async (message, buffers) => {
    if (message.do === "episode" && message.episode === episode) { story = message; draw(); }
    if (message.do !== "frame") return;
    try {
      if (message.episode === episode) {
        await Promise.all(canvases.map((canvas, i) => paint(canvas, buffers[i])));
        el.dataset.frame = `${message.episode}:${message.frame}`;
      }
    } finally { waiting = false; ask(); }
  });
  model.on("change:error", () => { note.textContent = model.get("error"); waiting = false; });

  const keys = (event) => {
    if (event.target.tagName === "INPUT" && event.target.type === "text") return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.code];
    if (step) { event.preventDefault(); event.stopPropagation(); pause(); seek(frame + step); }
  };
  el.append(make("div", { class: "pilab-episodes", tabindex: "0", "data-lm-suppress-shortcuts": "true", onkeydown: keys }, [
    make("div", { class: "pilab-pictures" }, canvases), make("div", { class: "pilab-row" }, [play, slider, clock]),
    words, chart, make("div", { class: "pilab-row" }, [make("strong", { text: name }), find]), make("div", { class: "pilab-table" }, [table]), note,
  ]));
  list();
  if (rows.length) open(0);
  return pause;
}

export default { render };
