"""A JupyterLab or Notebook 7 of its own, and a browser to look at it: own process groups and folders, on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pilab
from pilab.figures.theme import chromium

QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
QUIET += ("--disable-component-update", "--disable-sync", "--no-sandbox")


MARKS = [
    pytest.mark.browser,
    # In CI the tests must not be passed over: there they fail.
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true",
        reason="no Chrome or Chromium; `apt install chromium` (with CI=true this is an error)",
    ),
]


@contextlib.contextmanager
def serving(
    folder: Path, own: Path, settings: dict[str, dict[str, Any]] | None = None, app: str = "lab"
) -> Iterator[str]:
    """The address under which a JupyterLab ("lab") or a Notebook 7 ("notebooks") opens what is in `folder`.

    It keeps everything of its own in `own`. settings: of JupyterLab's extensions, by "EXTENSION/PLUGIN".
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {f"{name}_DIR": str(own / name.lower()) for name in ("JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES")}
    places |= {f"JUPYTER_{name}_DIR": str(own / name.lower()) for name in ("RUNTIME", "CONFIG", "DATA")}
    quiet = {"@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
    for name, values in {**quiet, **(settings or {})}.items():  # nothing leaves loopback
        path = own / "jupyterlab_settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    environment = os.environ | places | {"PYTHONPATH": str(Path(pilab.__file__).parents[1])}
    module = {"lab": "jupyterlab", "notebooks": "notebook"}[app]
    command = [
        sys.executable, "-m", module, "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=",
        f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]  # fmt: skip
    with open(own / "lab.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/api/status", server, own / "lab.log")
            yield f"{address}/lab/tree" if app == "lab" else f"{address}/{app}"
        finally:
            _stop(server)


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    """A page of a headless Chromium."""
    assert chromium() is not None, "CI must have Chrome or Chromium: `apt install chromium`"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), headless=True, args=list(QUIET))
        try:
            page = browser.new_page(viewport={"width": 1500, "height": 1000})
            page.set_default_timeout(90_000)
            yield page
        finally:
            browser.close()


def open_notebook(page: Any, address: str, name: str) -> None:
    """Open it and wait for its kernel."""
    page.goto(f"{address}/{name}?reset")
    kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
    page.wait_for_function(f"() => {kernel} === 'idle'")


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """The server and its kernels, by their group."""
    if hasattr(os, "killpg"):
        os.killpg(server.pid, signal.SIGTERM)
    else:
        server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        if hasattr(os, "killpg"):
            os.killpg(server.pid, signal.SIGKILL)
        else:
            server.kill()
        server.wait(20)


RUN = """async index => {
  const panel = jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = index;
  await jupyterapp.commands.execute('notebook:run-cell');
  const model = panel.content.model.cells.get(index);
  return {count: model.executionCount, outputs: model.outputs.toJSON()};
}"""
