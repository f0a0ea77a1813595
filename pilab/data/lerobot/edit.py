"""Datasets from datasets: merge, split, delete, relabel, repair, and the older format v2.1.

Design choices
--------------
* **The source is only read.** Every edit writes a new dataset; what was wrong with it, or with the idea, costs nothing.
* **No gaps**: episodes, frames and tasks are numbered anew by the one writer there is.
* **Pixels are not touched.** A video that holds one episode is taken over as a file (a hard link where the disk can);
  only an episode out of a longer video, as the real library writes them, is decoded and encoded again.
* `repair` reads what no reader accepts: it believes no total and keeps each episode that is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from pilab.contracts import DatasetError
from pilab.data.lerobot import reader
from pilab.data.lerobot import stats as statistics
from pilab.data.lerobot.format import DEFAULT_FEATURES, PILAB, TASKS
from pilab.data.lerobot.reader import LeRobotDataset
from pilab.data.lerobot.video import Decoder, Video, VideoCodec, encode
from pilab.data.lerobot.writer import DatasetWriter, explained, extra_columns, link, stage_episode

Part = tuple[LeRobotDataset, int, str | None]  # a dataset, an episode of it, and its new instruction if it gets one


def rewrite(parts: Sequence[Part], out: str | Path, what: str, *, progress: bool = True) -> LeRobotDataset:
    """A new dataset at `out` of these episodes, in this order. what: how it came to be, for its meta.

    Raises `DatasetError` where there are none, where the datasets do not have the same features, frame rate and robot, and
    where `out` is not empty.
    """
    if not parts:
        raise DatasetError(f"{what}: no episode is left; a dataset needs at least one")
    first = parts[0][0]
    own = {key: f for key, f in first.features.items() if key not in DEFAULT_FEATURES}
    for dataset in {id(d): d for d, *_ in parts}.values():
        _same(first, dataset)
    columns: dict[str, str] = {}
    for dataset in {id(d): d for d, *_ in parts}.values():
        for name, kind in _columns(dataset).items():
            if columns.setdefault(name, kind) != kind:
                raise DatasetError(f"{dataset.root}: its episode column {name!r} is {kind}, elsewhere {columns[name]}")
    videos = first.info.keys("video")
    codec = VideoCodec.from_info(first.features[videos[0]].info) if videos else VideoCodec()
    sources = list(dict.fromkeys(d.id for d, *_ in parts))
    meta = {**first.pilab.get("meta", {}), "edit": what, "sources": sources}
    writer = DatasetWriter.create(out, first.fps, own, first.info.robot_type, meta, codec, columns)
    for dataset, e, task in tqdm(parts, desc=what.split()[0], unit="episode", disable=not progress):
        files = {key: dataset.video_of(key, e) for key in videos}
        stats = dataset.stats_of(e)
        ready = {key: (file, stats[key]) for key, file in files.items() if file is not None and key in stats}
        arrays = dataset.episode(e, [key for key in own if key not in ready])
        said = dataset.episode(e, ["task_index"])["task_index"]
        folder = writer.staging_folder()
        try:
            stage_episode(folder, arrays, own, first.fps, codec, ready)
            tasks = [task] * len(said) if task else [dataset.tasks[int(t)] for t in said]
            writer.commit(folder, tasks, {name: dataset.episodes[e].get(name) for name in columns})
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return LeRobotDataset(out)


def merge(sources: Iterable[str | Path], out: str | Path, *, progress: bool = True) -> LeRobotDataset:
    """All episodes of several datasets of one robot, in order."""
    datasets = [LeRobotDataset(source) for source in sources]
    parts = [(d, e, None) for d in datasets for e in range(len(d.episodes))]
    return rewrite(parts, out, f"merge of {len(datasets)} datasets", progress=progress)


def split(source: str | Path, out: str | Path, episodes: Iterable[int], *, progress: bool = True) -> LeRobotDataset:
    """Some episodes of a dataset, in the order given."""
    dataset = LeRobotDataset(source)
    parts = [(dataset, e, None) for e in _known(dataset, episodes)]
    return rewrite(parts, out, f"split of {len(parts)} episodes", progress=progress)


def delete(source: str | Path, out: str | Path, episodes: Iterable[int], *, progress: bool = True) -> LeRobotDataset:
    """A dataset without some of its episodes."""
    dataset = LeRobotDataset(source)
    gone = set(_known(dataset, episodes))
    parts = [(dataset, e, None) for e in range(len(dataset.episodes)) if e not in gone]
    return rewrite(parts, out, f"delete of {len(gone)} episodes", progress=progress)


def relabel(
    source: str | Path, out: str | Path, task: str, episodes: Iterable[int] | None = None, *, progress: bool = True
) -> LeRobotDataset:
    """A dataset whose episodes, or some of them, have another instruction."""
    if not task.strip():
        raise DatasetError("an instruction cannot be empty; say what the episodes show")
    dataset = LeRobotDataset(source)
    every = range(len(dataset.episodes))
    new = set(every if episodes is None else _known(dataset, episodes))
    return rewrite(
        [(dataset, e, task if e in new else None) for e in every], out, f"relabel as {task!r}", progress=progress
    )


def repair(source: str | Path, out: str | Path, *, progress: bool = True) -> list[str]:
    """Copy every episode that can be read whole to a new dataset; returns what was lost, a line each.

    For a dataset whose writer was killed, whose totals are wrong or whose files are damaged. Raises `DatasetError` where
    there is no info.json, or no episode is whole.
    """
    root = Path(source)
    info, lost = reader.load_info(root), []
    pilab = _or(lambda: reader.load_pilab(root), {}, lost)
    rows = []
    for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
        table = _or(lambda path=path: reader.read_table(path), None, lost, f"{path.relative_to(root)}")
        rows += table.to_pylist() if table is not None else []
    tasks = _or(lambda: reader.read_table(root / TASKS).to_pylist(), [], lost, TASKS)
    names = {row.get("task_index"): next((v for k, v in row.items() if k != "task_index"), None) for row in tasks}
    own = {key: f for key, f in info.features.items() if key not in DEFAULT_FEATURES}
    described = {name for row in rows for name in row}
    known = [n for n in pilab.get("episode_columns", {}) if n in described]
    columns = {name: pilab["episode_columns"][name] for name in known}
    videos = info.keys("video")
    codec = VideoCodec.from_info(info.features[videos[0]].info) if videos else VideoCodec()
    writer, decoder = None, Decoder()
    for row in tqdm(rows, desc="repair", unit="episode", disable=not progress):
        number = row.get("episode_index")
        try:
            arrays, said = _whole(root, info, row, decoder)
        except (DatasetError, OSError, KeyError, TypeError, ValueError) as error:
            lost.append(f"episode {number}: {error}")
            continue
        if writer is None:
            meta = {**pilab.get("meta", {}), "edit": "repair", "sources": [pilab.get("id", str(root))]}
            writer = DatasetWriter.create(out, info.fps, own, info.robot_type, meta, codec, columns)
        fallback = (row.get("tasks") or ["unknown"])[0]
        writer.save_episode(arrays, [names.get(int(t)) or fallback for t in said], {n: row.get(n) for n in columns})
    if writer is None:
        raise DatasetError(f"{root}: none of {len(rows)} episodes can be read whole: {'; '.join(lost[:3])}")
    return lost


def _whole(root: Path, info: Any, row: dict[str, Any], decoder: Decoder) -> tuple[dict[str, Any], np.ndarray]:
    """All arrays of an episode and its task_index (T,), from its own row alone."""
    path = info.data_file(root, row["data/chunk_index"], row["data/file_index"])
    table = reader.read_table(path)
    table = table.filter(np.asarray(table.column("episode_index")) == row["episode_index"])
    if len(table) != row["length"] or not len(table):
        raise DatasetError(f"{len(table)} rows of data; expected {row['length']}")
    arrays: dict[str, Any] = {}
    for key, feature in info.features.items():
        if feature.dtype == "video":
            video = Video(info.video_file(root, key, row[f"videos/{key}/chunk_index"], row[f"videos/{key}/file_index"]))
            times = row[f"videos/{key}/from_timestamp"] + np.asarray(table.column("timestamp"), np.float64)
            arrays[key] = decoder.frames(video, video.packets(times, 0.25 / info.fps))
        elif feature.dtype == "image":
            raise DatasetError("images in parquet files are not repaired; copy the dataset again")
        elif key not in DEFAULT_FEATURES:
            values = reader.to_numpy(table.column(key), feature, key)
            arrays[key] = values.tolist() if values.dtype == object else values
    return arrays, np.asarray(table.column("task_index"))


def export_v21(source: str | Path, out: str | Path, *, progress: bool = True) -> Path:
    """The dataset in the format v2.1 (one file per episode, jsonl tables), which openpi reads.

    Source of the layout: lerobot at the revision that openpi pins (github.com/huggingface/lerobot, `CODEBASE_VERSION =
    "v2.1"`).
    """
    dataset, out = LeRobotDataset(source), Path(out)
    if images := dataset.info.keys("image"):
        raise DatasetError(f"{images[0]} is stored as images; v2.1 is written with videos only")
    if out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out} is not empty; choose another folder")
    size, schema, videos = dataset.info.chunks_size, _older(dataset.info.data_schema()), dataset.info.keys("video")
    codecs = {key: VideoCodec.from_info(dataset.features[key].info) for key in videos}
    episodes, stats = [], []
    with explained(out):
        (out / "meta").mkdir(parents=True, exist_ok=True)
        for e, row in enumerate(tqdm(dataset.episodes, desc="export", unit="episode", disable=not progress)):
            chunk, name = f"chunk-{e // size:03d}", f"episode_{e:06d}"
            data = out / "data" / chunk / f"{name}.parquet"
            data.parent.mkdir(parents=True, exist_ok=True)
            arrays = dataset.episode(e, schema.names)
            pq.write_table(_table(arrays, schema), data)
            for key in videos:
                path = out / "videos" / chunk / key / f"{name}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                file = dataset.video_of(key, e)
                if file is not None:
                    link(file, path)
                else:
                    path.write_bytes(encode(dataset.frames(key, e, range(row["length"])), dataset.fps, codecs[key]))
            episodes.append({"episode_index": e, "tasks": row["tasks"], "length": row["length"]})
            stats.append({"episode_index": e, "stats": statistics.to_json(dataset.stats_of(e))})
        body = json.loads(dataset.info.to_json())
        for key in ("data_files_size_in_mb", "video_files_size_in_mb"):
            body.pop(key, None)
        body |= {
            "codebase_version": "v2.1",
            "total_videos": len(videos) * len(episodes),
            "total_chunks": -(-len(episodes) // size),
            "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        }
        (out / "meta" / "info.json").write_text(json.dumps(body, indent=4), encoding="utf-8")
        tasks = [{"task_index": i, "task": task} for i, task in enumerate(dataset.tasks)]
        for name, lines in (("tasks", tasks), ("episodes", episodes), ("episodes_stats", stats)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (out / "meta" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return out


def _older(schema: pa.Schema) -> pa.Schema:
    """The schema as `datasets` before 4 names its types, which knows no "List" and refuses the file."""
    hints = schema.metadata[b"huggingface"].replace(b'"_type": "List"', b'"_type": "Sequence"')
    return schema.with_metadata({**schema.metadata, b"huggingface": hints})


def _same(first: LeRobotDataset, other: LeRobotDataset) -> None:
    """Whether two datasets can be one."""
    shapes = [{k: (f.dtype, tuple(f.shape)) for k, f in d.features.items()} for d in (first, other)]
    if differ := sorted(k for k in shapes[0].keys() | shapes[1].keys() if shapes[0].get(k) != shapes[1].get(k)):
        raise DatasetError(
            f"{first.root} and {other.root} differ in {', '.join(differ)}; only datasets of one robot merge"
        )
    if first.fps != other.fps:
        raise DatasetError(
            f"{first.root} has {first.fps} frames a second, {other.root} {other.fps}; they cannot be one"
        )


def _columns(dataset: LeRobotDataset) -> dict[str, str]:
    """The extra per-episode columns of a dataset, ours or anybody's."""
    return dict(dataset.pilab.get("episode_columns") or extra_columns(reader.load_episodes(dataset.root, dataset.info)))


def _known(dataset: LeRobotDataset, episodes: Iterable[int]) -> list[int]:
    chosen, count = list(episodes), len(dataset.episodes)
    if wrong := [e for e in chosen if not 0 <= e < count]:
        raise DatasetError(f"{dataset.root} has no episode {wrong[0]}; it has 0 … {count - 1}")
    return list(dict.fromkeys(chosen))


def _table(arrays: dict[str, Any], schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        values = arrays[field.name]
        columns.append(pa.array(values.tolist() if isinstance(values, np.ndarray) else values, field.type))
    return pa.table(columns, schema=schema)


def _or(read: Callable[[], Any], otherwise: Any, lost: list[str], name: str = PILAB) -> Any:
    """What can be read, or `otherwise` and a line in `lost`."""
    try:
        return read()
    except DatasetError as error:
        lost.append(f"{name}: {error}")
        return otherwise
